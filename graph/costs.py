"""Estimate the model calls and images of a run, by role, from its settings and its number of checks."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..context import RunContext
from ..models.options import ModelOptions
from ..nodes.planner import MAX_SKILL_TURNS
from ..nodes.summarizer import summarizer_runs


class Bounds(NamedTuple):
    """A number if the first image is accepted, and the number in the worst case."""

    first: int
    worst: int


class CallEstimate(NamedTuple):
    """Chat calls and images of a run. Repair turns and retries of failed calls are not counted."""

    calls: dict[str, Bounds]
    """Chat calls by role."""
    images: Bounds

    @property
    def total(self) -> Bounds:
        """The chat calls of all roles."""
        return Bounds(sum(c.first for c in self.calls.values()), sum(c.worst for c in self.calls.values()))


def estimate(context: RunContext, checks: int) -> CallEstimate:
    """Return the chat calls and images of a run with these settings.

    The first case assumes that the first image is accepted, no skill was loaded, and every answer was certain. The worst case
    assumes that all rounds are used, and that each loads skills, asks again and disagrees as often as it can. Of the budgets only
    `max_images` counts, since the others depend on tokens and time.

    Args:
        context: the settings.
        checks: how many checks the request has.
    """
    images = Bounds(context.candidates, context.candidates * context.max_rounds)
    if context.max_images is not None:
        images = Bounds(min(images.first, context.max_images), min(images.worst, context.max_images))
    rounds = math.ceil(images.worst / context.candidates)
    per_image = _verifier_calls(context, checks)
    calls = {
        "planner": {"none": Bounds(0, 0), "rewrite": Bounds(1, 1), "skills": Bounds(1, MAX_SKILL_TURNS + 1)}[context.plan],
        "decomposer": Bounds(1, 1),
        "verifier": Bounds(per_image.first * images.first, per_image.worst * images.worst),
        "summarizer": Bounds(0, rounds - 1 if summarizer_runs(context) else 0),
        "refiner": Bounds(0, rounds - 1),
        "learner": Bounds(0, int(context.lessons in ("keep", "review") and rounds > 1)),
    }
    return CallEstimate(calls, images)


def _verifier_calls(context: RunContext, checks: int) -> Bounds:
    """Return the calls to verify one image, for a model without log-probabilities (votes), without checkers."""
    votes = context.votes if context.soft == "auto" else 1
    if context.verify == "batch":
        return Bounds(votes, votes)
    if context.verify == "each":
        return Bounds(checks * votes, checks * votes)
    again = checks * (votes + 1)  # each check in calls of its own, and once more if they disagree
    return Bounds(2, 2 + 2 * again) if context.confirm else Bounds(1, 1 + again)


def image_cost(estimate: CallEstimate, models: ModelOptions) -> tuple[float, float] | None:
    """Return the cost of the images in the same two cases; None if they have no price. Tokens are not known beforehand."""
    price = models.image.price
    return None if price is None else (price * estimate.images.first, price * estimate.images.worst)
