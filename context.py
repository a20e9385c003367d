"""The knobs of one run, and the presets: every method that people compare is a setting of the same graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from .errors import SettingError, what_is_wrong
from .frozen import Frozen

Plan = Literal["none", "rewrite", "skills"]
Recall = Literal["none", "last", "feedback", "images", "thoughts", "experiences", "default"]
Verify = Literal["batch", "each", "adaptive"]
Soft = Literal["none", "auto"]
Checkers = Literal["none", "auto"]
Edit = Literal["none", "auto"]
Review = Literal["none", "plan", "image", "both"]
UseOfLessons = Literal["none", "keep", "review", "read"]


PROMPTS = ("planner_prompt", "decomposer_prompt", "verifier_prompt", "summarizer_prompt", "refiner_prompt", "learner_prompt")
"""The settings that are a role's system prompt."""
MAX_SYSTEM = 20_000
"""Longest system prompt of a role that is taken, in characters."""


def _system(role: str) -> Any:
    extra: dict[str, Any] = {"langgraph_nodes": [role], "langgraph_type": "prompt"}
    about = f"What the {role} is told to do, in the place of the text built in; empty: that text."
    return Field("", description=about, max_length=MAX_SYSTEM, json_schema_extra=extra)


def _knob(default: Any, node: str, description: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"langgraph_nodes": [node]}, **bounds)


class RunContext(Frozen):
    """Settings of one run. The defaults are the `default` preset.

    Raises:
        pydantic.ValidationError: a value is out of its bounds or a name is unknown.
    """

    max_rounds: int = _knob(5, "selector", "Rounds before the best attempt so far is returned.", ge=1, le=100)
    candidates: int = _knob(1, "generator", "Images made in each round.", ge=1, le=64)
    plan: Plan = _knob(
        "skills",
        "planner",
        "none: draw the request as it stands. rewrite: the planner rewrites it. skills: if it loads skills, it rewrites too.",
    )
    recall: Recall = _knob("default", "refiner", "What of the memory the refiner is shown; see `gems.memory.recall`.")
    verify: Verify = _knob(
        "adaptive",
        "verifier",
        "batch: all checks in one call. each: one call per check, in parallel. adaptive: all in one call, then those that did "
        "not pass for certain again, each in a call of its own.",
    )
    confirm: bool = _knob(
        False,
        "verifier",
        "With adaptive: an image whose checks all pass is read a second time, in the reverse order, before it counts.",
    )
    skip_children: bool = _knob(True, "verifier", "Checks that depend on a failed one are skipped, not asked, and count as failed.")
    checkers: Checkers = _knob(
        "auto", "verifier", "auto: checkers such as OCR answer the kinds of checks they are built for. none: the model answers all."
    )
    noise_fp: float = _knob(
        0.0, "verifier", "For studies: share of the verifier's failures that are turned into passes, by seed.", ge=0, le=1
    )
    noise_fn: float = _knob(
        0.0, "verifier", "For studies: share of the verifier's passes that are turned into failures, by seed.", ge=0, le=1
    )
    verify_size: int | None = _knob(
        None, "verifier", "Longest side, in pixels, of an image as the verifier is shown it; none means as it is.", ge=16, le=8192
    )
    soft: Soft = _knob(
        "auto",
        "verifier",
        "auto: P(a check passes) from log-probabilities, where the endpoint gives them. none: answers count as certain.",
    )
    votes: int = _knob(
        1,
        "verifier",
        "With soft, where there are no log-probabilities: ask so many times and take the share. It needs a temperature.",
        ge=1,
        le=25,
    )
    edit: Edit = _knob(
        "none", "refiner", "auto: the refiner may have the best image edited instead of drawn anew, where the image model can."
    )
    review: Review = _knob(
        "none",
        "review",
        "plan: a person is asked before anything is drawn. image: after every decision. both: then and there. none: never.",
    )
    fuse: bool = _knob(False, "refiner", "The refiner writes the round's experience too, in the same call: no summarizer.")
    lessons: UseOfLessons = _knob(
        "none",
        "learner",
        "Experience across runs. keep: the planner and the refiner are shown lessons of earlier runs, and new ones are kept. "
        "review: the same, but new ones wait for a person's approval. read: shown, but nothing is learned. none: neither.",
    )
    accept_at: float | None = _knob(
        None,
        "selector",
        "Accept an image without unknown checks from this score on, the geometric mean of P(a check passes); none: all must pass.",
        gt=0,
        le=1,
    )
    patience: int | None = _knob(None, "selector", "Give up after so many rounds without a better attempt; 0 or none: never.", ge=0)
    max_images: int | None = _knob(None, "generator", "Most images of the run.", ge=1)
    max_calls: int | None = _knob(None, "selector", "No new round that would take the run past so many chat calls.", ge=1)
    max_tokens: int | None = _knob(None, "selector", "No new round that would take the run past so many tokens, in and out.", ge=1)
    max_seconds: float | None = _knob(
        None, "selector", "No new round that would take the run past so many seconds of the models.", gt=0
    )
    max_cost: float | None = _knob(
        None, "selector", "No new round that would take the run past so much money, by the prices of the models' options.", gt=0
    )
    seed: int = _knob(0, "generator", "Seed of the first image; later images count up from it.", ge=0, lt=2**31)
    keep_seed: bool = _knob(False, "generator", "Draw every round with the seeds of the first.")
    width: int | None = _knob(None, "generator", "Pixels; none means the image model's own size.", ge=16, le=8192)
    height: int | None = _knob(None, "generator", "Pixels; none means the image model's own size.", ge=16, le=8192)
    negative_prompt: str = _knob("", "generator", "What the image should not show, where the model takes it.")
    planner_prompt: str = _system("planner")
    decomposer_prompt: str = _system("decomposer")
    verifier_prompt: str = _system("verifier")
    summarizer_prompt: str = _system("summarizer")
    refiner_prompt: str = _system("refiner")
    learner_prompt: str = _system("learner")

    @field_validator("patience", mode="after")
    @classmethod
    def _never(cls, patience: int | None) -> int | None:
        return patience or None

    @field_validator(*PROMPTS)
    @classmethod
    def _system_text(cls, text: str) -> str:
        if "\0" in text or text != text.encode("utf-8", "replace").decode():
            raise ValueError("it is no text: take out NUL characters, and write it in UTF-8")
        return text.strip()

    def seed_of(self, round: int, candidate: int) -> int:
        """Return the seed of a candidate (from 0) of a round (from 1): consecutive, so that methods share their seeds."""
        offset = candidate if self.keep_seed else (round - 1) * self.candidates + candidate
        return (self.seed + offset) % 2**31


