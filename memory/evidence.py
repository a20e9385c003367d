"""What a run bears out: which refinements turned failed checks into passed ones, and whether the lessons shown helped.

Plain functions of the state. An unknown or skipped check says nothing, and a check that fails and passes under one and
the same prompt says nothing about prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from .lessons import Trial
from .state import Attempt, Check, CheckKind, GemsState, best_of


class RefinementStep(NamedTuple):
    """A prompt that came from another one, and what became of the checks."""

    before: Attempt
    """The best attempt when it was written; of an edit the one whose image was edited."""
    after: Attempt
    """The best attempt of its round."""
    key: str
    """Names it by the pictures before and after, so that a fork, or a step that is run again, names it the same."""
    turned: tuple[Check, ...]
    """Failed before, passed after."""
    failing: tuple[Check, ...]
    """Failed before."""
    broken: tuple[Check, ...]
    """Passed before, failed after."""

    def helped(self, kind: CheckKind) -> bool:
        """Tell whether fewer checks of a kind failed afterwards."""
        return _count_of_kind(self.turned, kind) > _count_of_kind(self.broken, kind)


def refinement_steps(state: GemsState) -> list[RefinementStep]:
    """Return the run's refinements, oldest first, without those whose prompt had been drawn before."""
    found = []
    for round in dict.fromkeys(a.round for a in state.attempts):
        earlier = [a for a in state.attempts if a.round < round]
        after = [a for a in state.attempts if a.round == round]
        edited = [a for a in earlier if a.image == after[0].source]
        base = edited[0] if edited else best_of(earlier)
        if base is not None and _prompt_key(after[0]) not in map(_prompt_key, earlier):
            before = [a for a in earlier if _prompt_key(a) == _prompt_key(base)]
            found.append(_compare_rounds(base, before, after, state.checks))
    return found


def latest_improvements(state: GemsState) -> dict[CheckKind, RefinementStep]:
    """Return for each kind of check the latest refinement that helped."""
    return {c.kind: r for r in refinement_steps(state) for c in r.turned if r.helped(c.kind)}


def lesson_trials(state: GemsState, run: str = "") -> list[tuple[str, Trial]]:
    """Return what the run says of the lessons that its refiner was shown: (id of the lesson, trial) each.

    A lesson was tried where checks of its kind had failed. What the planner was shown is not counted, as there is no attempt
    without it to compare with.
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
    return RefinementStep(
        before=base,
        after=best_of(after) or after[0],
        key=_step_key(before, after),
        turned=tuple(c for c in failing if 2 * sum(now[c.id]) > len(now[c.id])),  # not one lucky one of many candidates
        failing=failing,
        broken=tuple(c for c in checks if was[c.id] and all(was[c.id]) and 2 * sum(now[c.id]) < len(now[c.id])),
    )


def _check_passed(attempt: Attempt, check: str) -> bool | None:
    return next((v.passed for v in attempt.verdicts if v.check == check), None)


def _prompt_key(attempt: Attempt) -> tuple[str, str]:
    return (" ".join(attempt.prompt.split()), attempt.source.sha256 if attempt.source else "")


def _step_key(before: Sequence[Attempt], after: Sequence[Attempt]) -> str:
    pictures = [sorted(a.image.sha256 for a in attempts) for attempts in (before, after)]
    return hashlib.sha256(repr(pictures).encode()).hexdigest()[:16]


def _count_of_kind(checks: Sequence[Check], kind: CheckKind) -> int:
    return sum(c.kind == kind for c in checks)
