"""Options of chat models behind OpenAI-compatible endpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr

from ...privacy import refuse_secrets
from ..endpoint_address import OPENAI_URL, endpoint_key, is_endpoint, is_openai
from ..options import ChatOptions
from .thinking import thinking_fields

if TYPE_CHECKING:
    from .endpoint import EndpointChat

Effort = Literal["minimal", "low", "medium", "high", "xhigh"]


class EndpointChatOptions(ChatOptions):
    """A chat model behind an OpenAI-compatible endpoint."""

    spec = "openai:MODEL, http(s)://HOST/v1#MODEL"
    about = "an OpenAI-compatible endpoint"

    thinking: bool | Effort | None = Field(
        default=None, description="Reasoning on or off, or its effort; see `gems.models.chat.thinking`."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Sampling temperature; 0 is the least random.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling: share of the likeliest tokens.")
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer, reasoning included.")
    timeout: float = Field(default=120, gt=0, description="Seconds for one try, to the last byte of the answer.")
    retries: int = Field(default=4, ge=0, description="Tries after the first, for 429, 5xx, time-outs and dropped connections.")
    in_flight: int = Field(default=8, ge=1, description="Most concurrent calls to the endpoint.")
    key_env: str | None = Field(default=None, description="Environment variable that holds the key.")
    extra_body: dict[str, Any] = Field(default={}, description="Further fields of the body of every request.")

    def make(self) -> EndpointChat:
        """Return a client of the endpoint.

        Raises:
            ModelSpecError: the key is missing, or a key is in the spec or in `extra_body`.
        """
        if not is_endpoint("chat", self.model):
            raise self.not_understood()
        from ..http import GuardedAsyncClient, GuardedClient
        from .endpoint import EndpointChat

        base_url, query, model = _split_spec(self.model)
        refuse_secrets("chat", self.model, self.extra_body)
        key_env, key = endpoint_key("chat", self.model, self.key_env)
        thinking, note = thinking_fields(base_url, model, self.thinking)
        # ChatOpenAI drops the temperature of GPT-5 models unless it sees that they do not reason.
        known = {"reasoning_effort": thinking.pop("reasoning_effort", None)} if is_openai(base_url) else {}
        chat = EndpointChat(
            model=model,
            base_url=base_url,
            default_query=query or None,
            api_key=SecretStr(key or "none"),
            temperature=self.temperature,
            top_p=self.top_p,
            max_completion_tokens=self.max_tokens,
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=GuardedClient(),
            http_async_client=GuardedAsyncClient(),
            stream_chunk_timeout=None,  # the time-out is of the whole answer: a slow model may be silent as long
            extra_body=_merge_fields(thinking, self.extra_body) or None,
            # Only OpenAI has the Responses API for sure; there ChatOpenAI knows best which models need it.
            use_responses_api=None if is_openai(base_url) else False,
            stream_usage=True if is_openai(base_url) else None,
            in_flight=self.in_flight,
            key_env=key_env,
            **known,
        )
        if note:
            chat.remarks.append(note)
        if self.temperature is not None and chat.temperature is None:
            chat.remarks.append(f"{model} takes no temperature while it reasons: {self.temperature:g} is not sent.")
        return chat


def _split_spec(spec: str) -> tuple[str, dict[str, str], str]:
    """Split the spec of an endpoint into URL, query and model. The environment may name another server of OpenAI's models."""
    if spec.startswith("openai:"):
        url = os.environ.get("OPENAI_API_BASE") or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        return url, {}, spec.removeprefix("openai:")
    parts = urlsplit(spec)
    return parts._replace(fragment="", query="").geturl(), dict(parse_qsl(parts.query)), parts.fragment


def _merge_fields(fields: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields overridden by others; objects in both are merged, one level deep."""
    merged = {**fields, **over}
    for name in fields.keys() & over.keys():
        if isinstance(fields[name], dict) and isinstance(over[name], dict):
            merged[name] = {**fields[name], **over[name]}
    return merged
