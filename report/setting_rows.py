"""The settings of a run as rows of the page's table."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..context import PROMPT_SETTINGS, RunContext, nearest_preset
from .text import count_of


class SettingRow(NamedTuple):
    """A setting of the run."""

    name: str
    value: str
    description: str
    changed: bool
    """Whether it differs from its default."""


def preset_and_changes(context: RunContext) -> tuple[str, str]:
    """Return the nearest preset, and the names of the settings that differ from it, without the seed, as text."""
    name, changed = nearest_preset(context)
    return name, ", ".join(setting.replace("_", " ") for setting in changed if setting != "seed")


def setting_rows(context: RunContext) -> list[SettingRow]:
    """Return a row for each setting of `RunContext`, in its order."""
    return [
        SettingRow(
            name.replace("_", " "), _setting_value(name, value), (field.description or "").replace("`", ""), value != field.default
        )
        for name, field in RunContext.model_fields.items()
        for value in [getattr(context, name)]
    ]


def _setting_value(name: str, value: Any) -> str:
    """Return a setting's value as text; of a role's prompt only whether it was changed, and its length in words."""
    if name in PROMPT_SETTINGS:
        return f"changed, {count_of(len(value.split()), 'word')}" if value else "built in"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)
