"""Capabilities of endpoints: learnt from the first call that an endpoint refuses, remembered for the process."""

from __future__ import annotations

import re
import threading
from typing import Any

from ...privacy import host_of

TOP_LOGPROBS = (20, 5)
"""Values of `top_logprobs` to try: the maximum of OpenAI, and that of endpoints that allow fewer."""

REFUSAL_STATUSES = frozenset({400, 403, 404, 422, 500, 501})
"""HTTP statuses that endpoints send when they refuse a field: OpenAI's reasoning models refuse log-probabilities with a 403,
llama-cpp-python a schema with a 500."""

ABOUT_LOGPROBS = re.compile(r"log[ _-]?prob", re.IGNORECASE)
ABOUT_TOP = re.compile(r"top_logprobs", re.IGNORECASE)
ABOUT_SCHEMA = re.compile(r"response[ _]format|schema|guided|structured output|grammar", re.IGNORECASE)


class Capabilities:
    """Which request fields one model at one endpoint takes. None: not known yet.

    Written from many threads: every fact is one assignment, and learning it twice does no harm.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        """Name of the model in the notes: `MODEL at HOST:PORT`."""
        self.response_format: bool | None = None
        """Whether it takes a JSON schema in the request."""
        self.logprobs: bool | None = None
        """Whether it gives the log-probabilities of its tokens."""
        self.alternatives = TOP_LOGPROBS[0]
        """Largest `top_logprobs` that it takes."""
        self.notes: list[str] = []
        """What it does not take, in sentences for the notes of a run."""

    def learn_refusal(self, message: str, *, schema: bool, alternatives: int) -> bool:
        """Learn from a refused call; return whether to repeat it with what is known now.

        Args:
            message: the error message of the endpoint.
            schema: whether a schema was in the request; only fields that were sent can have been refused.
            alternatives: `top_logprobs` of the request, 0 without log-probabilities.
        """
        if alternatives and ABOUT_LOGPROBS.search(message):
            fewer = [n for n in TOP_LOGPROBS if n < alternatives]
            if fewer and ABOUT_TOP.search(message):
                self.alternatives = min(self.alternatives, fewer[0])
                self._note(f"{self.name} gives fewer than {alternatives} alternatives for a token: {fewer[0]} are requested.")
            else:
                self.logprobs = False
                self._note_no_logprobs()
            return True
        if schema and ABOUT_SCHEMA.search(message):
            self.response_format = False
            self._note(f"{self.name} does not take a schema in the request: it is sent in words only.")
            return True
        return False

    def learn_answer(self, *, schema: bool, logprobs: bool | None) -> None:
        """Learn from a successful call.

        Args:
            schema: whether a schema was in the request.
            logprobs: whether the answer has log-probabilities; None where they were not requested.
        """
        if schema and self.response_format is None:
            self.response_format = True
        if logprobs:
            self.logprobs = True
        elif logprobs is False and self.logprobs is None:
            self.logprobs = False
            self._note_no_logprobs()

    def _note_no_logprobs(self) -> None:
        self._note(f"{self.name} gives no log-probabilities: its answers count as certain.")

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


_CAPABILITIES: dict[tuple[str, str], Capabilities] = {}
_CAPABILITIES_LOCK = threading.Lock()


def capabilities_of(base_url: str, model: str) -> Capabilities:
    """Return the capabilities of a model at an endpoint: one object for the whole process."""
    with _CAPABILITIES_LOCK:
        return _CAPABILITIES.setdefault((base_url, model), Capabilities(f"{model} at {host_of(base_url)}"))


def capability_notes(chat: Any) -> list[str]:
    """Return the notes of a run about a chat model: empty for models without `capabilities`."""
    known = getattr(chat, "capabilities", None)
    return [*getattr(chat, "remarks", []), *known.notes] if isinstance(known, Capabilities) else []
