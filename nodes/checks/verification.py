"""Verification of an image: the strategies batch, each and adaptive, and the aggregation of several readings of a check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import NamedTuple

from PIL import Image

from ...context import RunContext
from ...memory.state import Check, ImageRef, Verdict
from ...models.chat.call import CallUsage
from .answers import expects_text
from .checkers import Checker

CERTAIN_FROM = 0.8
"""P(a check passes) from which one reading is enough; below it, the check is asked again."""

UNANSWERED_NOTE = "The verifier left a check without an answer that can be read: it is asked again, and never counts as failed."

_logger = logging.getLogger(__name__)


class VerifierReply(NamedTuple):
    """The result of one call of the verifier's model: a verdict for each check, in order."""

    verdicts: list[Verdict]
    spent: CallUsage
    notes: list[str]


Ask = Callable[[Sequence[Check]], VerifierReply]

ALTER_READING: ContextVar[Callable[[Verdict, Check, str], Verdict]] = ContextVar(
    "alter_reading", default=lambda verdict, check, key: verdict
)
"""Changes each reading of a check before it counts, given the check and a key of the reading; see `evaluation/noise.py`."""


def aggregate_readings(readings: Sequence[Verdict]) -> Verdict:
    """Return one verdict from several readings of a check. Unknown readings do not count.

    If all known readings have a probability and are unanimous or tied, the mean of the probabilities decides. Otherwise the
    majority decides, a tie is unknown, and the probability is the share of passes, or the mean if they are unanimous.
    """
    known = [v for v in readings if v.passed is not None]
    if len(known) < 2:
        return known[0] if known else next((v for v in readings if v.answer), readings[-1])
    share = sum(v.passed is True for v in known) / len(known)
    probabilities = [v.probability for v in known if v.probability is not None]
    mean = sum(probabilities) / len(probabilities) if probabilities else None
    by_mean = mean is not None and len(probabilities) == len(known) and share in (0.0, 0.5, 1.0)
    probability = mean if by_mean or share in (0.0, 1.0) else share
    decisive = mean if mean is not None and by_mean else share
    passed = None if decisive == 0.5 else decisive > 0.5
    agreeing = [v for v in known if v.passed is passed] or known
    shown = next((v for v in reversed(agreeing) if v.reason), agreeing[-1])
    reason = shown.reason or ("" if shown.passed is passed else "the readings differ, or are not certain")
    return shown.model_copy(update={"passed": passed, "probability": probability, "reason": reason})


def is_tied(readings: Sequence[Verdict]) -> bool:
    """Return whether another reading is needed: as many readings passed as failed, and not all have a probability."""
    known = [v for v in readings if v.passed is not None]
    tie = bool(known) and 2 * sum(v.passed is True for v in known) == len(known)
    return tie and any(v.probability is None for v in known)


def ancestors(checks: Sequence[Check]) -> dict[str, list[str]]:
    """Return for each check the ids of the checks it depends on, directly or indirectly, nearest first.

    Unknown ids are left out, and so is a dependency that would close a cycle.
    """
    parents: dict[str, list[str]] = {c.id: [] for c in checks}
    for check in checks:
        for parent in check.depends_on:
            if parent in parents and check.id != parent and check.id not in _ancestors_of(parent, parents):
                parents[check.id].append(parent)
    return {id: _ancestors_of(id, parents) for id in parents}


def _ancestors_of(id: str, parents: dict[str, list[str]]) -> list[str]:
    queue = list(dict.fromkeys(parents[id]))
    for ancestor in queue:  # breadth first: the queue grows while it is walked
        queue += dict.fromkeys(p for p in parents[ancestor] if p not in queue)
    return queue


