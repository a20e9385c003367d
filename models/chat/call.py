"""One call of a chat model, less what its server refuses: its usage, and its failures as errors that say what to do."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel

from ...errors import ModelCallError, NotACompletionError
from ...privacy import host_of, keys_of, redact, without_keys
from ..endpoint_address import redirect_problem
from ..negotiation import Negotiation, call_adapting, negotiation_with, parse_error
from .answer_probability import tokens_of
from .answer_text import text_of
from .sanitize import clean_message

MALFORMED_DATA_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What Python raises where data has an unexpected form; in a chat model, the answer that it parses."""

NO_CHAT_ENDPOINT = "this is not an OpenAI-compatible chat endpoint: {}; check the URL, which mostly ends in /v1"


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


def call(
    chat: Any,
    messages: Sequence[BaseMessage],
    wants: Mapping[str, Any] | None = None,
    *,
    role: str = "",
    required: Collection[str] = (),
) -> tuple[AIMessage, CallUsage]:
    """Call a chat model, with less where its server refuses something; return its message in a clean form, and the usage.

    Args:
        chat: the model; its client repeats what is worth repeating.
        messages: the conversation.
        wants: what the call can do without, by the names of `negotiation.OPTIONAL`: `schema` (a pydantic model), `logprobs` (the
            number of alternatives), `tools`, `temperature` and `max_tokens`. The model's own options can be left out too.
        role: the role that calls, for errors.
        required: names of `wants` that the call makes no sense without.

    Raises:
        ModelCallError: an OpenAI client failed, or the answer cannot be parsed. Other errors of the model pass through.
    """
    known, wants = negotiation_of(chat), dict(wants or {})
    if is_openai_client(chat):
        own = {name: getattr(chat, name, None) for name in ("temperature", "max_tokens")}
        wants = {name: value for name, value in own.items() if value is not None} | wants
        if isinstance(messages[0], SystemMessage):
            wants["system"] = True

    def send(granted: Mapping[str, Any]) -> tuple[AIMessage, CallUsage]:
        merged = "system" in wants and "system" not in granted
        return _call_once(chat, _bind(chat, wants, granted), _without_system_role(messages) if merged else messages, role)

    (message, spent), granted = call_adapting(send, wants, known, required)
    effects = dict.fromkeys(granted, True)
    if "logprobs" in granted:
        effects["logprobs"] = any(token.top for token in tokens_of(message))
        if not effects["logprobs"] and not text_of(message).strip():
            del effects["logprobs"]
    known.learn_effects(effects)
    return message, spent


def negotiation_of(chat: Any) -> Negotiation:
    """Return what is known of the server of a chat model; of other models than OpenAI clients nothing is remembered."""
    if not is_openai_client(chat):
        return Negotiation()
    reasoning = repr((chat.reasoning_effort, chat.extra_body))  # OpenAI's models take less while they reason
    return negotiation_with(_base_url(chat), model_name(chat), reasoning)


def server_notes(chat: Any) -> list[str]:
    """Return the notes of a run about the server of a chat model: what it does not honour, and what it refused."""
    host = host_of(_base_url(chat))
    return [*getattr(chat, "remarks", []), *negotiation_of(chat).notes(f"{model_name(chat)} at {host}")]


def bind_schema(chat: Any, schema: type[BaseModel]) -> Any:
    """Bind the schema to the model as the request field `response_format`.

    OpenAI clients parse answers to `response_format` themselves and drop those that do not fit; as a field of
    `extra_body` the text comes back whatever it is.
    """
    field = {"type": "json_schema", "json_schema": {"name": schema.__name__, "schema": schema.model_json_schema()}}
    if is_openai_client(chat):
        return chat.bind(extra_body={**(getattr(chat, "extra_body", None) or {}), "response_format": field})
    return chat.bind(response_format=field)


