"""Planner: loads the skills that fit the request, and writes the first prompt."""

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
from .lesson_prompts import PLANNER_HINT, as_shown, lessons_block, lessons_for_planner
from .messages import Node, clip_thought, truncate, usage_of, user_message
from .quote_guard import restore_quoted
from .skill_loader import answerable_turn, with_skill_texts

UNREADABLE_CALL = "The planner called a tool in a form that could not be parsed."

MAX_SKILL_TURNS = 3
"""Turns in which the planner may call skill tools before it must answer."""

NO_TOOL_CALLS_NOTE = "The planner's model supports no tool calls, so no skills are loaded and the request itself is the prompt"

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
    """Return the messages to the model: with a catalog it may load skills, without one it rewrites the request.

    Args:
        request: the user's words.
        catalog: names and descriptions of the skills.
        planning: its messages with the skill tools so far.
        lessons: of earlier runs.
        system: replaces `SYSTEM` unless it is empty; the paragraph about skills follows in any case.
    """
    system = (system or SYSTEM) + (SKILLS.format(catalog=catalog) if catalog else REWRITE)
    return [
        SystemMessage(system),
        user_message([f"<request>\n{request}\n</request>", *lessons_block(lessons, PLANNER_HINT)]),
        *planning,
    ]


def parse(plan: Plan, request: str) -> dict[str, Any]:
    """Return the state update: the draft, which contains every quoted text of the request."""
    written, notes = truncate(plan.prompt.strip(), MAX_PROMPT_CHARACTERS, "The planner's prompt")
    prompt, restored = restore_quoted(written or request, request)
    notes += [f"The planner had dropped the quoted text {text!r}: put back." for text in restored]
    return {"draft": prompt, "notes": notes, "planning": [RemoveMessage(REMOVE_ALL_MESSAGES)]}


def planner(chat: BaseChatModel, skills: SkillLibrary) -> Node:
    """Build the node that writes `draft`, or first calls skill tools.

    Args:
        chat: the model; to use skills it must support tool calls.
        skills: the skills that it may load.
    """
    tools = skill_tools(skills)

    def node(state: PlannerState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        if context.plan == "none":
            update: dict[str, Any] = {"draft": state.prompt}
        else:
            lessons = lessons_for_planner(context, runtime.store, state.skills)
            update = plan(state, context, lessons)
            if lessons:
                update["lessons"] = as_shown(lessons, 1)
        if not state.planning and (notes := skills.notes(paths=False)):  # once a run
            update["notes"] = [*notes, *update.get("notes", ())]
        return update

    def plan(state: PlannerState, context: RunContext, lessons: Sequence[StoredLesson]) -> dict[str, Any]:
        system = context.planner_prompt
        if context.plan == "rewrite" or not tools:
            return _ask_for_plan(chat, render(state.prompt, "", lessons=lessons, system=system), state.prompt, [])
        messages = render(state.prompt, skills.catalog(), with_skill_texts(state.planning, skills), lessons, system)
        turns = sum(isinstance(m, AIMessage) for m in state.planning)
        if turns >= MAX_SKILL_TURNS:
            return _ask_for_plan(chat, messages, state.prompt, [])
        try:
            prompt = with_schema(messages, Plan)
            message, spent = call(chat, prompt, {"tools": tools}, role="planner", required={"tools"})
        except ModelCallError as error:
            if error.refused != "tools":
                raise
            return {"draft": state.prompt, "notes": [f"{NO_TOOL_CALLS_NOTE}: {error}"[:500]]}
        except NotImplementedError:
            return {"draft": state.prompt, "notes": [f"{NO_TOOL_CALLS_NOTE}: {type(chat).__name__} has no bind_tools"]}
        if message.tool_calls:
            update = _tool_turn(message)
        elif not state.skills and (not lessons or message.invalid_tool_calls):
            update = _draft_request(message, state.prompt)
        else:
            try:
                update = parse(parse_answer(text_of(message), Plan), state.prompt)
            except ValueError:
                return _ask_for_plan(chat, messages, state.prompt, [spent])
            update["thought"] = clip_thought(reasoning_of(message))
        return {**update, "usage": usage_of("planner", [spent])}

    return node


def _tool_turn(message: AIMessage) -> dict[str, Any]:
    """Return the state update of a message that calls tools."""
    turn = answerable_turn(message)
    notes = [UNREADABLE_CALL] if message.invalid_tool_calls or turn.tool_calls != message.tool_calls else []
    return {"planning": [turn], "notes": notes}


def _draft_request(message: AIMessage, request: str) -> dict[str, Any]:
    """Return the state update if no skill fits: the user's own words are the best prompt."""
    notes = [f"{UNREADABLE_CALL} The request is drawn as it stands."] if message.invalid_tool_calls else []
    planning = [RemoveMessage(REMOVE_ALL_MESSAGES)]
    return {"draft": request, "planning": planning, "notes": notes, "thought": clip_thought(reasoning_of(message))}


def _ask_for_plan(chat: BaseChatModel, messages: Sequence[BaseMessage], request: str, spent: list[CallUsage]) -> dict[str, Any]:
    answer = ask(chat, messages, Plan, role="planner")
    update, usage = parse(answer.value, request), usage_of("planner", [*spent, answer.spent])
    return {**update, "notes": [*update["notes"], *answer.notes], "thought": clip_thought(answer.thought), "usage": usage}


def wants_skills(state: PlannerState) -> bool:
    """Return whether the planner's last message calls tools."""
    last = state.planning[-1] if state.planning else None
    return isinstance(last, AIMessage) and bool(last.tool_calls)
