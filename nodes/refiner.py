"""Refiner: writes the next prompt from the memory of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..memory.lessons import StoredLesson
from ..memory.recall import USES_EXPERIENCES, feedback_text, recall
from ..memory.state import MAX_PROMPT_CHARACTERS, GemsState, ImageRef, ShownLesson, best_of
from ..models.chat.ask import ask
from ..models.image.base import ImageModel
from ..skills import SkillLibrary
from .lesson_prompts import as_shown, lessons_block, lessons_for_refiner
from .messages import Node, ReadImage, clip_thought, truncate, usage_of, user_message
from .quote_guard import restore_quoted
from .summarizer import Lesson
from .summarizer import parse as parse_experience

SYSTEM = """\
You refine the prompt of an image that is being made in rounds. An examiner has found faults in the images so far; you \
write the prompt from which the next one is drawn.

- The request is the law: every object, number, colour, relation and style it states, and every string in double quotes \
letter for letter, must be in your prompt. The prompt is all the image model sees, so it must be complete in itself, \
never "as before, but".
- Start from the prompt of the best attempt, not from the latest if that was worse, and keep the words that gave what \
passed.
- Find the cause of each fault before you change anything: what in the wording let the model do that? Then say it \
differently: more concretely, earlier in the prompt, object by object, with a place in the frame for each, with the \
number counted out; or take away what competes with it. Repeating or stressing a sentence that has failed seldom helps.
- A fault that has survived two wordings needs another approach, such as another composition that satisfies the request \
as well.
- Say what is to be seen. Not what to avoid, not how important it is."""


EDIT = """\


You may also have the best image edited instead of a new one drawn. Choose the action "edit" for a local fault: a wrong \
colour, material or expression, a misspelt word, one small thing that should not be there. Your prompt is then an \
instruction to an image editor that sees that image and nothing else: name the thing as it looks and where it is, say \
what it becomes, and that everything else stays as it is. Choose "regenerate" where numbers, places or the composition \
are wrong, or where an edit has not mended the same fault: your prompt is then the whole image again."""

FUSE = """\


