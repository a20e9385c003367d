"""Compare the first image with the best one: checks gained and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..memory.state import Attempt, Check
from .history import RunHistory
from .inline_images import InlineImage, inline_image

PAIR = 384
"""Largest width and height of each of the two images, in CSS pixels."""


@dataclass(frozen=True)
class ImagePair:
    """The first image and the best one, with the checks in which they differ."""

    first: InlineImage
    best: InlineImage
    gained: list[Check]
    """Checks that only the best image passes."""
    lost: list[Check]
    """Checks that only the first image passes."""
    missed: list[Check]
    """Checks that neither passes."""
    passed_by_both: int
    """Number of checks."""


def compare_first_and_best(run: RunHistory) -> ImagePair | None:
    """Compare the first image with the best; None if they are the same, or if either is not verified."""
    state, best = run.state, run.best
    if best is None or not state.attempts:
        return None
    first = state.attempts[0]
    if best.key == first.key or not first.verdicts or not best.verdicts:
        return None
    before, after = _passed_checks(first), _passed_checks(best)

    def checks_with(was: bool, now: bool) -> list[Check]:
        return [c for c in state.checks if (c.id in before, c.id in after) == (was, now)]

    return ImagePair(
        first=inline_image(first.image, run.read_image, alt="The first image", edge=PAIR),
        best=inline_image(best.image, run.read_image, alt="The best image", edge=PAIR),
        gained=checks_with(False, True),
        lost=checks_with(True, False),
        missed=checks_with(False, False),
        passed_by_both=len(checks_with(True, True)),
    )


def _passed_checks(attempt: Attempt) -> Sequence[str]:
    return [v.check for v in attempt.verdicts if v.passed]
