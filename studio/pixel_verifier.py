"""An example of a node of one's own: a verifier that measures the picture and asks no model.

What it measures with are the eyes of the shapes world. Put a detector or OCR of your own in their place and return a verdict
for each check in the same way; what yours cannot tell is unknown, by `passed=None`, and never failed.
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
        images: where the pictures are.
    """

    def judge(attempt: Attempt, checks: list[Check]) -> Attempt:
        seen = perceive(images.open(attempt.image).convert("RGB"))
        found = [(check, answer(check.question, seen)) for check in checks]
        return attempt.judged(
            Verdict(check=c.id, answer=f.text, passed=passes(c, f.text) if f.known else None, reason=f.reason) for c, f in found
        )

    def node(state: GemsState) -> dict[str, Any]:
        return {"attempts": [judge(attempt, state.checks) for attempt in state.pending]}

    return node