You keep the logbook too: in `experience`, at most 100 words, write down what the latest round taught, for the colleague who \
writes the prompts after yours and remembers nothing but these notes. What its prompt tried that was new, and whether it \
worked; what came out wrong, as it looks in the image; what came out right and must be kept, with the words that did it; \
what not to try again. Do not repeat earlier notes."""

THOUGHT = """\
The thought behind the latest prompt:
<thought>
{thought}
</thought>"""

PROMPT_LIMIT = """\
The image model reads the first {tokens} tokens of a prompt, some {words} words, and nothing after them: stay below."""

CUT_PROMPT = """\
The end of the last prompt was not read: "{cut}". Say the same in fewer words, the most important things first."""


class Refinement(BaseModel):
    """The next prompt."""

    strategy: str = Field(description="In at most 60 words: the cause of each fault, and what this prompt does about it.")
    prompt: str = Field(description="The whole next prompt for the image model.")


class EditRefinement(BaseModel):
    """The next prompt, or an edit of the best image."""

    strategy: str = Field(description="In at most 60 words: the cause of each fault, and what this prompt does about it.")
    action: Literal["regenerate", "edit"]
    prompt: str = Field(description="regenerate: the whole next prompt. edit: what to change in the best image.")


class FusedRefinement(Refinement, Lesson):
    """What the latest round taught, and the next prompt."""


class FusedEditRefinement(EditRefinement, Lesson):
    """What the latest round taught, and the next prompt, or an edit of the best image."""


SCHEMAS: dict[tuple[bool, bool], type[Refinement | EditRefinement]] = {
    (False, False): Refinement,
    (True, False): EditRefinement,
    (False, True): FusedRefinement,
    (True, True): FusedEditRefinement,
}
"""By whether the model may edit, and whether it writes the experience of the round."""


def writes_experience(state: GemsState, context: RunContext) -> bool:
    """Return whether the refiner writes the experience instead of the summarizer: if it is recalled, and there is an image."""
    return context.fuse and context.recall in USES_EXPERIENCES and bool(state.attempts)


def shown_memory(state: GemsState, context: RunContext, lessons: Sequence[StoredLesson | ShownLesson] = ()) -> list[str | ImageRef]:
    """Return the memory of this run and others that the model is shown: texts and images, in order."""
    memory = recall(state, context.recall)
    thought = state.latest[0].thought if writes_experience(state, context) else ""
    memory += [THOUGHT.format(thought=thought)] if thought else []
    return [f"<request>\n{state.prompt}\n</request>", *feedback_text(state.reviews), *memory, *lessons_block(lessons)]


def render(
    state: GemsState,
    context: RunContext,
    skills: SkillLibrary,
    read: ReadImage,
    *,
    may_edit: bool = False,
    limit: int | None = None,
    cut: str | None = None,
    lessons: Sequence[StoredLesson] = (),
) -> list[BaseMessage]:
    """Return the messages to the model: the request, the loaded skills, and the memory by the recall policy.

    Args:
        state: the run so far.
        context: its settings.
        skills: the library of the loaded skills.
        read: returns the bytes of an image.
        may_edit: whether the model may choose to edit the best image.
        limit: number of tokens of a prompt that the image model reads.
        cut: the end of the last prompt, if the image model did not read it.
        lessons: of earlier runs.
    """
    loaded = [skills.get(name) for name in state.skills]
    bodies = [f'<skill_content name="{skill.name}">\n{skill.body}\n</skill_content>' for skill in loaded]
    ask_for = [f"Write the prompt of round {state.round + 1}."]
    ask_for += [PROMPT_LIMIT.format(tokens=limit, words=limit * 3 // 4)] if limit else []
    ask_for += [CUT_PROMPT.format(cut=cut[:200])] if cut else []
    system = context.refiner_prompt or SYSTEM
    return [
        SystemMessage(
            "\n\n".join([system + (EDIT if may_edit else "") + (FUSE if writes_experience(state, context) else ""), *bodies])
        ),
        user_message([*shown_memory(state, context, lessons), " ".join(ask_for)], read),
    ]


def parse(answer: Refinement | EditRefinement, thought: str, request: str) -> dict[str, Any]:
    """Return the state update: the draft, which contains every quoted text of the request, and the thought behind it.

    An edit is not changed: what it does not name stays in the image.
    """
    thought = clip_thought(thought or answer.strategy.strip())
    edit = isinstance(answer, EditRefinement) and answer.action == "edit" and bool(answer.prompt.strip())
    written, notes = truncate(answer.prompt.strip(), MAX_PROMPT_CHARACTERS, "The refiner's prompt")
    if edit:
        return {"draft": written, "edit": True, "thought": thought, "notes": notes}
    prompt, restored = restore_quoted(written or request, request)
    notes += [f"The refiner had dropped the quoted text {text!r}: put back." for text in restored]
    return {"draft": prompt, "edit": False, "thought": thought, "notes": notes}


def refiner(chat: BaseChatModel, skills: SkillLibrary, read: ReadImage, image: ImageModel | None = None) -> Node:
    """Build the node that writes the next `draft` and the `thought` behind it.

    Args:
        chat: a model that takes images.
        skills: the library of the loaded skills.
        read: returns the bytes of an image.
        image: the image model; the prompt states its limits, and it edits if the settings allow it.
    """

    def node(state: GemsState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        may_edit = context.edit == "auto" and image is not None and image.can_edit and best_of(state.attempts) is not None
        limit, cut = (image.prompt_limit, image.truncated(state.draft)) if image else (None, None)
        lessons = lessons_for_refiner(context, runtime.store, state)
        messages = render(state, context, skills, read, may_edit=may_edit, limit=limit, cut=cut, lessons=lessons)
        answer = ask(chat, messages, SCHEMAS[may_edit, writes_experience(state, context)], role="refiner")
        update = parse(answer.value, answer.thought, state.prompt)
        if isinstance(answer.value, Lesson):
            experience = parse_experience(answer.value, state.round)
            update |= {**experience, "notes": update["notes"] + experience["notes"]}
        if lessons:
            update["lessons"] = as_shown(lessons, state.round + 1)
        return {**update, "notes": [*update["notes"], *answer.notes], "usage": usage_of("refiner", [answer.spent])}

    return node
