"""What a person's word does to images that were judged before: other verdicts, or other checks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...memory.state import Attempt, Check, Verdict
from .verification import ancestors


def with_human_verdicts(attempt: Attempt, said: Mapping[str, bool | None], checks: Sequence[Check], words: str = "") -> Attempt:
    """Return an attempt with a person's verdicts, to be scored again; they stand whatever a verifier finds later.

    What was skipped because of a failure that is none now is unknown: nobody has looked.

    Args:
        attempt: an image that was judged.
        said: by the ids of checks, whether it passes; None where that cannot be told.
        checks: all checks of the run.
        words: what the person said about it.
    """
    own = {id: Verdict(check=id, passed=passed, reason=human_reason(words)) for id, passed in said.items()}
    found = {v.check: v for v in attempt.verdicts} | own
    failed = {id for id, verdict in found.items() if verdict.passed is False}
    above = ancestors(checks)
    for id, verdict in found.items():
        if verdict.skipped and failed.isdisjoint(above.get(id, ())):
            found[id] = Verdict(check=id, reason="not asked, since a check it depends on had failed")
    stands = {v.check: v for v in attempt.said} | own
    return attempt.model_copy(update={"verdicts": tuple(found.values()), "said": tuple(stands.values()), "score": None})


def with_new_checks(attempts: Sequence[Attempt], old: Sequence[Check], checks: Sequence[Check]) -> list[Attempt]:
    """Return attempts to be scored by other checks: examined again only where there is something new to ask.

    What a check depends on is no part of its question: where that alone has changed, all that was found stands. A check that
    was skipped is asked where nothing it depends on now has failed.
    """
    before = {c.id: _question_key(c) for c in old}
    same = {c.id for c in checks if before.get(c.id) == _question_key(c)}
    new = {c.id for c in checks} - same
    above = ancestors(checks)
    return [
        a.model_copy(
            update={
                "verdicts": () if new or _has_unblocked_check(a, same, above) else a.verdicts,
                "said": tuple(v for v in a.said if v.check in same),
                "score": None,
            }
        )
        for a in attempts
    ]


def _question_key(check: Check) -> tuple[str, str, str]:
    return check.question, check.kind, check.expected


def _has_unblocked_check(attempt: Attempt, checks: Collection[str], above: Mapping[str, Collection[str]]) -> bool:
    """Tell whether a check was skipped in an image for a failure that none of those it now depends on has."""
    failed = {v.check for v in attempt.verdicts if v.passed is False}
    return any(v.skipped and v.check in checks and failed.isdisjoint(above.get(v.check, ())) for v in attempt.verdicts)


def human_reason(words: str) -> str:
    """Return the reason of a verdict that a person gave."""
    return f"a person: {words}" if words else "a person said so"
