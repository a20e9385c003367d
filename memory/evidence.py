"""Evidence in a run: which refinements made failed checks pass, and whether the lessons that were shown helped.

Pure functions of the state. Unknown and skipped checks are no evidence, nor are checks that both fail and pass under the
same prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from .lessons import Trial
from .state import Attempt, Check, CheckKind, GemsState, best_of


class RefinementStep(NamedTuple):
    """A prompt that was refined from another one, and what changed in the checks."""

    before: Attempt
    """The best attempt when the prompt was written; for an edit, the attempt whose image was edited."""
    after: Attempt
    """The best attempt of its round."""
    key: str
    """A hash of the images before and after, equal in a fork and in a step that is run again."""
    fixed: tuple[Check, ...]
    """Failed before, passed after."""
    failing: tuple[Check, ...]
    """Failed before."""
    broken: tuple[Check, ...]
    """Passed before, failed after."""

    def helped(self, kind: CheckKind) -> bool:
        """Return whether fewer checks of a kind failed afterwards."""
        return _count_of_kind(self.fixed, kind) > _count_of_kind(self.broken, kind)


def refinement_steps(state: GemsState) -> list[RefinementStep]:
    """Return the refinements of a run, oldest first, without those that repeat an earlier prompt."""
    steps = []
    for round in dict.fromkeys(a.round for a in state.attempts):
        earlier = [a for a in state.attempts if a.round < round]
        after = [a for a in state.attempts if a.round == round]
        edited = [a for a in earlier if a.image == after[0].source]
        base = edited[0] if edited else best_of(earlier)
        if base is not None and _prompt_key(after[0]) not in map(_prompt_key, earlier):
            before = [a for a in earlier if _prompt_key(a) == _prompt_key(base)]
            steps.append(_compare_rounds(base, before, after, state.checks))
    return steps


def latest_improvements(state: GemsState) -> dict[CheckKind, RefinementStep]:
    """Return the latest refinement that helped, by kind of check."""
    return {c.kind: r for r in refinement_steps(state) for c in r.fixed if r.helped(c.kind)}


def lesson_trials(state: GemsState, run: str = "") -> list[tuple[str, Trial]]:
    """Return the trials of the lessons that the refiner was shown, as pairs of lesson id and trial.

    A lesson was tried if checks of its kind had failed. Lessons shown to the planner are not counted: there is no attempt
    without them to compare with.
    """
    return [
        (shown.id, Trial(key=refinement.key, helped=refinement.helped(shown.kind), run=run))
        for refinement in refinement_steps(state)
        for shown in state.lessons
        if shown.round == refinement.after.round and _count_of_kind(refinement.failing, shown.kind)
    ]


def _compare_rounds(base: Attempt, before: Sequence[Attempt], after: Sequence[Attempt], checks: Sequence[Check]) -> RefinementStep:
    was = {c.id: [v for a in before if (v := _check_passed(a, c.id)) is not None] for c in checks}
    now = {c.id: [v for a in after if (v := _check_passed(a, c.id)) is not None] for c in checks}
    failing = tuple(c for c in checks if was[c.id] and not any(was[c.id]))
    images = [sorted(a.image.sha256 for a in attempts) for attempts in (before, after)]
    return RefinementStep(
        before=base,
        after=best_of(after) or after[0],
        key=hashlib.sha256(repr(images).encode()).hexdigest()[:16],
        fixed=tuple(c for c in failing if 2 * sum(now[c.id]) > len(now[c.id])),  # a majority, not one lucky candidate
        failing=failing,
        broken=tuple(c for c in checks if was[c.id] and all(was[c.id]) and 2 * sum(now[c.id]) < len(now[c.id])),
    )


def _check_passed(attempt: Attempt, check: str) -> bool | None:
    return next((v.passed for v in attempt.verdicts if v.check == check), None)


def _prompt_key(attempt: Attempt) -> tuple[str, str]:
    return (" ".join(attempt.prompt.split()), attempt.source.sha256 if attempt.source else "")


def _count_of_kind(checks: Sequence[Check], kind: CheckKind) -> int:
    return sum(c.kind == kind for c in checks)
