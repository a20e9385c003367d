"""How an image is examined: which checks are asked of whom, in which order and how often, and what the answers add up to."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from PIL import Image

from ...context import RunContext
from ...memory.state import Check, ImageRef, Verdict
from ...models.chat.call import CallUsage
from .answers import is_read_out, passes
from .checkers import Checker

CERTAIN = 0.8
"""P(a check passes) from which one reading is enough: below it, the check is asked again."""

UNANSWERED = "The verifier left a check without an answer that can be read: it is asked again, and never counts as failed."

_logger = logging.getLogger(__name__)


class Reply(NamedTuple):
    """What came of asking the model once: a verdict for each check that was asked, in order."""

    verdicts: list[Verdict]
    spent: CallUsage
    notes: list[str]


Ask = Callable[[Sequence[Check]], Reply]


def settle(readings: Sequence[Verdict]) -> Verdict:
    """Return the verdict of several readings of one check. Those that could not tell do not count.

    Where all of the others have a probability and are unanimous or tied, its mean decides. Otherwise the majority does, and
    the share of passes is the probability, unless they were unanimous; a tie can not tell.
    """
    known = [v for v in readings if v.passed is not None]
    if len(known) < 2:
        return known[0] if known else next((v for v in readings if v.answer), readings[-1])
    share = sum(v.passed is True for v in known) / len(known)
    given = [v.probability for v in known if v.probability is not None]
    mean = sum(given) / len(given) if given else None
    by_mean = mean is not None and len(given) == len(known) and share in (0.0, 0.5, 1.0)
    probability = mean if by_mean or share in (0.0, 1.0) else share
    decisive = mean if mean is not None and by_mean else share
    passed = None if decisive == 0.5 else decisive > 0.5
    speakers = [v for v in known if v.passed is passed] or known
    speaker = next((v for v in reversed(speakers) if v.reason), speakers[-1])
    reason = speaker.reason or ("" if speaker.passed is passed else "the readings differ, or are not certain")
    return speaker.model_copy(update={"passed": passed, "probability": probability, "reason": reason})


def split(readings: Sequence[Verdict]) -> bool:
    """Tell whether one more reading is needed: as many say passed as failed, and there are no probabilities to tell."""
    known = [v for v in readings if v.passed is not None]
    tie = bool(known) and 2 * sum(v.passed is True for v in known) == len(known)
    return tie and any(v.probability is None for v in known)


def lineage(checks: Sequence[Check]) -> dict[str, list[str]]:
    """Return the ids of what each check depends on, directly or through others, nearest first.

    An id that no check has is left out, and so is a dependency that would close a circle.
    """
    parents: dict[str, list[str]] = {c.id: [] for c in checks}
    for check in checks:
        for parent in check.depends_on:
            if parent in parents and check.id != parent and check.id not in _above(parent, parents):
                parents[check.id].append(parent)
    return {id: _above(id, parents) for id in parents}


def _above(id: str, parents: dict[str, list[str]]) -> list[str]:
    found = dict.fromkeys(parents[id])
    queue = list(found)
    for one in queue:  # it grows while it is walked through
        more = [p for p in parents[one] if p not in found]
        found.update(dict.fromkeys(more))
        queue += more
    return list(found)


def noisy(verdict: Verdict, check: Check, key: str, context: RunContext) -> Verdict:
    """Return the verdict, or with the probability of the context's noise its opposite, always the same for the same key."""
    rate = {True: context.noise_fn, False: context.noise_fp, None: 0.0}[verdict.passed]
    if not rate or random.Random(key).random() >= rate:
        return verdict
    wrong = "yes" if passes(check, "no") else "no"
    answer = wrong if verdict.passed else check.expected
    return Verdict(check=check.id, passed=not verdict.passed, answer=answer)


