"""The embedded chat model: rules that play every role of GEMS for the shapes world.

It is an ordinary `BaseChatModel` with tools and structured answers, and reads nothing but the messages it is sent: the
tags that the roles' prompts use, and images. It has no language of its own; a request outside its world is an error
that says so. Shown an image without a role to play, it answers what benchmarks ask a judge: see `judge`.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from PIL import Image

from ...errors import NotForShapesError
from ...pixels import to_rgb
from ..chat.scripted import ScriptedChat, load_skills, loadable_skills, schema_name, tag_content
from . import judge, roles

REFINER_SCHEMAS = {"Refinement", "EditRefinement", "FusedRefinement", "FusedEditRefinement"}
"""Names of the refiner's schemas."""

IMAGE_TOKENS = 64
"""What an image counts in tokens: one for each of its 16x16 pixel patches."""


class ShapesChat(ScriptedChat):
    """Plays planner, decomposer, verifier, summarizer, refiner and learner for the shapes world, by rules."""

    model_name: str = "shapes-chat"

    @property
    def _llm_type(self) -> str:
        return "shapes"

    def answer(self, messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Answer as a role, or else as a judge."""
        role = _role_answer(messages, options.get("tools") or [], schema_name(options))
        return role or _judge_answer(messages, options)

    def count_tokens(self, messages: Sequence[BaseMessage], answer: AIMessage) -> tuple[int, int]:
        """Count words, and `IMAGE_TOKENS` for each image."""
        tokens_in = sum(len(_message_text(m).split()) + IMAGE_TOKENS * len(_image_blocks(m)) for m in messages)
        words = len(answer.content.split()) if isinstance(answer.content, str) else 0
        return tokens_in, words + sum(len(json.dumps(c["args"]).split()) + 1 for c in answer.tool_calls)


def _role_answer(messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], schema: str) -> AIMessage | None:
    """Play a role; None where none is asked for."""
    text = "\n".join(_message_text(m) for m in messages if m.type == "human")
    request = tag_content(text, "request")
    if tools or schema == "Plan":
        return _plan(request, messages, tools, _shown_lessons(text))
    if schema == "Checks":
        return _json_message(roles.checks(request))
    if schema == "Findings":
        asked = re.findall(r"^(\S+?)\. (.+)$", tag_content(text, "questions"), re.MULTILINE)
        return _json_message(roles.findings(asked, _last_image(messages)))
    if schema == "LearnedLessons":
        return _json_message(_lessons_from_changes(text))
    if schema == "Lesson":
        return _json_message(_summarize_attempt(request, text, messages))
    if schema in REFINER_SCHEMAS:  # it never edits
        said = {**roles.refinement(request, _shown_attempts(messages), _shown_lessons(text)), "action": "regenerate"}
        return _json_message({**_summarize_latest_attempt(request, messages), **said} if schema.startswith("Fused") else said)
    return None


def _judge_answer(messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
    """Answer a benchmark's question about an image."""
    text = "\n".join(_message_text(m) for m in messages if m.type == "human")
    shown = any(_image_blocks(m) for m in messages) and not schema_name(options)
    said = judge.answer_judge_question(text, _last_image(messages)) if shown else None
    if said is not None:
        alternatives = (options.get("top_logprobs") or 0) if options.get("logprobs") else None
        said, beside = judge.limit_answer(said, options.get("max_tokens"), alternatives)
        return AIMessage(said, response_metadata=beside)
    raise NotForShapesError(
        "shapes-chat plays the roles of GEMS for its small world and cannot converse: use a real model with --chat"
    )


def _summarize_attempt(request: str, told: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    failures = re.findall(r"^FAILED: (.+)$", tag_content(told, "findings"), re.MULTILINE)
    return roles.lesson(request, tag_content(told, "prompt"), failures, _last_image(messages))


def _summarize_latest_attempt(request: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """Sum up the latest of the attempts that a refiner is shown; its image is the last one."""
    told = [str(block.get("text", "")) for m in messages if m.type == "human" for block in _content_blocks(m)]
    return _summarize_attempt(request, [text for text in told if "<attempt " in text][-1], messages)


def _shown_lessons(told: str) -> list[str]:
    """Return the texts of the lessons of other requests, as they are shown."""
    return re.findall(r"^- [^:\n]+: (.+)$", tag_content(told, "lessons"), re.MULTILINE)


def _lessons_from_changes(told: str) -> dict[str, Any]:
    changes = re.findall(r'<change kind="(\w+)">(.*?)</change>', told, re.DOTALL)
    skills = tag_content(told, "skills_loaded").split(", ")
    return roles.lessons_from_changes(
        [(kind, tag_content(text, "old_prompt"), tag_content(text, "new_prompt")) for kind, text in changes], skills
    )


def _plan(request: str, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], lessons: Sequence[str]) -> AIMessage:
    shown = "\n".join(_message_text(m) for m in messages if m.type == "tool")
    loaded = re.findall(r'<skill_content name="([^"]+)">', shown)
    skills = [] if loaded else roles.wanted_skills(request, loadable_skills(tools))
    if skills:
        return load_skills(skills)
    return _json_message(roles.plan(request, loaded, lessons))


def _shown_attempts(messages: Sequence[BaseMessage]) -> list[roles.ShownAttempt]:
    """Read the attempts that a refiner is shown, each with the image that follows it."""
    found: list[roles.ShownAttempt] = []
    for block in (b for m in messages if m.type == "human" for b in _content_blocks(m)):
        if block.get("type") == "image":
            found[-1:] = [m._replace(image=_decode_image(block)) for m in found[-1:]]
        text = str(block.get("text", ""))
        if "<attempt " in text:
            found.append(
                roles.ShownAttempt(tag_content(text, "prompt"), 'best="true"' in text, tag_content(text, "experience"), None)
            )
        elif current := tag_content(text, "current_prompt"):
            found.append(roles.ShownAttempt(current, False, "", None))
    return found


def _json_message(answer: dict[str, Any]) -> AIMessage:
    return AIMessage(json.dumps(answer, ensure_ascii=False))


def _content_blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = message.content
    return [{"type": "text", "text": b} if isinstance(b, str) else b for b in ([content] if isinstance(content, str) else content)]


def _message_text(message: BaseMessage) -> str:
    return "\n".join(str(b["text"]) for b in _content_blocks(message) if "text" in b)


def _image_blocks(message: BaseMessage) -> list[dict[str, Any]]:
    return [b for b in _content_blocks(message) if b.get("type") in ("image", "image_url")]


def _last_image(messages: Sequence[BaseMessage]) -> Image.Image:
    blocks = [b for m in messages for b in _image_blocks(m)]
    if not blocks:
        raise NotForShapesError("shapes-chat was asked about an image and sent none")
    return _decode_image(blocks[-1])


def _decode_image(block: dict[str, Any]) -> Image.Image:
    """Open a standard image block, or one in OpenAI's form."""
    data = block.get("base64") or str(block.get("image_url", {}).get("url", "")).partition("base64,")[2]
    try:
        return to_rgb(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
    except Exception as error:  # Pillow's readers raise many kinds
        raise NotForShapesError("shapes-chat was sent an image that it cannot open: send a PNG as base64") from error
