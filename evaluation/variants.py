"""Studies: which variants of the settings are compared, and on what. A variant is a `RunContext` with a name, nothing else."""

from __future__ import annotations

import hashlib
import itertools
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError

from ..context import PRESETS, RunContext, preset
from ..errors import SettingError, did_you_mean
from ..frozen import Frozen

ALIASES = {"rounds": "max_rounds", "skills": "plan"}
"""Other names of knobs, as people say them."""

OWN = {
    "seed": "--seed and --seeds",
    "max_cost": "max_calls or max_tokens, since the embedded models have no price",
    "review": "gems run --review: in a study nobody is there to answer",
}
"""Knobs that are none of a study's, and what to use in their place."""

MAX_VALUES = 100
"""Most values of one axis: a longer range is a slip."""

LOOP = ("context.py", "graph", "memory", "models", "nodes", "runs", "skills", "storage", "evaluation/benchmarks/shapes.py")
"""What of the package decides what a run is asked and what it gives."""


class Variant(Frozen):
    """Settings to be measured, under a name."""

    name: str
    context: RunContext
    line: str = ""
    """Variants of the same line differ in the first axis alone: a plot joins them."""
    at: float | None = None
    """The value of the first axis, where it is a number."""


class Axis(NamedTuple):
    """A knob and the values it takes in a study."""

    name: str
    """As it was said."""
    knob: str
    values: tuple[Any, ...]

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


def axis(text: str) -> Axis:
    """Read an axis: "rounds=1..8", "candidates=1,2,4", "verify=batch,each"; a knob alone takes all its values.

    Raises:
        SettingError: the knob is unknown or has no list of values, or a value is not one of its own.
    """
    said, equals, values = (part.strip() for part in text.partition("="))
    knob = knob_of(said)
    if not equals:
        return Axis(said, knob, _all_values(said, knob))
    spelt = list(itertools.chain.from_iterable(_range(said, part.strip()) for part in values.split(",")))
    if len(spelt) > MAX_VALUES:
        raise SettingError(f"{said}: {len(spelt)} values are too many; at most {MAX_VALUES} are compared")
    return Axis(said, knob, tuple(dict.fromkeys(value_of(said, knob, one) for one in spelt)))


def _range(said: str, text: str) -> list[str]:
    found = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if found is None:
        return [text]
    first, last = int(found[1]), int(found[2])
    if first > last:
        raise SettingError(f"{said}={text}: a range goes upwards, such as {last}..{first}")
    if last - first >= MAX_VALUES:
        raise SettingError(f"{said}={text}: {last - first + 1} values are too many; at most {MAX_VALUES} are compared")
    return [str(n) for n in range(first, last + 1)]


def knob_of(said: str) -> str:
    """Return the field of `RunContext` that a name means.

    Raises:
        SettingError: there is none, or the study sets it by itself.
    """
    knob = ALIASES.get(said, said)
    if knob in OWN:
        raise SettingError(f"{said} is not a setting of a study: use {OWN[knob]}")
    if knob not in RunContext.model_fields:
        known = [name for name in (*ALIASES, *RunContext.model_fields) if name not in OWN]
        raise SettingError(f"unknown setting {said!r}: {did_you_mean(said, known)}")
    return knob


