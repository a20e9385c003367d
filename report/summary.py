"""The summary of a run: its outcome, its numbers, and what each role used."""

from __future__ import annotations

from dataclasses import dataclass

from ..context import RunContext
from ..memory.state import Attempt, GemsState, RoleUsage
from ..privacy import without_paths
from .attempts import Tone
from .text import count_of, duration, short_number


@dataclass(frozen=True)
class RunOutcome:
    """How the run ended: a word, a line, and the selector's reason."""

    tone: Tone
    word: str
    line: str
    reason: str


@dataclass(frozen=True)
class Tile:
    """A number of the summary, with its label."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class RoleCost:
    """What a role used, and its share of the run's seconds in per cent."""

    role: str
    usage: RoleUsage
    share: float


def outcome_of(state: GemsState, context: RunContext, best: Attempt | None, failed: str) -> RunOutcome:
    """Return how a run ended, or how far it is; `failed` is the error that ended it, empty where there was none."""
    rounds = count_of(state.round, "round")
    if failed and (state.result is None or state.result.decision == "refine"):
        line = f"after {rounds}" if state.attempts else "before an image was drawn"
        return RunOutcome("fail", "Failed", line, without_paths(failed))
    if state.result is None:
        line = f"{rounds} so far, and no decision yet" if state.attempts else "no image has been drawn yet"
        return RunOutcome("unknown", "Unfinished", line, "")
    reason = without_paths(state.result.reason)
    shown = f"best attempt: round {best.round}" if best else "no attempt to show"
    if state.result.decision == "accept":
        return RunOutcome("pass", "Accepted", f"in round {state.result.best_round} of at most {context.max_rounds}", reason)
    if state.result.decision == "give up":
        return RunOutcome("fail", "Gave up", f"after {rounds}; {shown}", reason)
    return RunOutcome("unknown", "Still refining", f"{rounds} so far; {shown}", reason)


def outcome_of_waiting(state: GemsState) -> RunOutcome:
    """Return the outcome of a run that waits for a person."""
    line = f"for a person's word on {f'round {state.round}' if state.attempts else 'the plan'}"
    decided = f"{state.result.decision}: {without_paths(state.result.reason)}" if state.result else ""
    return RunOutcome("unknown", "Waiting", line, decided)


def best_label(state: GemsState, best: Attempt | None) -> str:
    """Return the caption of the largest image."""
    if best is None:
        return "Latest attempt"
    over = state.result is not None and state.result.decision != "refine"
    return "Best attempt" if over else "Best so far"


def summary_tiles(state: GemsState, context: RunContext, best: Attempt | None) -> list[Tile]:
    """Return the six numbers below the request."""
    total = state.usage.total
    passed = f"{best.score.passed}/{best.score.total}" if best and best.score else f"0/{len(state.checks)}" if state.checks else "–"
    tokens = total.input_tokens + total.output_tokens
    return [
        Tile("Checks passed", passed, "by the best attempt" if best else "not scored yet"),
        Tile("Rounds", str(state.round), f"of at most {context.max_rounds}"),
        Tile("Images", f"{total.images:,}", f"{count_of(len(state.attempts), 'attempt')}"),
        Tile("Chat calls", f"{total.calls:,}", f"{count_of(len(state.usage.roles), 'role')}"),
        Tile("Tokens", short_number(tokens), f"{total.input_tokens:,} in, {total.output_tokens:,} out"),
        Tile("Model time", duration(total.seconds), "all roles added up"),
    ]


def costs_by_role(state: GemsState) -> list[RoleCost]:
    """Return what each role used, in the order in which they first ran."""
    seconds = state.usage.total.seconds
    return [RoleCost(role, used, 100 * used.seconds / seconds if seconds else 0.0) for role, used in state.usage.roles.items()]
