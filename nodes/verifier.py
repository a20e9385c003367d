"""Verifier: answers every check from the pixels, with a reason for whatever is not as wanted."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.runtime import Runtime
from PIL import Image
from pydantic import BaseModel, Field

from ..context import RunContext
from ..memory.state import Attempt, Check, ImageRef, Verdict
from ..models.ask import ModelAnswerError, ask
from ..models.call import Spent
from ..models.capabilities import capability_notes
from ..models.soft import plain_id, soft_answers
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


def parse(answer: Findings, checks: Sequence[Check], likely: Mapping[str, float] | None = None) -> list[Verdict]:
    """Return a verdict for each check; one without an answer is unknown.

    Args:
        answer: what the model found.
        checks: what it was asked.
        likely: P(the answer is the expected one), by the check's id, where it is known.
    """
    found = {plain_id(f.id): f for f in reversed(answer.findings)}
    verdicts = []
    for check in checks:
        finding = found.get(plain_id(check.id))
        if finding is None:
            verdicts.append(Verdict(check=check.id, reason="the verifier gave no answer"))
            continue
        said, why = finding.answer.strip(), finding.reason.strip()
        passed = passes(check, said)
        p = None if passed is None else (likely or {}).get(check.id)
        verdicts.append(Verdict(check=check.id, passed=passed, answer=said, probability=p, reason=why))
    return verdicts


def tally(votes: Sequence[Sequence[Verdict]]) -> list[Verdict]:
    """Return one verdict for each check from several: the majority's, with its share of passes as the probability.

    Votes that could not tell do not count; a tie can not tell.
    """
    verdicts = []
    for ballot in zip(*votes, strict=True):
        known = [v for v in ballot if v.passed is not None]
        if not known:
            verdicts.append(ballot[0])
            continue
        share = sum(v.passed is True for v in known) / len(known)
        passed = None if share == 0.5 else share > 0.5
        spokesman = next((v for v in known if v.passed is passed), known[0])
        verdicts.append(spokesman.model_copy(update={"passed": passed, "probability": share}))
    return verdicts


def shrink(read: ReadImage, side: int | None) -> ReadImage:
    """Return a reader that scales pictures down so that neither side is longer than `side` pixels."""

    def read_small(ref: ImageRef) -> bytes:
        data = read(ref)
        if side is None or max(ref.width, ref.height) <= side:
            return data
        image = Image.open(io.BytesIO(data))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    return read_small


def _closed(checks: Sequence[Check]) -> dict[str, str]:
    """Return the expected answers by id, without those of checks for text: a text that is a number is no count."""
    return {c.id: c.expected for c in checks if c.kind != "text" or c.expected in {"yes", "no"}}


class Examined(NamedTuple):
    """What came of showing one image to the verifier."""

    verdicts: list[Verdict]
    spent: Spent
    notes: list[str]


def verifier(chat: BaseChatModel, read: ReadImage) -> Node:
    """Build the node that gives each new attempt its verdicts.

    Args:
        chat: a model that sees images.
        read: returns an image's bytes.
    """

    def once(checks: Sequence[Check], messages: Sequence[BaseMessage], soft: bool) -> tuple[Examined, bool]:
        """Ask once; tell too whether the answer came with log-probabilities."""
        try:
            answer = ask(chat, messages, Findings, role="verifier", logprobs=soft)
        except ModelAnswerError as error:  # an answer that cannot be read says nothing about the image
            note = f"An answer of the verifier could not be read, its checks are unknown: {str(error)[:200]}"
            return Examined([Verdict(check=c.id, reason=str(error)[:300]) for c in checks], error.spent, [note]), False
        likely = soft_answers(answer.text, answer.tokens, _closed(checks)) if soft else {}
        return Examined(parse(answer.value, checks, likely), answer.spent, []), bool(answer.tokens)

    def examine(checks: Sequence[Check], image: ImageRef, context: RunContext) -> Examined:
        messages = render(checks, image, shrink(read, context.verify_size))
        soft = context.soft == "auto"
        first, has_logprobs = once(checks, messages, soft)
        if not soft or has_logprobs or context.votes == 1:
            return first
        with ContextThreadPoolExecutor(min(PARALLEL_CALLS, context.votes - 1)) as pool:
            others = [told for told, _ in pool.map(lambda _: once(checks, messages, False), range(context.votes - 1))]
        every = [first, *others]
        spent = Spent()
        for one in every:
            spent = spent.plus(one.spent)
        return Examined(tally([e.verdicts for e in every]), spent, [note for e in every for note in e.notes])

    def node(state: VerifierState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = runtime.context or RunContext()
        groups = [[c] for c in state.checks] if context.verify == "each" else [state.checks]
        new = [a for a in state.attempts if not a.verdicts and a.score is None]
        jobs = [(group, a.image) for a in new for group in groups]
        with ContextThreadPoolExecutor(min(PARALLEL_CALLS, max(1, len(jobs)))) as pool:
            results = list(pool.map(lambda job: examine(job[0], job[1], context), jobs))
        judged = []
        for i, attempt in enumerate(new):
            mine = results[i * len(groups) : (i + 1) * len(groups)]
            judged.append(attempt.judged([v for one in mine for v in one.verdicts]))
        notes = [note for one in results for note in one.notes] + capability_notes(chat)
        return {"attempts": judged, "notes": notes, "usage": cost("verifier", [one.spent for one in results])}

    return node
