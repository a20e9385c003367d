"""Parser of the shapes world: from a request in plain words to groups, relations and places, and to layouts.

`parse_request` parses the tokens of `language.tokenize`; `layouts` yields cells for the things; `describe_layout` words a
layout as in the training of the image model. Pure functions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any, NamedTuple

from ...errors import OutsideWorldError
from .language import WordToken, list_things_with_cells, name_cell, name_group, tokenize
from .world import CELLS, COLORS, MAX_THINGS, DrawnThing, Relation, SceneSpec, ThingGroup, center_of, is_on_side, row_and_column

_DRAWS = (
    "shapes world draws circles, squares, triangles and stars in red, orange, yellow, green, blue and purple, "
    "up to six of them, beside, above and below one another"
)
_ELSE = "for anything else use real models: --chat and --image"

_FILLERS = frozenset({
    "a", "an", "please", "draw", "paint", "create", "generate", "make", "render", "show", "give", "me", "us", "can",
    "could", "you", "i", "i'd", "want", "would", "like", "to", "see", "need", "have", "there", "there's", "is", "are",
    "be", "being", "containing", "contains", "contain", "featuring", "showing", "shows", "which", "that", "exactly",
    "just", "only", "both", "all", "placed", "located", "positioned", "standing", "arranged", "also", "hello", "hi",
})  # fmt: skip
_BACK = frozenset({"the", "it", "them"})
"""Words that point back to something already named."""
_LITTLE = frozenset({"on", "of", "in", "at", "to", "by", "for", "as", "from", "off", "into", "it's", "is"})  # fmt: skip
"""Words that an error never names: "on a beach" fails for the beach."""


def outside_world_error(problem: str) -> OutsideWorldError:
    """Return the error that says what the shapes world draws, what the problem is, and what to use instead."""
    return OutsideWorldError(f"{_DRAWS}; {problem}; {_ELSE}")


MAX_RANKED = 2000
"""Most layouts that are ranked: there can be tens of thousands."""


class ParsedRequest(NamedTuple):
    """A parsed request: groups, relations between them, and for each group its cell, None where it has none.

    For a group of several, "top", "bottom", "left" and "right" mean the whole row or column (see `region`).
    """

    groups: tuple[ThingGroup, ...]
    relations: tuple[Relation, ...] = ()
    places: tuple[int | None, ...] = ()

    @property
    def spec(self) -> SceneSpec:
        """The groups and relations, without the places."""
        return SceneSpec(self.groups, self.relations)

    @property
    def total(self) -> int:
        """Number of things in all groups."""
        return sum(group.count for group in self.groups)


def parse_request(text: str) -> ParsedRequest:
    """Parse a request: "three red circles above a blue square", "a star at the top left, two red circles at the bottom".

    A relation said right after another's object belongs to that object ("a star above a circle to the left of a square":
    the circle is to the left); after "and" it belongs to the first thing. "the circle" refers back to a circle already named.

    Raises:
        OutsideWorldError: the request has words that the shapes world does not know, or a plural without a number.
    """
    parsed = _RequestParser(_known_tokens(tokenize(text))).parse()
    if not parsed.groups:
        raise outside_world_error(f'it finds nothing to draw in "{" ".join(text.split())[:80]}"')
    if parsed.total > MAX_THINGS:
        raise outside_world_error(f"it cannot draw {parsed.total} things")
    for a, _, b in parsed.relations:
        if parsed.groups[a][1:] == parsed.groups[b][1:]:
            raise outside_world_error(f'it cannot tell "{name_group(parsed.groups[a])}" from "{name_group(parsed.groups[b])}"')
    for group, cell in zip(parsed.groups, parsed.places, strict=True):
        if cell is not None and group.count > len(region(cell, group.count > 1)):
            raise outside_world_error(
                f'it has no room for "{name_group(group)}" {name_cell(cell)} (a row holds three, a corner one)'
            )
    return parsed


def _known_tokens(tokens: Sequence[WordToken]) -> list[WordToken]:
    """Drop filler words; a word without a meaning here is an error."""
    words = [t for t in tokens if t.kind == "word" and t.value not in _FILLERS | _BACK]
    if words:
        unknown = next((t for t in words if t.value not in _LITTLE), words[0])
        raise outside_world_error(f'it cannot draw "{unknown.text.strip(chr(34))}"')
    return [t for t in tokens if t.kind != "filler" and not (t.kind == "word" and t.value in _FILLERS)]


class _RequestParser:
    """Puts tokens together, left to right. `gap` is the break since the last group, side or place."""

    def __init__(self, tokens: Sequence[WordToken]) -> None:
        self.tokens = tokens
        self.groups: list[ThingGroup] = []
        self.places: list[int | None] = []
        self.relations: list[Relation] = []
        self.phrase: list[WordToken] = []
        self.subject = self.last = -1
        self.gap, self.side, self.last_side = "", "", ""
        self.place: int | None = None

    def parse(self) -> ParsedRequest:
        for at, token in enumerate(self.tokens):
            follows = self.tokens[at + 1].kind if at + 1 < len(self.tokens) else ""
            if token.kind in ("number", "color") or token.value == "the":
                self.phrase.append(token)
            elif token.kind == "shape":
                self._group(token, follows)
            elif any(t.value != "the" for t in self.phrase):
                raise outside_world_error(f'it cannot draw "{" ".join(t.text for t in [*self.phrase, token])}"')
            else:
                self._other(token, follows)
        left = [*self.phrase, *([self.tokens[-1]] if self.side else [])]
        if left or self.place is not None:
            raise outside_world_error(f'it misses a shape after "{" ".join(t.text for t in left or self.tokens[-1:])}"')
        return ParsedRequest(tuple(self.groups), tuple(self.relations), tuple(self.places))

    def _group(self, token: WordToken, follows: str) -> None:
        index = self._referred_group(token)
        if index is None:
            index = self._new_group(token)
        shares = self.gap == "and" and self.last_side and follows not in ("side", "place")
        if self.side or shares:
            self.last_side = self.side or self.last_side
            self.relations.append(Relation(self.subject, self.last_side, index))
        else:
            self.subject, self.last_side = index, ""
        self.last, self.gap, self.side, self.phrase = index, "", "", []

    def _referred_group(self, token: WordToken) -> int | None:
        """Return the one group that "the red circle" refers back to, if there is one."""
        phrase = {t.kind: t.value for t in self.phrase}
        if not any(t.value == "the" for t in self.phrase) or self.place is not None:
            return None
        fits = [
            i
            for i, g in enumerate(self.groups)
            if g.shape == token.value
            and phrase.get("color", g.color) == g.color
            and phrase.get("number", str(g.count)) == str(g.count)
        ]
        return fits[0] if len(fits) == 1 else None

    def _new_group(self, token: WordToken) -> int:
        numbers, colors = ([t for t in self.phrase if t.kind == kind] for kind in ("number", "color"))
        text = " ".join(t.text for t in [*self.phrase, token])
        if len(numbers) > 1 or len(colors) > 1:
            raise outside_world_error(f'it cannot draw "{text}": a thing has one number and one colour')
        if not numbers and token.text != token.value:
            raise outside_world_error(f'it cannot tell how many "{text}" there shall be: say a number')
        count = int(numbers[0].value) if numbers else 1
        if count == 0:
            raise outside_world_error(f'it cannot draw "{text}": say what to draw, not what to leave out')
        self.groups.append(ThingGroup(count, colors[0].value if colors else None, token.value))
        self.places.append(self.place)
        self.place = None
        return len(self.groups) - 1

    def _other(self, token: WordToken, follows: str) -> None:
        if token.kind == "break":
            self.gap = "," if "," in (self.gap, token.value) else token.value
        elif token.kind == "side":
            self._side(token)
        elif token.kind == "place":
            self._place(token, follows)
        else:
            self._pronoun(token)

    def _side(self, token: WordToken) -> None:
        if self.side or self.last < 0:
            raise outside_world_error(f'it misses a shape before "{token.text}"')
        if not self.gap and self.last_side:
            self.subject = self.last
        self.side, self.gap, self.phrase = token.value, "", []

    def _place(self, token: WordToken, follows: str) -> None:
        ahead = follows in ("number", "color", "shape", "word") and (self.gap or self.last < 0)
        if ahead or self.last < 0:
            self.place = int(token.value)
        elif self.side or self.places[self.last] is not None:
            raise outside_world_error(f'it cannot place a thing twice: "{token.text}"')
        else:
            self.places[self.last] = int(token.value)
        self.gap = ""

    def _pronoun(self, token: WordToken) -> None:
        """Read "it" and "them": "a circle with a square below it" puts the square below the circle."""
        if not self.side or self.last < 1:
            raise outside_world_error(f'it cannot tell what "{token.text}" means')
        self.relations.append(Relation(self.last, self.side, self.last - 1))
        self.side, self.gap = "", ""


def region(cell: int, several: bool) -> tuple[int, ...]:
    """Return the cells a place means: itself, or for several things at an edge the edge's whole row or column."""
    row, column = row_and_column(cell)
    if several and CELLS[cell] in ("top", "bottom"):
        return tuple(3 * row + k for k in range(3))
    if several and CELLS[cell] in ("left", "right"):
        return tuple(3 * k + column for k in range(3))
    return (cell,)