class ImageVerification:
    """One image on its way to its verdicts.

    Args:
        checks: all checks of the run.
        image: the image, of which only the hash is used.
        context: the settings of the run.
        ask: asks the model about the image once; it is called from the pool's threads.
        pool: where the calls run, of this image and of others.
    """

    def __init__(self, checks: Sequence[Check], image: ImageRef, context: RunContext, ask: Ask, pool: Executor) -> None:
        self.checks, self.image, self.context, self.ask, self.pool = checks, image, context, ask, pool
        self.lineage = lineage(checks)
        self.questions = {c.id: c.question for c in checks}
        self.readings: dict[str, list[Verdict]] = {c.id: [] for c in checks}
        self.fixed: dict[str, Verdict] = {}
        self.spent = CallUsage()
        self.notes: list[str] = []
        self.votes = context.votes if context.soft == "auto" else 1

    @property
    def open(self) -> list[Check]:
        """Checks for the model: neither answered by a checker nor skipped."""
        return [c for c in self.checks if c.id not in self.fixed]

    def verdict(self, check: str) -> Verdict:
        """Return what is known of a check so far."""
        unread = Verdict(check=check, reason="the verifier gave no answer")
        return self.fixed.get(check) or settle(self.readings[check] or [unread])

    def run(self, checkers: Sequence[Checker], pixels: Callable[[], Image.Image]) -> list[Verdict]:
        """Examine the image; return a verdict for each check, in their order.

        Args:
            checkers: who is asked before the model.
            pixels: returns the image as they see it.
        """
        self._consult(checkers, pixels)
        {"batch": self._batch, "each": self._each, "adaptive": self._adaptive}[self.context.verify]()
        self._prune()
        self.notes += self._remarks()
        found = [self.verdict(c.id) for c in self.checks]
        return found if self.context.soft == "auto" else [v.model_copy(update={"probability": None}) for v in found]

    def _remarks(self) -> Iterator[str]:
        if any(not v.answer for readings in self.readings.values() for v in readings):
            yield UNANSWERED
        if self.context.noise_fp or self.context.noise_fn:
            rates = f"{self.context.noise_fp:g} of its failures become passes, {self.context.noise_fn:g} of its passes failures"
            yield f"The verifier noise is on: {rates}, of what the model answers."
        if self.context.confirm and self.context.verify != "adaptive":
            yield f"confirm has no effect with verify {self.context.verify}."
        if self.context.votes > 1 and self.context.soft == "none":
            yield "votes have no effect with soft none."

    def _consult(self, checkers: Sequence[Checker], pixels: Callable[[], Image.Image]) -> None:
        for checker in checkers:
            asked = [c for c in self.open if c.kind in checker.kinds]
            if not asked:
                continue
            try:
                answers = _answers(checker, pixels(), asked)
            except Exception as error:  # whatever a checker of one's own raises: the model can answer its checks
                _logger.warning("the checker %s failed (%s)", checker.name, type(error).__name__)
                _logger.debug("the checker %s failed", checker.name, exc_info=True)
                self.notes.append(f"The checker {checker.name} failed ({type(error).__name__}): the model answers its checks.")
                continue
            self.fixed |= {v.check: v for v in answers if v is not None}

    def _batch(self) -> None:
        self._prune()
        self._read([self.open])
        if self.votes > 1 and not any(map(self._soft, self.open)):
            self._read([self.open] * (self.votes - 1))
        for wave in self._waves(self._lost(self.open)):
            self._read([[c] for c in wave])

    def _each(self) -> None:
        for wave in self._waves(self.open):
            self._read([[c] for c in wave])
            self._read([[c] for c in wave if not self._soft(c) for _ in range(self.votes - 1)])
            self._read([[c] for c in self._lost(wave)])

    def _adaptive(self) -> None:
        self._prune()
        self._read([self.open])
        for wave in self._waves([c for c in self.open if not self._certain(c)]):
            self._read_again(wave)
        if self.context.confirm and all(self.verdict(c.id).passed for c in self.checks):
            self._confirm()

    def _confirm(self) -> None:
        """Read an image that passed once more, the other way round; what differs then is asked again."""
        self._read([self.open[::-1]])
        self._read_again([c for c in self.open if self.readings[c.id][-1].passed is False])

    def _read_again(self, checks: Sequence[Check]) -> None:
        """Ask each check in a call of its own, and once more where that leaves it open."""
        self._read([[c] for c in checks for _ in range(1 if self._soft(c) else self.votes)])
        self._read([[c] for c in checks if split(self.readings[c.id])])

    def _read(self, groups: Iterable[Sequence[Check]]) -> None:
        """Ask about groups of checks, a call each, side by side."""
        jobs = [group for group in groups if group]
        for group, told in zip(jobs, self.pool.map(self.ask, jobs), strict=True):
            self.spent = self.spent.plus(told.spent)
            self.notes += told.notes
            for check, verdict in zip(group, told.verdicts, strict=True):
                read = self.readings[check.id]
                key = f"{self.context.seed}/{self.image.sha256}/{check.id}/{len(read)}"
                read.append(noisy(verdict, check, key, self.context))

    def _waves(self, checks: Sequence[Check]) -> Iterator[list[Check]]:
        """Go through checks, those first that others depend on; leave out what has lost its sense meanwhile."""
        left = list(checks)
        while left:
            ids = {c.id for c in left}
            ready = left if not self.context.skip_children else [c for c in left if ids.isdisjoint(self.lineage[c.id])]
            left = [c for c in left if c not in ready]
            yield [c for c in ready if not self._skip(c)]

    def _prune(self) -> None:
        """Skip everything that depends on a failed check."""
        for _ in self._waves(self.checks):
            pass

    def _skip(self, check: Check) -> bool:
        known = self.fixed.get(check.id)
        if not self.context.skip_children or (known is not None and known.passed):  # a checker saw it: that stands
            return False
        failed = next((p for p in self.lineage[check.id] if self.verdict(p).passed is False), None)
        if failed is not None:
            reason = f"{'does not count' if self.readings[check.id] else 'not asked'}: {self.questions[failed]} failed"
            self.fixed[check.id] = Verdict(check=check.id, skipped=True, reason=reason)
        return failed is not None

    def _certain(self, check: Check) -> bool:
        found = self.verdict(check.id)
        return found.passed is True and (found.probability is None or found.probability >= CERTAIN)

    def _soft(self, check: Check) -> bool:
        # A misread text has one too, which tells how near it is: it takes no vote's place.
        return not is_read_out(check) and any(v.probability is not None for v in self.readings[check.id])

    def _lost(self, checks: Sequence[Check]) -> list[Check]:
        """Return the checks that have no answer at all, not even that it is unknown."""
        return [c for c in checks if not any(v.answer for v in self.readings[c.id])]


def _answers(checker: Checker, image: Image.Image, checks: Sequence[Check]) -> list[Verdict | None]:
    """Ask a checker; return its verdicts with its name in the reason of whatever did not pass.

    Raises:
        ValueError: it returned something else than a verdict, or None, for each check.
    """
    answers = list(checker.check(image, checks))
    if len(answers) != len(checks) or any(v is not None and v.check != c.id for c, v in zip(checks, answers, strict=True)):
        raise ValueError("a checker must return a verdict, or None, for each check in order")
    return [
        v if v is None or v.passed else v.model_copy(update={"reason": f"{checker.name}: {v.reason}".rstrip(": ")}) for v in answers
    ]
