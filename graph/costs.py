"""What a run may take, told before it: model calls and images, by role, from the settings and the number of checks alone."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..context import RunContext
from ..models.options import ModelOptions
from ..nodes.planner import MAX_SKILL_TURNS
from ..nodes.summarizer import summarizer_runs


class Bounds(NamedTuple):
    """A number if the first image is accepted, and in the worst case."""

    first: int
    worst: int


class CallEstimate(NamedTuple):
    """What a run may take. Repair turns, and repetitions of calls that failed, are not counted."""

    calls: dict[str, Bounds]
    """Chat calls by role."""
    images: Bounds

    @property
    def total(self) -> Bounds:
        """The chat calls of all roles."""
        return Bounds(sum(c.first for c in self.calls.values()), sum(c.worst for c in self.calls.values()))


def estimate(context: RunContext, checks: int) -> CallEstimate:
    """Return what a run with these settings may take.

    If the first image is accepted, no skill was loaded and every answer was certain. In the worst case all rounds are
    used, each loads, asks again and disagrees as much as it can; the budgets but `max_images` are left out, since what
    they allow depends on tokens and time.

    Args:
        context: the settings.
        checks: how many checks the request has.
    """
    drawn = Bounds(context.candidates, context.candidates * context.max_rounds)
    if context.max_images is not None:
        drawn = Bounds(min(drawn.first, context.max_images), min(drawn.worst, context.max_images))
    rounds = math.ceil(drawn.worst / context.candidates)
    seen = _verify(context, checks)
    calls = {
        "planner": _plan(context),
        "decomposer": Bounds(1, 1),
        "verifier": Bounds(seen.first * drawn.first, seen.worst * drawn.worst),
        "summarizer": Bounds(0, rounds - 1 if summarizer_runs(context) else 0),
        "refiner": Bounds(0, rounds - 1),
        "learner": Bounds(0, int(context.lessons in ("keep", "review") and rounds > 1)),
    }
    return CallEstimate(calls, drawn)


def _plan(context: RunContext) -> Bounds:
    return {"none": Bounds(0, 0), "rewrite": Bounds(1, 1), "skills": Bounds(1, MAX_SKILL_TURNS + 1)}[context.plan]


def _verify(context: RunContext, checks: int) -> Bounds:
    """Return the calls for one image, as for a model without log-probabilities (votes), and without checkers."""
    votes = context.votes if context.soft == "auto" else 1
    if context.verify == "batch":
        return Bounds(votes, votes)
    if context.verify == "each":
        return Bounds(checks * votes, checks * votes)
    again = checks * (votes + 1)  # each check in calls of its own, and once more where they disagree
    return Bounds(2, 2 + 2 * again) if context.confirm else Bounds(1, 1 + again)


def image_money(estimate: CallEstimate, models: ModelOptions) -> tuple[float, float] | None:
    """Return what the images cost, in the same two cases; None where they have no price. Tokens are not known beforehand."""
    price = models.image.price
    return None if price is None else (price * estimate.images.first, price * estimate.images.worst)
