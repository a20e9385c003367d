"""The summary of a run: its outcome and its numbers."""

from __future__ import annotations

from typing import NamedTuple

from ..privacy import without_paths
from .attempts import Tone
from .history import RunHistory
from .text import count_of, duration, short_number


class RunOutcome(NamedTuple):
    """How a run ended, or how far it is: a word, a line, and the selector's reason or the error."""

    tone: Tone
    word: str
    line: str
    reason: str = ""


class Tile(NamedTuple):
    """A number of the summary, with its label."""

    label: str
    value: str
    detail: str


def outcome_of(run: RunHistory) -> RunOutcome:
    """Return how a run ended, or how far it is."""
    result, has_images, rounds = run.state.result, bool(run.state.attempts), count_of(run.state.round, "round")
    reason = without_paths(result.reason) if result else ""
    if run.waiting:
        decided = f"{result.decision}: {reason}" if result else ""
        line = f"for a person's word on {f'round {run.state.round}' if has_images else 'the plan'}"
        return RunOutcome("unknown", "Waiting", line, decided)
    if run.failed and not run.is_over:
        return RunOutcome(
            "fail", "Failed", f"after {rounds}" if has_images else "before an image was drawn", without_paths(run.failed)
        )
    if result is None:
        line = f"{rounds} so far, and no decision yet" if has_images else "no image has been drawn yet"
        return RunOutcome("unknown", "Unfinished", line)
    shown = f"best attempt: round {run.best.round}" if run.best else "no attempt to show"
    if result.decision == "accept":
        return RunOutcome("pass", "Accepted", f"in round {result.best_round} of at most {run.context.max_rounds}", reason)
    if result.decision == "give up":
        return RunOutcome("fail", "Gave up", f"after {rounds}; {shown}", reason)
    return RunOutcome("unknown", "Still refining", f"{rounds} so far; {shown}", reason)


def summary_tiles(run: RunHistory) -> list[Tile]:
    """Return the six numbers below the request."""
    state, total, score = run.state, run.state.usage.total, run.best.score if run.best else None
    passed = f"{score.passed}/{score.total}" if score else f"0/{len(state.checks)}" if state.checks else "–"
    return [
        Tile("Checks passed", passed, "by the best attempt" if run.best else "not scored yet"),
        Tile("Rounds", str(state.round), f"of at most {run.context.max_rounds}"),
        Tile("Images", f"{total.images:,}", count_of(len(state.attempts), "attempt")),
        Tile("Chat calls", f"{total.calls:,}", count_of(len(state.usage.roles), "role")),
        Tile(
            "Tokens",
            short_number(total.input_tokens + total.output_tokens),
            f"{total.input_tokens:,} in, {total.output_tokens:,} out",
        ),
        Tile("Model time", duration(total.seconds), "all roles added up"),
    ]
