"""The planner's tool node: runs its skill tools and remembers which skills were loaded.

What a tool returns is long and comes from a file that does not change during a run. So the state keeps only which file
it was, and `reveal` reads it again whenever the planner is shown its talk.
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
from .messages import Node, clip

HIDDEN = "(read again from the skill's folder when shown)"


MAX_CALLS = 20
"""Tool calls of one turn that are answered."""
MAX_ARGUMENTS = 1000
"""Characters of a call's arguments: those of a longer one are not passed on, and the tool says what is missing."""
MAX_TURN = 40_000
"""Characters of a turn that are kept as they are: of a longer one the end of its text is."""


class SkillsState(BaseModel):
    """What the tool node reads."""

    planning: list[AnyMessage] = []


def skill_loader(skills: SkillLibrary) -> Node:
    """Build the node that answers the planner's tool calls and writes `skills`."""
    tools = ToolNode(skill_tools(skills), messages_key="planning")

    def node(state: SkillsState) -> dict[str, Any]:
        turn = calling(state.planning[-1])
        answers = tools.invoke({"planning": [*state.planning[:-1], turn]})["planning"]
        good = {m.tool_call_id for m in answers if m.status != "error"}
        loads = [call for call in turn.tool_calls if call["id"] in good and call["name"] == "load_skill"]
        names = [str(call["args"].get("name", "")) for call in loads]
        hidden = [hide(m) if m.tool_call_id in good else m for m in answers]
        # A turn that was stored before turns were made clean takes the place of what it was.
        return {"planning": [*([turn] if turn != state.planning[-1] else []), *hidden], "skills": names}

    return node


def calling(turn: BaseMessage) -> AIMessage:
    """Return a turn of the planner's with the tool calls in it that can be answered: no others may be shown to a model again."""
    clean = clean_message(turn)
    calls = [call if len(str(call["args"])) <= MAX_ARGUMENTS else {**call, "args": {}} for call in clean.tool_calls[:MAX_CALLS]]
    content = clean.content if len(str(clean.content)) <= MAX_TURN else clip(text_of(clean))
    return clean.model_copy(update={"content": content, "tool_calls": calls, "invalid_tool_calls": []})


def hide(message: ToolMessage) -> ToolMessage:
    """Return a tool's answer without its text."""
    return message.model_copy(update={"content": HIDDEN})


def reveal(planning: Sequence[AnyMessage], skills: SkillLibrary) -> list[BaseMessage]:
    """Return the planner's talk with the texts of the skills in it, read again from their folders."""
    tools = {t.name: t for t in skill_tools(skills)}
    shown: list[BaseMessage] = []
    waiting: list[ToolCall] = []
    for message in planning:
        if isinstance(message, AIMessage):
            shown.append(turn := calling(message))
            waiting = [*turn.tool_calls]
        elif isinstance(message, ToolMessage) and waiting:  # answers are in the order of the calls
            call = waiting.pop(0)
            known = message.content == HIDDEN and call["name"] in tools
            text = str(tools[call["name"]].invoke(call["args"])) if known else message.content
            shown.append(message.model_copy(update={"content": text, "tool_call_id": call["id"]}))
    return shown
