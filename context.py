"""The settings of a run, and the presets: every method that people compare is a setting of the same graph."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator

from .errors import SettingError, what_is_wrong
from .frozen_model import Frozen

PlanMode = Literal["none", "rewrite", "skills"]
RecallPolicy = Literal["none", "last", "feedback", "images", "thoughts", "experiences", "default"]
VerifyMode = Literal["batch", "each", "adaptive"]
SoftMode = Literal["none", "auto"]
CheckersMode = Literal["none", "auto"]
EditMode = Literal["none", "auto"]
ReviewMode = Literal["none", "plan", "image", "both"]
LessonsMode = Literal["none", "keep", "review", "read"]


PROMPT_SETTINGS = (
    "planner_prompt", "decomposer_prompt", "verifier_prompt", "summarizer_prompt", "refiner_prompt", "learner_prompt",
)  # fmt: skip
"""Settings that replace a role's system prompt."""
MAX_SYSTEM_PROMPT = 20_000
"""Characters of the longest system prompt that a setting may hold."""


RETIRED_SETTINGS = ("noise_fp", "noise_fn")
"""Shares of the verifier's verdicts to be inverted: `gems.evaluation.noise` wraps the verifier instead."""


def _prompt_setting(role: str) -> Any:
    extra: dict[str, Any] = {"langgraph_nodes": [role], "langgraph_type": "prompt"}
    description = f"System prompt of the {role}, in place of the built-in one; empty: the built-in one."
    return Field("", description=description, max_length=MAX_SYSTEM_PROMPT, json_schema_extra=extra)


def _setting(default: Any, node: str, description: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"langgraph_nodes": [node]}, **bounds)


