"""Answers to questions about an image of the shapes world.

`answer` gets a question and the things that `perception.perceive` returns, never the request. A question is encoded as a
short code ("are all the circles red" is `are all K C`) and looked up in a table of forms; a question without a form has no
answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .grammar import region
from .language import NUMBERS, WordToken, describe_side, name_cell, plural, tokenize
from .world import SIZE, is_on_side

if TYPE_CHECKING:
    from .perception import PerceivedThing

MARGIN = 6
"""Pixels by which the centre of a thing must be higher than another's to be above it; likewise for the other sides."""
MIN_CERTAINTY = 0.15
"""Things with less certainty have no shape and no colour: nobody would call them a red circle."""


class ShapesAnswer(NamedTuple):
    """An answer: "yes", "no", a number in words, a colour or a place. If not `known`, there is no answer, never a guess."""

    text: str
    known: bool
    reason: str


class ThingKind(NamedTuple):
    """The things that a question is about: of a shape, of a colour, or both; None means any."""

    color: str | None
    shape: str | None
    several: bool = False

    def __str__(self) -> str:
        """Return a phrase such as "red circles"."""
        return " ".join(filter(None, (self.color, plural(self.shape or "thing", 2 if self.several else 1))))

    def fits(self, thing: PerceivedThing) -> bool:
        """Return whether a thing is of this kind."""
        return self.color in (None, thing.color) and self.shape in (None, thing.shape)


def matches_expected(answer: ShapesAnswer, expected: str) -> bool | None:
    """Return whether an answer is the expected one, "three" and "3" alike; None where there is no answer."""
    return _normalize(answer.text) == _normalize(expected) if answer.known else None


def _normalize(text: str) -> str:
    word = text.strip().lower().rstrip(".!")
    return {**{name: str(n) for n, name in enumerate(NUMBERS) if n}, "zero": "0", "none": "0"}.get(word, word)


def answer(question_text: str, seen: Sequence[PerceivedThing]) -> ShapesAnswer:
    """Answer a question from the things in an image.

    Understood are: whether there is something ("Is there at least one red circle?", "Are there exactly three circles?"), how
    many ("How many red circles are there?", "Is the number of red circles three?"), colour and shape ("Are all the circles
    red?", "What color is the star?"), sides ("Is the red circle to the left of the blue square?") and places ("Is the star
    at the top left?", "Where is the star?"). A statement about absent things gets "no".

    Args:
        question_text: the question.
        seen: the things in the image, from `perceive`.
    """
    code, parts = _encode(tokenize(question_text))
    clear = [thing for thing in seen if thing.certainty >= MIN_CERTAINTY]
    for pattern, reply in _FORMS:
        match = pattern.fullmatch(code)
        result = reply(match, parts, clear) if match else None
        if result:
            blurred = len(seen) - len(clear)
            more = f", and {_number_word(blurred)} more that I cannot make out" if blurred else ""
            return ShapesAnswer(result[0], True, result[1] + more)
    return ShapesAnswer("unknown", False, f'I do not understand the question "{" ".join(question_text.split())[:200]}"')


class _QuestionParts(NamedTuple):
    """The values behind the letters of a question's code, in order; a place is a cell and whether its row or column is meant."""

    kinds: list[ThingKind]
    numbers: list[int]
    colors: list[str]
    sides: list[str]
    places: list[tuple[int, bool]]


_Reply = Callable[[re.Match[str], _QuestionParts, "list[PerceivedThing]"], tuple[str, str] | None]

_ANYTHING = {"thing", "shape", "object", "item", "figure"}
_SKIPPED = frozenset({
    "the", "you", "please", "visible", "shown", "present", "depicted", "drawn", "located", "placed", "positioned", "in", "of",
    "colored", "coloured", "together", "total",
})  # fmt: skip
_SAME = {
    "an": "a", "any": "a", "some": "a", "every": "all", "each": "all", "both": "all", "colour": "color", "colors": "color",
    "colours": "color", "fewer": "less", "which": "what", "that": "what", "only": "exactly", "just": "exactly",
}  # fmt: skip
_WIDE = re.compile(r"\b(?:row|column|side|edge|third)\b")


