"""The timeline of a run: its rounds as bars, with a segment for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from ..memory.state import Attempt, GemsState, RoleUsage, Usage
from .history import RunHistory, Step

Work = Literal["plan", "draw", "check", "learn", "person"]

WORK: dict[str, Work] = {
    **{"planner": "plan", "load_skill": "plan", "decomposer": "plan"},
    **{"generator": "draw", "verifier": "check", "selector": "check"},
    **{"summarizer": "learn", "refiner": "learn", "learner": "learn", "review": "person"},
}
"""What kind of work each role does: the colour of its stretches."""

ABOUT: dict[Work, str] = {
    **{"plan": "plan and checks", "draw": "drawing", "check": "verifying", "learn": "learning and refining"},
    **{"person": "review"},
}


LEAST = 0.5
"""Per cent of the longest round from which on a stretch can be seen on a bar."""


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
    stretches: list[TimelineSegment]
    seconds: float
    """At work, without waiting."""
    idle: float
    used: RoleUsage
    tally: str
    """What its best image passed, such as "6/7"."""
    best: bool

    @property
    def bar(self) -> list[TimelineSegment]:
        """The stretches that are drawn: those that can be seen, at least the longest one."""
        seen = [stretch for stretch in self.stretches if stretch.share >= LEAST]
        return seen or [max(self.stretches, key=lambda stretch: stretch.share)]

    @property
    def title(self) -> str:
        """What it is called."""
        return f"Round {self.number}" if self.number else "Plan"


@dataclass(frozen=True)
class Timeline:
    """All laps, and what they add up to."""

    laps: list[TimelineRound]
    works: list[tuple[Work, str]]
    """The kinds of work that occur, with their names."""
    began: datetime
    seconds: float
    """From the first step's begin to the last one's end."""
    idle: float


def timeline(history: RunHistory, state: GemsState, best: Attempt | None) -> Timeline | None:
    """Return the rounds as they went; None where the steps are not known."""
    if not history.steps:
        return None
    laps: list[tuple[int, list[Step]]] = [(n, list(group)) for n, group in groupby(history.steps, key=lambda step: step.round)]
    longest = max(sum(step.working for step in steps) for _, steps in laps) or 1.0
    first, last = history.steps[0], history.steps[-1]
    found = {work for step in history.steps for work in [_work(step)]}
    return Timeline(
        laps=[_lap(number, steps, longest, state, best) for number, steps in laps],
        works=[(work, said) for work, said in ABOUT.items() if work in found],
        began=first.began,
        seconds=(last.began - first.began).total_seconds() + last.seconds,
        idle=sum(step.idle for step in history.steps),
    )


def _lap(number: int, steps: Sequence[Step], longest: float, state: GemsState, best: Attempt | None) -> TimelineRound:
    passed = [a.score for a in state.attempts if a.round == number and a.score and a.score.total]
    top = max(passed, key=lambda score: score.key) if passed else None
    return TimelineRound(
        number=number,
        stretches=[
            TimelineSegment(
                _work(step), " + ".join(step.roles), step.working, 100 * step.working / longest, step.idle, step.usage.total
            )
            for step in steps
        ],
        seconds=sum(step.working for step in steps),
        idle=sum(step.idle for step in steps),
        used=sum((step.usage for step in steps), Usage()).total,
        tally=f"{top.passed}/{top.total}" if top else "",
        best=best is not None and best.round == number,
    )


def _work(step: Step) -> Work:
    return next((WORK[role] for role in step.roles if role in WORK), "check")
