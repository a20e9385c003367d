"""Chat models that see images as judges: what is sent, what is learned from refusals, and how answers are read."""

from __future__ import annotations

import hashlib
import math
import threading
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from ...errors import JudgeError, ModelCallError
from ...memory.state import ImageRef
from ...models.chat.answer_probability import tokens_of
from ...models.chat.answer_text import is_cut_off, reasoning_of, text_of, without_reasoning
from ...models.chat.call import MALFORMED_DATA_ERRORS, CallUsage, call, negotiation_of
from ...models.negotiation import CONTENT_REFUSAL, REFUSAL_STATUSES, TOP_LOGPROBS
from ...nodes.messages import user_message
from ..benchmarks.base import JudgeAnswer, JudgeQuestion
from .base import Judge, open_png

SYSTEMS = {
    "say": (
        "You are a careful judge of images. Look at the whole image before you answer, answer from its pixels alone and not "
        "from what is usual or likely, and answer in exactly the form that is asked for, with nothing around it."
    ),
    "read": (
        "You read the text in images. Give exactly the characters that are there, line by line from top to bottom, mistakes "
        "included. Translate nothing, explain nothing and add nothing."
    ),
    "word": "",
}
"""System prompts of questions without one of their own. None for one-word answers, as in GenEval2's own scorer: any text would
shift the probabilities."""

RETRY_TEMPERATURE = 0.7
"""Temperature, at least, of another attempt at an answer that could not be read."""

_ALL_LISTED = 0.999
"""Alternatives whose probabilities add up to so much leave none out."""
_TOO_FEW = (
    f"alternatives for a token, not {TOP_LOGPROBS[0]}: an expected answer that is not among them would count 0, and so would "
    "Soft-TIFA GM: serve the judge with vLLM or SGLang, which give them, or use `gems eval export` and the official scorer"
)
_NO_LOGPROBS = (
    "gives no log-probabilities, and a question here needs the probabilities of the answer's first token: serve the judge with "
    "vLLM or SGLang, which give them; OpenAI's reasoning models and some other APIs do not"
)


class ChatJudge(Judge):
    """A chat model that sees images.

    A temperature that the endpoint refuses is left out from then on, and noted in `remarks`.

    Args:
        chat: the model.
        name: as tables show it.
        settings: what else its answers depend on.
        least_tokens: most tokens of an answer in words, where a question allows fewer: reasoning counts.
    """

    kind = "chat"

    def __init__(self, chat: BaseChatModel, name: str, *, settings: dict[str, Any] | None = None, least_tokens: int = 0) -> None:
        self.name = name
        self._chat, self._settings, self._least_tokens = chat, settings or {}, least_tokens
        self._spent = CallUsage()
        self._lock = threading.Lock()

    @property
    def spent(self) -> CallUsage:
        """Its calls and tokens in this process."""
        return self._spent

    @property
    def remarks(self) -> list[str]:
        """Requests that it does not follow."""
        refused = negotiation_of(self._chat).notes(self.name, ("temperature", "max_tokens", "system"))
        return [*getattr(self._chat, "remarks", []), *refused]

    def request(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return the request without the image."""
        request = question.model_dump(include={"kind", "text", "temperature"})
        return {**request, "system": _system_prompt(question), "max_tokens": self._most_tokens(question), **self._settings}

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Ask the model; see `Judge.ask`."""
        if rollout >= question.rollouts and question.kind != "word":  # at temperature 0 the answer would be the same again
            question = question.model_copy(update={"temperature": max(question.temperature, RETRY_TEMPERATURE)})
        return self._ask(question, png)[0]

    def try_out(self, question: JudgeQuestion, png: bytes) -> JudgeAnswer:
        """Ask once; an empty answer is refused, for whatever reason."""
        answer, message = self._ask(question, png)
        problem = ""
        if question.kind == "word" and not answer.top:
            problem = _NO_LOGPROBS
        elif question.kind == "word" and not answer.text:
            why = f"begins with {answer.top[0][0]!r}, which is no part of an answer: it reasons first"
            problem = f"{why}; switch that off, or serve it without a reasoning parser"
        elif question.kind == "word" and message is not None and sum(p for _, p in answer.top) < _ALL_LISTED:
            count = max(len(token.get("top_logprobs") or ()) for token in message.response_metadata["logprobs"]["content"])
            problem = f"gives {count} {_TOO_FEW}" if count < TOP_LOGPROBS[0] else ""
        elif question.kind == "say" and not answer.text:
            problem = "gave an empty answer: ask it something yourself, or take another judge"
            if message is not None and is_cut_off(message):
                most = self._most_tokens(question)
                problem = f"used up {most} tokens before its answer began: switch its reasoning off, or raise max_tokens"
        if problem:
            raise JudgeError(f"the judge {self.name} {problem}")
        return answer

    def _ask(self, question: JudgeQuestion, png: bytes) -> tuple[JudgeAnswer, AIMessage | None]:
        """Return an answer and its message; None for a message if the endpoint refuses to look at the image."""
        wants = {"max_tokens": self._most_tokens(question), "temperature": question.temperature}
        if question.kind == "word":
            wants["logprobs"] = TOP_LOGPROBS[0]
        try:
            message, spent = call(self._chat, _judge_messages(question, png), wants, role="judge", required={"logprobs"})
        except ModelCallError as error:
            if error.refused:
                raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS} ({error.problem})") from error
            if error.status in REFUSAL_STATUSES and CONTENT_REFUSAL.search(error.said):
                return JudgeAnswer(text=""), None
            raise
        except MALFORMED_DATA_ERRORS as error:
            raise JudgeError(f"the judge {self.name} failed ({type(error).__name__}: {error})"[:500]) from error
        with self._lock:
            self._spent = self._spent.plus(spent)
        text = said_by_judge(message)
        top = first_token(message) if question.kind == "word" else ()
        if question.kind == "word" and text and not top:
            raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS}")
        return JudgeAnswer(text=text, top=top), message

    def _most_tokens(self, question: JudgeQuestion) -> int:
        return question.max_tokens if question.kind == "word" else max(question.max_tokens, self._least_tokens)


def first_token(message: AIMessage) -> tuple[tuple[str, float], ...]:
    """Return the likeliest first tokens of an answer with their probabilities, likeliest first; empty where they are not given."""
    first = next((token for token in tokens_of(message) if token.text), None)
    if first is None or not first.top:
        return ()
    top = {first.text: first.logprob, **first.top}
    spelt = ((text.encode("utf-8", "replace").decode(), math.exp(logprob)) for text, logprob in top.items())
    return tuple(sorted(spelt, key=lambda token: -token[1]))


def said_by_judge(message: AIMessage) -> str:
    """Return the text of an answer without the reasoning before it.

    Where all of an answer stands in the reasoning field, that is taken: some servers' parsers put it there with reasoning off.
    """
    text = without_reasoning(text_of(message))
    return text if text or message.text.strip() or is_cut_off(message) else reasoning_of(message)


def _judge_messages(question: JudgeQuestion, png: bytes) -> list[BaseMessage]:
    """Return what a chat model is shown: the image first, so that servers keep it between the questions about it."""
    size = open_png(png).size
    ref = ImageRef(sha256=hashlib.sha256(png).hexdigest(), width=size[0], height=size[1])
    system = [SystemMessage(text)] if (text := _system_prompt(question)) else []
    return [*system, user_message([ref, question.text], lambda _: png)]


def _system_prompt(question: JudgeQuestion) -> str:
    return question.system or SYSTEMS[question.kind]