def _bind(chat: Any, wants: Mapping[str, Any], granted: Mapping[str, Any]) -> Any:
    """Return the model with the granted parts of the request, and with the others put otherwise."""
    left_out = wants.keys() - granted.keys()
    if own := {"temperature", "max_tokens"} & left_out:
        chat = chat.model_copy(update=dict.fromkeys(own))
    if "max_tokens" in left_out:
        body = {**(chat.extra_body or {}), "max_completion_tokens": wants["max_tokens"]}
        chat = chat.model_copy(update={"extra_body": body})
    options = {n: granted[n] for n in ("temperature", "max_tokens") if n in granted and granted[n] != getattr(chat, n, None)}
    if "logprobs" in granted:
        options |= {"logprobs": True, "top_logprobs": granted["logprobs"]}
    if "tools" in granted:
        chat = chat.bind_tools(granted["tools"])
    elif "schema" in granted:
        chat = bind_schema(chat, granted["schema"])
    return chat.bind(**options) if options else chat


def _without_system_role(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return the messages with the system prompt at the beginning of the user's message."""
    system, user, *rest = messages
    if isinstance(user.content, str):
        return [HumanMessage(f"{system.text}\n\n{user.content}"), *rest]
    return [HumanMessage([{"type": "text", "text": system.text}, *user.content]), *rest]


def _call_once(chat: Any, bound: Any, messages: Sequence[BaseMessage], role: str) -> tuple[AIMessage, CallUsage]:
    began = time.perf_counter()
    try:
        message = clean_message(bound.invoke(list(messages)))
    except Exception as error:
        if not _is_endpoint_error(error) and not _is_langchain_parsing_error(error):
            raise
        # A cause that quotes the key would show it in a traceback.
        raise _call_error(error, chat, role) from (None if _quotes_a_key(error, chat) else error)
    message = without_keys(message, chat)
    usage = message.usage_metadata
    seconds = time.perf_counter() - began
    return message, CallUsage(1, usage["input_tokens"] if usage else 0, usage["output_tokens"] if usage else 0, seconds)


def model_name(chat: Any) -> str:
    """Return the name under which a chat model is shown in errors and reports."""
    for attribute in ("model_name", "model"):
        if isinstance(name := getattr(chat, attribute, None), str) and name:
            return name
    return type(chat).__name__


def is_openai_client(chat: Any) -> bool:
    """Return whether a model is a client of an OpenAI-compatible endpoint."""
    return any(base.__name__ == "BaseChatOpenAI" for base in type(chat).__mro__)


def _is_endpoint_error(error: Exception) -> bool:
    """Return whether an error comes from an endpoint or from its HTTP client."""
    packages = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return isinstance(error, NotACompletionError) or bool(packages & {"openai", "httpx", "httpx2"})


def _call_error(error: Exception, chat: Any, role: str) -> ModelCallError:
    """Return an error of the client as one that says what to do."""
    client = getattr(chat, "root_client", None)
    host, status, name = host_of(_base_url(chat)), getattr(error, "status_code", None), model_name(chat)
    tries = (getattr(client, "max_retries", 0) or 0) + 1
    after = f" after {tries} tries" if tries > 1 else ""
    detail, keys = parse_error(getattr(error, "body", None)), keys_of(chat)
    said = redact(" ".join((detail.message or str(error)).split()), *keys)
    said = said if len(said) <= 300 else said[:300] + "..."
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
    elif isinstance(error, NotACompletionError):
        problem = said
    elif _is_langchain_parsing_error(error):
        problem = f"its answer cannot be read ({type(error).__name__}: {said})"
    elif kinds & {"APIResponseValidationError", "DecodingError"}:
        problem = NO_CHAT_ENDPOINT.format(said)
    elif "ConnectError" in {type(cause).__name__ for cause in _cause_chain(error)}:
        problem = f"it cannot be reached{after}: is the server running at {host}?"
    else:
        problem = f"the connection broke off{after}: {said}"
    return ModelCallError(role, name, host, redact(problem, *keys), status, redact(detail.text, *keys) or said)


def _base_url(chat: Any) -> str:
    return str(getattr(getattr(chat, "root_client", None), "base_url", ""))


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
