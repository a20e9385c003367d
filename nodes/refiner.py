"""Refiner: reads the memory and writes the next prompt."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext
from ..memory.recall import recall
from ..memory.state import GemsState
from ..models.ask import ask
from ..skills import SkillLibrary
from .keep import keep_quoted
from .parts import Node, ReadImage, clip, cost, human

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


class Refinement(BaseModel):
    """The next prompt."""

    strategy: str = Field(description="In at most 60 words: the cause of each fault, and what this prompt does about it.")
    prompt: str = Field(description="The whole next prompt for the image model.")


def render(state: GemsState, context: RunContext, skills: SkillLibrary, read: ReadImage) -> list[BaseMessage]:
    """Return what the model is shown: the request, the skills in use, and the memory as the recall policy has it."""
    loaded = [skills.get(name) for name in state.skills]
    bodies = [f'<skill_content name="{skill.name}">\n{skill.body}\n</skill_content>' for skill in loaded]
    memory = recall(state, context.recall)
    ask_for = f"Write the prompt of round {state.round + 1}."
    return [
        SystemMessage("\n\n".join([SYSTEM, *bodies])),
        human([f"<request>\n{state.prompt}\n</request>", *memory, ask_for], read),
    ]


def parse(answer: Refinement, thought: str, request: str) -> dict[str, Any]:
    """Return the state update: the draft with every quoted string of the request, and the thought behind it."""
    prompt, restored = keep_quoted(answer.prompt.strip() or request, request)
    notes = [f"The refiner had dropped the quoted text {text!r}: put back." for text in restored]
    return {"draft": prompt, "thought": clip(thought or answer.strategy.strip()), "notes": notes}


def refiner(chat: BaseChatModel, skills: SkillLibrary, read: ReadImage) -> Node:
    """Build the node that writes the next `draft` and the `thought` behind it."""

    def node(state: GemsState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = runtime.context or RunContext()
        answer = ask(chat, render(state, context, skills, read), Refinement, role="refiner")
        return {**parse(answer.value, answer.thought, state.prompt), "usage": cost("refiner", [answer.spent])}

    return node