def layouts(
    parsed: ParsedRequest,
    rng: random.Random | None = None,
    *,
    keep: Mapping[int, Collection[int]] | None = None,
    forbidden: Collection[int] = (),
) -> Iterator[tuple[int, ...]]:
    """Yield every layout once: a distinct cell for each thing, group after group, ascending within a group.

    Every thing of a relation's first group lies on that side of every thing of its second, in rows or columns, and each
    group stands where it is asked to. Nothing is yielded where the request cannot be laid out on the grid.

    Args:
        parsed: the request.
        rng: the order is random if given, else ascending.
        keep: cells (by index of the group) that the group must take, such as those that worked before.
        forbidden: cells that nothing may take, unless kept.
    """
    kept = {group: set(cells) for group, cells in (keep or {}).items()}
    free = set(range(len(CELLS))) - (set(forbidden) - set().union(*kept.values()))
    for chosen in _fill_groups(parsed, (), free, kept, rng):
        yield tuple(cell for cells in chosen for cell in cells)


def _fill_groups(
    parsed: ParsedRequest,
    chosen: tuple[tuple[int, ...], ...],
    free: set[int],
    kept: Mapping[int, set[int]],
    rng: random.Random | None,
) -> Iterator[tuple[tuple[int, ...], ...]]:
    index = len(chosen)
    if index == len(parsed.groups):
        yield chosen
        return
    group, place = parsed.groups[index], parsed.places[index] if parsed.places else None
    mine = kept.get(index, set())
    others = set().union(*(cells for i, cells in kept.items() if i != index))
    allowed = set(region(place, group.count > 1)) if place is not None else set(range(len(CELLS)))
    options = [c for c in combinations(sorted(free & allowed - others), group.count) if mine <= set(c)]
    if rng is not None:
        rng.shuffle(options)
    for cells in options:
        grown = (*chosen, cells)
        if all(_relation_holds(relation, grown) for relation in parsed.relations if index in (relation.a, relation.b)):
            yield from _fill_groups(parsed, grown, free - set(cells), kept, rng)


