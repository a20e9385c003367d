"""The conditional edges. They depend on the state alone, so that a fork takes the same ones."""

from __future__ import annotations

from typing import Literal

from ..errors import NodeError, UsedThreadError
from ..memory.state import Decision, GemsState
from ..nodes.planner import PlannerState, wants_skills

Route = Literal[Decision, "generate", "rewrite", "verify again", "decide again"]


def at_start(state: GemsState) -> list[str]:
    """Start planner and decomposer in parallel.

    Raises:
        UsedThreadError: the thread has images of another request, which would count for this one.
    """
    if state.attempts:
        raise UsedThreadError(
            "this thread has images of a request already, and a thread is for one request: start a new thread for a new request"
        )
    return ["planner", "decomposer"]


def after_planner(state: PlannerState) -> Literal["load_skill", "review"]:
    """Load the skills that the planner calls for; send a finished plan to the review."""
    return "load_skill" if wants_skills(state) else "review"


def after_review(state: GemsState) -> Route:
    """Follow a person's answer; without one, or if it accepts, follow the selector's decision.

    Raises:
        NodeError: a swapped selector wrote no result.
    """
    last = state.answer
    if not state.attempts:
        rejected = last is not None and last.action == "reject" and last.prompt == state.draft  # not rewritten yet
        return "rewrite" if rejected else "generate"
    if last is not None and "prompt" in last.edited:
        return "generate"
    if state.pending:
        return "verify again"
    if state.result is None:
        raise NodeError("the selector wrote no result: it must return {'result': Result(...)}")
    judged_anew = last is not None and not {"checks", "verdicts"}.isdisjoint(last.edited)
    return "decide again" if judged_anew and any(a.score is None for a in state.attempts) else state.result.decision


def after_refiner(state: GemsState) -> Literal["review", "generator"]:
    """Send a rewritten plan back to the review, any other prompt to the generator."""
    return "generator" if state.attempts else "review"