_PLAIN: dict[str, Any] = {"verify": "batch", "soft": "none", "skip_children": False, "checkers": "none"}
_ONCE: dict[str, Any] = {"max_rounds": 1, "recall": "none", **_PLAIN}
_PAPER: dict[str, Any] = {**_PLAIN, "max_rounds": 5, "verify": "each"}

PRESETS: dict[str, dict[str, Any]] = {
    "original": {**_ONCE, "plan": "none"},
    "rewrite": {**_ONCE, "plan": "rewrite"},
    "best-of-n": {**_ONCE, "plan": "none", "candidates": 5},
    "loop": {**_PAPER, "plan": "none", "recall": "last"},
    "loop-memory": {**_PAPER, "plan": "none", "recall": "experiences"},
    "paper": {**_PAPER, "plan": "skills", "recall": "experiences"},
    "default": {},
    "thorough": {"max_rounds": 8, "candidates": 2, "confirm": True, "votes": 3},
}
"""Named settings. `paper` follows arXiv 2603.28088; the others are its baselines, its ablations and our own default."""


ABOUT: dict[str, str] = {
    "original": "one image of the request as it stands, checked only to report",
    "rewrite": "one image of the request as the planner rewrites it",
    "best-of-n": "five images of the request as it stands, of which the best is kept",
    "loop": "refines by the last round's findings; no skills, no memory",
    "loop-memory": "refines by all rounds' findings, images and experiences; no skills",
    "paper": "the paper's method: skills, full memory, each check in a call of its own",
    "default": "ours: skills, a short memory, all checks in one call and the doubtful ones again",
    "thorough": "spends more: two images a round, votes, a second reading before it accepts",
}
"""What each preset is, in a line."""


def preset(name: str, **changes: Any) -> RunContext:
    """Return the context of a preset, with changes on top.

    Raises:
        SettingError: there is no such preset, or a change has an unknown name or a value out of bounds.
    """
    if name not in PRESETS:
        raise SettingError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    try:
        return RunContext(**{**PRESETS[name], **changes})
    except ValidationError as error:
        raise SettingError(f"setting {what_is_wrong(error, RunContext.model_fields)}") from error


def settings_in(context: object) -> RunContext:
    """Return the settings of a run by the context that LangGraph's runtime has for a node.

    Where GEMS is part of another graph, that is the other graph's. A field `gems` of it has our settings, as a `RunContext` or as a
    dict; and so has a dict of nothing but names of our settings. Fields of any other context mean something else, even where
    they are called like one of ours: then all settings are as by default.

    Args:
        context: a `RunContext`, another graph's context of any type, or None.

    Raises:
        SettingError: a setting has an unknown name or a value out of bounds.
    """
    if isinstance(context, RunContext):
        return context
    if not isinstance(context, Mapping):
        named = getattr(context, "gems", None)
    else:
        named = context.get("gems", context if set(context) <= set(RunContext.model_fields) else None)
    if named is None:
        return RunContext()
    if isinstance(named, RunContext):
        return named
    if not isinstance(named, Mapping):
        raise SettingError(f"gems={named!r} in the context: give a RunContext, such as preset('default'), or a dict of settings")
    return preset("default", **named)


def nearest_preset(context: RunContext) -> tuple[str, list[str]]:
    """Return the preset that a context is most like, and the settings in which the two differ."""
    different = {
        name: [field for field in RunContext.model_fields if getattr(context, field) != getattr(preset(name), field)]
        for name in PRESETS
    }
    name = min(different, key=lambda name: len(different[name]))
    return name, different[name]
