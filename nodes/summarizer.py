"""Summarizer: compresses a round into an experience of at most a hundred words."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..memory.recall import USES_EXPERIENCES, feedback_text, findings_text
from ..memory.state import Attempt, Check, Experience, Request, Review, best_of
from ..models.chat.ask import ask
from .messages import MAX_QUESTION, Node, ReadImage, truncate, usage_of, user_message

MAX_EXPERIENCE_WORDS = 100

SYSTEM = """\
You keep the logbook of an image being made in rounds. After each round you write down what it taught, for a colleague \
who will write the next prompt and remembers nothing but your notes.

You see the request, the prompt of this round and the thought behind it, the image it gave, what an examiner found, and \
your earlier notes. Write at most 100 words, plainly:
- what the prompt tried that was new, and whether it worked: the cause, as far as the image shows it;
- what came out wrong, as it looks in the image (which thing, where, what instead), not just that a check failed;
- what came out right and must be kept, with the words that did it;
- what to try next, or not to try again. If the same wording has failed before, say so.
Do not repeat earlier notes; say what is new."""


class Lesson(BaseModel):
    """What a round taught."""

    experience: str = Field(description="At most 100 words.")


class SummarizerState(Request):
    """What the summarizer reads."""

    checks: list[Check] = []
    attempts: list[Attempt] = []
    experiences: list[Experience] = []
    reviews: list[Review] = []


def render(state: SummarizerState, attempt: Attempt, read: ReadImage, system: str = "") -> list[BaseMessage]:
    """Return the messages to the model; `system` replaces `SYSTEM` unless it is empty."""
    notes = "\n".join(f"Round {e.round}: {e.text}" for e in state.experiences) or "none yet"
    comments = "".join(f"{text}\n" for text in feedback_text(state.reviews))
    text = (
        f"<request>\n{state.prompt}\n</request>\n{comments}<prompt>\n{attempt.prompt}\n</prompt>\n"
        f"<thought>\n{attempt.thought or 'none recorded'}\n</thought>\n"
        f"<findings>\n{findings_text(attempt, state.checks)}\n</findings>\n"
        f"<earlier_notes>\n{notes}\n</earlier_notes>\nThe image of round {attempt.round}:"
    )
    return [SystemMessage(system or SYSTEM), user_message([text, attempt.image], read)]


def parse(lesson: Lesson, round: int) -> dict[str, Any]:
    """Return the state update; a longer experience is cut after the hundredth word."""
    words = lesson.experience.split()
    text, notes = truncate(" ".join(words[:MAX_EXPERIENCE_WORDS]), MAX_QUESTION, f"The experience of round {round}")
    return {
        "experiences": [Experience(round=round, text=text + ("..." if len(words) > MAX_EXPERIENCE_WORDS else ""))],
        "notes": notes,
    }


def summarizer_runs(context: RunContext) -> bool:
    """Return whether the summarizer calls its model: if experiences are recalled, and the refiner does not write them."""
    return context.recall in USES_EXPERIENCES and not context.fuse


def summarizer(chat: BaseChatModel, read: ReadImage) -> Node:
    """Build the node that adds the experience of a round to `experiences`, if `summarizer_runs`."""

    def node(state: SummarizerState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        if not summarizer_runs(context):
            return {}
        round = max(a.round for a in state.attempts)
        attempt = best_of([a for a in state.attempts if a.round == round]) or state.attempts[-1]
        answer = ask(chat, render(state, attempt, read, context.summarizer_prompt), Lesson, role="summarizer")
        update = parse(answer.value, round)
        return {**update, "notes": [*update["notes"], *answer.notes], "usage": usage_of("summarizer", [answer.spent])}

    return node
