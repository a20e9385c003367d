"""Verifier: answers every check from the pixels, with a reason for each one that did not pass."""

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
from .checks.answers import FORMS, expects_text, match_text, passes
from .checks.checkers import Checker
from .checks.verification import ImageVerification, VerifierReply
from .messages import MAX_ANSWER, MAX_QUESTION, Node, ReadImage, format_questions, truncate_each, usage_of, user_message

PARALLEL_CALLS = 8
LIMITS = {"answer": (MAX_ANSWER, "An answer of the verifier's"), "reason": (MAX_QUESTION, "A reason of the verifier's")}
"""Characters of the model's texts that are kept."""

T = TypeVar("T")

_INSTRUCTIONS = "\n".join(f"- {form.instruction}" for form in FORMS.values())
_GIVEN = ", ".join(form.given for form in FORMS.values())

SYSTEM = f"""\
You examine an image and answer questions about it. Answer from the pixels alone: you do not know what the image was \
meant to show, and what is usual or likely does not count. Look at the place in question before you answer, and look \
again before you say that something is missing.

Answers
{_INSTRUCTIONS}
- "unknown" if the image does not allow an answer: too small, hidden, or the question makes no sense for it. Never guess.

For every answer that is not a plain "yes" say in one sentence what you see instead and where, so that someone who \
cannot see the image could mend it: "there are two circles, at the left and in the center, and a star where the third \
would be"."""


class Finding(BaseModel):
    """The answer to one question."""

    id: str = Field(description="The question's id, such as c1.")
    answer: str = Field(description=f'{_GIVEN}, or "unknown".')
    reason: str = Field(default="", description='What is seen instead, for every answer but a plain "yes".')


class Findings(BaseModel):
    """The answers to all questions, in their order."""

    findings: list[Finding]


class VerifierState(BaseModel):
    """What the verifier reads."""

    checks: list[Check] = []
    attempts: list[Attempt] = []


def render(checks: Sequence[Check], image: ImageRef, read: ReadImage, system: str = "") -> list[BaseMessage]:
    """Return the messages to the model: the image and the questions, without the request and the expected answers.

    `system` replaces `SYSTEM` unless it is empty.
    """
    return [SystemMessage(system or SYSTEM), user_message([image, f"<questions>\n{format_questions(checks)}\n</questions>"], read)]


def parse(answer: Findings, checks: Sequence[Check], probabilities: Mapping[str, float] | None = None) -> list[Verdict]:
    """Return a verdict for each check; one without an answer is unknown.

    Args:
        answer: of the model.
        checks: in the order of the verdicts.
        probabilities: P(the answer is the expected one), by the id of the check, where known.
    """
    by_id = {normalize_id(f.id): f for f in reversed(answer.findings)}
    verdicts = []
    for check in checks:
        finding = by_id.get(normalize_id(check.id))
        if finding is None:
            verdicts.append(Verdict(check=check.id, reason="the verifier gave no answer"))
            continue
        text, reason = finding.answer.strip(), finding.reason.strip()
        compared = _answer_to(check, checks, by_id)
        passed = passes(check, compared)
        p = None if passed is None else (probabilities or {}).get(check.id)
        if passed is False and expects_text(check):
            match = match_text(check.expected, compared)
            p, reason = match.probability, "; ".join(filter(None, (match.difference, reason)))
        verdicts.append(Verdict(check=check.id, passed=passed, answer=text, probability=p, reason=reason))
    return verdicts


def _answer_to(check: Check, checks: Sequence[Check], by_id: Mapping[str, Finding]) -> str:
    """Return the answer to a check; for texts asked for by the same question, the answers to all of them."""
    own = by_id[normalize_id(check.id)].answer.strip()
    if not expects_text(check):
        return own
    same = [normalize_id(c.id) for c in checks if expects_text(c) and c.question == check.question]
    read = "\n".join(dict.fromkeys([own, *(by_id[id].answer.strip() for id in same if id in by_id)]))[: 2 * MAX_ANSWER]
    return own if passes(check, own) is None and not passes(check, read) else read


def downscaling_reader(read: ReadImage, side: int | None) -> ReadImage:
    """Return a reader of images that scales them down so that neither side is longer than `side` pixels."""

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


def verifier(chat: BaseChatModel, read: ReadImage, checkers: Sequence[Checker] = ()) -> Node:
    """Build the node that gives each new attempt its verdicts.

    Args:
        chat: a model that takes images.
        read: returns the bytes of an image.
        checkers: asked first about checks of their kinds; the model answers the others.
    """

    def ask_once(checks: Sequence[Check], image: ImageRef, context: RunContext, look: ReadImage) -> VerifierReply:
        messages = render(checks, image, look, context.verifier_prompt)
        soft = context.soft == "auto"
        try:
            answer = ask(chat, messages, Findings, role="verifier", logprobs=soft)
            findings, notes = truncate_each(answer.value.findings, LIMITS)
        except ModelAnswerError as error:  # an answer that cannot be parsed says nothing about the image
            note = f"An answer of the verifier could not be read: {str(error)[:200]}"
            return VerifierReply([Verdict(check=c.id, reason=str(error)[:300]) for c in checks], error.spent, [note])
        closed = {c.id: c.expected for c in checks if not expects_text(c)}  # a text can look like a number
        probabilities = answer_probabilities(answer.text, answer.tokens, closed) if soft else {}
        return VerifierReply(parse(Findings(findings=findings), checks, probabilities), answer.spent, [*notes, *answer.notes])

    def node(state: VerifierState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        began = time.perf_counter()
        active = checkers if context.checkers == "auto" else ()

        def verify(attempt: Attempt, pool: Executor) -> tuple[Attempt, ImageVerification]:
            image = attempt.image
            look = functools.cache(downscaling_reader(read, context.verify_size))  # scaled down once, not for every call
            verification = ImageVerification(state.checks, image, context, lambda cs: ask_once(cs, image, context, look), pool)
            judged = attempt.judged(verification.run(active, lambda: Image.open(io.BytesIO(read(image))).convert("RGB")))
            for event in CheckAnswered.each(judged, state.checks, "verifier"):
                emit(event)
            return judged, verification

        done = _verify_in_parallel(verify, [a for a in state.attempts if not a.verdicts and a.score is None])
        return {
            "attempts": [attempt for attempt, _ in done],
            "notes": [note for _, verification in done for note in verification.notes],
            "usage": usage_of("verifier", [verification.spent for _, verification in done], seconds=time.perf_counter() - began),
        }

    return node


def _verify_in_parallel(verify: Callable[[Attempt, Executor], T], attempts: Sequence[Attempt]) -> list[T]:
    """Verify attempts in parallel, with at most `PARALLEL_CALLS` calls of the model at a time for all of them."""
    # Two pools: a verification waits for its calls, and would deadlock in a pool full of verifications.
    with ContextThreadPoolExecutor(PARALLEL_CALLS) as calls, ContextThreadPoolExecutor(PARALLEL_CALLS) as images:
        try:
            return list(images.map(lambda attempt: verify(attempt, calls), attempts))
        except BaseException:
            calls.shutdown(wait=False, cancel_futures=True)  # make no more calls
            raise
