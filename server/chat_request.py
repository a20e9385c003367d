"""Schema of the body of POST /v1/chat/completions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

RESPONSE_FORMATS = ("text", "json_object", "json_schema")


class StrictRequest(BaseModel):
    """The body of a request. `unknown` has the fields that it does not name."""

    model_config = ConfigDict(strict=True, extra="allow")

    HARMLESS: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not change the answer: ignored."""
    NEUTRAL: ClassVar[Mapping[str, Any]] = {}
    """Default values of other fields: ignored."""

    @property
    def unknown(self) -> dict[str, Any]:
        """Fields that this server does not know and that would change the answer."""
        extra = self.model_extra or {}
        return {
            k: v for k, v in extra.items() if not (v is None or k in self.HARMLESS or (k in self.NEUTRAL and v == self.NEUTRAL[k]))
        }


class ContentPart(BaseModel):
    """A part of a request: strict, and fields that it does not name are ignored."""

    model_config = ConfigDict(strict=True)


class TextPart(ContentPart):
    """A text part of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(ContentPart):
    """An image as a data URL."""

    url: str
    detail: str | None = None


class ImagePart(ContentPart):
    """An image part of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FunctionCall(ContentPart):
    """A function call as a model has written it."""

    name: str
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _is_object(cls, arguments: str) -> str:
        try:
            value = json.loads(arguments, strict=False)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return arguments


class ToolCall(ContentPart):
    """A tool call."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


def _text_tag(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<other>"


Content = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[Annotated[TextPart | ImagePart, Field(discriminator="type")]], Tag("<other>")],
    Discriminator(_text_tag),
]
"""A text or a list of parts. The tags keep the other branch out of error messages."""


class ChatMessage(ContentPart):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> ChatMessage:
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a message of a tool needs its tool_call_id")
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("the message has no content")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only the assistant calls tools")
        return self


class NamedTool(BaseModel):
    """The name of a function, with any other fields of its description."""

    model_config = ConfigDict(strict=True, extra="allow")

    name: str


class Tool(BaseModel):
    """A tool of the request."""

    model_config = ConfigDict(strict=True, extra="allow")

    type: Literal["function"]
    function: NamedTool


class ChatRequest(StrictRequest):
    """The body of POST /v1/chat/completions."""

    HARMLESS: ClassVar = frozenset(
        {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
        | {"chat_template_kwargs", "reasoning_effort", "separate_reasoning", "verbosity"}
    )
    NEUTRAL: ClassVar = {
        **{"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "modalities": ["text"]},
        **{"n": 1, "stream": False, "parallel_tool_calls": True},
    }

    messages: list[ChatMessage] = Field(min_length=1)
    model: str | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    response_format: dict[str, Any] | None = None
    stop: str | list[str] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @field_validator("response_format")
    @classmethod
    def _valid_format(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None or value.get("type") == "text":
            return None
        if value.get("type") not in RESPONSE_FORMATS:
            raise ValueError(f"the type is one of {', '.join(RESPONSE_FORMATS)}")
        schema = value.get("json_schema")
        if value["type"] == "json_schema" and not (
            isinstance(schema, dict) and isinstance(schema.get("name"), str) and isinstance(schema.get("schema"), dict)
        ):
            raise ValueError("json_schema needs a name and a schema")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs: it needs logprobs to be true")
        return self

    @property
    def stop_texts(self) -> list[str]:
        """Texts that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def token_limit(self) -> int | None:
        """Most tokens of the answer."""
        return self.max_completion_tokens or self.max_tokens
