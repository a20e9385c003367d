"""The embedded chat model: rules that play every role of GEMS for the shapes world.

A `BaseChatModel` with tools and structured answers, which reads only its messages: the tags in the prompts of the roles,
and images. A request outside of the shapes world is an error that says so. For an image without a role it answers as a
judge of benchmarks: see `judge`.
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
"""Tokens of an image: one for each of its patches of 16x16 pixels."""


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
    """Answer as the role of a schema; None without tools and schema."""
    text = "\n".join(_message_text(m) for m in messages if m.type == "human")
    request = tag_content(text, "request")
    if tools or schema == "Plan":
        return _planner_message(request, messages, tools, _shown_lessons(text))
    if schema == "Checks":
        return _json_message(roles.checks(request))
    if schema == "Findings":
        id_and_text = re.findall(r"^(\S+?)\. (.+)$", tag_content(text, "questions"), re.MULTILINE)
        return _json_message(roles.findings(id_and_text, _last_image(messages)))
    if schema == "LearnedLessons":
        return _json_message(_lessons_from_changes(text))
    if schema == "Lesson":
        return _json_message(_summarize_attempt(request, text, messages))
    if schema in REFINER_SCHEMAS:  # it never edits
        refinement = {**roles.refinement(request, _shown_attempts(messages), _shown_lessons(text)), "action": "regenerate"}
        return _json_message(
            {**_summarize_latest_attempt(request, messages), **refinement} if schema.startswith("Fused") else refinement
        )
    return None


def _judge_answer(messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
    """Answer a benchmark's question about an image."""
    text = "\n".join(_message_text(m) for m in messages if m.type == "human")
    shown = any(_image_blocks(m) for m in messages) and not schema_name(options)
    answer = judge.answer_judge_question(text, _last_image(messages)) if shown else None
    if answer is not None:
        alternatives = (options.get("top_logprobs") or 0) if options.get("logprobs") else None
        answer, metadata = judge.limit_answer(answer, options.get("max_tokens"), alternatives)
        return AIMessage(answer, response_metadata=metadata)
    raise NotForShapesError(
        "shapes-chat plays the roles of GEMS for its small world and cannot converse: use a real model with --chat"
    )


def _summarize_attempt(request: str, prompt: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    failures = re.findall(r"^FAILED: (.+)$", tag_content(prompt, "findings"), re.MULTILINE)
    return roles.lesson(request, tag_content(prompt, "prompt"), failures, _last_image(messages))


def _summarize_latest_attempt(request: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """Summarize the latest attempt in the prompt of a refiner; its image is the last one."""
    texts = [str(block.get("text", "")) for m in messages if m.type == "human" for block in _content_blocks(m)]
    return _summarize_attempt(request, [text for text in texts if "<attempt " in text][-1], messages)


def _shown_lessons(prompt: str) -> list[str]:
    """Return the texts of the lessons in a prompt."""
    return re.findall(r"^- [^:\n]+: (.+)$", tag_content(prompt, "lessons"), re.MULTILINE)


def _lessons_from_changes(prompt: str) -> dict[str, Any]:
    changes = re.findall(r'<change kind="(\w+)">(.*?)</change>', prompt, re.DOTALL)
    skills = tag_content(prompt, "skills_loaded").split(", ")
    return roles.lessons_from_changes(
        [(kind, tag_content(text, "old_prompt"), tag_content(text, "new_prompt")) for kind, text in changes], skills
    )


def _planner_message(
    request: str, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], lessons: Sequence[str]
) -> AIMessage:
    shown = "\n".join(_message_text(m) for m in messages if m.type == "tool")
    loaded = re.findall(r'<skill_content name="([^"]+)">', shown)
    skills = [] if loaded else roles.wanted_skills(request, loadable_skills(tools))
    if skills:
        return load_skills(skills)
    return _json_message(roles.plan(request, loaded, lessons))


def _shown_attempts(messages: Sequence[BaseMessage]) -> list[roles.ShownAttempt]:
    """Parse the attempts in the prompt of a refiner, each with the image that follows it."""
    attempts: list[roles.ShownAttempt] = []
    for block in (b for m in messages if m.type == "human" for b in _content_blocks(m)):
        if block.get("type") == "image":
            attempts[-1:] = [m._replace(image=_decode_image(block)) for m in attempts[-1:]]
        text = str(block.get("text", ""))
        if "<attempt " in text:
            attempts.append(
                roles.ShownAttempt(tag_content(text, "prompt"), 'best="true"' in text, tag_content(text, "experience"), None)
            )
        elif current := tag_content(text, "current_prompt"):
            attempts.append(roles.ShownAttempt(current, False, "", None))
    return attempts


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
