"""Variants, which a study compares: settings with a name, from presets, sweeps and fixed changes, and nodes of one's own."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore
from pydantic import ValidationError

from ..context import PRESETS, RunContext, preset
from ..errors import SettingError, did_you_mean
from ..graph.build import ROLES, Graph, build_graph
from ..models.image.base import ImageModel
from ..models.options import CHAT_ROLES, ModelOptions
from ..models.registry import ChatChoices, ImageChoice, Models
from ..nodes.checks.checkers import Checker, installed_checkers, require_checkers
from ..storage.image_store import ImageStore
from .source_digest import source_digest

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


class NodeParts(NamedTuple):
    """The parts of a study's graph that a node of one's own may be made from."""

    chats: Mapping[str, BaseChatModel]
    """By role."""
    image: ImageModel
    images: ImageStore
    checkers: Sequence[Checker]


Nodes = Mapping[str, Any] | Callable[[NodeParts], Mapping[str, Any]]
"""Swapped nodes by role, as for `build_graph`; or a function that makes them for a study."""


@dataclass(frozen=True, eq=False)
class Variant:
    """What a study compares: settings, and what of one's own takes the place of nodes, checkers and models.

    A variant is known by its settings and by the code and values of all that is its own (`source_digest`): other code is run anew.

    Args:
        name: of the variant.
        preset: the preset that it starts from.
        settings: settings that differ from the preset.
        nodes: swapped nodes by role, as for `build_graph`; or a function that makes them from `NodeParts`, for nodes that need the
            study's image store or its models.
        checkers: in place of the installed ones.
        models: chat models by role, `default` for all roles without one, and the model `image`; the study's by default.
        context: all settings, in place of `preset` and `settings`.
        line: variants of the same line differ in the first axis alone: a plot joins them.
        at: the value of the first axis, where it is a number.

    Raises:
        SettingError: the preset, a setting or a role does not exist, or a value is out of bounds.
        CheckerError: an object is not a checker.

    Example:
        ```python
        def yes_to_all(state: gems.GemsState) -> dict[str, object]:
            return {"attempts": [a.judged(gems.Verdict(check=c.id, passed=True) for c in state.checks) for a in state.pending]}

        result = compare([Variant("default"), Variant("yes", nodes={"verifier": yes_to_all})], Prompts(limit=40))
        ```
    """

    name: str
    preset: str = "default"
    settings: Mapping[str, Any] = field(default_factory=dict)
    nodes: Nodes = field(default_factory=dict)
    checkers: Sequence[Checker] | None = None
    models: Mapping[str, Any] = field(default_factory=dict)
    context: RunContext = None  # type: ignore[assignment]  # made below
    line: str = ""
    at: float | None = None

    def __post_init__(self) -> None:
        """Make the context, and the digests of what is the variant's own, before it is used and may change."""
        if self.context is None:
            object.__setattr__(self, "context", preset(self.preset, **self.settings))
        if not callable(self.nodes):
            self._require_known(self.nodes, ROLES)
        self._require_known(self.models, ("default", "image", *CHAT_ROLES))
        require_checkers(self.checkers or ())
        own = dict(self.nodes) if not callable(self.nodes) else {"nodes": self.nodes}
        own |= {} if self.checkers is None else {"checkers": list(self.checkers)}
        own |= {"models": dict(self.models)} if self.models else {}
        object.__setattr__(self, "_digests", {part: source_digest(thing) for part, thing in own.items()})

    def _require_known(self, names: Iterable[str], known: Sequence[str]) -> None:
        for name in names:
            if name not in known:
                raise SettingError(f"the variant {self.name}: unknown role {name!r}: {did_you_mean(name, known)}")

    @property
    def digests(self) -> dict[str, str]:
        """The digests of the variant's own nodes by role, `checkers` and `models`; empty for settings alone."""
        digests: dict[str, str] = self._digests  # type: ignore[attr-defined]
        return digests

    def choose_models(self, chat: ChatChoices, image: ImageChoice) -> Models:
        """Return the models of the variant: its own, and for the rest those of the study.

        Raises:
            ModelSpecError: a spec is not understood, or a key is missing.
        """
        own = {role: model for role, model in self.models.items() if role != "image"}
        chats = chat if isinstance(chat, Mapping) else {"default": chat}
        return Models.choose(own if "default" in own else {**chats, **own}, self.models.get("image", image))

    def build(self, models: Models, store: ImageStore, *, lessons: BaseStore | None = None) -> VariantGraph:
        """Build the graph of the variant.

        Args:
            models: of the variant.
            store: the study's image store.
            lessons: LangGraph's store, for runs that use lessons.

        Raises:
            SettingError: `nodes` has made a node for a role that does not exist.
        """
        checkers = installed_checkers() if self.checkers is None else tuple(self.checkers)
        nodes = self.nodes
        if callable(nodes):
            self._require_known(nodes := nodes(NodeParts(models.chats, models.image, store, checkers)), ROLES)
        graph = build_graph(
            models.chats, models.image, image_store=store, store=lessons, checkers=checkers, prices=models.options, **nodes
        )
        return VariantGraph(graph, models.options)