def _kinds(knob: str) -> list[Any]:
    """Return the types that a knob takes, a union taken apart."""
    kind = RunContext.model_fields[knob].annotation
    return list(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else [kind]


def _all_values(said: str, knob: str) -> tuple[Any, ...]:
    kinds = _kinds(knob)
    if kinds == [bool]:
        return (False, True)
    if get_origin(kinds[0]) is Literal:
        return get_args(kinds[0])
    raise SettingError(f"{said} has no list of values: name those to compare, such as --sweep {said}=VALUE,VALUE")


def value_of(said: str, knob: str, text: str) -> Any:
    """Return the value that a text means for a knob, checked; "none" is no value where the knob takes that.

    Raises:
        SettingError: the knob does not take it.
    """
    if text.lower() == "none" and type(None) in _kinds(knob):
        return None
    try:
        return getattr(RunContext.model_validate({knob: text}), knob)
    except ValidationError as error:
        raise SettingError(f"{said}={text}: {error.errors()[0]['msg']}") from error


def changes(pairs: Iterable[str]) -> dict[str, Any]:
    """Read fixed changes: "knob=value" each.

    Raises:
        SettingError: one is not of this form, or its knob or value is unknown.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        said, equals, text = (part.strip() for part in pair.partition("="))
        if not equals:
            raise SettingError(f"--set {pair}: write knob=value, such as patience=none")
        knob = knob_of(said)
        made[knob] = value_of(said, knob, text)
    return made


def noise(text: str, option: str = "--noise") -> dict[str, float]:
    """Read the verifier's share of wrong verdicts: "0.1" for both kinds, or "fp=0.1,fn=0.05".

    Args:
        text: what was said.
        option: how errors name where it was said.

    Raises:
        SettingError: it is neither, or a share is not within 0 and 1.
    """
    shares: dict[str, float] = {}
    for part in text.split(",") if "=" in text else (f"fp={text}", f"fn={text}"):
        kind, _, share = (p.strip() for p in part.partition("="))
        try:
            float(share)
        except ValueError:
            kind = ""
        if kind not in ("fp", "fn"):
            raise SettingError(f"{option} {text}: write a share such as 0.1, or fp=0.1,fn=0.05 (faults passed, passes failed)")
        shares[f"noise_{kind}"] = value_of(f"{option} {kind}", f"noise_{kind}", share)
    return shares


def variants(presets: Sequence[str], axes: Sequence[Axis] = (), fixed: Mapping[str, Any] | None = None) -> list[Variant]:
    """Return every preset with every combination of the axes' values, all with the fixed changes.

    Raises:
        SettingError: there is no preset, one is unknown, or a knob is set twice.
    """
    names = list(dict.fromkeys(presets))
    if not names:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    knobs = [a.knob for a in axes]
    for a in axes:
        if knobs.count(a.knob) > 1 or a.knob in (fixed or {}):
            raise SettingError(f"{a.name} is set twice: sweep it once, or give it one value")
    made = []
    for name in names:
        for values in itertools.product(*(a.values for a in axes)):
            context = preset(name, **{**(fixed or {}), **dict(zip(knobs, values, strict=True))})
            made.append(_variant(name, len(names) > 1, axes, values, context))
    return made


def _variant(base: str, several: bool, axes: Sequence[Axis], values: Sequence[Any], context: RunContext) -> Variant:
    said = [f"{a.name}={spell(v)}" for a, v in zip(axes, values, strict=True)]
    prefix = [base] if several or not axes else []
    if not axes or not axes[0].numeric:
        return Variant(name=" ".join([*prefix, *said]), context=context)
    line = " ".join([*prefix, *said[1:]]) or base
    return Variant(name=" ".join([*prefix, *said]), context=context, line=line, at=float(values[0]))


def spell(value: Any) -> str:
    """Write a value as one types it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


UNTOLD = {"versions", "lines"}
"""What a study is not told apart by."""


class Study(Frozen):
    """What decides the records of a study. Two of the same definition may share a folder, others may not."""

    format: int = 2
    benchmark: str
    version: str
    code: str
    versions: dict[str, str] = {}
    """Of Python and of the packages that runs go through, when the study began. They do not tell two studies apart."""
    data: dict[str, str] = {}
    """SHA-256 of the benchmark's files."""
    chat: dict[str, str]
    """The chat model of each role, `default` for those not named: name and digest of its options."""
    image: str
    prompts: str
    """How many, and a digest of them and of what only the scorer may know."""
    available: int
    """How many the benchmark has: more, where it was limited."""
    per_prompt: int = 1
    """Images of each prompt, each of a run of its own, within one of `seeds`."""
    seed: int
    seeds: int
    variants: dict[str, dict[str, Any]]
    lines: dict[str, tuple[str, float | None]] = {}
    """Of variants that a plot joins: the line, and the place on it."""

    def as_variants(self) -> list[Variant]:
        """Return what was compared, in its order."""
        made = []
        for name, settings in self.variants.items():
            line, at = self.lines.get(name, ("", None))
            made.append(Variant(name=name, context=RunContext.model_validate(settings), line=line, at=at))
        return made

    @property
    def digest(self) -> str:
        """A short name of the definition."""
        return hashlib.sha256(self.model_dump_json(exclude=UNTOLD).encode()).hexdigest()[:8]

    def difference(self, other: Study) -> str | None:
        """Say in what another study differs from this one, None where it does not."""
        names = {
            **{"format": "its format", "benchmark": "the benchmark", "version": "the version of gems", "code": "the code of gems"},
            **{"data": "the benchmark's files", "chat": "the chat models", "image": "the image model", "prompts": "the prompts"},
            **{"available": "the prompts", "per_prompt": "--images-per-prompt", "seed": "--seed", "seeds": "--seeds"},
            **{"variants": "the variants or their settings"},
        }
        return next((said for name, said in names.items() if getattr(self, name) != getattr(other, name)), None)


def code_digest(root: Path | None = None) -> str:
    """Return a hash of the code and texts that runs go through: other code may give other numbers under the same settings."""
    root = root or Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for part in LOOP:
        path = root / part
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".py", ".md"))
        for file in files:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
