"""Example of a custom node: a verifier that measures the image and calls no model.

It measures with the perception of the shapes world. Put a detector or OCR of your own in its place and return a verdict for
each check in the same way; a check that it cannot answer is unknown, `passed=None`, and never failed.
"""

from __future__ import annotations

from typing import Any

from ..memory.state import Attempt, Check, GemsState, Verdict
from ..models.shapes.answers import answer
from ..models.shapes.perception import perceive
from ..nodes.checks.answers import passes
from ..nodes.messages import Node
from ..storage.image_store import ImageStore


def pixel_verifier(images: ImageStore) -> Node:
    """Build a verifier for `build_graph(verifier=...)`.

    Args:
        images: the image store.
    """

    def verify(attempt: Attempt, checks: list[Check]) -> Attempt:
        seen = perceive(images.open(attempt.image).convert("RGB"))
        answers = [(check, answer(check.question, seen)) for check in checks]
        return attempt.judged(
            Verdict(check=c.id, answer=a.text, passed=passes(c, a.text) if a.known else None, reason=a.reason) for c, a in answers
        )

    def node(state: GemsState) -> dict[str, Any]:
        return {"attempts": [verify(attempt, state.checks) for attempt in state.pending]}

    return node
