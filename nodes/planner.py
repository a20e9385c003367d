"""Planner: picks the skills a request calls for, and writes the first generation prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, RemoveMessage, SystemMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..errors import ModelCallError
from ..memory.lessons import StoredLesson
from ..memory.state import MAX_PROMPT_CHARACTERS, Request
from ..models.chat.answer_text import parse_answer, reasoning_of, text_of
from ..models.chat.ask import ask, with_schema
from ..models.chat.call import CallUsage, call
from ..skills import SkillLibrary, skill_tools
from .lesson_prompts import FOR_PLANNER, block, for_planner, shown
from .messages import Node, clip, cost, human, shorten
from .quoted_text import keep_quoted
from .skill_loader import calling, reveal

UNREAD_CALL = "The planner called a tool in a way that could not be read."

MAX_SKILL_TURNS = 3
"""Turns in which the planner may call skill tools before it must answer."""

NO_TOOLS = (400, 404, 422, 501)
"""Statuses with which servers without tool calls refuse them."""

NO_TOOL_CALLS = "The planner's model takes no tool calls, so no skills are loaded and the request is drawn as it stands"

SYSTEM = """\
You plan an image. Someone gives you a request in plain words; you write the prompt that a text-to-image model will \
draw from.

The user's words are the law. Everything they state must be in your prompt unchanged in meaning: each object, number, \
colour, relation, style. Strings in double quotes are to appear in the image and are copied letter for letter, quotes \
included. Where the request is silent, choose what serves it, and choose it concretely: a model draws what is visible, \
so say what is seen and where, not what it means or how good it should be. Say what is there rather than what is not. \
One flowing prompt, the most important things first, no headings, no comments, no markdown; as long as it needs to be \
and no longer."""

SKILLS = """

You have skills: instructions by experts for one kind of request each. This is the catalog:

{catalog}

Load the skills whose description fits this request with the load_skill tool, several if several fit, before you write \
the prompt, and then follow them. Most short, plain requests need none: an unneeded rewrite takes the picture away \
from what was asked for. If you load none, the request itself is drawn, word for word: answer with it as the prompt."""

REWRITE = "\n\nRewrite the request into the prompt from which a text-to-image model draws it best."


class Plan(BaseModel):
    """The plan for an image."""

    prompt: str = Field(description="The prompt for the image model.")


class PlannerState(Request):
    """What the planner reads."""

    skills: list[str] = []
    planning: list[AnyMessage] = []


def render(
    request: str,
    catalog: str,
    planning: Sequence[BaseMessage] = (),
    lessons: Sequence[StoredLesson] = (),
    system: str = "",
) -> list[BaseMessage]:
    """Return what the model is shown: with a catalog where it may load skills, else it just rewrites.

    Args:
        request: the user's words.
        catalog: names and descriptions of the skills.
        planning: its talk with the skill tools so far.
        lessons: those of earlier runs that are nearest.
        system: what it is told in the place of `SYSTEM`; what is said of skills comes after it all the same.
    """
    system = (system or SYSTEM) + (SKILLS.format(catalog=catalog) if catalog else REWRITE)
    return [SystemMessage(system), human([f"<request>\n{request}\n</request>", *block(lessons, FOR_PLANNER)]), *planning]


def parse(plan: Plan, request: str) -> dict[str, Any]:
    """Return the state update: the draft, with every quoted string of the request in it."""
    written, notes = shorten(plan.prompt.strip(), MAX_PROMPT_CHARACTERS, "The planner's prompt")
    prompt, restored = keep_quoted(written or request, request)
    notes += [f"The planner had dropped the quoted text {text!r}: put back." for text in restored]
    return {"draft": prompt, "notes": notes, "planning": [RemoveMessage(REMOVE_ALL_MESSAGES)]}


def planner(chat: BaseChatModel, skills: SkillLibrary) -> Node:
    """Build the node that writes `draft`, or asks for skills first.

    Args:
        chat: the model; it must take tools where skills are used.
        skills: what it may load.
    """
    tools = skill_tools(skills)

    def node(state: PlannerState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        update = planned(state, context, runtime)
        if not state.planning and (notes := skills.notes(paths=False)):  # its first turn: they are told once a run
            update = {**update, "notes": [*notes, *update.get("notes", ())]}
        return update

    def planned(state: PlannerState, context: RunContext, runtime: Runtime[RunContext]) -> dict[str, Any]:
        if context.plan == "none":
            return {"draft": state.prompt}
        lessons = for_planner(context, runtime.store, state.prompt, state.skills)
        update = plan(state, context, lessons)
        return {**update, "lessons": shown(lessons, 1)} if lessons else update

    def plan(state: PlannerState, context: RunContext, lessons: Sequence[StoredLesson]) -> dict[str, Any]:
        system = context.planner_prompt
        if context.plan == "rewrite" or not tools:
            return _rewrite(chat, render(state.prompt, "", lessons=lessons, system=system), state.prompt, [])
        messages = render(state.prompt, skills.catalog(), reveal(state.planning, skills), lessons, system)
        turns = sum(isinstance(m, AIMessage) for m in state.planning)
        if turns >= MAX_SKILL_TURNS:
            return _rewrite(chat, messages, state.prompt, [])
        try:
            message, spent = call(chat.bind_tools(tools), with_schema(messages, Plan), role="planner")
        except ModelCallError as error:
            if error.status not in NO_TOOLS or "tool" not in error.problem.lower():
                raise
            return {"draft": state.prompt, "notes": [f"{NO_TOOL_CALLS}: {error}"[:500]]}
        except NotImplementedError:
            return {"draft": state.prompt, "notes": [f"{NO_TOOL_CALLS}: {type(chat).__name__} has no bind_tools"]}
        if message.tool_calls:
            turn = calling(message)
            notes = [UNREAD_CALL] if message.invalid_tool_calls or turn.tool_calls != message.tool_calls else []
            return {"planning": [turn], "notes": notes, "usage": cost("planner", [spent])}
        if not state.skills and (
            not lessons or message.invalid_tool_calls
        ):  # nothing fits: the user's own words are the best prompt there is
            update: dict[str, Any] = {"draft": state.prompt, "planning": [RemoveMessage(REMOVE_ALL_MESSAGES)]}
            if message.invalid_tool_calls:
                update["notes"] = [f"{UNREAD_CALL} The request is drawn as it stands."]
            return {**update, "thought": clip(reasoning_of(message)), "usage": cost("planner", [spent])}
        try:
            update = parse(parse_answer(text_of(message), Plan), state.prompt)
        except ValueError:
            return _rewrite(chat, messages, state.prompt, [spent])
        return {**update, "thought": clip(reasoning_of(message)), "usage": cost("planner", [spent])}

    return node


def _rewrite(chat: BaseChatModel, messages: Sequence[BaseMessage], request: str, spent: list[CallUsage]) -> dict[str, Any]:
    answer = ask(chat, messages, Plan, role="planner")
    return {**parse(answer.value, request), "thought": clip(answer.thought), "usage": cost("planner", [*spent, answer.spent])}


def wants_skills(state: PlannerState) -> bool:
    """Tell whether the planner's last word is a tool call that waits for its answer."""
    last = state.planning[-1] if state.planning else None
    return isinstance(last, AIMessage) and bool(last.tool_calls)
