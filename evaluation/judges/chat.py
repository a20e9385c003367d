"""Chat models that see images as judges: what is sent, what is learned from refusals, and how answers are read."""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from ...errors import JudgeError, ModelCallError
from ...memory.state import ImageRef
from ...models.chat.answer_probability import tokens_of
from ...models.chat.answer_text import is_cut_off, reasoning_of, text_of, without_reasoning
from ...models.chat.call import MALFORMED_DATA_ERRORS, CallUsage, call
from ...models.chat.capabilities import ABOUT_LOGPROBS, ABOUT_TOP, REFUSAL_STATUSES, TOP_LOGPROBS
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

_FILTERED = re.compile(
    r"content[ _-]?(?:filter|management|moderation|polic)|data_?inspection|inappropriate content|safety (?:system|filter|polic)",
    re.IGNORECASE,
)
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
        warm: whether it takes a temperature.
    """

    kind = "chat"

    def __init__(
        self,
        chat: BaseChatModel,
        name: str,
        *,
        settings: dict[str, Any] | None = None,
        least_tokens: int = 0,
        warm: bool = True,
    ) -> None:
        self.name = name
        self._chat, self._settings, self._least_tokens, self._warm = chat, settings or {}, least_tokens, warm
        self._alternatives = TOP_LOGPROBS[0]
        self._spent = CallUsage()
        self._lock = threading.Lock()

    @property
    def spent(self) -> CallUsage:
        """Its calls and tokens in this process."""
        return self._spent

    @property
    def remarks(self) -> list[str]:
        """Requests that it does not follow."""
        remarks = [note for note in getattr(self._chat, "remarks", []) if "temperature" not in note]
        if not self._warm:
            remarks.append(f"{self.name} takes no temperature: it answers at its own.")
        return remarks

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
        if question.kind == "word" and not answer.top:
            raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS}")
        if question.kind == "word" and not answer.text:
            why = f"begins with {answer.top[0][0]!r}, which is no part of an answer: it reasons first"
            raise JudgeError(f"the judge {self.name} {why}; switch that off, or serve it without a reasoning parser")
        if question.kind == "word" and message is not None and sum(p for _, p in answer.top) < _ALL_LISTED:
            count = max(len(token.get("top_logprobs") or ()) for token in message.response_metadata["logprobs"]["content"])
            if count < TOP_LOGPROBS[0]:
                raise JudgeError(f"the judge {self.name} gives {count} {_TOO_FEW}")
        if question.kind == "say" and not answer.text:
            why = "gave an empty answer: ask it something yourself, or take another judge"
            if message is not None and is_cut_off(message):
                most = self._most_tokens(question)
                why = f"used up {most} tokens before its answer began: switch its reasoning off, or raise max_tokens"
            raise JudgeError(f"the judge {self.name} {why}")
        return answer

    def _ask(self, question: JudgeQuestion, png: bytes) -> tuple[JudgeAnswer, AIMessage | None]:
        message = self._call(question, _judge_messages(question, png))
        if message is None:
            return JudgeAnswer(text=""), None
        text = said_by_judge(message)
        if question.kind != "word":
            return JudgeAnswer(text=text), message
        top = first_token(message)
        if text and not top:
            raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS}")
        return JudgeAnswer(text=text, top=top), message

    def _call(self, question: JudgeQuestion, messages: Sequence[BaseMessage]) -> AIMessage | None:
        """Call with what the endpoint is known to take, and with less where it refuses some; None: it refuses to look."""
        while True:
            count = self._alternatives if question.kind == "word" else 0
            warm = self._warm
            options: dict[str, Any] = {"max_tokens": self._most_tokens(question)}
            options |= {"temperature": question.temperature} if warm else {}
            options |= {"logprobs": True, "top_logprobs": count} if count else {}
            try:
                message, spent = call(self._chat.bind(**options), messages, role="judge")
            except ModelCallError as error:
                if error.status in REFUSAL_STATUSES and self._learn(error, count, warm):
                    continue
                if error.status in REFUSAL_STATUSES and _FILTERED.search(error.said):
                    return None
                raise
            except MALFORMED_DATA_ERRORS as error:
                raise JudgeError(f"the judge {self.name} failed ({type(error).__name__}: {error})"[:500]) from error
            with self._lock:
                self._spent = self._spent.plus(spent)
            return message

    def _learn(self, error: ModelCallError, count: int, warm: bool) -> bool:
        """Learn from a refusal; tell whether less can be asked for. Only what was sent can have been refused.

        Raises:
            JudgeError: it gives no log-probabilities.
        """
        if count and ABOUT_LOGPROBS.search(error.said):
            fewer = [n for n in TOP_LOGPROBS if n < count]
            if not (fewer and ABOUT_TOP.search(error.said)):
                raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS} ({error.said})") from error
            self._alternatives = min(self._alternatives, fewer[0])
            return True
        if warm and "temperature" in error.said.lower():
            self._warm = False
            return True
        return False

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
