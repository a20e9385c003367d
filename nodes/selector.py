"""Selector: scores the new attempts without a model, picks the best, and decides: accept, refine or give up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime
from pydantic import BaseModel

from ..context import RunContext, settings_in
from ..errors import NodeError
from ..events import BudgetUsed, Decided, emit
from ..memory.state import Attempt, Check, Decision, Result, Review, Score, Usage, Verdict, best_of
from ..models.options import ModelOptions
from .budget import budgets_used, cost_of, exceeded_budget, require_prices
from .messages import Node

_NO_USAGE = Usage()
_NO_PRICES = ModelOptions()


class SelectorState(BaseModel):
    """What the selector reads."""

    checks: list[Check] = []
    attempts: list[Attempt] = []
    reviews: list[Review] = []
    usage: Usage = Usage()
    result: Result | None = None


def score_attempt(attempt: Attempt, checks: Sequence[Check]) -> Attempt:
    """Return the attempt with its score and a verdict for each check; a check without a verdict is unknown."""
    by_check = {v.check: v for v in attempt.verdicts}
    missing = "the verifier did not judge this check"
    verdicts = tuple(by_check.get(c.id, Verdict(check=c.id, reason=missing)) for c in checks)
    return attempt.model_copy(update={"verdicts": verdicts, "score": Score.of(verdicts)})


def decide(
    attempts: Sequence[Attempt],
    context: RunContext,
    usage: Usage = _NO_USAGE,
    before: Usage = _NO_USAGE,
    models: ModelOptions = _NO_PRICES,
) -> Result:
    """Return the decision and the best attempt, by `Score.key`.

    Args:
        attempts: all attempts of the run, with scores.
        context: the settings of the run.
        usage: usage of the run.
        before: usage at the previous decision; planning counts to the first round.
        models: prices.

    Raises:
        NodeError: no attempt has a score.
    """
    best = best_of(attempts)
    if best is None or best.score is None:
        raise NodeError("the selector was given no attempt: the node before it must write attempts with verdicts")
    end = _reason_to_stop(best, best.score, attempts, context)
    if end is None and (why := exceeded_budget(context, usage, usage.since(before), models)):
        end = ("give up", why)
    reason = f"{best.score.total - best.score.passed} of {best.score.total} checks of the best image have not passed"
    if best.rejected:
        reason = "a person rejected the best image" + (f", and {reason}" if best.score.passed < best.score.total else "")
    decision, reason = end or ("refine", reason)
    return Result(
        decision=decision,
        reason=reason,
        best_round=best.round,
        best_candidate=best.candidate,
        usage=usage,
        round=max(a.round for a in attempts),
        before=before,
    )


def _reason_to_stop(best: Attempt, score: Score, attempts: Sequence[Attempt], context: RunContext) -> tuple[Decision, str] | None:
    """Return the decision that ends the run and its reason; None if another round may help."""
    rounds = max(a.round for a in attempts)
    if score.passed == score.total and not best.rejected:
        return "accept", f"all {score.total} checks passed" + (f" in round {best.round}" if best.round < rounds else "")
    known = all(v.passed is not None or v.skipped for v in best.verdicts)
    if context.accept_at is not None and known and not best.rejected and score.geometric >= context.accept_at:
        passed = f"{score.passed} of {score.total} checks passed"
        return "accept", f"the score {score.geometric:.3g} reaches accept_at {context.accept_at:g}; {passed}"
    if rounds >= context.max_rounds:
        return "give up", f"{rounds} of {context.max_rounds} rounds are used"
    if context.max_images is not None and len(attempts) >= context.max_images:
        return "give up", f"{len(attempts)} of {context.max_images} images are used"
    if context.patience is not None and rounds - best.round >= context.patience:
        return "give up", f"no better image in {rounds - best.round} rounds"
    return None


def selector(models: ModelOptions = _NO_PRICES) -> Node:
    """Build the node that scores attempts and writes `result`.

    Args:
        models: prices, for a budget of money.

    Raises:
        NodeError: (the node) there are no checks or no attempts to choose from.
        SettingError: (the node) `max_cost` is set, and no model has a price.
    """

    def node(state: SelectorState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        require_prices(context, models)
        if not state.checks:
            raise NodeError("there are no checks: the decomposer must write at least one, or nothing could ever fail")
        scored = [score_attempt(a, state.checks) for a in state.attempts if a.score is None]
        old = [a for a in state.attempts if a.score is not None]
        unjudged = [a for a in state.attempts if a.score is None and not a.verdicts]
        attempts = sorted([*old, *scored], key=lambda a: a.key)
        before = _usage_before_round(state.result, attempts)
        result = decide(attempts, context, state.usage, before, models).model_copy(update={"heard": len(state.reviews)})
        emit(Decided.of(result, scored, "selector"))
        emit(BudgetUsed(role="selector", budgets=budgets_used(result, context, models)))
        return {
            "attempts": scored,
            "result": result,
            "notes": [*_unjudged_notes(len(scored), len(unjudged)), *_unpriced_notes(context, state.usage, models)],
        }

    return node


def _usage_before_round(last: Result | None, attempts: Sequence[Attempt]) -> Usage:
    """Return the usage when the latest round began; a decision can be repeated after a review."""
    if last is None:
        return Usage()
    return last.before if last.round == max(a.round for a in attempts) else last.usage


def _unjudged_notes(new: int, unjudged: int) -> list[str]:
    """Return a note if the verifier left new images without any verdict: all of their checks are unknown."""
    judged = f"{new - unjudged}" if new > unjudged else "none"
    return [f"the verifier judged {judged} of {new} new image{'s' if new > 1 else ''}"] if unjudged else []


def _unpriced_notes(context: RunContext, usage: Usage, models: ModelOptions) -> list[str]:
    """Return a note for each role whose cost a budget of money cannot count."""
    spent = cost_of(usage, models) if context.max_cost is not None else None
    roles = spent.unpriced if spent else ()
    return [f"max_cost does not count all of {role}: its price or its tokens are not known." for role in roles]
