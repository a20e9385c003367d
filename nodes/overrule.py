"""What a person's word does to images that were judged before: other verdicts, or other checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..memory.state import Attempt, Check, Verdict
from .examine import lineage


def overruled(attempt: Attempt, said: Mapping[str, bool | None], checks: Sequence[Check], words: str = "") -> Attempt:
    """Return an attempt with a person's verdicts, to be scored again; they stand whatever a verifier finds later.

    What was skipped because of a failure that is none now is unknown: nobody has looked.

    Args:
        attempt: an image that was judged.
        said: by the ids of checks, whether it passes; None where that cannot be told.
        checks: all checks of the run.
        words: what the person said about it.
    """
    own = {id: Verdict(check=id, passed=passed, reason=a_person(words)) for id, passed in said.items()}
    found = {v.check: v for v in attempt.verdicts} | own
    failed = {id for id, verdict in found.items() if verdict.passed is False}
    above = lineage(checks)
    for id, verdict in found.items():
        if verdict.skipped and failed.isdisjoint(above.get(id, ())):
            found[id] = Verdict(check=id, reason="not asked, since a check it depends on had failed")
    stands = {v.check: v for v in attempt.said} | own
    return attempt.model_copy(update={"verdicts": tuple(found.values()), "said": tuple(stands.values()), "score": None})


def asked_anew(attempts: Sequence[Attempt], old: Sequence[Check], checks: Sequence[Check]) -> list[Attempt]:
    """Return attempts to be scored by other checks: examined again only where there is something new to ask."""
    new = {c.id for c in checks if c not in old}
    return [
        a.model_copy(
            update={
                "verdicts": () if new else a.verdicts,
                "said": tuple(v for v in a.said if v.check not in new),
                "score": None,
            }
        )
        for a in attempts
    ]


def a_person(words: str) -> str:
    """Return the reason of a verdict that a person gave."""
    return f"a person: {words}" if words else "a person said so"
