"""Judge: the interface of whatever answers a benchmark's questions about an image."""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from typing import Any, Literal

from PIL import Image

from ...errors import JudgeError
from ...models.chat.call import CallUsage
from ..benchmarks.base import JudgeAnswer, JudgeQuestion
from .answer_log import AnswerKey


class Judge(ABC):
    """Answers questions about images. One object may be used from many threads."""

    name: str
    """As tables show it: `Qwen3-VL-8B-Instruct`."""
    kind: Literal["chat", "rapidocr", "perception"]
    deterministic: bool = False
    """Whether the same question about the same image always has the same answer, so that asking again is useless."""

    @property
    def remarks(self) -> list[str]:
        """Sentences below a table of its answers; complete after it has been asked."""
        return []

    @property
    def spent(self) -> CallUsage:
        """Its calls and tokens in this process."""
        return CallUsage()

    @abstractmethod
    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Answer a question about an image. A refusal is an empty text.

        Args:
            question: the question.
            png: the image.
            rollout: index of the rollout; the request is the same for all. From `question.rollouts` on it is another attempt at an
                answer that could not be parsed, which a chat model answers at `RETRY_TEMPERATURE` at least.

        Raises:
            JudgeError: the judge does not answer such questions.
            ModelCallError: its endpoint could not be reached or refused the call.
        """

    def try_out(self, question: JudgeQuestion, png: bytes) -> JudgeAnswer:
        """Ask once, and raise `JudgeError` or `ModelCallError` if the answer is of no use."""
        return self.ask(question, png)

    def request(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return everything but the image that an answer depends on, as plain JSON."""
        return question.model_dump(include={"kind", "text"})

    def key(self, question: JudgeQuestion, image: str, rollout: int = 0) -> AnswerKey:
        """Return the key of an answer in the log."""
        request = json.dumps(self.request(question), sort_keys=True, ensure_ascii=False)
        return AnswerKey(self.name, hashlib.sha256(request.encode("utf-8", "surrogatepass")).hexdigest(), image, rollout)


def open_png(png: bytes) -> Image.Image:
    """Open an image of a run.

    Raises:
        JudgeError: it cannot be opened.
    """
    try:
        return Image.open(io.BytesIO(png))
    except OSError as error:
        raise JudgeError("an image of the run cannot be opened: is its file damaged?") from error
