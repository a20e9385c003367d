"""Base of the schemas of requests: strict types, and unknown fields are refused unless they change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class StrictRequest(BaseModel):
    """The body of a request. `unknown` has the fields that it does not name."""

    model_config = ConfigDict(strict=True, extra="allow")

    HARMLESS: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not change the answer: ignored."""
    NEUTRAL: ClassVar[Mapping[str, Any]] = {}
    """Default values of other fields: ignored."""

    @property
    def unknown(self) -> dict[str, Any]:
        """Fields that this server does not know and that would change the answer."""
        extra = self.model_extra or {}
        return {k: v for k, v in extra.items() if v is not None and k not in self.HARMLESS and not self._is_neutral(k, v)}

    def _is_neutral(self, name: str, value: Any) -> bool:
        return name in self.NEUTRAL and value == self.NEUTRAL[name]
