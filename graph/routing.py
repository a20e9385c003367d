"""The conditional edges. All look at the state alone, so that a fork replays them rightly."""

from __future__ import annotations

from typing import Literal

from ..errors import UsedThreadError
from ..memory.state import Decision, GemsState
from ..nodes.planner import PlannerState, wants_skills

Way = Literal[Decision, "draw", "rewrite", "examine again", "decide again"]


def at_start(state: GemsState) -> list[str]:
    """Begin with planner and decomposer side by side.

    Raises:
        UsedThreadError: the thread has pictures of a request, which would count for this one.
    """
    if state.attempts:
        raise UsedThreadError(
            "this thread has pictures of a request already, and one thread is one picture: begin a new thread for a new request"
        )
    return ["planner", "decomposer"]


def after_planner(state: PlannerState) -> Literal["load_skill", "review"]:
    """Send the planner's tool calls to the skills, its finished plan on."""
    return "load_skill" if wants_skills(state) else "review"


def after_review(state: GemsState) -> Way:
    """Follow what a person said, and the selector's decision where nobody was asked or all was left as decided.

    Raises:
        ValueError: a swapped selector wrote no result.
    """
    last = state.answer
    if not state.attempts:
        rejected = last is not None and last.action == "reject" and last.prompt == state.draft  # not written anew yet
        return "rewrite" if rejected else "draw"
    if last is not None and "prompt" in last.edited:
        return "draw"
    if state.pending:
        return "examine again"
    if state.result is None:
        raise ValueError("the selector wrote no result: it must return {'result': Result(...)}")
    judged_anew = last is not None and not {"checks", "verdicts"}.isdisjoint(last.edited)
    return "decide again" if judged_anew and any(a.score is None for a in state.attempts) else state.result.decision


def after_refiner(state: GemsState) -> Literal["review", "generator"]:
    """Show a plan that was written anew; draw every other prompt."""
    return "generator" if state.attempts else "review"