class RunContext(Frozen):
    """Settings of one run. The defaults are the preset `default`.

    Raises:
        pydantic.ValidationError: a value is out of bounds, or a setting does not exist.

    Example:
        ```python
        settings = gems.RunContext(max_rounds=3, candidates=2, seed=7)
        settings.seed_of(round=2, candidate=0)  # 9
        ```
    """

    max_rounds: int = _setting(5, "selector", "Rounds after which the run ends with the best attempt.", ge=1, le=100)
    candidates: int = _setting(1, "generator", "Images generated in each round.", ge=1, le=64)
    plan: PlanMode = _setting(
        "skills",
        "planner",
        "none: the request is the prompt. rewrite: the planner rewrites it. skills: it rewrites it if it loads skills.",
    )
    recall: RecallPolicy = _setting(
        "default", "refiner", "The part of the memory that the refiner is shown; see `gems.memory.recall`."
    )
    verify: VerifyMode = _setting(
        "adaptive",
        "verifier",
        "batch: all checks in one call. each: one call per check, in parallel. adaptive: all in one call, then "
        "those that did not pass with certainty again, each in its own call.",
    )
    confirm: bool = _setting(
        False,
        "verifier",
        "With adaptive: ask a second time, in reverse order, about an image whose checks all passed, before it is accepted.",
    )
    skip_children: bool = _setting(True, "verifier", "Skip checks that depend on a failed one; they count as failed.")
    checkers: CheckersMode = _setting(
        "auto", "verifier", "auto: checkers such as OCR answer checks of their kinds. none: the model answers all checks."
    )
    verify_size: int | None = _setting(
        None, "verifier", "Longest side, in pixels, of the image that the verifier is shown; none: its own size.", ge=16, le=8192
    )
    soft: SoftMode = _setting(
        "auto",
        "verifier",
        "auto: take P(a check passes) from log-probabilities, where the endpoint returns them. none: answers count as certain.",
    )
    votes: int = _setting(
        1,
        "verifier",
        "With soft, where there are no log-probabilities: ask this many times and take the share. It needs a temperature.",
        ge=1,
        le=25,
    )
    edit: EditMode = _setting(
        "none",
        "refiner",
        "auto: the refiner may edit the best image instead of generating a new one, where the image model can edit.",
    )
    review: ReviewMode = _setting(
        "none",
        "review",
        "plan: ask a person before the first image. image: after every decision. both: at both points. none: never.",
    )
    fuse: bool = _setting(
        False, "refiner", "The refiner also writes the experience of the round, in the same call, instead of the summarizer."
    )
    lessons: LessonsMode = _setting(
        "none",
        "learner",
        "Experience across runs. keep: show lessons of earlier runs to the planner and the refiner, and keep new ones. "
        "review: the same, but new ones wait for a person's approval. read: show lessons, learn none. none: neither.",
    )
    accept_at: float | None = _setting(
        None,
        "selector",
        "Accept an image without unknown checks from this score, the geometric mean of P(a check passes); none: all must pass.",
        gt=0,
        le=1,
    )
    patience: int | None = _setting(
        None, "selector", "Give up after this many rounds without a better attempt; 0 or none: never.", ge=0
    )
    max_images: int | None = _setting(None, "generator", "Maximum number of images of the run.", ge=1)
    max_calls: int | None = _setting(None, "selector", "Stop before a round that would exceed this many chat calls.", ge=1)
    max_tokens: int | None = _setting(
        None, "selector", "Stop before a round that would exceed this many tokens, input and output.", ge=1
    )
    max_seconds: float | None = _setting(
        None, "selector", "Stop before a round that would exceed this many seconds of model time.", gt=0
    )
    max_cost: float | None = _setting(
        None, "selector", "Stop before a round that would exceed this cost, by the prices in the models' options.", gt=0
    )
    seed: int = _setting(0, "generator", "Seed of the first image; the seeds of later images count up from it.", ge=0, lt=2**31)
    keep_seed: bool = _setting(False, "generator", "Use the seeds of the first round in every round.")
    width: int | None = _setting(None, "generator", "Pixels; none: the image model's own size.", ge=16, le=8192)
    height: int | None = _setting(None, "generator", "Pixels; none: the image model's own size.", ge=16, le=8192)
    negative_prompt: str = _setting(
        "", "generator", "What the image should not show, where the image model takes a negative prompt."
    )
    planner_prompt: str = _prompt_setting("planner")
    decomposer_prompt: str = _prompt_setting("decomposer")
    verifier_prompt: str = _prompt_setting("verifier")
    summarizer_prompt: str = _prompt_setting("summarizer")
    refiner_prompt: str = _prompt_setting("refiner")
    learner_prompt: str = _prompt_setting("learner")

    @model_validator(mode="before")
    @classmethod
    def _drop_retired(cls, settings: Any) -> Any:
        """Leave out settings of before that say nothing: files and stored runs hold them."""
        if not isinstance(settings, Mapping):
            return settings
        return {name: value for name, value in settings.items() if name not in RETIRED_SETTINGS or value != 0}

    @field_validator("patience", mode="after")
    @classmethod
    def _zero_is_never(cls, patience: int | None) -> int | None:
        return patience or None

    @field_validator(*PROMPT_SETTINGS)
    @classmethod
    def _clean_prompt(cls, text: str) -> str:
        if "\0" in text or text != text.encode("utf-8", "replace").decode():
            raise ValueError("it is not text: take out NUL characters, and write it in UTF-8")
        return text.strip()

    def seed_of(self, round: int, candidate: int) -> int:
        """Return the seed of a candidate (from 0) in a round (from 1). Seeds are consecutive, so that methods share them."""
        offset = candidate if self.keep_seed else (round - 1) * self.candidates + candidate
        return (self.seed + offset) % 2**31


class Preset(NamedTuple):
    """Named settings, and one line about them."""

    name: str
    about: str
    settings: dict[str, Any]


_PLAIN: dict[str, Any] = {"verify": "batch", "soft": "none", "skip_children": False, "checkers": "none"}
_ONCE: dict[str, Any] = {"max_rounds": 1, "recall": "none", **_PLAIN}
_PAPER: dict[str, Any] = {**_PLAIN, "max_rounds": 5, "verify": "each"}

