"""The planner's tool node: runs its skill tools and remembers which skills were loaded.

What a tool returns is long and comes from a file that does not change during a run. So the state keeps only which file
it was, and `reveal` reads it again whenever the planner is shown its talk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolMessage
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from ..skills import SkillLibrary, skill_tools
from .parts import Node

HIDDEN = "(read again from the skill's folder when shown)"


class SkillsState(BaseModel):
    """What the tool node reads."""

    planning: list[AnyMessage] = []


def skill_loader(skills: SkillLibrary) -> Node:
    """Build the node that answers the planner's tool calls and writes `skills`."""
    tools = ToolNode(skill_tools(skills), messages_key="planning")

    def node(state: SkillsState) -> dict[str, Any]:
        answers = tools.invoke({"planning": state.planning})["planning"]
        good = [m for m in answers if m.status != "error"]
        calls = {c["id"]: c for m in state.planning if isinstance(m, AIMessage) for c in m.tool_calls}
        names = [str(calls[m.tool_call_id]["args"]["name"]) for m in good if m.name == "load_skill"]
        return {"planning": [hide(m) if m in good else m for m in answers], "skills": names}

    return node


def hide(message: ToolMessage) -> ToolMessage:
    """Return a tool's answer without its text."""
    return message.model_copy(update={"content": HIDDEN})


def reveal(planning: Sequence[AnyMessage], skills: SkillLibrary) -> list[BaseMessage]:
    """Return the planner's talk with the texts of the skills in it, read again from their folders."""
    tools = {t.name: t for t in skill_tools(skills)}
    calls = {c["id"]: c for m in planning if isinstance(m, AIMessage) for c in m.tool_calls}
    shown: list[BaseMessage] = []
    for message in planning:
        if isinstance(message, ToolMessage) and message.content == HIDDEN:
            call = calls[message.tool_call_id]
            shown.append(message.model_copy(update={"content": str(tools[call["name"]].invoke(call["args"]))}))
        else:
            shown.append(message)
    return shown