def _encode(tokens: Sequence[WordToken]) -> tuple[str, _QuestionParts]:
    """Write a question as words and letters (K a kind, N a number, C a colour, R a side, P a place) and the values behind them."""
    parts = _QuestionParts([], [], [], [], [])
    code: list[str] = []
    for token in tokens:
        word = token.value.lower()
        if token.kind == "shape" or (token.kind == "word" and word.removesuffix("s") in _ANYTHING):
            color = parts.colors.pop() if code[-1:] == ["C"] and code.pop() else None
            parts.kinds.append(ThingKind(color, word if token.kind == "shape" else None, token.text.lower().endswith("s")))
            code.append("K")
        elif token.kind == "number":
            parts.numbers.append(int(word))
            code.append("N")
        elif token.kind == "color":
            parts.colors.append(word)
            code.append("C")
        elif token.kind == "side":
            parts.sides.append(word)
            code.append("R")
        elif token.kind == "place":
            parts.places.append((int(word), bool(_WIDE.search(token.text))))
            code.append("P")
        elif token.kind == "break" and (token.text == "," or token.text.isalpha()):
            code.append("and" if token.text == "," else token.text)
        elif token.kind == "word" and word not in _SKIPPED:
            code.append(_SAME.get(word, word))
    return re.sub(r"\band(?: and)+\b", "and", " ".join(code)), parts


def _number_word(count: int) -> str:
    return "zero" if count == 0 else NUMBERS[count] if count < len(NUMBERS) else str(count)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _cell_of(thing: PerceivedThing) -> int:
    """Return the cell a thing stands in, by thirds of the image."""
    column, row = (min(2, max(0, int(at * 3 / SIZE))) for at in (thing.x, thing.y))
    return 3 * row + column


def _name_with_place(thing: PerceivedThing) -> str:
    return f"{thing.color} {thing.shape} {name_cell(_cell_of(thing))}"


def _join_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _list_things(things: Sequence[PerceivedThing]) -> str:
    counts = Counter((t.color, t.shape) for t in things)
    return _join_words([f"{_number_word(n)} {color} {plural(shape, n)}" for (color, shape), n in counts.most_common()]) or "nothing"


def _list_similar(kind: ThingKind, clear: Sequence[PerceivedThing]) -> str:
    """List the things that resemble a kind: of its shape in any colour, else all things."""
    near = [t for t in clear if kind._replace(color=None if kind.shape else kind.color).fits(t)]
    if near or not clear:
        return f"I see {_list_things(near)}"
    return f"I see no {ThingKind(None if kind.shape else kind.color, kind.shape)}, but {_list_things(clear)}"


def _is_in_place(thing: PerceivedThing, kind: ThingKind, place: tuple[int, bool]) -> bool:
    cell, wide = place
    return _cell_of(thing) in region(cell, wide or kind.several)


def _is_on_side(side: str, a: PerceivedThing, b: PerceivedThing) -> bool:
    return is_on_side(side, (a.x, a.y), (b.x, b.y), MARGIN)


def _matching_things(match: re.Match[str], parts: _QuestionParts, clear: Sequence[PerceivedThing]) -> list[PerceivedThing]:
    """Return the things of the first kind that meet the rest of the question: a colour, a place, or a side of another kind."""
    kind = parts.kinds[0]
    things = [t for t in clear if kind.fits(t)]
    rest = match["rest"] or ""
    if rest.endswith("C"):
        return [t for t in things if t.color == parts.colors[0]]
    if rest.endswith("P"):
        return [t for t in things if _is_in_place(t, kind, parts.places[0])]
    if rest.endswith("K"):
        others = [t for t in clear if parts.kinds[1].fits(t)]
        enough = any if rest.endswith("a K") else all
        return [t for t in things if others and enough(_is_on_side(parts.sides[0], t, o) for o in others if o is not t)]
    return things


