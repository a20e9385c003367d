"""Learner: after the last round, writes lessons for later runs: what made failed checks pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..errors import CheckpointError, LessonError, ModelAnswerError, ModelCallError
from ..events import LessonLearned, emit
from ..memory.evidence import RefinementStep, latest_improvements, lesson_trials
from ..memory.lessons import MAX_LESSON_CHARACTERS, Lessons, Status, StoredLesson, Trial, one_line, without_quotes
from ..memory.quoted_text import quoted_strings
from ..memory.state import Attempt, Check, CheckKind, GemsState, Review
from ..models.chat.ask import ask
from .checks.answers import expects_text
from .checks.text_match import contains, normalize
from .lesson_prompts import NO_STORE_NOTE
from .messages import Node, usage_of, user_message

SYSTEM = """\
You keep the book of lessons of a studio that makes images with a text-to-image model. Prompts are written, the images are \
examined, and prompts are rewritten until every check passes. You are shown rewrites after which checks passed that had \
failed before. For each kind of check write at most one lesson for the colleagues who will write prompts for other requests.

- Say what the new prompt does that the old one did not, as an instruction: general enough for any request with such a check, \
concrete enough to be followed. A way of putting it, an order, a composition; not its subject.
- At most 60 words. No names, no words in quotes and no things from this request.
- Only what the change in wording explains. If the new prompt does nothing differently in kind, the image may just have been \
lucky: leave that kind out. No lesson is better than a wrong one."""


class LearnedLesson(BaseModel):
    """A lesson for later requests."""

    kind: CheckKind = Field(description="The kind of check it is about, as shown.")
    skill: str = Field(default="", description="Which of the loaded skills it adds to, if one; else empty.")
    text: str = Field(description="What to do, in at most 60 words.")


class LearnedLessons(BaseModel):
    """What this run teaches later ones."""

    lessons: list[LearnedLesson] = Field(description="At most one for each kind; empty if the changes explain nothing.")


def render(
    changes: Mapping[CheckKind, RefinementStep], skills: Sequence[str], reviews: Sequence[Review] = (), system: str = ""
) -> list[BaseMessage]:
    """Return the messages to the model: for each kind of check the prompts before and after, and what was seen before.

    A person's comments are left out: they are about this image. `system` replaces `SYSTEM` unless it is empty.
    """
    parts = [f"<skills_loaded>{', '.join(skills) or 'none'}</skills_loaded>"]
    for kind, change in changes.items():
        edit = change.after.source is not None
        parts.append(
            "\n".join(
                [
                    f'<change kind="{kind}">',
                    *(f"<turned>\n{_describe_failure(c, change)}\n</turned>" for c in change.fixed if c.kind == kind),
                    f"<old_prompt>\n{change.before.prompt}\n</old_prompt>",
                    *([f"<edit_of_that_image>\n{change.after.prompt}\n</edit_of_that_image>"] if edit else []),
                    *([] if edit else [f"<new_prompt>\n{change.after.prompt}\n</new_prompt>"]),
                    f"<thought>\n{_thought_to_show(change.after, reviews)}\n</thought>",
                    "</change>",
                ]
            )
        )
    return [SystemMessage(system or SYSTEM), user_message(["\n\n".join(parts)])]


def parse(
    answer: LearnedLessons,
    changes: Mapping[CheckKind, RefinementStep],
    skills: Sequence[str],
    private: Sequence[str],
    status: Status,
) -> list[StoredLesson]:
    """Return the lessons, at most one for each kind of check, without lessons and examples that contain a private text."""
    lessons: dict[CheckKind, StoredLesson] = {}
    for learned in answer.lessons:
        text = one_line(learned.text)
        if learned.kind not in changes or learned.kind in lessons or not text or _contains_any(text, private):
            continue
        example = next(c for c in changes[learned.kind].fixed if c.kind == learned.kind)
        question = without_quotes(example.question)[:1000]
        lessons[learned.kind] = StoredLesson(
            kind=learned.kind,
            skill=learned.skill if learned.skill in skills else "",
            text=text,
            question="" if _contains_any(question, private) else question,
            status=status,
        )
    return list(lessons.values())


def private_texts(state: GemsState) -> list[str]:
    """Return the texts that no lesson may contain: the expected texts of the image, and all quoted texts of the run."""
    texts = [c.expected for c in state.checks if expects_text(c)]
    inputs = [state.prompt, *(c.question for c in state.checks), *(r.words for r in state.reviews)]
    written = [state.draft, *(a.prompt for a in state.attempts)]  # by a person, or by a model that has read one
    return list(dict.fromkeys([*texts, *(quote for text in [*inputs, *written] for quote in quoted_strings(text))]))


def learner(chat: BaseChatModel) -> Node:
    """Build the node that writes lessons to the graph's store, if `RunContext.lessons` is keep or review.

    Keys are hashes of the run's images, so a step that is run again after a kill writes nothing twice. If the model or the
    store fails, the run still ends well, with a note.
    """

    def node(state: GemsState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        if context.lessons == "none":
            return {}
        if runtime.store is None:
            return {"notes": [NO_STORE_NOTE]}
        if context.lessons == "read":
            return {}
        book = Lessons(runtime.store)
        thread = runtime.execution_info.thread_id if runtime.execution_info else None
        update: dict[str, Any] = {}
        notes: list[str] = []
        server_notes: Sequence[str] = ()
        try:
            changes = _record_trials(state, book, thread or "")
            if not changes:
                return {}
            if context.max_calls is not None and state.usage.chat_calls >= context.max_calls:
                return {"notes": [f"No lesson was learned from this run: all of max_calls {context.max_calls} are used."]}
            answer = ask(chat, render(changes, state.skills, state.reviews, context.learner_prompt), LearnedLessons, role="learner")
            update["usage"], server_notes = usage_of("learner", [answer.spent]), answer.notes
            status: Status = "proposed" if context.lessons == "review" else "kept"
            if any(len(learned.text) > MAX_LESSON_CHARACTERS for learned in answer.value.lessons):
                notes.append(f"A lesson had more than {MAX_LESSON_CHARACTERS} characters: the rest was cut off.")
            for lesson in parse(answer.value, changes, state.skills, private_texts(state), status):
                trial = Trial(key=changes[lesson.kind].key, helped=True, learned=True, run=thread or "")
                stored = book.add(lesson, [trial])
                emit(LessonLearned(role="learner", id=stored.id, kind=stored.kind, text=stored.text, status=stored.status))
                notes.append(_lesson_note(stored))
        except (LessonError, CheckpointError, ModelAnswerError, ModelCallError) as error:
            notes.append(f"{'Not every' if notes else 'No'} lesson was learned from this run: {error}"[:500])
        return {**update, "notes": [*notes, *server_notes]}

    return node


def _record_trials(state: GemsState, book: Lessons, thread: str) -> dict[CheckKind, RefinementStep]:
    """Store the trials of the lessons that were shown; return the refinements from which nothing was learned yet.

    Before a kill, this step may have learned from them; or the run that was forked did.
    """
    for id, trial in lesson_trials(state, thread):
        book.add_trial(id, trial)
    known = {(k.lesson.kind, trial.key) for k in book.records() for trial in k.trials if trial.learned}
    return {kind: change for kind, change in latest_improvements(state).items() if (kind, change.key) not in known}


def _describe_failure(check: Check, change: RefinementStep) -> str:
    verdict = next((v for v in change.before.verdicts if v.check == check.id), None)
    answer = f" Wanted: {check.expected}. Before: {verdict.answer or 'none'}." if verdict else ""
    reason = f" Seen: {verdict.reason}" if verdict and verdict.reason and verdict not in change.before.said else ""
    return f"{check.question}{answer}{reason}"


def _thought_to_show(attempt: Attempt, reviews: Iterable[Review]) -> str:
    """Return the thought behind a prompt, but not after a person's first comment, which it may repeat."""
    commented = any(r.words and r.round < attempt.round for r in reviews)
    return "left out, it follows a person's words" if commented else attempt.thought or "none recorded"


def _contains_any(text: str, private: Iterable[str]) -> bool:
    plain = normalize(text).casefold()
    return any(contains(plain, normalize(p).casefold()) for p in private)


def _lesson_note(lesson: StoredLesson) -> str:
    if lesson.status == "proposed":
        return f"A lesson waits for approval ({lesson.kind}): {lesson.text} Keep it with `gems lessons approve {lesson.id}`."
    return f"A lesson was kept ({lesson.kind}, {lesson.id}): {lesson.text}"
