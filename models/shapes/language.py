"""The words of the shapes world: how a scene is described, and the tokens of a text."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .world import CELLS, COLORS, SHAPES, DrawnThing, Scene, SceneSpec, ThingGroup

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def plural(shape: str, count: int) -> str:
    """Return the shape's name as used for `count` of them."""
    return shape if count == 1 else shape + "s"


def name_group(group: ThingGroup) -> str:
    """Describe a group: "a red circle", "three blue squares", "two stars"."""
    number = ("an" if group.color == "orange" else "a") if group.count == 1 else NUMBERS[group.count]
    return " ".join(filter(None, (number, group.color, plural(group.shape, group.count))))


def name_cell(cell: int) -> str:
    """Describe a cell: "at the top left", "in the center"."""
    return "in the center" if CELLS[cell] == "center" else f"at the {CELLS[cell]}"


def describe_side(side: str) -> str:
    """Describe a relation: "above", "to the left of"."""
    return f"to the {side}" if side.endswith(" of") else side


def describe_spec(spec: SceneSpec) -> str:
    """Put a spec into a short request, as a person would type it.

    Two groups with a relation read "three red circles above a blue square"; a second relation of the first group
    reads "... and to the left of a green star"; groups without a relation are listed.
    """
    names = [name_group(g) for g in spec.groups]
    if not spec.relations:
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    text = names[spec.relations[0].a]
    for k, relation in enumerate(spec.relations):
        text += f"{' and' if k else ''} {describe_side(relation.side)} {names[relation.b]}"
    related = {i for r in spec.relations for i in (r.a, r.b)}
    for i in range(len(names)):
        if i not in related:
            text += f", and {names[i]}"
    return text


def list_things_with_cells(things: Sequence[DrawnThing]) -> str:
    """Put placed things into a detailed layout: "a red circle at the top left, a blue square at the bottom"."""
    return ", ".join(f"{name_group(ThingGroup(1, t.color, t.shape))} {name_cell(t.cell)}" for t in things)


def caption(scene: Scene, rng: random.Random, detail: float = 0.6) -> str:
    """Describe a scene for training: a detailed layout with probability `detail`, else a short request."""
    if rng.random() < detail:
        things = list(scene.things)
        rng.shuffle(things)
        return list_things_with_cells(things)
    return describe_spec(scene.spec)


TokenKind = Literal["number", "color", "shape", "side", "place", "break", "filler", "word"]


class WordToken(NamedTuple):
    """A word or phrase: `value` is its canonical form (a number in digits, a cell's index), `text` what was written."""

    kind: TokenKind
    value: str
    text: str


_PICTURE = r"(?:picture|image|photo|photograph|drawing|illustration|painting|sketch|scene|canvas|frame|page)s?"
_THE = r"(?:(?:the|this|that|my|an?)\s+)"
_CENTER = r"(?:center|centre|middle)"
_NOT_PICTURE = rf"(?!\s+{_THE}?{_PICTURE}\b)"
_AREA = (
    rf"(?:(?P<v>top|upper|bottom|lower)(?:[\s-]+(?P<h>left|right|{_CENTER}))?"
    rf"|{_CENTER}[\s-]+(?P<h2>left|right)|(?P<h3>left|right)(?:[\s-]+{_CENTER})?|(?P<c>{_CENTER}))"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("quoted", r'"[^"]*"|“[^”]*”'),
        ("beside", rf"(?:(?:to|on|at|in)\s+)?(?:the\s+)?(?P<side>left|right)(?:[\s-]+hand)?(?:\s+side)?\s+of\b{_NOT_PICTURE}"),
        (
            "above",
            rf"(?:(?:directly|just|right|immediately)\s+)?(?:above|over|atop|higher\s+than|(?:on|at)\s+(?:the\s+)?top\s+of{_NOT_PICTURE})\b",
        ),
        (
            "below",
            rf"(?:(?:directly|just|right|immediately)\s+)?(?:below|under|underneath|beneath|lower\s+than|at\s+the\s+bottom\s+of{_NOT_PICTURE})\b",
        ),
        (
            "place",
            rf"(?:(?:at|in|on|to|near)\s+)?(?:the\s+)?(?:very\s+)?{_AREA}(?:[\s-]+hand)?(?:\s+(?:corner|side|row|column|edge|third|cell))?"
            rf"(?:\s+(?:of|in)\s+{_THE}?{_PICTURE})?\b",
        ),
        (
            "filler",
            r"(?:(?:on|against|with|over)\s+)?(?:(?:an?|the)\s+)?(?:(?:plain|simple|clean|empty|blank|white|off-white|light)\s+)+background\b",
        ),
        ("filler", rf"(?:(?:in|on|of)\s+)?{_THE}?(?:(?:simple|aesthetic)\s+)?{_PICTURE}\b(?:\s+of\b)?"),
        ("filler", r":"),
        ("pair", r"(?:an?\s+)?(?:pair|couple)\s+of\b"),
        ("digits", r"\d+"),
        ("word", r"[^\W\d_]+(?:['’-][^\W\d_]+)*"),
        ("break", r"[,;.!?&+\n]"),
        ("symbol", r"\S"),
    )
)
_COUNTS = {**{word: str(n) for n, word in enumerate(NUMBERS)}, "zero": "0", "single": "1"}
_SHAPE_WORDS = {plural(shape, n): shape for shape in SHAPES for n in (1, 2)}
_BREAKS = {"and": "and", "&": "and", "+": "and", "with": ",", "plus": ",", "then": ",", "while": ",", "where": ","}


def tokenize(text: str) -> list[WordToken]:
    """Split a text into tokens; unknown words have the kind `word`."""
    tokens, at = [], 0
    while at < len(text):
        result = None if text[at].isspace() and text[at] != "\n" else _match(text, at)
        if result is None:
            at += 1
            continue
        name, match = result
        tokens.append(_token(name, match))
        at = match.end()
    return tokens


def _match(text: str, at: int) -> tuple[str, re.Match[str]] | None:
    for name, pattern in _PATTERNS:
        match = pattern.match(text, at)
        if match:
            return name, match
    return None


def _token(name: str, match: re.Match[str]) -> WordToken:
    text = match.group()
    word = text.lower()
    if name == "place":
        return WordToken("place", str(_cell_of(match)), word)
    if name in ("above", "below"):
        return WordToken("side", name, word)
    if name == "beside":
        return WordToken("side", f"{match['side'].lower()} of", word)
    if name in ("pair", "digits") or word in _COUNTS:
        return WordToken("number", "2" if name == "pair" else _COUNTS.get(word, word), word)
    if word in COLORS:
        return WordToken("color", word, word)
    if word in _SHAPE_WORDS:
        return WordToken("shape", _SHAPE_WORDS[word], word)
    if name == "break" or word in _BREAKS:
        return WordToken("break", _BREAKS.get(word, ","), word)
    return WordToken("filler" if name == "filler" else "word", word.replace("’", "'"), text)


def _cell_of(match: re.Match[str]) -> int:
    vertical = {"top": 0, "upper": 0, "bottom": 2, "lower": 2}.get((match["v"] or "").lower(), 1)
    horizontal = {"left": 0, "right": 2}.get((match["h"] or match["h2"] or match["h3"] or "").lower(), 1)
    return 3 * vertical + horizontal
