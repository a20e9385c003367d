"""Judge: the interface of whatever answers a benchmark's questions about an image."""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from typing import Any, Literal

from PIL import Image

from ...errors import JudgeError
from ...models.chat.call import Spent
from ..benchmark import JudgeAnswer, JudgeQuestion
from .answer_log import AnswerKey


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
    def spent(self) -> Spent:
        """What it was asked and what that took, in this process."""
        return Spent()

    @abstractmethod
    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Answer a question about an image. What a model refuses to answer is an empty text.

        Args:
            question: what is asked.
            png: the image.
            rollout: which of the question's rollouts; what is sent is the same for all of them. From `question.rollouts` on it
                is another attempt at one that could not be read, which a chat model answers at `RETRY_TEMPERATURE` at least.

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


def open_png(png: bytes) -> Image.Image:
    """Open an image of a run.

    Raises:
        JudgeError: it cannot be opened.
    """
    try:
        return Image.open(io.BytesIO(png))
    except OSError as error:
        raise JudgeError("an image of the run cannot be opened: is its file damaged?") from error
