"""The first image against the best one: which checks were gained, which were lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..memory.state import Attempt, Check, GemsState
from .inline_images import InlineImage, ReadImage, picture

PAIR = 384
"""Largest width and height of each of the two images, in CSS pixels."""


@dataclass(frozen=True)
class ImagePair:
    """The first image and the best one."""

    first: InlineImage
    best: InlineImage
    gained: list[Check]
    """Checks that only the best image passes."""
    lost: list[Check]
    """Checks that only the first image passes."""
    missed: list[Check]
    """Checks that neither passes."""
    kept: int
    """How many both pass."""


def pair(state: GemsState, best: Attempt | None, read_image: ReadImage | None) -> ImagePair | None:
    """Compare the first image with the best; None where they are one, or where either is not checked."""
    if best is None or not state.attempts:
        return None
    first = state.attempts[0]
    if best.key == first.key or not first.verdicts or not best.verdicts:
        return None
    before, after = _passed(first), _passed(best)

    def those(was: bool, now: bool) -> list[Check]:
        return [c for c in state.checks if (c.id in before, c.id in after) == (was, now)]

    return ImagePair(
        first=picture(first.image, read_image, alt="The first image", edge=PAIR),
        best=picture(best.image, read_image, alt="The best image", edge=PAIR),
        gained=those(False, True),
        lost=those(True, False),
        missed=those(False, False),
        kept=len(those(True, True)),
    )


def _passed(attempt: Attempt) -> Sequence[str]:
    return [v.check for v in attempt.verdicts if v.passed]
