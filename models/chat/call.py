"""One call of a chat model: its usage, and its failures as errors that say what to do."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage

from ...errors import ModelCallError, NotACompletionError
from ...privacy import host_of, keys_of, redact, without_keys
from ..endpoint_address import redirect_problem
from .sanitize import clean_message

MALFORMED_DATA_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What Python raises where data has an unexpected form; in a chat model, the answer that it parses."""


class CallUsage(NamedTuple):
    """Calls of a chat model with their tokens and seconds."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0

    def plus(self, other: CallUsage) -> CallUsage:
        """Return the sum, field by field."""
        tokens = self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        return CallUsage(self.calls + other.calls, *tokens, self.seconds + other.seconds)


def call(chat: Any, messages: Sequence[BaseMessage], *, role: str = "") -> tuple[AIMessage, CallUsage]:
    """Call a chat model, or one with bound options, once; return its message in a clean form, and the usage.

    Args:
        chat: the model; its client repeats what is worth repeating.
        messages: the conversation.
        role: the role that calls, for errors.

    Raises:
        ModelCallError: an OpenAI client failed, or the answer cannot be parsed. Other errors of the model pass through.
    """
    began = time.perf_counter()
    try:
        message = clean_message(chat.invoke(list(messages)))
    except Exception as error:
        if not is_endpoint_error(error) and not _is_langchain_parsing_error(error):
            raise
        # A cause that quotes the key would show it in a traceback.
        raise _call_error(error, without_bound_options(chat), role) from (None if _quotes_a_key(error, chat) else error)
    message = without_keys(message, chat)
    usage = message.usage_metadata
    seconds = time.perf_counter() - began
    return message, CallUsage(1, usage["input_tokens"] if usage else 0, usage["output_tokens"] if usage else 0, seconds)


def without_bound_options(chat: Any) -> Any:
    """Return the model inside of bound options."""
    while (inner := getattr(chat, "bound", None)) is not None:
        chat = inner
    return chat


def model_name(chat: Any) -> str:
    """Return the name under which a chat model is shown in errors and reports."""
    for attribute in ("model_name", "model"):
        if isinstance(name := getattr(chat, attribute, None), str) and name:
            return name
    return type(chat).__name__


def server_message(error: Exception, chat: Any) -> str:
    """Return the message of an endpoint in an error, on one line of at most 300 characters, without the key."""
    body = getattr(error, "body", None)
    message = body.get("message") or body.get("detail") or body.get("error") if isinstance(body, dict) else None
    text = " ".join(str(message or getattr(error, "message", "") or error).split())
    text = redact(text, *keys_of(chat))
    return text if len(text) <= 300 else text[:300] + "..."


def is_openai_client(chat: Any) -> bool:
    """Return whether a model, also with bound options, is a client of an OpenAI-compatible endpoint."""
    return any(base.__name__ == "BaseChatOpenAI" for base in type(without_bound_options(chat)).__mro__)


def is_endpoint_error(error: Exception) -> bool:
    """Return whether an error comes from an endpoint or from its HTTP client."""
    if isinstance(error, NotACompletionError):
        return True
    return any(base.__module__.partition(".")[0] in {"openai", "httpx", "httpx2"} for base in type(error).__mro__)


def _call_error(error: Exception, chat: Any, role: str) -> ModelCallError:
    """Return an error of the client as one that says what to do."""
    client = getattr(chat, "root_client", None)
    url = str(getattr(client, "base_url", ""))
    host, status, name = host_of(url), getattr(error, "status_code", None), model_name(chat)
    tries = (getattr(client, "max_retries", 0) or 0) + 1
    after = f" after {tries} tries" if tries > 1 else ""
    said = server_message(error, chat)
    kinds = {base.__name__ for base in type(error).__mro__}
    if status == 401:
        key = getattr(chat, "key_env", "") or "OPENAI_API_KEY"
        problem = f"the key in {key} was refused, or there is none (HTTP 401: {said})"
    elif status == 403:
        problem = f"the endpoint does not allow this (HTTP 403: {said})"
    elif status == 404:
        problem = f"HTTP 404: {said}; {_available_models(client, name)}"
    elif status == 429:
        problem = f"too many requests, or no quota left{after}: {said}; wait, or lower in_flight"
    elif status is not None and status >= 500:
        problem = f"the endpoint failed{after} (HTTP {status}): {said}"
    elif status is not None and 300 <= status < 400:
        problem = f"the endpoint {redirect_problem(getattr(error, 'response', None))}"
    elif status is not None:
        problem = f"the endpoint refused the request (HTTP {status}): {said}"
    elif kinds & {"APITimeoutError", "TimeoutException"}:
        seconds = getattr(chat, "request_timeout", None)
        problem = f"no answer within {seconds:g} s{after}: raise the option timeout" if seconds else f"no answer in time{after}"
    elif "OversizedAnswerError" in kinds:
        problem = f"{said}: it is not taken"
    elif isinstance(error, NotACompletionError) and error.an_error:
        problem = f"the endpoint answered with an error: {said}"
    elif isinstance(error, NotACompletionError) and error.unread:
        problem = f"its answer cannot be read: {said}"
    elif _is_langchain_parsing_error(error):
        problem = f"its answer cannot be read ({type(error).__name__}: {said})"
    elif isinstance(error, NotACompletionError) or kinds & {"APIResponseValidationError", "DecodingError"}:
        problem = f"this is not an OpenAI-compatible chat endpoint: {said}; check the URL, which mostly ends in /v1"
    elif "ConnectError" in {type(cause).__name__ for cause in _cause_chain(error)}:
        problem = f"it cannot be reached{after}: is the server running at {host}?"
    else:
        problem = f"the connection broke off{after}: {said}"
    return ModelCallError(role, name, host, redact(problem, *keys_of(chat)), status, said)


def _is_langchain_parsing_error(error: Exception) -> bool:
    """Return whether LangChain raised an error while it parsed the answer of a chat model."""
    frames = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)]
    innermost = next((package for package in reversed(frames) if package != "pydantic"), "")
    return isinstance(error, MALFORMED_DATA_ERRORS) and innermost == "langchain_core"


def _quotes_a_key(error: Exception, chat: Any) -> bool:
    text = " ".join(map(str, _cause_chain(error)))
    return redact(text, *keys_of(chat)) != text


def _cause_chain(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _available_models(client: Any, name: str) -> str:
    """Describe which models an endpoint has, if it answers within 3 s."""
    try:
        has = [model.id for model in client.with_options(timeout=3, max_retries=0).models.list().data]
    except Exception:  # a hint is not worth a second error
        has = []
    if not has:
        return f"check the URL, which mostly ends in /v1, and the model's name ({name})"
    if name in has:
        return f"it lists the model {name}, so check the URL"
    return f"it has no model {name}, but {', '.join(has[:8])}" + (" and others" if len(has) > 8 else "")
