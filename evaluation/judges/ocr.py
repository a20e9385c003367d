"""RapidOCR as a judge of text in images."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from ...errors import JudgeError
from ...nodes.checks.ocr import OcrChecker
from ..benchmarks.base import JudgeAnswer, JudgeQuestion
from .base import Judge, open_png


class OcrJudge(Judge):
    """RapidOCR, for questions that ask for all the text in an image; it is not told what they ask.

    Raises:
        GemsError: it is not installed.
    """

    name = "RapidOCR"
    kind = "rapidocr"
    deterministic = True

    def __init__(self) -> None:
        self._ocr = OcrChecker()

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Read the lines of an image; see `Judge.ask`."""
        if question.kind != "read":
            raise JudgeError("rapidocr only reads the text in images: give --judge a chat model that sees images")
        return JudgeAnswer(text="\n".join(line.text for line in self._ocr.read(open_png(png))))

    def request(self, question: JudgeQuestion) -> dict[str, Any]:
        """Return its version: another one may read otherwise."""
        return {"kind": question.kind, "rapidocr": importlib.metadata.version("rapidocr")}
