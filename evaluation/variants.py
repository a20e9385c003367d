"""Variants, which a study compares: settings with a name, made from presets, sweeps and fixed changes."""

from __future__ import annotations

import itertools
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError

from ..context import PRESETS, RunContext, preset
from ..errors import SettingError, did_you_mean
from ..frozen_model import Frozen

SETTING_ALIASES = {"rounds": "max_rounds", "skills": "plan"}
"""Short names of settings."""

RESERVED_SETTINGS = {
    "seed": "--seed and --seeds",
    "max_cost": "max_calls or max_tokens, since the embedded models have no price",
    "review": "gems run --review: in a study nobody is there to answer",
}
"""Settings that a study sets itself, and what to use instead."""

MAX_VALUES = 100
"""Most values of one axis: a longer range is a mistake."""


class Variant(Frozen):
    """Named settings to be measured."""

    name: str
    context: RunContext
    line: str = ""
    """Variants of the same line differ in the first axis alone: a plot joins them."""
    at: float | None = None
    """The value of the first axis, where it is a number."""


class Axis(NamedTuple):
    """A setting and the values it takes in a study."""

    name: str
    """As it was typed."""
    setting: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


def parse_axis(text: str) -> Axis:
    """Read an axis: "rounds=1..8", "candidates=1,2,4", "verify=batch,each"; a setting alone takes all its values.

    Raises:
        SettingError: the setting is unknown or has no list of values, or a value is not one of its own.
    """
    label, equals, values = (part.strip() for part in text.partition("="))
    setting = resolve_setting(label)
    if not equals:
        return Axis(label, setting, _all_values(label, setting))
    spelt = list(itertools.chain.from_iterable(_range(label, part.strip()) for part in values.split(",")))
    if len(spelt) > MAX_VALUES:
        raise SettingError(f"{label}: {len(spelt)} values are too many; at most {MAX_VALUES} are compared")
    return Axis(label, setting, tuple(dict.fromkeys(parse_value(label, setting, one) for one in spelt)))


def _range(label: str, text: str) -> list[str]:
    match = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if first > last:
        raise SettingError(f"{label}={text}: a range goes upwards, such as {last}..{first}")
    if last - first >= MAX_VALUES:
        raise SettingError(f"{label}={text}: {last - first + 1} values are too many; at most {MAX_VALUES} are compared")
    return [str(n) for n in range(first, last + 1)]


def resolve_setting(label: str) -> str:
    """Return the field of `RunContext` that a name means.

    Raises:
        SettingError: there is none, or the study sets it by itself.
    """
    setting = SETTING_ALIASES.get(label, label)
    if setting in RESERVED_SETTINGS:
        raise SettingError(f"{label} is not a setting of a study: use {RESERVED_SETTINGS[setting]}")
    if setting not in RunContext.model_fields:
        known = [name for name in (*SETTING_ALIASES, *RunContext.model_fields) if name not in RESERVED_SETTINGS]
        raise SettingError(f"unknown setting {label!r}: {did_you_mean(label, known)}")
    return setting


def _value_types(setting: str) -> list[Any]:
    """Return the types that a setting takes, a union taken apart."""
    kind = RunContext.model_fields[setting].annotation
    return list(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else [kind]


def _all_values(label: str, setting: str) -> tuple[Any, ...]:
    kinds = _value_types(setting)
    if kinds == [bool]:
        return (False, True)
    if get_origin(kinds[0]) is Literal:
        return get_args(kinds[0])
    raise SettingError(f"{label} has no list of values: name those to compare, such as --sweep {label}=VALUE,VALUE")


def parse_value(label: str, setting: str, text: str) -> Any:
    """Return the value that a text means for a setting, checked; "none" is no value where the setting takes that.

    Raises:
        SettingError: the setting does not take it.
    """
    if text.lower() == "none" and type(None) in _value_types(setting):
        return None
    try:
        return getattr(RunContext.model_validate({setting: text}), setting)
    except ValidationError as error:
        raise SettingError(f"{label}={text}: {error.errors()[0]['msg']}") from error


def parse_changes(pairs: Iterable[str]) -> dict[str, Any]:
    """Read fixed changes: "setting=value" each.

    Raises:
        SettingError: one is not of this form, or its setting or value is unknown.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        label, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise SettingError(f"--set {pair}: write setting=value, such as patience=none")
        setting = resolve_setting(label)
        changes[setting] = parse_value(label, setting, text)
    return changes


def make_variants(presets: Sequence[str], axes: Sequence[Axis] = (), fixed: Mapping[str, Any] | None = None) -> list[Variant]:
    """Return every preset with every combination of the axes' values, all with the fixed changes.

    Raises:
        SettingError: there is no preset, one is unknown, or a setting is set twice.
    """
    names = list(dict.fromkeys(presets))
    if not names:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    settings = [a.setting for a in axes]
    for a in axes:
        if settings.count(a.setting) > 1 or a.setting in (fixed or {}):
            raise SettingError(f"{a.name} is set twice: sweep it once, or give it one value")
    variants = []
    for name in names:
        for values in itertools.product(*(a.values for a in axes)):
            context = preset(name, **{**(fixed or {}), **dict(zip(settings, values, strict=True))})
            variants.append(_make_variant(name, len(names) > 1, axes, values, context))
    return variants


def _make_variant(base: str, several: bool, axes: Sequence[Axis], values: Sequence[Any], context: RunContext) -> Variant:
    labels = [f"{a.name}={format_value(v)}" for a, v in zip(axes, values, strict=True)]
    prefix = [base] if several or not axes else []
    if not axes or not axes[0].numeric:
        return Variant(name=" ".join([*prefix, *labels]), context=context)
    line = " ".join([*prefix, *labels[1:]]) or base
    return Variant(name=" ".join([*prefix, *labels]), context=context, line=line, at=float(values[0]))


def format_value(value: Any) -> str:
    """Write a value as one types it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
