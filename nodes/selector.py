"""Selector: calls no model. It scores the new attempts, keeps the best, and decides: accept, refine or give up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime
from pydantic import BaseModel

from ..context import RunContext
from ..memory.state import Attempt, Check, Decision, Result, Score, Verdict, best_of
from .parts import Node


class SelectorState(BaseModel):
    """What the selector reads."""

    checks: list[Check] = []
    attempts: list[Attempt] = []


def complete(attempt: Attempt, checks: Sequence[Check]) -> Attempt:
    """Return the attempt with its score and one verdict for each check: what was not judged is unknown, never passed."""
    found = {v.check: v for v in attempt.verdicts}
    missing = "the verifier did not judge this check"
    verdicts = tuple(found.get(c.id, Verdict(check=c.id, reason=missing)) for c in checks)
    return attempt.model_copy(update={"verdicts": verdicts, "score": Score.of(verdicts)})


def decide(attempts: Sequence[Attempt], context: RunContext) -> Result:
    """Return the decision and the best attempt so far, by the score order of `Score.key`.

    Raises:
        ValueError: no attempt has a score.
    """
    best = best_of(attempts)
    if best is None or best.score is None:
        raise ValueError("the selector was given no attempt: the node before it must write attempts with verdicts")
    rounds = max(a.round for a in attempts)

    def result(decision: Decision, reason: str) -> Result:
        return Result(decision=decision, reason=reason, best_round=best.round, best_candidate=best.candidate)

    if best.score.passed == best.score.total:
        return result("accept", f"all {best.score.total} checks passed")
    if rounds >= context.max_rounds:
        return result("give up", f"{rounds} of {context.max_rounds} rounds are used")
    if context.patience is not None and rounds - best.round >= context.patience:
        return result("give up", f"no better image in {rounds - best.round} rounds")
    return result("refine", f"{best.score.total - best.score.passed} of {best.score.total} checks have not passed")


def selector() -> Node:
    """Build the node that scores attempts and writes `result`.

    Raises:
        ValueError: (the node) there are no checks or no attempts to choose from.
    """

    def node(state: SelectorState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        if not state.checks:
            raise ValueError("there are no checks: the decomposer must write at least one, or nothing could ever fail")
        scored = [complete(a, state.checks) for a in state.attempts if a.score is None]
        old = [a for a in state.attempts if a.score is not None]
        attempts = sorted([*old, *scored], key=lambda a: a.key)
        return {"attempts": scored, "result": decide(attempts, runtime.context or RunContext())}

    return node
