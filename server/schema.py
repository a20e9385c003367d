"""What all requests have in common: strict types, and no field that is not understood and yet might matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class StrictRequest(BaseModel):
    """A request's body. Fields that it does not name are kept apart, see `unknown`."""

    model_config = ConfigDict(strict=True, extra="allow")

    HARMLESS: ClassVar[frozenset[str]] = frozenset()
    """Fields that change nothing about the answer: ignored."""
    NEUTRAL: ClassVar[Mapping[str, Any]] = {}
    """Values of other fields that ask for nothing special: ignored."""

    @property
    def unknown(self) -> dict[str, Any]:
        """Fields that this server does not know, but that ask for something."""
        extra = self.model_extra or {}
        return {k: v for k, v in extra.items() if v is not None and k not in self.HARMLESS and not self._neutral(k, v)}

    def _neutral(self, name: str, value: Any) -> bool:
        return name in self.NEUTRAL and value == self.NEUTRAL[name]