class ImageVerification:
    """The verification of one image: its readings so far, and the strategies that ask for more.

    Args:
        checks: all checks of the run.
        image: the image, of which only the hash is used.
        context: the settings of the run.
        ask: makes one call of the model about the image; called from the threads of `pool`.
        pool: runs the calls, also those about other images.
    """

    def __init__(self, checks: Sequence[Check], image: ImageRef, context: RunContext, ask: Ask, pool: Executor) -> None:
        self.checks, self.image, self.context, self.ask, self.pool = checks, image, context, ask, pool
        self.ancestors = ancestors(checks)
        self.questions = {c.id: c.question for c in checks}
        self.readings: dict[str, list[Verdict]] = {c.id: [] for c in checks}
        self.fixed: dict[str, Verdict] = {}
        self.spent = CallUsage()
        self.notes: list[str] = []
        self.votes = context.votes if context.soft == "auto" else 1

    @property
    def unanswered(self) -> list[Check]:
        """Checks for the model: not answered by a checker and not skipped."""
        return [c for c in self.checks if c.id not in self.fixed]

    def verdict(self, check: str) -> Verdict:
        """Return the verdict on a check from the readings so far."""
        unknown = Verdict(check=check, reason="the verifier gave no answer")
        return self.fixed.get(check) or aggregate_readings(self.readings[check] or [unknown])

    def run(self, checkers: Sequence[Checker], pixels: Callable[[], Image.Image]) -> list[Verdict]:
        """Verify the image; return a verdict for each check, in order.

        Args:
            checkers: asked before the model.
            pixels: returns the image for the checkers.
        """
        self._ask_checkers(checkers, pixels)
        {"batch": self._verify_batch, "each": self._verify_each, "adaptive": self._verify_adaptive}[self.context.verify]()
        self._skip_dependent()
        self.notes += self._settings_notes()
        verdicts = [self.verdict(c.id) for c in self.checks]
        return verdicts if self.context.soft == "auto" else [v.model_copy(update={"probability": None}) for v in verdicts]

    def _settings_notes(self) -> Iterator[str]:
        if any(not v.answer for readings in self.readings.values() for v in readings):
            yield UNANSWERED_NOTE
        if self.context.confirm and self.context.verify != "adaptive":
            yield f"confirm has no effect with verify {self.context.verify}."
        if self.context.votes > 1 and self.context.soft == "none":
            yield "votes have no effect with soft none."

    def _ask_checkers(self, checkers: Sequence[Checker], pixels: Callable[[], Image.Image]) -> None:
        for checker in checkers:
            own = [c for c in self.unanswered if c.kind in checker.kinds]
            if not own:
                continue
            try:
                answers = _verdicts_of(checker, pixels(), own)
            except Exception as error:  # a user's checker may raise anything; the model can answer its checks
                _logger.warning("the checker %s failed (%s)", checker.name, type(error).__name__)
                _logger.debug("the checker %s failed", checker.name, exc_info=True)
                self.notes.append(f"The checker {checker.name} failed ({type(error).__name__}): the model answers its checks.")
                continue
            self.fixed |= {v.check: v for v in answers if v is not None}

    def _verify_batch(self) -> None:
        self._skip_dependent()
        self._ask_model([self.unanswered])
        if self.votes > 1 and not any(map(self._has_probability, self.unanswered)):
            self._ask_model([self.unanswered] * (self.votes - 1))
        for wave in self._waves(self._without_answer(self.unanswered)):
            self._ask_model([[c] for c in wave])

    def _verify_each(self) -> None:
        for wave in self._waves(self.unanswered):
            self._ask_model([[c] for c in wave])
            self._ask_model([[c] for c in wave if not self._has_probability(c) for _ in range(self.votes - 1)])
            self._ask_model([[c] for c in self._without_answer(wave)])

    def _verify_adaptive(self) -> None:
        self._skip_dependent()
        self._ask_model([self.unanswered])
        for wave in self._waves([c for c in self.unanswered if not self._is_certain(c)]):
            self._ask_singly(wave)
        if self.context.confirm and all(self.verdict(c.id).passed for c in self.checks):
            # Once more in reverse order; what fails now is asked by itself.
            self._ask_model([self.unanswered[::-1]])
            self._ask_singly([c for c in self.unanswered if self.readings[c.id][-1].passed is False])

    def _ask_singly(self, checks: Sequence[Check]) -> None:
        """Ask each check in its own call, and once more if its readings are tied."""
        self._ask_model([[c] for c in checks for _ in range(1 if self._has_probability(c) else self.votes)])
        self._ask_model([[c] for c in checks if is_tied(self.readings[c.id])])

    def _ask_model(self, groups: Iterable[Sequence[Check]]) -> None:
        """Ask about groups of checks in parallel, one call for each group."""
        jobs = [group for group in groups if group]
        for group, reply in zip(jobs, self.pool.map(self.ask, jobs), strict=True):
            self.spent = self.spent.plus(reply.spent)
            self.notes += reply.notes
            for check, verdict in zip(group, reply.verdicts, strict=True):
                readings = self.readings[check.id]
                key = f"{self.context.seed}/{self.image.sha256}/{check.id}/{len(readings)}"
                readings.append(ALTER_READING.get()(verdict, check, key))

    def _waves(self, checks: Sequence[Check]) -> Iterator[list[Check]]:
        """Yield the checks in waves, each after the checks it depends on, without those that are skipped meanwhile."""
        left = list(checks)
        while left:
            ids = {c.id for c in left}
            ready = left if not self.context.skip_children else [c for c in left if ids.isdisjoint(self.ancestors[c.id])]
            left = [c for c in left if c not in ready]
            yield [c for c in ready if not self._skip_if_pointless(c)]

    def _skip_dependent(self) -> None:
        """Skip every check that depends on a failed one."""
        for _ in self._waves(self.checks):
            pass

    def _skip_if_pointless(self, check: Check) -> bool:
        """Skip a check if one it depends on has failed; return whether it was skipped."""
        fixed = self.fixed.get(check.id)
        if not self.context.skip_children or (fixed is not None and fixed.passed):  # a checker saw that it passes
            return False
        failed = next((p for p in self.ancestors[check.id] if self.verdict(p).passed is False), None)
        if failed is not None:
            reason = f"{'does not count' if self.readings[check.id] else 'not asked'}: {self.questions[failed]} failed"
            self.fixed[check.id] = Verdict(check=check.id, skipped=True, reason=reason)
        return failed is not None

    def _is_certain(self, check: Check) -> bool:
        verdict = self.verdict(check.id)
        return verdict.passed is True and (verdict.probability is None or verdict.probability >= CERTAIN_FROM)

    def _has_probability(self, check: Check) -> bool:
        # A misread text has one too, by its similarity, which is no substitute for votes.
        return not expects_text(check) and any(v.probability is not None for v in self.readings[check.id])

    def _without_answer(self, checks: Sequence[Check]) -> list[Check]:
        """Return the checks without any answer, not even that it is unknown."""
        return [c for c in checks if not any(v.answer for v in self.readings[c.id])]


def _verdicts_of(checker: Checker, image: Image.Image, checks: Sequence[Check]) -> list[Verdict | None]:
    """Return a checker's verdicts, with its name in the reason of those that did not pass.

    Raises:
        ValueError: the checker did not return a verdict, or None, for each check.
    """
    answers = list(checker.check(image, checks))
    if len(answers) != len(checks) or any(v is not None and v.check != c.id for c, v in zip(checks, answers, strict=True)):
        raise ValueError("a checker must return a verdict, or None, for each check in order")
    return [
        v if v is None or v.passed else v.model_copy(update={"reason": f"{checker.name}: {v.reason}".rstrip(": ")}) for v in answers
    ]
