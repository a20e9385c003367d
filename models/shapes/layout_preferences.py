"""Preferences among layouts: what the embedded chat model can learn from layouts that were right, and can follow.

It knows a few traits in which layouts differ, each in both directions, but not which of them helps: runs find that out.
Lessons are matched by their words, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

from .world import CELLS, row_and_column

OWN_PLACE = "Give every thing a place of its own in the frame, such as at the top left, and name it with that place."
_OWN_PLACE = re.compile(
    r"\b(?:every|each)\s+(?:\w+\s+)?a\s+(?:named\s+)?place\b|\bplaces?\s+of\s+(?:its|their)\s+own\b", re.IGNORECASE
)
_RATHER = re.compile(r"\b(?:rather than|instead of|and not|not)\b", re.IGNORECASE)


class LayoutTrait(NamedTuple):
    """A number in which layouts differ, with the advice to lower and to raise it."""

    less: str
    more: str
    less_means: str
    more_means: str
    measure: Callable[[Sequence[int]], float]
    usual: float
    """Usual difference of the number between two layouts."""


class LayoutPreference(NamedTuple):
    """A preference among layouts."""

    trait: LayoutTrait
    sign: int

    def cost(self, cells: Sequence[int]) -> float:
        """Return how far a layout is from the preference: lower is better."""
        return self.sign * self.trait.measure(cells)


def _things_at_edges(cells: Sequence[int]) -> float:
    return sum(CELLS[cell] in ("top", "left", "right", "bottom") for cell in cells)


def _touching_pairs(cells: Sequence[int]) -> float:
    spots = [row_and_column(cell) for cell in cells]
    return sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in combinations(spots, 2))


def _rows_from_top(cells: Sequence[int]) -> float:
    return sum(row_and_column(cell)[0] for cell in cells)


LAYOUT_TRAITS = (
    LayoutTrait(
        "Put things into the corners and the center of the frame rather than at the middles of its edges.",
        "Put things at the middles of the edges of the frame rather than into its corners and center.",
        r"\b(?:in|into|to|at) (?:the |its )?corners?\b",
        r"\bmiddles? of (?:the|its) edges?\b",
        _things_at_edges,
        1.0,
    ),
    LayoutTrait(
        "Leave room between things: places that do not touch each other.",
        "Keep things close together, in places that touch each other.",
        r"\b(?:room|space|gaps?) between\b|\bfar apart\b",
        r"\bclose together\b",
        _touching_pairs,
        1.5,
    ),
    LayoutTrait(
        "Put things into the upper part of the frame.",
        "Put things into the lower part of the frame.",
        r"\bupper (?:part|half)\b",
        r"\blower (?:part|half)\b",
        _rows_from_top,
        1.5,
    ),
)


def describe_change(before: Sequence[int], after: Sequence[int]) -> str:
    """Return as advice the trait in which a layout differs most from the one before; empty without a layout or a difference."""
    if not after:
        return ""
    if not before:
        return OWN_PLACE
    changes = [(trait, (trait.measure(after) - trait.measure(before)) / trait.usual) for trait in LAYOUT_TRAITS]
    trait, change = max(changes, key=lambda pair: abs(pair[1]))
    return (trait.less if change < 0 else trait.more) if change else ""


def preferences_in(lessons: Sequence[str]) -> list[LayoutPreference]:
    """Return the preferences that lessons state, in order; the first of two that contradict each other counts."""
    preferences: dict[LayoutTrait, LayoutPreference] = {}
    for text in lessons:
        wanted = _RATHER.split(text)[0]
        for trait in LAYOUT_TRAITS:
            for sign, means in ((1, trait.less_means), (-1, trait.more_means)):
                if re.search(means, wanted, re.IGNORECASE):
                    preferences.setdefault(trait, LayoutPreference(trait, sign))
    return list(preferences.values())


def gives_places(lesson: str) -> bool:
    """Return whether a lesson is about places in the frame."""
    return bool(_OWN_PLACE.search(lesson)) or bool(preferences_in([lesson]))
