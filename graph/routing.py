"""The two conditional edges. Both look at the state alone, so that a fork replays them rightly."""

from __future__ import annotations

from typing import Literal

from ..memory.state import Decision, GemsState
from ..nodes.planner import PlannerState, wants_skills


def after_planner(state: PlannerState) -> Literal["load_skill", "generator"]:
    """Send the planner's tool calls to the skills, its finished plan to the generator."""
    return "load_skill" if wants_skills(state) else "generator"


def after_selector(state: GemsState) -> Decision:
    """Follow the selector's decision.

    Raises:
        ValueError: a swapped selector wrote no result.
    """
    if state.result is None:
        raise ValueError("the selector wrote no result: it must return {'result': Result(...)}")
    return state.result.decision