def _relation_holds(relation: Relation, chosen: Sequence[Sequence[int]]) -> bool:
    if max(relation.a, relation.b) >= len(chosen):
        return True
    spots = [[row_and_column(cell)[::-1] for cell in chosen[group]] for group in (relation.a, relation.b)]
    return all(is_on_side(relation.side, a, b) for a in spots[0] for b in spots[1])


def choose_layout(
    parsed: ParsedRequest,
    rng: random.Random,
    *,
    keep: Mapping[int, Collection[int]] | None = None,
    forbidden: Collection[int] = (),
    avoid: Collection[tuple[int, ...]] = (),
    rank: Callable[[tuple[int, ...]], Any] | None = None,
) -> tuple[int, ...] | None:
    """Choose a layout by chance that is not one of `avoid` (layouts chosen before); None where there is none left.

    With a `rank`, the first of the lowest among some thousand.
    """
    candidates = (cells for cells in layouts(parsed, rng, keep=keep, forbidden=forbidden) if cells not in avoid)
    return next(candidates, None) if rank is None else min(islice(candidates, MAX_RANKED), key=rank, default=None)


def choose_colors(parsed: ParsedRequest, rng: random.Random) -> tuple[str, ...]:
    """Choose a colour for each group: its own where it names one, else one that no other group has."""
    colors = [group.color for group in parsed.groups]
    for index, color in enumerate(colors):
        if color is None:
            colors[index] = rng.choice([c for c in sorted(COLORS) if c not in colors] or sorted(COLORS))
    return tuple(color or "" for color in colors)


def describe_layout(parsed: ParsedRequest, cells: Sequence[int], colors: Sequence[str | None] = ()) -> str:
    """Say a layout in the words the image model learnt: "a red circle at the top left, a blue square at the bottom".

    Args:
        parsed: the request.
        cells: a cell for each thing, as `layouts` yields them.
        colors: a colour for each group, for groups that name none; without it such things are said without a colour.
    """
    things: list[DrawnThing] = []
    for index, group in enumerate(parsed.groups):
        color = group.color or (colors[index] if colors else None) or ""
        for _ in range(group.count):
            cell = cells[len(things)]
            things.append(DrawnThing(group.shape, color, cell, *center_of(cell), 0.0, index))
    return list_things_with_cells(things)
