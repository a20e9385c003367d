"""Refuse what a swapped node returns if the state cannot take it, before it is stored: the run can be resumed with another node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langgraph.types import Command, Overwrite
from pydantic import BaseModel, ValidationError

from ..errors import NodeError, did_you_mean
from ..memory.state import GemsState

MESSAGES = "planning"
"""A field of messages: LangGraph takes many forms of them, and reports the others itself."""


def check_update(role: str, update: Any, *, other_fields: bool = False) -> None:
    """Check the values of a node's update by the types of `GemsState`.

    Args:
        role: the swapped role, for the error.
        update: what its node has returned.
        other_fields: whether fields that the state does not have are ignored, as a graph with a state of its own may return them.

    Raises:
        NodeError: a field does not exist, or its value has the wrong type.
    """
    for name, value in _field_values(update):
        if name not in GemsState.model_fields:
            if other_fields:
                continue
            raise NodeError(f"the role {role} returned {name}, which is no field: {did_you_mean(name, GemsState.model_fields)}")
        if name == MESSAGES:
            continue
        plain = value.value if isinstance(value, Overwrite) else value
        try:
            GemsState.model_validate({"prompt": "any", name: plain})
        except ValidationError as error:
            first = error.errors()[0]
            where, why = ".".join(map(str, first["loc"])), first["msg"]
            raise NodeError(f"the role {role} returned {name}={plain!r:.100}: {where}: {why}") from error


def _field_values(update: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields and values of whatever LangGraph takes as an update."""
    if isinstance(update, Command):
        yield from _field_values(update.update)
    elif isinstance(update, BaseModel):
        yield from ((name, getattr(update, name)) for name in update.model_fields_set)
    elif isinstance(update, Mapping):
        yield from update.items()
    elif isinstance(update, tuple) and len(update) == 2 and isinstance(update[0], str):
        yield update
    elif isinstance(update, list | tuple):
        for part in update:
            yield from _field_values(part)
