"""Probing a judge: one question of each kind about a small image, before a whole study is spent on a judge that cannot answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...errors import JudgeError
from ..benchmarks.base import JudgeAnswer, JudgeQuestion
from .base import Judge
from .shapes import probe_image

MAX_PROBES = 3
"""Questions of a kind that are tried before a judge is refused for its answers."""


MAX_EXCERPT = 120
"""Characters of a question or an answer in an error."""


def probe(
    judge: Judge,
    questions: Iterable[JudgeQuestion],
    readable: Callable[[JudgeQuestion, JudgeAnswer], bool] = lambda question, answer: True,
) -> None:
    """Ask one question of each kind about a small image, and refuse a judge that cannot answer.

    Args:
        judge: the judge to probe.
        questions: of the benchmark; the first of each kind is asked, and up to two more while answers cannot be parsed.
        readable: returns whether an answer can be parsed.

    Raises:
        JudgeError: it cannot answer such questions: no log-probabilities, no images, empty answers, none that can be parsed.
        ModelCallError: its endpoint could not be reached or refused the call.
    """
    firsts: dict[str, dict[str, JudgeQuestion]] = {}
    for question in questions:
        same = firsts.setdefault(question.kind, {})
        if len(same) < MAX_PROBES:
            same.setdefault(question.text, question)
    for same in firsts.values():
        for number, question in enumerate(same.values(), start=1):
            reply = judge.try_out(question, probe_image())
            if judge.deterministic or readable(question, reply):
                break
            if number == len(same):
                raise unreadable_answers(judge, question, reply, count=number, of=number)


def unreadable_answers(judge: Judge, question: JudgeQuestion, answer: JudgeAnswer, *, count: int, of: int) -> JudgeError:
    """Return the error for a judge whose answers cannot be parsed, with an example.

    Args:
        judge: the judge.
        question: an example.
        answer: its answer.
        count: answers that cannot be parsed.
        of: answers that were checked.
    """
    shown = answer.text.strip() or ", ".join(token for token, _ in answer.top[:4])
    asked_line = question.text.strip().splitlines()[-1]
    return JudgeError(
        f"{count} of the first {of} answers of the judge {judge.name} cannot be read, such as {_excerpt(shown)!r} to "
        f"{_excerpt(asked_line)!r}: take a model that answers in the form that it is asked for, switch its reasoning off, or raise "
        "max_tokens if its answers are cut off"
    )


def _excerpt(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_EXCERPT else f"{plain[: MAX_EXCERPT - 1]}…"
