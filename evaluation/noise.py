"""A verifier that errs: a node around the verifier, which inverts a share of its readings."""

from __future__ import annotations

import functools
import random
from typing import Any

from ..memory.state import Check, Verdict
from ..nodes.checks.answers import passes
from ..nodes.checks.verification import ALTER_READING
from ..nodes.messages import Node


def noisy(verifier: Node, *, fp: float = 0.0, fn: float = 0.0, seed: int | None = None) -> Node:
    """Wrap a verifier so that it errs: each reading of a check is inverted at a rate, the verdicts of checkers are not.

    Equal seeds, images, checks and numbers of the reading give equal errors.

    Args:
        verifier: a node made by `gems.nodes.verifier.verifier`.
        fp: share of the failures that become passes, from 0 to 1.
        fn: share of the passes that become failures, from 0 to 1.
        seed: of the errors, beside that of the run.

    Example:
        ```python
        errs = noisy(verifier(chat, store.read), fp=0.1, fn=0.05)
        gems.run("two blue stars", nodes={"verifier": errs})
        ```
    """

    def alter(verdict: Verdict, check: Check, key: str) -> Verdict:
        rate = {True: fn, False: fp, None: 0.0}[verdict.passed]
        if not rate or random.Random(key if seed is None else f"{seed}/{key}").random() >= rate:
            return verdict
        wrong = "yes" if passes(check, "no") else "no"
        return Verdict(check=check.id, passed=not verdict.passed, answer=wrong if verdict.passed else check.expected)

    @functools.wraps(verifier)
    def node(*args: Any, **kwargs: Any) -> dict[str, Any]:
        token = ALTER_READING.set(alter)
        try:
            update = verifier(*args, **kwargs)
        finally:
            ALTER_READING.reset(token)
        rates = f"{fp:g} of its failures become passes, {fn:g} of its passes failures"
        note = f"The verifier noise is on: {rates}, of the model's answers."
        return {**update, "notes": [*update.get("notes", []), note]}

    return node
