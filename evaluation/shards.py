"""Shards of a study for several processes or machines: every n-th prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple, TypeVar

from ..errors import SettingError

T = TypeVar("T")


class Shard(NamedTuple):
    """The `number`-th of `of` parts, counted from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str | None) -> Shard:
        """Parse "3/8"; None is the whole study.

        Raises:
            SettingError: it is not of this form, or there is no such part.
        """
        if text is None:
            return cls()
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingError(f"--shard {text}: write PART/PARTS, such as 3/8, the first being 1/8")
        return cls(int(match[1]), int(match[2]))

    @property
    def whole(self) -> bool:
        """Whether it is the whole study."""
        return self.of == 1

    @property
    def slug(self) -> str:
        """Its name in names of files."""
        return f"{self.number}-of-{self.of}"

    def file(self, name: str) -> str:
        """Return the name of its own file: `samples.3-of-8.jsonl`."""
        path = PurePath(name)
        return name if self.whole else f"{path.stem}.{self.slug}{path.suffix}"

    def part(self, items: Sequence[T]) -> list[T]:
        """Return the items of the shard."""
        return list(items[self.number - 1 :: self.of])


WHOLE = Shard()
"""The shard that is the whole study."""
