"""The atomic questions of a request to the shapes world. How they are answered from an image is in `answers`."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .answers import ThingKind
from .grammar import ParsedRequest
from .language import NUMBERS, describe_side, name_cell, name_group, plural
from .world import ThingGroup


class ShapesQuestion(NamedTuple):
    """One atomic question; `parents` are the indices of the questions that must pass for this one to mean anything."""

    kind: Literal["object", "count", "attribute", "relation"]
    text: str
    expected: str
    parents: tuple[int, ...] = ()


def questions_about(parsed: ParsedRequest) -> list[ShapesQuestion]:
    """Make the questions of a request: for each kind of thing whether it is there, how many, its colour; then how they lie.

    A colour is depends_on on its own ("Is the circle red?") where one kind has that shape. Where several have ("a red circle and
    two blue circles"), the kinds are told apart by colour, and the shape is counted once more over all of them.
    """
    result: list[ShapesQuestion] = []
    parents: dict[ThingGroup, tuple[int, ...]] = {}
    for shape in dict.fromkeys(g.shape for g in parsed.groups):
        groups = [g for g in parsed.groups if g.shape == shape]
        total = sum(g.count for g in groups)
        colors = dict.fromkeys(g.color for g in groups)
        for color in colors:
            same = [g for g in groups if g.color == color]
            count = total if color is None else sum(g.count for g in same)
            depends_on = _ask_kind(result, ThingKind(color, shape, count > 1), count, alone=len(colors) == 1)
            parents.update(dict.fromkeys(same, depends_on))
        if len(colors) > 1 and None not in colors:
            result.append(ShapesQuestion("count", f"How many {plural(shape, 2)} are in the image?", NUMBERS[total]))
    result += [_ask_relation(parsed, k, parents) for k in range(len(parsed.relations))]
    result += [_ask_place(parsed, i, cell, parents) for i, cell in enumerate(parsed.places) if cell is not None]
    return result


def _ask_kind(result: list[ShapesQuestion], kind: ThingKind, count: int, alone: bool) -> tuple[int, ...]:
    """Append the questions about one kind; return the indices that later questions about it depend on."""
    first = len(result)
    name = kind._replace(color=None) if alone else kind
    result.append(
        ShapesQuestion("object", f"Is there {name_group(ThingGroup(1, name.color, kind.shape or ''))} in the image?", "yes")
    )
    result.append(ShapesQuestion("count", f"How many {name._replace(several=True)} are in the image?", NUMBERS[count], (first,)))
    if not alone or kind.color is None:
        return (first,)
    result.append(ShapesQuestion("attribute", f"{_question_start(name)} {kind.color}?", "yes", (first,)))
    return (first, len(result) - 1)


def _question_start(kind: ThingKind) -> str:
    return f"Are all the {kind}" if kind.several else f"Is the {kind}"


def _kind_of(group: ThingGroup) -> ThingKind:
    return ThingKind(group.color, group.shape, group.count > 1)


def _ask_relation(parsed: ParsedRequest, index: int, parents: dict[ThingGroup, tuple[int, ...]]) -> ShapesQuestion:
    relation = parsed.relations[index]
    a, b = parsed.groups[relation.a], parsed.groups[relation.b]
    text = f"{_question_start(_kind_of(a))} {describe_side(relation.side)} the {_kind_of(b)}?"
    return ShapesQuestion("relation", text, "yes", tuple(sorted({*parents[a], *parents[b]})))


def _ask_place(parsed: ParsedRequest, index: int, cell: int, parents: dict[ThingGroup, tuple[int, ...]]) -> ShapesQuestion:
    group = parsed.groups[index]
    alike = sum(g[1:] == group[1:] for g in parsed.groups) > 1
    start = f"{'Is' if group.count == 1 else 'Are'} there {name_group(group)}" if alike else _question_start(_kind_of(group))
    return ShapesQuestion("relation", f"{start} {name_cell(cell)} of the image?", "yes", parents[group])
