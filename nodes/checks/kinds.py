"""The kinds of checks, as the decomposer is told about them.

To add a kind, add its name to `CheckKind` in `memory/state.py`, which checkpoints name, and a line here. Where its answers are
not "yes" or "no", `passes` in `answers.py` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...memory.state import CheckKind

KINDS: Mapping[CheckKind, str] = {
    "object": "",
    "count": "",
    "attribute": "",
    "relation": "",
    "text": "",
    "style": "",
    "knowledge": "a visible fact that follows from the world rather than from the words",
}
"""What to say about each kind beside its name; nothing where the name says it."""


def list_kinds() -> str:
    """Return the sentence of the decomposer's prompt that names the kinds."""
    return f"Kinds: {', '.join(f'{kind} ({about})' if about else kind for kind, about in KINDS.items())}."
