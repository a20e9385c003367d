"""Skill loader: runs the skill tools that the planner calls, and records the loaded skills.

The results of tools are long and come from files that do not change during a run. So the state holds only the names of the
files, and `with_skill_texts` reads them again whenever the planner is shown its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, ToolCall, ToolMessage
from langgraph.prebuilt import ToolNode
from pydantic import BaseModel

from ..models.chat.answer_text import text_of
from ..models.chat.sanitize import clean_message
from ..skills import SkillLibrary, skill_tools
from .messages import Node, clip_thought

HIDDEN_TEXT = "(read again from the skill's folder when shown)"


MAX_TOOL_CALLS = 20
"""Tool calls of one message that are answered."""
MAX_ARGUMENTS = 1000
"""Characters of a call's arguments; longer ones are dropped, and the tool reports what is missing."""
MAX_TURN = 40_000
"""Characters of a message; of a longer one only the end of its text is stored."""


class SkillsState(BaseModel):
    """What the skill loader reads."""

    planning: list[AnyMessage] = []


def skill_loader(skills: SkillLibrary) -> Node:
    """Build the node that answers the planner's tool calls and writes `skills`."""
    tools = ToolNode(skill_tools(skills), messages_key="planning")

    def node(state: SkillsState) -> dict[str, Any]:
        turn = answerable_turn(state.planning[-1])
        answers = tools.invoke({"planning": [*state.planning[:-1], turn]})["planning"]
        succeeded = {m.tool_call_id for m in answers if m.status != "error"}
        loads = [call for call in turn.tool_calls if call["id"] in succeeded and call["name"] == "load_skill"]
        names = [str(call["args"].get("name", "")) for call in loads]
        hidden = [m.model_copy(update={"content": HIDDEN_TEXT}) if m.tool_call_id in succeeded else m for m in answers]
        # A message stored by a version that did not sanitize it is replaced.
        return {"planning": [*([turn] if turn != state.planning[-1] else []), *hidden], "skills": names}

    return node


def answerable_turn(turn: BaseMessage) -> AIMessage:
    """Return a message of the planner with those tool calls that can be answered: a model must be shown no others."""
    clean = clean_message(turn)
    calls = [
        call if len(str(call["args"])) <= MAX_ARGUMENTS else {**call, "args": {}} for call in clean.tool_calls[:MAX_TOOL_CALLS]
    ]
    content = clean.content if len(str(clean.content)) <= MAX_TURN else clip_thought(text_of(clean))
    return clean.model_copy(update={"content": content, "tool_calls": calls, "invalid_tool_calls": []})


def with_skill_texts(planning: Sequence[AnyMessage], skills: SkillLibrary) -> list[BaseMessage]:
    """Return the planner's messages with the texts of the skills, read again from their folders."""
    tools = {t.name: t for t in skill_tools(skills)}
    shown: list[BaseMessage] = []
    waiting: list[ToolCall] = []
    for message in planning:
        if isinstance(message, AIMessage):
            shown.append(turn := answerable_turn(message))
            waiting = [*turn.tool_calls]
        elif isinstance(message, ToolMessage) and waiting:  # answers are in the order of the calls
            call = waiting.pop(0)
            hidden = message.content == HIDDEN_TEXT and call["name"] in tools
            text = str(tools[call["name"]].invoke(call["args"])) if hidden else message.content
            shown.append(message.model_copy(update={"content": text, "tool_call_id": call["id"]}))
    return shown
