"""The embedded chat model: rules that play every role of GEMS for the shapes world.

It is an ordinary `BaseChatModel` with tools and structured answers, and reads nothing but the messages it is sent: the
tags that the roles' prompts use, and pictures. It has no language of its own; a request outside its world is an error
that says so. Shown a picture without a role to play, it answers what benchmarks ask a judge: see `judge`.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image

from ...errors import NotForShapesError
from ...pixels import to_rgb
from . import judge, roles

REFINEMENTS = {"Refinement", "EditRefinement", "FusedRefinement", "FusedEditRefinement"}
"""Names of the refiner's schemas."""

IMAGE_TOKENS = 64
"""What a picture counts in tokens: one for each of its 16x16 pixel patches."""


class ShapesChat(BaseChatModel):
    """Plays planner, decomposer, verifier, summarizer, refiner and learner for the shapes world, by rules."""

    model_name: str = "shapes-chat"

    gives_logprobs: ClassVar[bool] = True
    """For one word of a judge only; what the roles say is JSON, and comes without."""

    @property
    def _llm_type(self) -> str:
        return "shapes"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools; it uses `load_skill` for what it can follow."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = _answer(messages, kwargs.get("tools") or [], _schema_name(kwargs)) or _judged(messages, kwargs)
        words = len(message.content.split()) if isinstance(message.content, str) else 0
        said = words + sum(len(json.dumps(c["args"]).split()) + 1 for c in message.tool_calls)
        read = sum(len(_text(m).split()) + IMAGE_TOKENS * len(_image_blocks(m)) for m in messages)
        message.usage_metadata = UsageMetadata(input_tokens=read, output_tokens=said, total_tokens=read + said)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _answer(messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], schema: str) -> AIMessage | None:
    """Play a role; None where none is asked for."""
    text = "\n".join(_text(m) for m in messages if m.type == "human")
    request = _tag(text, "request")
    if tools or schema == "Plan":
        return _plan(request, messages, tools, _lessons(text))
    if schema == "Checks":
        return _json(roles.checks(request))
    if schema == "Findings":
        asked = re.findall(r"^(\S+?)\. (.+)$", _tag(text, "questions"), re.MULTILINE)
        return _json(roles.findings(asked, _last_image(messages)))
    if schema == "LearnedLessons":
        return _json(_learned(text))
    if schema == "Lesson":
        return _json(_lesson(request, text, messages))
    if schema in REFINEMENTS:  # it never edits
        said = {**roles.refinement(request, _memory(messages), _lessons(text)), "action": "regenerate"}
        return _json({**_latest_lesson(request, messages), **said} if schema.startswith("Fused") else said)
    return None


def _judged(messages: Sequence[BaseMessage], options: dict[str, Any]) -> AIMessage:
    """Answer a benchmark's question about a picture."""
    text = "\n".join(_text(m) for m in messages if m.type == "human")
    shown = any(_image_blocks(m) for m in messages) and not _schema_name(options)
    said = judge.judged(text, _last_image(messages)) if shown else None
    if said is not None:
        alternatives = (options.get("top_logprobs") or 0) if options.get("logprobs") else None
        said, beside = judge.spoken(said, options.get("max_tokens"), alternatives)
        return AIMessage(said, response_metadata=beside)
    raise NotForShapesError(
        "shapes-chat plays the roles of GEMS for its small world and cannot converse: use a real model with --chat"
    )


def _lesson(request: str, told: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    failures = re.findall(r"^FAILED: (.+)$", _tag(told, "findings"), re.MULTILINE)
    return roles.lesson(request, _tag(told, "prompt"), failures, _last_image(messages))


def _latest_lesson(request: str, messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """Sum up the latest of the attempts that a refiner is shown; its picture is the last one."""
    told = [str(block.get("text", "")) for m in messages if m.type == "human" for block in _blocks(m)]
    return _lesson(request, [text for text in told if "<attempt " in text][-1], messages)


def _lessons(told: str) -> list[str]:
    """Return the texts of the lessons of other requests, as they are shown."""
    return re.findall(r"^- [^:\n]+: (.+)$", _tag(told, "lessons"), re.MULTILINE)


def _learned(told: str) -> dict[str, Any]:
    changes = re.findall(r'<change kind="(\w+)">(.*?)</change>', told, re.DOTALL)
    skills = _tag(told, "skills_loaded").split(", ")
    return roles.learned([(kind, _tag(text, "old_prompt"), _tag(text, "new_prompt")) for kind, text in changes], skills)


def _plan(request: str, messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]], lessons: Sequence[str]) -> AIMessage:
    shown = "\n".join(_text(m) for m in messages if m.type == "tool")
    loaded = re.findall(r'<skill_content name="([^"]+)">', shown)
    offered: list[str] = []
    for tool in tools:
        if tool["function"]["name"] == "load_skill":
            name = tool["function"]["parameters"]["properties"]["name"]
            offered = name.get("enum") or [name["const"]]
    wanted = [] if loaded or not offered else roles.wanted_skills(request, offered)
    if wanted:
        calls = [{"name": "load_skill", "args": {"name": n}, "id": f"call_{n}", "type": "tool_call"} for n in wanted]
        return AIMessage("", tool_calls=calls)
    return _json(roles.plan(request, loaded, lessons))


def _memory(messages: Sequence[BaseMessage]) -> list[roles.Remembered]:
    """Read the attempts that a refiner is shown, each with the picture that follows it."""
    found: list[roles.Remembered] = []
    for block in (b for m in messages if m.type == "human" for b in _blocks(m)):
        if block.get("type") == "image":
            found[-1:] = [m._replace(image=_decode(block)) for m in found[-1:]]
        text = str(block.get("text", ""))
        if "<attempt " in text:
            found.append(roles.Remembered(_tag(text, "prompt"), 'best="true"' in text, _tag(text, "experience"), None))
        elif current := _tag(text, "current_prompt"):
            found.append(roles.Remembered(current, False, "", None))
    return found


def _json(answer: dict[str, Any]) -> AIMessage:
    return AIMessage(json.dumps(answer, ensure_ascii=False))


def _tag(text: str, name: str) -> str:
    found = re.search(rf"<{name}>\s*(.*?)\s*</{name}>", text, re.DOTALL)
    return found.group(1) if found else ""


def _schema_name(options: dict[str, Any]) -> str:
    wanted = options.get("response_format") or {}
    return str(wanted.get("json_schema", {}).get("name", "")) if isinstance(wanted, dict) else ""


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = message.content
    return [{"type": "text", "text": b} if isinstance(b, str) else b for b in ([content] if isinstance(content, str) else content)]


def _text(message: BaseMessage) -> str:
    return "\n".join(str(b["text"]) for b in _blocks(message) if "text" in b)


def _image_blocks(message: BaseMessage) -> list[dict[str, Any]]:
    return [b for b in _blocks(message) if b.get("type") in ("image", "image_url")]


def _last_image(messages: Sequence[BaseMessage]) -> Image.Image:
    blocks = [b for m in messages for b in _image_blocks(m)]
    if not blocks:
        raise NotForShapesError("shapes-chat was asked about an image and sent none")
    return _decode(blocks[-1])


def _decode(block: dict[str, Any]) -> Image.Image:
    """Open a standard image block, or one in OpenAI's form."""
    data = block.get("base64") or str(block.get("image_url", {}).get("url", "")).partition("base64,")[2]
    try:
        return to_rgb(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
    except Exception as error:  # Pillow's readers raise many kinds
        raise NotForShapesError("shapes-chat was sent an image that it cannot open: send a PNG as base64") from error
