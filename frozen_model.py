"""The base of plain data: models that cannot be changed and have no fields but their own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A pydantic model that is immutable and refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
