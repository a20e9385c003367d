"""The knobs of one run, and the presets: every method that people compare is a setting of the same graph."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import GemsError, what_is_wrong

Plan = Literal["none", "rewrite", "skills"]
Recall = Literal["none", "last", "feedback", "images", "thoughts", "experiences", "default"]
Verify = Literal["batch", "each"]
Soft = Literal["none", "auto"]
Edit = Literal["none", "auto"]


def _knob(default: Any, node: str, description: str, **bounds: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"langgraph_nodes": [node]}, **bounds)


class RunContext(BaseModel):
    """Settings of one run. The defaults are the `default` preset.

    Raises:
        pydantic.ValidationError: a value is out of its bounds or a name is unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_rounds: int = _knob(5, "selector", "Rounds before the best attempt so far is returned.", ge=1, le=100)
    candidates: int = _knob(1, "generator", "Images made in each round.", ge=1, le=64)
    plan: Plan = _knob(
        "skills",
        "planner",
        "none: draw the request as it stands. rewrite: the planner rewrites it. skills: if it loads skills, it rewrites too.",
    )
    recall: Recall = _knob("default", "refiner", "What of the memory the refiner is shown; see `gems.memory.recall`.")
    verify: Verify = _knob("batch", "verifier", "batch: all checks in one call. each: one call per check, in parallel.")
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
    patience: int | None = _knob(3, "selector", "Give up after so many rounds without a better attempt; none means never.", ge=1)
    seed: int = _knob(0, "generator", "Seed of the first image; later images count up from it.", ge=0, lt=2**31)
    keep_seed: bool = _knob(False, "generator", "Draw every round with the seeds of the first.")
    width: int | None = _knob(None, "generator", "Pixels; none means the image model's own size.", ge=16, le=8192)
    height: int | None = _knob(None, "generator", "Pixels; none means the image model's own size.", ge=16, le=8192)
    negative_prompt: str = _knob("", "generator", "What the image should not show, where the model takes it.")

    def seed_of(self, round: int, candidate: int) -> int:
        """Return the seed of a candidate (from 0) of a round (from 1): consecutive, so that methods share their seeds."""
        offset = candidate if self.keep_seed else (round - 1) * self.candidates + candidate
        return (self.seed + offset) % 2**31


PRESETS: dict[str, dict[str, Any]] = {
    "original": {"max_rounds": 1, "plan": "none", "recall": "none", "verify": "batch", "soft": "none"},
    "rewrite": {"max_rounds": 1, "plan": "rewrite", "recall": "none", "verify": "batch", "soft": "none"},
    "best-of-n": {"max_rounds": 1, "candidates": 5, "plan": "none", "recall": "none", "verify": "batch", "soft": "none"},
    "loop": {"max_rounds": 5, "plan": "none", "recall": "last", "verify": "each", "soft": "none", "patience": None},
    "paper": {"max_rounds": 5, "plan": "skills", "recall": "experiences", "verify": "each", "soft": "none", "patience": None},
    "default": {},
}
"""Named settings. `paper` follows arXiv 2603.28088; the others are its baselines, its ablations and our own default."""


class SettingError(GemsError, ValueError):
    """A preset does not exist, or a setting has an unknown name or a value out of bounds."""


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
