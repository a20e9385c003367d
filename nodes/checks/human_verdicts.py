"""Apply a person's verdicts, or a person's list of checks, to images that were verified before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ...memory.state import Attempt, Check, Verdict
from .verification import ancestors


def with_human_verdicts(attempt: Attempt, passed: Mapping[str, bool | None], checks: Sequence[Check], words: str = "") -> Attempt:
    """Return an attempt with a person's verdicts and no score; they override the verifier's, now and later.

    A check that was skipped because of a failure that no longer holds becomes unknown.

    Args:
        attempt: an image that was verified.
        passed: whether each check passed, by its id; None if the person cannot tell.
        checks: all checks of the run.
        words: the person's comment.
    """
    own = {id: Verdict(check=id, passed=value, reason=human_reason(words)) for id, value in passed.items()}
    verdicts = {v.check: v for v in attempt.verdicts} | own
    for id in _unblocked(list(verdicts.values()), ancestors(checks)):
        verdicts[id] = Verdict(check=id, reason="not asked, since a check it depends on had failed")
    said = {v.check: v for v in attempt.said} | own
    return attempt.model_copy(update={"verdicts": tuple(verdicts.values()), "said": tuple(said.values()), "score": None})


def with_new_checks(attempts: Sequence[Attempt], old: Sequence[Check], checks: Sequence[Check]) -> list[Attempt]:
    """Return attempts for other checks: without a score, and without verdicts where the verifier has something new to ask.

    New is a check with another kind, question or expected answer, and a skipped check none of whose dependencies has failed.
    Other changes of dependencies keep the verdicts.
    """
    before = {c.id: _question_key(c) for c in old}
    same = {c.id for c in checks if before.get(c.id) == _question_key(c)}
    new = {c.id for c in checks} - same
    above = ancestors(checks)
    return [
        a.model_copy(
            update={
                "verdicts": () if new or same & set(_unblocked(a.verdicts, above)) else a.verdicts,
                "said": tuple(v for v in a.said if v.check in same),
                "score": None,
            }
        )
        for a in attempts
    ]


def _question_key(check: Check) -> tuple[str, str, str]:
    return check.question, check.kind, check.expected


def _unblocked(verdicts: Collection[Verdict], above: Mapping[str, Collection[str]]) -> list[str]:
    """Return the ids of skipped checks none of whose dependencies, by `above`, has failed."""
    failed = {v.check for v in verdicts if v.passed is False}
    return [v.check for v in verdicts if v.skipped and failed.isdisjoint(above.get(v.check, ()))]


def human_reason(words: str) -> str:
    """Return the reason in a verdict of a person."""
    return f"a person: {words}" if words else "a person said so"
