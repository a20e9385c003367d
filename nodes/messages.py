"""Messages to models, and the usage of their calls: shared by the roles."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.messages import HumanMessage
from pydantic import BaseModel

from ..memory.state import MAX_PROMPT_CHARACTERS, Check, ImageRef, RoleUsage, Usage
from ..models.chat.call import CallUsage

T = TypeVar("T", bound=BaseModel)

Node = Callable[..., dict[str, Any]]
"""A node: takes the state, and the runtime if it needs it, and returns a partial update of the state."""

ReadImage = Callable[[ImageRef], bytes]

MAX_THOUGHT = 4000
"""Characters of a model's reasoning in the state: every later checkpoint repeats them."""

MAX_QUESTION = 1000
"""Characters of a check's question, of a verdict's reason and of a round's experience."""

MAX_ANSWER = 2 * MAX_PROMPT_CHARACTERS
"""Characters of a verdict's answer: more than the longest expected text."""


def truncate(text: str, limit: int, name: str) -> tuple[str, list[str]]:
    """Return the text cut to a limit, and a note if it was cut.

    Args:
        text: of a model.
        limit: in characters.
        name: of the text, for the note: `The planner's prompt`.
    """
    if len(text) <= limit:
        return text, []
    return text[:limit].rstrip(), [f"{name} had more than {limit} characters: the rest was cut off."]


def truncate_each(items: Iterable[T], limits: Mapping[str, tuple[int, str]]) -> tuple[list[T], list[str]]:
    """Return items with some of their texts stripped and cut, and a note for each kind of text that was cut.

    Args:
        items: parts of a model's answer.
        limits: by field, the limit in characters and the name of the text, as `truncate` takes them.
    """
    short, notes = [], dict[str, None]()
    for item in items:
        cut = {field: truncate(getattr(item, field).strip(), *limit) for field, limit in limits.items()}
        short.append(item.model_copy(update={field: text for field, (text, _) in cut.items()}))
        notes |= dict.fromkeys(note for _, of_field in cut.values() for note in of_field)
    return short, [*notes]


def user_message(parts: Iterable[str | ImageRef], read: ReadImage | None = None) -> HumanMessage:
    """Build a user message from texts and images. The bytes of images are read here and are in the message only."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif read is not None:
            data = base64.b64encode(read(part)).decode()
            content.append({"type": "image", "base64": data, "mime_type": part.media_type})
    if all(block["type"] == "text" for block in content):
        return HumanMessage("\n\n".join(block["text"] for block in content))  # servers of text-only models refuse lists
    return HumanMessage(content=[*content])


def usage_of(role: str, spent: Iterable[CallUsage], images: int = 0, seconds: float | None = None) -> Usage:
    """Return the usage of a role: its calls and images, and the seconds, by default the sum over the calls."""
    total = CallUsage()
    for call in spent:
        total = total.plus(call)
    return Usage(
        roles={
            role: RoleUsage(
                calls=total.calls,
                input_tokens=total.input_tokens,
                output_tokens=total.output_tokens,
                images=images,
                seconds=total.seconds if seconds is None else seconds,
            )
        }
    )


def clip_thought(thought: str) -> str:
    """Return a thought cut to `MAX_THOUGHT` characters: the end, where the conclusion is."""
    return thought if len(thought) <= MAX_THOUGHT else "... " + thought[-MAX_THOUGHT:]


def format_questions(checks: Sequence[Check]) -> str:
    """Return the questions of checks, a line each, without the expected answers."""
    return "\n".join(f"{c.id}. {c.question}" for c in checks)
