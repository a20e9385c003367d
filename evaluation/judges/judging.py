"""Judges: who is asked about the images of a benchmark, and how the asking goes on until every answer is in the book.

A judge is any OpenAI-compatible endpoint, RapidOCR for questions that ask for the text in an image, or the eyes of the shapes
world. Nothing here knows of a benchmark's formula: `collect` fills the book of answers, and `Benchmark.score` reads them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import json
import math
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from PIL import Image

from ...errors import GemsError, JudgeError, ModelCallError, ModelSpecError
from ...memory.state import ImageRef
from ...models.chat.answer_probability import tokens_of
from ...models.chat.answer_text import is_cut_off, reasoning_of, text_of, without_reasoning
from ...models.chat.call import MALFORMED_DATA_ERRORS, CallUsage, call, is_openai_client, model_name
from ...models.chat.capabilities import ABOUT_LOGPROBS, ABOUT_TOP, REFUSAL_STATUSES, TOP_LOGPROBS
from ...models.options import ChatOptions
from ...models.registry import chat_model
from ...models.shapes.answers import answer
from ...models.shapes.judge import last_question
from ...models.shapes.perception import perceive
from ...models.shapes.world import DrawnThing, center_of, draw
from ...nodes.checks.ocr import OcrChecker
from ...nodes.messages import human
from ...privacy import folder_name
from ..benchmark import JudgeAnswer, JudgeQuestion
from .answer_log import AnswerKey

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
"""What a chat model is told first where a question does not say it. For a word nothing, as GenEval2's own scorer does: every
word more would move the probabilities."""

AGAIN = 0.7
"""Temperature, at least, of another attempt at an answer that could not be read."""
PROBES = 3
"""Questions of a kind that are tried before a judge is refused for its answers."""
CLIPPED = 120
"""Characters of a question or an answer in an error."""

_FILTERED = re.compile(
    r"content[ _-]?(?:filter|management|moderation|polic)|data_?inspection|inappropriate content|safety (?:system|filter|polic)",
    re.IGNORECASE,
)
_WHOLE = 0.999
"""Alternatives whose probabilities add up to so much leave none out."""
_TOO_FEW = (
    f"alternatives for a token, not {TOP_LOGPROBS[0]}: an expected answer that is not among them would count 0, and so would "
    "Soft-TIFA GM: serve the judge with vLLM or SGLang, which give them, or use `gems eval export` and the official scorer"
)
_NO_LOGPROBS = (
    "gives no log-probabilities, and a question here needs the probabilities of the answer's first token: serve the judge with "
    "vLLM or SGLang, which give them; OpenAI's reasoning models and some other APIs do not"
)


class Judge(ABC):
    """Who answers questions about images. One object may be used from many threads."""

    name: str
    """As tables show it: `Qwen3-VL-8B-Instruct`."""
    kind: Literal["chat", "rapidocr", "perception"]
    certain: bool = False
    """Whether the same question about the same image has the same answer each time: asking again is of no use."""

    @property
    def remarks(self) -> list[str]:
        """What is to be said below a table of its answers, in sentences; known after it has been asked."""
        return []

    @property
    def spent(self) -> CallUsage:
        """What it was asked and what that took, in this process."""
        return CallUsage()

    @abstractmethod
    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Answer a question about an image. What a model refuses to answer is an empty text.

        Args:
            question: what is asked.
            png: the image.
            rollout: which of the question's rollouts; what is sent is the same for all of them. From `question.rollouts` on it
                is another attempt at one that could not be read, which a chat model answers at `AGAIN` at least.

        Raises:
            JudgeError: the judge does not answer such questions.
            ModelCallError: its endpoint could not be reached or refused the call.
        """

    def try_out(self, question: JudgeQuestion, png: bytes) -> JudgeAnswer:
        """Ask once, and raise `JudgeError` or `ModelCallError` if the answer is of no use."""
        return self.ask(question, png)

    def sent(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return what an answer depends on, the image left out, as plain JSON."""
        return question.model_dump(include={"kind", "text"})

    def key(self, question: JudgeQuestion, image: str, rollout: int = 0) -> AnswerKey:
        """Return under what an answer is kept."""
        sent = json.dumps(self.sent(question), sort_keys=True, ensure_ascii=False)
        return AnswerKey(self.name, hashlib.sha256(sent.encode("utf-8", "surrogatepass")).hexdigest(), image, rollout)


def judge_of(spec: str | ChatOptions | BaseChatModel, *, concurrency: int = 8) -> Judge:
    """Return a judge.

    Args:
        spec: `rapidocr`; `perception`, which sees shapes; or a chat model that sees images: `shapes`, `openai:MODEL`,
            `http(s)://HOST/v1#MODEL`, its options, or the model itself. Reasoning is off unless the options say otherwise.
        concurrency: most calls to its endpoint at the same time; options have a number of their own.

    Raises:
        JudgeError: the spec is not understood, the key is missing, or RapidOCR is not installed.
    """
    if isinstance(spec, BaseChatModel):
        return ChatJudge(spec, folder_name(model_name(spec)))
    if spec == "perception":
        return PerceptionJudge()
    try:
        if spec == "rapidocr":
            return OcrJudge()
        options = spec if isinstance(spec, ChatOptions) else ChatOptions(model=spec, in_flight=concurrency)
        if options.thinking is None:
            options = options.model_copy(update={"thinking": False})
        # A temperature is given to find out whether the model takes one, and taken back: each question has its own.
        chat = chat_model(options.model_copy(update={"temperature": 0.0}))
        warm = getattr(chat, "temperature", 0.0) is not None
        if is_openai_client(chat):
            chat = chat.model_copy(update={"temperature": None})
    except ModelSpecError as error:
        told = str(error).replace("--chat", "--judge").replace("the chat model", "the judge")
        raise JudgeError(told.replace("write shapes,", "write rapidocr, perception, shapes,")) from error
    except GemsError as error:
        raise JudgeError(str(error)) from error
    return ChatJudge(
        chat,
        folder_name(model_name(chat)),
        settings=options.model_dump(include={"thinking", "top_p", "extra_body"}, exclude_defaults=True),
        least_tokens=options.max_tokens or 0,
        warm=warm,
    )


class ChatJudge(Judge):
    """A chat model that sees images.

    A temperature that the endpoint turns out not to take is left out from then on, and said in `remarks`.

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
        """What it was asked and what that took, in this process."""
        return self._spent

    @property
    def remarks(self) -> list[str]:
        """What it does not do as it was asked for."""
        told = [note for note in getattr(self._chat, "remarks", []) if "temperature" not in note]
        if not self._warm:
            told.append(f"{self.name} takes no temperature: it answers at its own.")
        return told

    def sent(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return everything that is sent but the image."""
        asked = question.model_dump(include={"kind", "text", "temperature"})
        return {**asked, "system": _system(question), "max_tokens": self._most_tokens(question), **self._settings}

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Ask the model; see `Judge.ask`."""
        if rollout >= question.rollouts and question.kind != "word":  # cold, it would say the same once more
            question = question.model_copy(update={"temperature": max(question.temperature, AGAIN)})
        return self._ask(question, png)[0]

    def try_out(self, question: JudgeQuestion, png: bytes) -> JudgeAnswer:
        """Ask once; an answer that is empty, for whatever reason, is of no use."""
        told, message = self._ask(question, png)
        if question.kind == "word" and not told.top:
            raise JudgeError(f"the judge {self.name} {_NO_LOGPROBS}")
        if question.kind == "word" and not told.text:
            why = f"begins with {told.top[0][0]!r}, which is no part of an answer: it reasons first"
            raise JudgeError(f"the judge {self.name} {why}; switch that off, or serve it without a reasoning parser")
        if question.kind == "word" and message is not None and sum(p for _, p in told.top) < _WHOLE:
            count = max(len(token.get("top_logprobs") or ()) for token in message.response_metadata["logprobs"]["content"])
            if count < TOP_LOGPROBS[0]:
                raise JudgeError(f"the judge {self.name} gives {count} {_TOO_FEW}")
        if question.kind == "say" and not told.text:
            why = "gave an empty answer: ask it something yourself, or take another judge"
            if message is not None and is_cut_off(message):
                most = self._most_tokens(question)
                why = f"used up {most} tokens before its answer began: switch its reasoning off, or raise max_tokens"
            raise JudgeError(f"the judge {self.name} {why}")
        return told

    def _ask(self, question: JudgeQuestion, png: bytes) -> tuple[JudgeAnswer, AIMessage | None]:
        message = self._call(question, _messages(question, png))
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
        """Learn from a refusal; return whether less can be asked for. Only what was sent can have been refused.

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


class OcrJudge(Judge):
    """RapidOCR, for questions that ask for all the text in an image; it is not told what they ask.

    Raises:
        GemsError: it is not installed.
    """

    name = "RapidOCR"
    kind = "rapidocr"
    certain = True

    def __init__(self) -> None:
        self._ocr = OcrChecker()

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Read the lines of an image; see `Judge.ask`."""
        if question.kind != "read":
            raise JudgeError("rapidocr only reads the text in images: give --judge a chat model that sees images")
        return JudgeAnswer(text="\n".join(line.text for line in self._ocr.read(_opened(png))))

    def sent(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return its version: another one may read otherwise."""
        return {"kind": question.kind, "rapidocr": importlib.metadata.version("rapidocr")}


class PerceptionJudge(Judge):
    """The eyes of the shapes world, without a model: for its own benchmark, and for trying others out. It cannot read."""

    name = "shapes-perception"
    kind = "perception"
    certain = True

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Answer from what is seen, empty where that is no answer; see `Judge.ask`."""
        if question.kind == "read":
            raise JudgeError("perception sees shapes and reads no text: give --judge rapidocr, or a chat model that sees images")
        found = answer(last_question(question.text), perceive(_opened(png)))
        text = found.text if found.known else ""
        return JudgeAnswer(text=text, top=((text, 1.0),) if text and question.kind == "word" else ())


def probe(
    judge: Judge,
    questions: Iterable[JudgeQuestion],
    readable: Callable[[JudgeQuestion, JudgeAnswer], bool] = lambda question, answer: True,
) -> None:
    """Ask one question of each kind about a small picture, before a whole run is spent on a judge that cannot answer.

    Args:
        judge: who is to be asked.
        questions: of the benchmark; the first of each kind is taken, and two more while the answers cannot be read.
        readable: tells whether an answer has the form that is asked for.

    Raises:
        JudgeError: it cannot answer such questions: no log-probabilities, no images, empty answers, none that can be read.
        ModelCallError: its endpoint could not be reached or refused the call.
    """
    firsts: dict[str, dict[str, JudgeQuestion]] = {}
    for question in questions:
        same = firsts.setdefault(question.kind, {})
        if len(same) < PROBES:
            same.setdefault(question.text, question)
    for same in firsts.values():
        for number, question in enumerate(same.values(), start=1):
            told = judge.try_out(question, _small_picture())
            if judge.certain or readable(question, told):
                break
            if number == len(same):
                raise unreadable(judge, question, told, count=number, of=number)


def unreadable(judge: Judge, question: JudgeQuestion, told: JudgeAnswer, *, count: int, of: int) -> JudgeError:
    """Return the error for a judge that answers in no form that can be read, with an example.

    Args:
        judge: who it is.
        question: one that it was asked.
        told: its answer.
        count: answers that cannot be read.
        of: answers that were looked at.
    """
    said = told.text.strip() or ", ".join(token for token, _ in told.top[:4])
    asked = question.text.strip().splitlines()[-1]
    return JudgeError(
        f"{count} of the first {of} answers of the judge {judge.name} cannot be read, such as {_clipped(said)!r} to "
        f"{_clipped(asked)!r}: take a model that answers in the form that it is asked for, switch its reasoning off, or raise "
        "max_tokens if its answers are cut off"
    )


def _clipped(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= CLIPPED else f"{plain[: CLIPPED - 1]}…"


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


def _messages(question: JudgeQuestion, png: bytes) -> list[BaseMessage]:
    """Return what a chat model is shown: the image first, so that servers keep it between the questions about it."""
    size = _opened(png).size
    ref = ImageRef(sha256=hashlib.sha256(png).hexdigest(), width=size[0], height=size[1])
    system = [SystemMessage(text)] if (text := _system(question)) else []
    return [*system, human([ref, question.text], lambda _: png)]


def _system(question: JudgeQuestion) -> str:
    return question.system or SYSTEMS[question.kind]


def _opened(png: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(png))
    except OSError as error:
        raise JudgeError("an image of the run cannot be opened: is its file damaged?") from error


@functools.cache
def _small_picture() -> bytes:
    buffer = io.BytesIO()
    draw([DrawnThing("circle", "red", 4, *center_of(4), 14.0)]).save(buffer, "PNG")
    return buffer.getvalue()
