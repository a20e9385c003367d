"""Verifier: answers every check from the pixels, with a reason for whatever is not as wanted."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.runtime import Runtime
from PIL import Image
from pydantic import BaseModel, Field

from ..context import RunContext, settings_in
from ..errors import ModelAnswerError
from ..events import CheckAnswered, emit
from ..memory.state import Attempt, Check, ImageRef, Verdict
from ..models.chat.answer_probability import answer_probabilities, normalize_id
from ..models.chat.ask import ask
from ..models.chat.capabilities import capability_notes
from .checks.answers import is_read_out, passes, read_out
from .checks.checkers import Checker
from .checks.verification import ImageVerification, Reply
from .messages import MAX_ANSWER, MAX_QUESTION, Node, ReadImage, cost, human, list_checks, shorten

PARALLEL_CALLS = 8

T = TypeVar("T")

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


def render(checks: Sequence[Check], image: ImageRef, read: ReadImage, system: str = "") -> list[BaseMessage]:
    """Return what the model is shown: the image and the questions, and neither the request nor the expected answers.

    `system` takes the place of `SYSTEM` if it is not empty.
    """
    return [SystemMessage(system or SYSTEM), human([image, f"<questions>\n{list_checks(checks)}\n</questions>"], read)]


def parse(answer: Findings, checks: Sequence[Check], likely: Mapping[str, float] | None = None) -> list[Verdict]:
    """Return a verdict for each check; one without an answer is unknown.

    Args:
        answer: what the model found.
        checks: what it was asked.
        likely: P(the answer is the expected one), by the check's id, where it is known.
    """
    found = {normalize_id(f.id): f for f in reversed(answer.findings)}
    verdicts = []
    for check in checks:
        finding = found.get(normalize_id(check.id))
        if finding is None:
            verdicts.append(Verdict(check=check.id, reason="the verifier gave no answer"))
            continue
        said, why = finding.answer.strip(), finding.reason.strip()
        heard = _heard(check, checks, found)
        passed = passes(check, heard)
        p = None if passed is None else (likely or {}).get(check.id)
        if passed is False and is_read_out(check):
            match = read_out(check, heard)
            p, why = match.probability, "; ".join(filter(None, (match.difference, why)))
        verdicts.append(Verdict(check=check.id, passed=passed, answer=said, probability=p, reason=why))
    return verdicts


def _shortened(answer: Findings) -> tuple[Findings, list[str]]:
    """Return the findings with texts no longer than they may be, and a note if one was cut."""
    short, notes = [], []
    for finding in answer.findings:
        said, about = shorten(finding.answer.strip(), MAX_ANSWER, "An answer of the verifier's")
        why, more = shorten(finding.reason.strip(), MAX_QUESTION, "A reason of the verifier's")
        short.append(finding.model_copy(update={"answer": said, "reason": why}))
        notes += about + more
    return Findings(findings=short), [*dict.fromkeys(notes)]


def _heard(check: Check, checks: Sequence[Check], found: Mapping[str, Finding]) -> str:
    """Return the answer to a check. Of several texts asked for in the same words, all that was read counts for each."""
    own = found[normalize_id(check.id)].answer.strip()
    if not is_read_out(check):
        return own
    same = [normalize_id(c.id) for c in checks if is_read_out(c) and c.question == check.question]
    read = "\n".join(dict.fromkeys([own, *(found[id].answer.strip() for id in same if id in found)]))[: 2 * MAX_ANSWER]
    return own if passes(check, own) is None and not passes(check, read) else read


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


def verifier(chat: BaseChatModel, read: ReadImage, checkers: Sequence[Checker] = ()) -> Node:
    """Build the node that gives each new attempt its verdicts.

    Args:
        chat: a model that sees images.
        read: returns an image's bytes.
        checkers: who is asked first about the kinds of checks that they know; the model answers the others.
    """

    def ask_once(checks: Sequence[Check], image: ImageRef, context: RunContext, look: ReadImage) -> Reply:
        messages = render(checks, image, look, context.verifier_prompt)
        soft = context.soft == "auto"
        try:
            answer = ask(chat, messages, Findings, role="verifier", logprobs=soft)
            read_back, notes = _shortened(answer.value)
        except ModelAnswerError as error:  # an answer that cannot be read says nothing about the image
            note = f"An answer of the verifier could not be read: {str(error)[:200]}"
            return Reply([Verdict(check=c.id, reason=str(error)[:300]) for c in checks], error.spent, [note])
        likely = answer_probabilities(answer.text, answer.tokens, _closed(checks)) if soft else {}
        return Reply(parse(read_back, checks, likely), answer.spent, notes)

    def node(state: VerifierState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        began = time.perf_counter()
        asked = checkers if context.checkers == "auto" else ()

        def examine(attempt: Attempt, pool: Executor) -> tuple[Attempt, ImageVerification]:
            image = attempt.image
            look = functools.cache(shrink(read, context.verify_size))  # scaled down once, not for every call
            one = ImageVerification(state.checks, image, context, lambda checks: ask_once(checks, image, context, look), pool)
            judged = attempt.judged(one.run(asked, lambda: Image.open(io.BytesIO(read(image))).convert("RGB")))
            for event in CheckAnswered.each(judged, state.checks, "verifier"):
                emit(event)
            return judged, one

        done = _side_by_side(examine, [a for a in state.attempts if not a.verdicts and a.score is None])
        return {
            "attempts": [attempt for attempt, _ in done],
            "notes": [note for _, one in done for note in one.notes] + capability_notes(chat),
            "usage": cost("verifier", [one.spent for _, one in done], seconds=time.perf_counter() - began),
        }

    return node


def _side_by_side(examine: Callable[[Attempt, Executor], T], attempts: Sequence[Attempt]) -> list[T]:
    """Examine attempts side by side, with no more than `PARALLEL_CALLS` calls of the model at a time for all of them."""
    # Two pools: an examination waits for its calls, and would wait for ever in a pool that is full of examinations.
    with ContextThreadPoolExecutor(PARALLEL_CALLS) as calls, ContextThreadPoolExecutor(PARALLEL_CALLS) as images:
        try:
            return list(images.map(lambda attempt: examine(attempt, calls), attempts))
        except BaseException:
            calls.shutdown(wait=False, cancel_futures=True)  # nothing more is to be spent
            raise
