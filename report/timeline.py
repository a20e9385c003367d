"""The timeline of a run: a bar for each round, a segment for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from ..memory.state import RoleUsage, Usage
from .history import RunHistory, Step

Work = Literal["plan", "draw", "check", "learn", "person"]

WORK_OF_ROLE: dict[str, Work] = {
    **{"planner": "plan", "load_skill": "plan", "decomposer": "plan"},
    **{"generator": "draw", "verifier": "check", "selector": "check"},
    **{"summarizer": "learn", "refiner": "learn", "learner": "learn", "review": "person"},
}
"""Kind of work of each role: the colour of its segments."""

WORK_TITLES: dict[Work, str] = {
    **{"plan": "plan and checks", "draw": "drawing", "check": "verifying", "learn": "learning and refining"},
    **{"person": "review"},
}

LEAST_SHARE = 0.5
"""Share of the longest round, in per cent, below which a segment is not visible."""


@dataclass(frozen=True)
class TimelineSegment:
    """A step on the bar of its round."""

    work: Work
    roles: str
    seconds: float
    share: float
    """Of the longest round, in per cent."""
    idle: float
    used: RoleUsage


@dataclass(frozen=True)
class TimelineRound:
    """A round on the timeline; 0 is the plan."""

    number: int
    segments: list[TimelineSegment]
    seconds: float
    """At work, without waiting."""
    idle: float
    used: RoleUsage
    tally: str
    """Checks that its best image passed, such as "6/7"."""
    best: bool

    @property
    def bar(self) -> list[TimelineSegment]:
        """The segments that are visible, at least the longest one."""
        visible = [segment for segment in self.segments if segment.share >= LEAST_SHARE]
        return visible or [max(self.segments, key=lambda segment: segment.share)]


@dataclass(frozen=True)
class Timeline:
    """The rounds of a run on a time axis."""

    rounds: list[TimelineRound]
    works: list[tuple[Work, str]]
    """The kinds of work that occur, with their names."""
    began: datetime
    seconds: float
    """From the start of the first step to the end of the last one."""
    idle: float


def build_timeline(run: RunHistory) -> Timeline | None:
    """Return the timeline of a run; None if its steps are not known."""
    if not run.steps:
        return None
    rounds = [(n, list(group)) for n, group in groupby(run.steps, key=lambda step: step.round)]
    longest = max(sum(step.working for step in steps) for _, steps in rounds) or 1.0
    first, last = run.steps[0], run.steps[-1]
    works = {_work_of(step) for step in run.steps}
    return Timeline(
        rounds=[_timeline_round(number, steps, longest, run) for number, steps in rounds],
        works=[(work, title) for work, title in WORK_TITLES.items() if work in works],
        began=first.began,
        seconds=(last.began - first.began).total_seconds() + last.seconds,
        idle=sum(step.idle for step in run.steps),
    )


def _timeline_round(number: int, steps: Sequence[Step], longest: float, run: RunHistory) -> TimelineRound:
    passed = [a.score for a in run.state.attempts if a.round == number and a.score and a.score.total]
    top = max(passed, key=lambda score: score.key) if passed else None
    return TimelineRound(
        number=number,
        segments=[
            TimelineSegment(
                _work_of(step), " + ".join(step.roles), step.working, 100 * step.working / longest, step.idle, step.usage.total
            )
            for step in steps
        ],
        seconds=sum(step.working for step in steps),
        idle=sum(step.idle for step in steps),
        used=sum((step.usage for step in steps), Usage()).total,
        tally=f"{top.passed}/{top.total}" if top else "",
        best=run.best is not None and run.best.round == number,
    )


def _work_of(step: Step) -> Work:
    return next((WORK_OF_ROLE[role] for role in step.roles if role in WORK_OF_ROLE), "check")
