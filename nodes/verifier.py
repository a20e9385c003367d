"""Verifier: answers every check from the pixels, with a reason for whatever is not as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext
from ..memory.state import Attempt, Check, ImageRef, Verdict
from ..models.ask import ModelAnswerError, Spent, ask
from .answers import passes
from .parts import Node, ReadImage, cost, human, list_checks

PARALLEL_CALLS = 8

SYSTEM = """\
You examine an image and answer questions about it. Answer from the pixels alone: you do not know what the image was \
meant to show, and what is usual or likely does not count. Look at the place in question before you answer, and look \
again before you say that something is missing.

Answers
- A yes/no question: "yes" or "no". "Yes" only if it holds fully and for everything the question names; a thing that is \
partly there, of the wrong colour or ambiguous is "no".
- A "how many" question: the number you count, as a word. Count one by one; count what is cut off by the edge, overlaps \
or stands in the background too.
- A question for text: exactly the characters you can read, mistakes included, not what they were probably meant to be.
- "unknown" if the image does not allow an answer: too small, hidden, or the question makes no sense for it. Never guess.

For every answer that is not a plain "yes" say in one sentence what you see instead and where, so that someone who \
cannot see the image could mend it: "there are two circles, at the left and in the center, and a star where the third \
would be"."""


class Finding(BaseModel):
    """The answer to one question."""

    id: str = Field(description="The question's id, such as c1.")
    answer: str = Field(description='"yes", "no", a number as a word, the text read, or "unknown".')
    reason: str = Field(default="", description='What is seen instead, for every answer but a plain "yes".')


class Findings(BaseModel):
    """The answers to all questions, in their order."""

    findings: list[Finding]


class VerifierState(BaseModel):
    """What the verifier reads."""

    checks: list[Check] = []
    attempts: list[Attempt] = []


def render(checks: Sequence[Check], image: ImageRef, read: ReadImage) -> list[BaseMessage]:
    """Return what the model is shown: the image and the questions, and neither the request nor the expected answers."""
    return [SystemMessage(SYSTEM), human([image, f"<questions>\n{list_checks(checks)}\n</questions>"], read)]


def parse(answer: Findings, checks: Sequence[Check]) -> list[Verdict]:
    """Return a verdict for each check; one without an answer is unknown."""
    found = {_plain_id(f.id): f for f in reversed(answer.findings)}
    verdicts = []
    for check in checks:
        finding = found.get(_plain_id(check.id))
        if finding is None:
            verdicts.append(Verdict(check=check.id, reason="the verifier gave no answer"))
            continue
        said, why = finding.answer.strip(), finding.reason.strip()
        verdicts.append(Verdict(check=check.id, passed=passes(check, said), answer=said, reason=why))
    return verdicts


def _plain_id(id: str) -> str:
    """Return an id as it is compared: models write "1", "C1" or "c1:" for c1."""
    return id.strip().lower().rstrip(".:").removeprefix("c")


def verifier(chat: BaseChatModel, read: ReadImage) -> Node:
    """Build the node that gives each new attempt its verdicts.

    Args:
        chat: a model that sees images.
        read: returns an image's bytes.
    """

    def examine(checks: Sequence[Check], image: ImageRef) -> tuple[list[Verdict], Spent, list[str]]:
        try:
            answer = ask(chat, render(checks, image, read), Findings, role="verifier")
        except ModelAnswerError as error:  # an answer that cannot be read says nothing about the image
            note = f"An answer of the verifier could not be read, its checks are unknown: {str(error)[:200]}"
            return [Verdict(check=c.id, reason=str(error)[:300]) for c in checks], error.spent, [note]
        return parse(answer.value, checks), answer.spent, []

    def node(state: VerifierState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        each = (runtime.context or RunContext()).verify == "each"
        groups = [[c] for c in state.checks] if each else [state.checks]
        new = [a for a in state.attempts if not a.verdicts and a.score is None]
        jobs = [(group, a.image) for a in new for group in groups]
        with ContextThreadPoolExecutor(min(PARALLEL_CALLS, max(1, len(jobs)))) as pool:
            results = list(pool.map(lambda job: examine(*job), jobs))
        judged = []
        for i, attempt in enumerate(new):
            mine = results[i * len(groups) : (i + 1) * len(groups)]
            judged.append(attempt.judged([v for verdicts, _, _ in mine for v in verdicts]))
        notes = [note for _, _, said in results for note in said]
        return {"attempts": judged, "notes": notes, "usage": cost("verifier", [spent for _, spent, _ in results])}

    return node
