"""The perception of the embedded shapes world as a judge, and the image that judges are probed with."""

from __future__ import annotations

import functools
import io

from ...errors import JudgeError
from ...models.shapes.answers import answer
from ...models.shapes.judge import last_question
from ...models.shapes.perception import perceive
from ...models.shapes.world import DrawnThing, center_of, draw
from ..benchmarks.base import JudgeAnswer, JudgeQuestion
from .base import Judge, open_png


class PerceptionJudge(Judge):
    """The eyes of the shapes world, without a model: for its own benchmark, and for trying others out. It cannot read."""

    name = "shapes-perception"
    kind = "perception"
    deterministic = True

    def ask(self, question: JudgeQuestion, png: bytes, rollout: int = 0) -> JudgeAnswer:
        """Answer from what is seen, empty where that is no answer; see `Judge.ask`."""
        if question.kind == "read":
            raise JudgeError("perception sees shapes and reads no text: give --judge rapidocr, or a chat model that sees images")
        seen = answer(last_question(question.text), perceive(open_png(png)))
        text = seen.text if seen.known else ""
        return JudgeAnswer(text=text, top=((text, 1.0),) if text and question.kind == "word" else ())


@functools.cache
def probe_image() -> bytes:
    """Return the PNG of a red circle in the middle of a white canvas."""
    buffer = io.BytesIO()
    draw([DrawnThing("circle", "red", 4, *center_of(4), 14.0)]).save(buffer, "PNG")
    return buffer.getvalue()