_PRESETS = (
    Preset("original", "one image of the request as it stands, checked only to report", {**_ONCE, "plan": "none"}),
    Preset("rewrite", "one image of the request as the planner rewrites it", {**_ONCE, "plan": "rewrite"}),
    Preset("best-of-n", "five images of the request as it stands, of which the best is kept",
           {**_ONCE, "plan": "none", "candidates": 5}),
    Preset("loop", "refines by the last round's findings; no skills, no memory", {**_PAPER, "plan": "none", "recall": "last"}),
    Preset("loop-memory", "refines by all rounds' findings, images and experiences; no skills",
           {**_PAPER, "plan": "none", "recall": "experiences"}),
    Preset("paper", "the paper's method: skills, full memory, each check in a call of its own",
           {**_PAPER, "plan": "skills", "recall": "experiences"}),
    Preset("default", "ours: skills, a short memory, all checks in one call and the doubtful ones again", {}),
    Preset("thorough", "spends more: two images a round, votes, a second reading before it accepts",
           {"max_rounds": 8, "candidates": 2, "confirm": True, "votes": 3}),
)  # fmt: skip

PRESETS: Mapping[str, dict[str, Any]] = MappingProxyType({p.name: p.settings for p in _PRESETS})
"""What each preset changes of the default settings, by its name; read-only.

`paper` follows arXiv 2603.28088; the others are its baselines, its ablations and our own default.

Example:
    ```python
    gems.PRESETS["thorough"]  # {"max_rounds": 8, "candidates": 2, "confirm": True, "votes": 3}
    ```
"""

PRESET_DESCRIPTIONS: Mapping[str, str] = MappingProxyType({p.name: p.about for p in _PRESETS})
"""What each preset is, in a line."""


def preset(name: str, **changes: Any) -> RunContext:
    """Return the settings of a preset, with changes.

    Args:
        name: one of `PRESETS`.
        **changes: settings by name, which win over the preset's.

    Raises:
        SettingError: the preset or a setting does not exist, or a value is out of bounds.

    Example:
        ```python
        context = gems.preset("paper", max_rounds=3)
        context.recall  # "experiences"
        ```
    """
    if name not in PRESETS:
        raise SettingError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    try:
        return RunContext(**{**PRESETS[name], **changes})
    except ValidationError as error:
        raise SettingError(f"setting {what_is_wrong(error, RunContext.model_fields)}") from error


def settings_in(context: object) -> RunContext:
    """Return the settings of a run from the context in LangGraph's runtime.

    Where GEMS is a subgraph, the context is the other graph's. Its field `gems` may hold our settings, as a `RunContext` or a dict;
    a dict of nothing but names of our settings is taken too. The fields of any other context mean something else, even where one
    has the name of a setting: then the defaults hold.

    Args:
        context: a `RunContext`, another graph's context of any type, or None.

    Raises:
        SettingError: a setting does not exist, or a value is out of bounds.
    """
    if isinstance(context, RunContext):
        return context
    if not isinstance(context, Mapping):
        settings = getattr(context, "gems", None)
    else:
        settings = context.get("gems", context if set(context) <= set(RunContext.model_fields) else None)
    if settings is None:
        return RunContext()
    if isinstance(settings, RunContext):
        return settings
    if not isinstance(settings, Mapping):
        raise SettingError(f"gems={settings!r} in the context: give a RunContext, such as preset('default'), or a dict of settings")
    return preset("default", **settings)


def nearest_preset(context: RunContext) -> tuple[str, list[str]]:
    """Return the preset with the fewest settings that differ from a context, and the names of those settings."""
    different = {
        name: [field for field in RunContext.model_fields if getattr(context, field) != getattr(preset(name), field)]
        for name in PRESETS
    }
    name = min(different, key=lambda name: len(different[name]))
    return name, different[name]
