"""Negotiation with servers: what a request can do without is left out, or put otherwise, once a server has refused it.

Roles, judges and image models send their requests with `call_adapting`. What a server refuses is remembered for the process, per
endpoint and model, and noted in the run. `OPTIONAL` is the whole of what can be refused so: one row each.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ..errors import ImageRefusedError, ModelCallError

T = TypeVar("T")

TOP_LOGPROBS = (20, 5)
"""Alternatives for each token to ask for: the maximum of OpenAI, and that of endpoints that allow fewer."""

REFUSAL_STATUSES = frozenset({400, 403, 404, 422, 500, 501})
"""HTTP statuses that servers send when they refuse a part of a request: OpenAI's reasoning models refuse log-probabilities with
a 403, llama-cpp-python a schema and llama.cpp tools with a 500."""


class OptionalPart(NamedTuple):
    """A part of requests that a server may refuse: a row of the table."""

    name: str
    refusal: str
    """Regular expression of the errors that mean it, searched in message, code and parameter, in any case."""
    instead: str
    """What is done instead, for the documentation."""
    note: str
    """Sentence for the notes of a run; {who} is the model or the server."""
    amounts: tuple[int, ...] = ()
    """Amounts of it to ask for, largest first."""
    amount_refusal: str = ""
    """Regular expression of the errors that mean the amount; a smaller one is tried then, if there is one."""
    amount_note: str = ""
    """Sentence for a smaller amount; {more} was refused and {fewer} is requested."""


OPTIONAL = (
    OptionalPart(
        "logprobs",
        r"log[ _-]?prob",
        "fewer alternatives, then none: answers count as certain; a judge that needs them is refused",
        "{who} gives no log-probabilities: its answers count as certain.",
        TOP_LOGPROBS,
        r"top_logprobs",
        "{who} gives fewer than {more} alternatives for a token: {fewer} are requested.",
    ),
    OptionalPart(
        "schema",
        r"response[ _]?(?:format|schema)|schema|guided|structured output|grammar|json[ _]mode",
        "the schema is sent in words only",
        "{who} does not take a schema in the request: it is sent in words only.",
    ),
    OptionalPart(
        "tools",
        r"\btools?\b|tool[ _-]?(?:call|choice|use)|function[ _-]?call",
        "no skills are loaded, and the request itself is the first prompt; the next run asks again",
        "{who} takes no tools: no skills are loaded.",
    ),
    OptionalPart(
        "max_tokens",
        r"max_completion_tokens",
        "`max_completion_tokens` is sent",
        "{who} does not take max_tokens: it is sent as max_completion_tokens.",
    ),
    OptionalPart(
        "temperature",
        r"temperature",
        "left out",
        "{who} takes no temperature: it answers at its own.",
    ),
    OptionalPart(
        "system",
        r"system (?:role|prompt|message|instruction)|role\W{0,5}system|roles must alternate",
        "the system prompt is the beginning of the user's message",
        "{who} takes no system prompt: it is put before the user's message.",
    ),
    OptionalPart(
        "seed",
        r"\A(?!.*\bmust be\b).*?\bseed\b",  # an error about its value is one for the user
        "left out",
        "{who} takes no seed: the same request gives another image each time",
    ),
    OptionalPart(
        "negative_prompt", r"negative[ _]prompt", "left out", "{who} takes no negative prompt: it was left out"
    ),
    OptionalPart("response_format", r"response_format", "left out", "{who} takes no field 'response_format': it was left out"),
    OptionalPart("output_format", r"output_format", "left out", "{who} takes no field 'output_format': it was left out"),
)  # fmt: skip
"""What a request can do without."""

_ROWS = {part.name: part for part in OPTIONAL}

CONTENT_REFUSAL = re.compile(
    r"content[ _-]?(?:filter|management|moderation|polic)|moderation_blocked|data_?inspection|inappropriate content"
    r"|safety[ _](?:system|filter|polic)",
    re.IGNORECASE,
)
"""Errors that refuse the content of a request, whatever parts of it they name."""


class Negotiation:
    """What one model at one server takes, as far as its answers and refusals have shown. Threads may share it."""

    def __init__(self) -> None:
        self.taken: dict[str, bool] = {}
        """Whether each part of requests is taken; parts that are not known yet are missing."""
        self._most: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self._lock = threading.Lock()

    def granted(self, wants: Mapping[str, Any], required: Collection[str] = ()) -> dict[str, Any]:
        """Return the parts of a request that are not known to be refused, in the largest amount that is taken."""
        with self._lock:
            kept = {name: value for name, value in wants.items() if name in required or self.taken.get(name) is not False}
            return {name: min(value, self._most[name]) if name in self._most else value for name, value in kept.items()}

    def notes(self, who: str, parts: Collection[str] = _ROWS) -> list[str]:
        """Return a sentence for each refusal.

        Args:
            who: the model or the server, as the sentences call it.
            parts: the parts of requests to be told of.
        """
        with self._lock:
            return [sentence.replace("{who}", who) for sentence, name in self._notes.items() if name in parts]

    def learn_refusals(self, refused: Sequence[tuple[OptionalPart, int]]) -> None:
        """Remember the parts without which a call succeeded, each with the smaller amount that was taken, 0 for none."""
        with self._lock:
            for part, fewer in refused:
                if fewer:
                    self._most[part.name] = min(fewer, self._most.get(part.name, fewer))
                    more = min(n for n in part.amounts if n > fewer)
                    self._notes[part.amount_note.replace("{more}", str(more)).replace("{fewer}", str(fewer))] = part.name
                else:
                    self.taken[part.name] = False
                    self._notes[part.note] = part.name

    def learn_effects(self, effects: Mapping[str, bool]) -> None:
        """Remember whether the parts of an accepted request had an effect; one that had none at its first time is left out."""
        with self._lock:
            for name, seen in effects.items():
                if seen:
                    self.taken[name] = True
                elif not self.taken.setdefault(name, False):
                    self._notes[_ROWS[name].note] = name


_NEGOTIATIONS: dict[tuple[str, ...], Negotiation] = {}
_NEGOTIATIONS_LOCK = threading.Lock()


def negotiation_with(*server: str) -> Negotiation:
    """Return the negotiation with a server, one object for the whole process.

    Args:
        server: identifies it: the URL, the model, and options that its answers depend on.
    """
    with _NEGOTIATIONS_LOCK:
        return _NEGOTIATIONS.setdefault(server, Negotiation())


def call_adapting(
    send: Callable[[Mapping[str, Any]], T], wants: Mapping[str, Any], known: Negotiation, required: Collection[str] = ()
) -> tuple[T, Mapping[str, Any]]:
    """Send a request with what the server is known to take, and again without each part that it refuses.

    A refusal is remembered once a request without that part has succeeded: an error may name a part by chance.

    Args:
        send: sends the request with the parts that it is given, and returns the reply.
        wants: the parts of the request that can be left out, by the names of `OPTIONAL`, with their values.
        known: what the server takes; it learns.
        required: parts that are sent always: in a smaller amount at most.

    Returns:
        The reply, and the parts that were in its request.

    Raises:
        ModelCallError, ImageRefusedError: the server refused the request for another reason, or a required part; then the
            error's `refused` is the name of the part.
    """
    granted, refused = known.granted(wants, required), list[tuple[OptionalPart, int]]()
    while True:
        try:
            reply = send(granted)
        except (ModelCallError, ImageRefusedError) as error:
            part = refused_part(error.status, error.said, granted)
            if part is None:
                raise
            meant = bool(part.amount_refusal) and re.search(part.amount_refusal, error.said, re.IGNORECASE)
            fewer = next((n for n in part.amounts if n < granted[part.name]), 0) if meant else 0
            if not fewer and part.name in required:
                error.refused = part.name
                raise
            refused.append((part, fewer))
            granted = {name: value for name, value in granted.items() if name != part.name} | ({part.name: fewer} if fewer else {})
        else:
            known.learn_refusals(refused)
            return reply, granted


def refusal_note(part: str, who: str) -> str:
    """Return the sentence for the notes of a run that a part of requests is not taken by `who`."""
    return _ROWS[part].note.replace("{who}", who)


def refused_part(status: int | None, said: str, sent: Collection[str]) -> OptionalPart | None:
    """Return which of the parts of a request an error refuses: the one it names first. None if it is about something else."""
    if status not in REFUSAL_STATUSES or CONTENT_REFUSAL.search(said):
        return None
    asked = [part for part in OPTIONAL if part.name in sent]
    named = {part: m.end() for part in asked if (m := re.search(part.refusal, said, re.IGNORECASE | re.DOTALL))}
    return min(named, key=named.__getitem__, default=None)


class ServerError(NamedTuple):
    """What the body of an error response says."""

    message: str
    code: str = ""
    param: str = ""

    @property
    def text(self) -> str:
        """Message, code and parameter."""
        return " ".join(filter(None, self))

    @property
    def is_content_refusal(self) -> bool:
        """Whether the content of the request was refused, and not its form."""
        return CONTENT_REFUSAL.search(self.text) is not None


def parse_error(body: object) -> ServerError:
    """Parse the body of an error response, whatever its form.

    `{"error": {...}}` of OpenAI and vLLM, `{"error": "..."}`, `{"detail": ...}` of FastAPI, one of these in a list, or plain text.
    """
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        text = str(body or "").strip()
        return ServerError("" if text.startswith("<") else text)  # a web page says nothing
    error = body.get("error") or body
    if not isinstance(error, Mapping):
        return ServerError(str(error))
    detail = error.get("detail")
    if isinstance(detail, list):  # one entry a field: {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "..."}
        parts = [d for d in detail if isinstance(d, Mapping)]
        message = "; ".join(f"{'.'.join(map(str, d.get('loc') or ()))}: {d.get('msg')}" for d in parts)
        return ServerError(message or str(detail))
    message = error.get("message") or detail or error.get("error") or ""
    return ServerError(str(message), str(error.get("code") or ""), str(error.get("param") or ""))