def _how_many(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    count = len(_matching_things(match, parts, clear))
    if not match["rest"]:
        return _number_word(count), _list_similar(parts.kinds[0], clear)
    return _number_word(count), _list_with_places([t for t in clear if any(k.fits(t) for k in parts.kinds)], clear)


def _list_with_places(things: Sequence[PerceivedThing], clear: Sequence[PerceivedThing]) -> str:
    return "I see " + (
        _join_words([f"a {_name_with_place(t)}".replace("a orange", "an orange") for t in things])
        or f"none of them, but {_list_things(clear)}"
    )


def _number_is(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    kind = parts.kinds[0]
    return _yes_or_no(sum(kind.fits(t) for t in clear) == parts.numbers[0]), _list_similar(kind, clear)


_ITEM = r"(?:(?:exactly|at least|at most|more than|less than) )?(?:(?:a|N) )?K"
_AMOUNT = re.compile(r"(?:(exactly|at least|at most|more than|less than) )?(?:(a|N) )?K")


def _count_matches(count: int, comparison: str | None, number: int | None) -> bool:
    if number is None and comparison is None:
        return count >= 1
    wanted = 1 if number is None else number
    return {
        None: count == wanted,
        "exactly": count == wanted,
        "at least": count >= wanted,
        "at most": count <= wanted,
        "more than": count > wanted,
        "less than": count < wanted,
    }[comparison]


def _is_there(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    numbers, items_hold = iter(parts.numbers), []
    items = list(_AMOUNT.finditer(match["items"]))
    for item, kind in zip(items, parts.kinds, strict=False):
        things = _matching_things(match, parts, clear) if match["rest"] else [t for t in clear if kind.fits(t)]
        items_hold.append(_count_matches(len(things), item[1], next(numbers) if item[2] == "N" else None))
    if match["rest"]:
        return _yes_or_no(all(items_hold)), _list_with_places([t for t in clear if any(k.fits(t) for k in parts.kinds)], clear)
    return _yes_or_no(all(items_hold)), "; ".join(dict.fromkeys(_list_similar(kind, clear) for kind in parts.kinds))


def _subject(match: re.Match[str], parts: _QuestionParts, clear: Sequence[PerceivedThing]) -> tuple[list[PerceivedThing], str]:
    """Return the things a statement is about, and why it cannot be true: they are absent, or not so many as it says."""
    kind = parts.kinds[0]
    things = [t for t in clear if kind.fits(t)]
    wrong = not things or (match["n"] and len(things) != parts.numbers[0])
    return things, _list_similar(kind, clear) if wrong else ""


def _is_colored(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    things, wrong = _subject(match, parts, clear)
    return _yes_or_no(not wrong and all(t.color == parts.colors[0] for t in things)), wrong or f"I see {_list_things(things)}"


def _is_a(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    things, wrong = _subject(match, parts, clear)
    return _yes_or_no(not wrong and all(parts.kinds[1].fits(t) for t in things)), wrong or f"I see {_list_things(things)}"


def _is_at(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    things, wrong = _subject(match, parts, clear)
    return _yes_or_no(
        not wrong and all(_is_in_place(t, parts.kinds[0], parts.places[0]) for t in things)
    ), wrong or _list_with_places(things, clear)


def _is_beside(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str] | None:
    kind, other, side = *parts.kinds, parts.sides[0]
    if kind[:2] == other[:2]:
        return None
    things, wrong = _subject(match, parts, clear)
    others = [t for t in clear if other.fits(t)]
    # "Is the circle above the red circle?" speaks of another circle.
    things = [t for t in things if kind.color or not other.fits(t)]
    others = [t for t in others if other.color or not kind.fits(t)]
    if wrong or not things or not others:
        return "no", "; ".join(dict.fromkeys(_list_similar(k, clear) for k in (kind, other)))
    for a in things:
        for b in others:
            if not _is_on_side(side, a, b):
                return "no", f"the {_name_with_place(a)} is not {describe_side(side)} the {_name_with_place(b)}"
    return "yes", _list_with_places([*things, *others], clear)


def _what_color(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    kind = parts.kinds[0]
    colors = dict.fromkeys(t.color for t in clear if kind.fits(t))
    return _join_words([*colors]) or "none", _list_similar(kind, clear)


def _what_shape(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    kind = parts.kinds[1]
    shapes = dict.fromkeys(t.shape for t in clear if kind.fits(t))
    return _join_words([*shapes]) or "none", _list_similar(kind, clear)


def _where_is(match: re.Match[str], parts: _QuestionParts, clear: list[PerceivedThing]) -> tuple[str, str]:
    things = [t for t in clear if parts.kinds[0].fits(t)]
    return _join_words([name_cell(_cell_of(t)) for t in things]) or "nowhere", _list_with_places(things, clear)


_REST = r"(?: (?:what )?(?:(?:is|are) )?(?P<rest>C|P|R (?:all |a )?K))?"
_STATED = r"(?:is|are)(?: all)?(?P<n> N)? K(?: all)? "
_FORMS: tuple[tuple[re.Pattern[str], _Reply], ...] = tuple(
    (re.compile(pattern), reply)
    for pattern, reply in (
        (rf"(?:how many|what is number|what number|count|number) K(?: (?:is|are)(?: there)?| (?:can|do) see)?{_REST}", _how_many),
        (r"is number K (?:equal to |exactly )?N", _number_is),
        (rf"(?:is|are)(?: there)? (?P<items>{_ITEM}(?: and {_ITEM})*)(?P<rest>)", _is_there),
        (rf"(?:is|are) there (?P<items>{_ITEM}){_REST}", _is_there),
        (rf"(?:do|does|can)(?: it)? (?:see|show|contain|have|include) (?P<items>{_ITEM}){_REST}", _is_there),
        (rf"{_STATED}C(?: color)?", _is_colored),
        (r"is color(?P<n>) K C", _is_colored),
        (r"(?:do|does)(?P<n>) K have (?:a )?(?:color )?C(?: color)?", _is_colored),
        (rf"{_STATED}(?:a )?K", _is_a),
        (rf"{_STATED}P", _is_at),
        (rf"{_STATED}R (?:all )?(?:(?:a|N) )?K", _is_beside),
        (r"what (?:is )?color (?:is |are )?(?:all )?K", _what_color),
        (r"what K (?:is|are) K", _what_shape),
        (r"where (?:is|are) (?:all )?K", _where_is),
    )
)