class VariantGraph(NamedTuple):
    """The graph of a variant, and the options of its models with their prices."""

    graph: Graph
    prices: ModelOptions


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


def load_variant(text: str) -> Variant:
    """Import a variant: `mine=my_module:variant`, or `my_module:variant` under its own name. The working directory counts too.

    Raises:
        SettingError: it is not of this form, the module cannot be imported, or there is no variant of this name in it.
    """
    match = re.fullmatch(r"(?:(?P<name>[^=:]+)=)?(?P<module>[\w.]+):(?P<attribute>\w+)", text.strip())
    if match is None:
        raise SettingError(f"--variant {text}: write NAME=MODULE:VARIANT, such as mine=my_module:variant")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(match["module"])
    except Exception as error:  # whatever a module of one's own raises
        raise SettingError(f"--variant {text}: {match['module']} cannot be imported ({type(error).__name__}: {error})") from error
    variants = {name: value for name, value in vars(module).items() if isinstance(value, Variant)}
    if match["attribute"] not in variants:
        found = f"{match['attribute']} is no gems.evaluation.Variant" if hasattr(module, match["attribute"]) else "there is none"
        raise SettingError(f"--variant {text}: {found}; the variants of {match['module']}: {', '.join(variants) or 'none'}")
    variant = variants[match["attribute"]]
    return replace(variant, name=(match["name"] or variant.name).strip())


def make_variants(
    bases: Sequence[str | Variant], axes: Sequence[Axis] = (), fixed: Mapping[str, Any] | None = None
) -> list[Variant]:
    """Return every preset and variant with every combination of the axes' values, all with the fixed changes.

    Args:
        bases: names of presets, and variants.
        axes: settings and the values that they take.
        fixed: settings of all.

    Raises:
        SettingError: there is nothing to compare, a preset is unknown, two have one name, or a setting is set twice.
    """
    found = [Variant(base, preset=base) if isinstance(base, str) else base for base in dict.fromkeys(bases)]
    if not found:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    names = [base.name for base in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise SettingError(f"two variants are called {twice[0]}: give one another name, such as --variant NAME=MODULE:VARIANT")
    settings = [a.setting for a in axes]
    for a in axes:
        if settings.count(a.setting) > 1 or a.setting in (fixed or {}):
            raise SettingError(f"{a.name} is set twice: sweep it once, or give it one value")
    return [
        _make_variant(base, len(found) > 1, axes, values, fixed or {})
        for base in found
        for values in itertools.product(*(a.values for a in axes))
    ]


def _make_variant(base: Variant, several: bool, axes: Sequence[Axis], values: Sequence[Any], fixed: Mapping[str, Any]) -> Variant:
    changes = {**fixed, **{a.setting: value for a, value in zip(axes, values, strict=True)}}
    context = RunContext(**{**base.context.model_dump(), **changes})
    labels = [f"{a.name}={format_value(v)}" for a, v in zip(axes, values, strict=True)]
    prefix = [base.name] if several or not axes else []
    name = " ".join([*prefix, *labels])
    if not axes or not axes[0].numeric:
        return replace(base, name=name, context=context)
    return replace(base, name=name, context=context, line=" ".join([*prefix, *labels[1:]]) or base.name, at=float(values[0]))


def format_value(value: Any) -> str:
    """Write a value as one types it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
