"""What several roles share: how a picture is shown to a model, and how a call's cost is booked."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langchain_core.messages import HumanMessage

from ..memory.state import MAX_PROMPT_CHARACTERS, Check, ImageRef, RoleUsage, Usage
from ..models.chat.call import CallUsage

Node = Callable[..., dict[str, Any]]
"""A node: it takes the state (and, if it wants, the runtime) and returns a partial update."""

ReadImage = Callable[[ImageRef], bytes]

MAX_THOUGHT = 4000
"""Characters of a model's reasoning that are kept: every later checkpoint repeats them."""


MAX_QUESTION = 1000
"""Characters of a check's question, of a verdict's reason and of a round's experience."""

MAX_ANSWER = 2 * MAX_PROMPT_CHARACTERS
"""Characters of a verdict's answer: more than the longest text that can be asked for."""


def shorten(text: str, most: int, what: str) -> tuple[str, list[str]]:
    """Return a text of a model's that is no longer than it may be, and the note that says so where it was cut.

    Args:
        text: the text.
        most: characters that are kept.
        what: what it is, for the note: `The planner's prompt`.
    """
    if len(text) <= most:
        return text, []
    return text[:most].rstrip(), [f"{what} had more than {most} characters: the rest was cut off."]


def human(parts: Iterable[str | ImageRef], read: ReadImage | None = None) -> HumanMessage:
    """Build a user message from texts and pictures. Pictures are read only now and live only in the message."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        elif read is not None:
            data = base64.b64encode(read(part)).decode()
            content.append({"type": "image", "base64": data, "mime_type": part.media_type})
    if all(block["type"] == "text" for block in content):
        return HumanMessage("\n\n".join(block["text"] for block in content))  # servers of text-only models take no lists
    return HumanMessage(content=[*content])


def cost(role: str, spent: Iterable[CallUsage], images: int = 0, seconds: float | None = None) -> Usage:
    """Book calls and pictures on a role, with the seconds they took: by default those of the calls, added up."""
    total = CallUsage()
    for one in spent:
        total = total.plus(one)
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


def clip(thought: str) -> str:
    """Return a thought no longer than is worth remembering: of a long one the end, where the conclusion is."""
    return thought if len(thought) <= MAX_THOUGHT else "... " + thought[-MAX_THOUGHT:]


def list_checks(checks: Sequence[Check]) -> str:
    """Write checks a line each, without the expected answers: whoever is asked must not be told what to say."""
    return "\n".join(f"{c.id}. {c.question}" for c in checks)
