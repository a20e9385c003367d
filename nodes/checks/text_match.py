"""Texts compared letter for letter: does what was read hold the text that is wanted, and if not, how near is it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

MAX_SHOWN_CHARACTERS = 80
"""Characters of what was read that a difference repeats."""

MAX_MARKS = 30
"""Marks on one sign that are read."""

MAX_COMPARED = 20_000_000
"""Signs compared, at most, in the search for what is most like a wanted text: in longer ones not every place is tried."""

MISSPELLING = 0.34
"""Similarity from which on a misreading is told as a misspelling of the text, rather than as another text."""

POSITIONS_AT_A_TIME = 64
"""Places whose runs of words are made at a time."""

CASE_ONLY = 0.9
"""Similarity, at least, of texts that differ in upper and lower case alone: most would take them for the same."""

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″「」『』﹁﹂﹃﹄｢｣〝〟〞❝❞״", '"'),
        **dict.fromkeys("‘’‚‛‹›′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
    }
)

# Scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana, Bopomofo and Han, with their punctuation.
_SOLID = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3001-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SOLID_SIGN = re.compile(f"[{_SOLID}]")
_SOLID_GAP = re.compile(rf"(?<=[{_SOLID}])\s+(?=[{_SOLID}])")
_PIECE = re.compile(rf"[{_SOLID}]|[^\s{_SOLID}]+")
_LOOSE = " \"'.,;:!?()[]*"


class TextMatch(NamedTuple):
    """What comes of comparing a text that was read with the one wanted."""

    passed: bool
    similarity: float
    """1 where it passed; otherwise below 1, by the edit distance to the nearest part of what was read."""
    difference: str
    """What is read instead, for people and for the refiner; empty where it passed."""
    nearest: str = ""
    """The part of what was read that is most like the wanted text, normalized; empty where it passed."""

    @property
    def probability(self) -> float | None:
        """What a verdict says of a text that failed: below 0.5, more for a nearer misspelling. None where it passed."""
        return None if self.passed else min(0.49, self.similarity / 2)


def compare_text(expected: str, read: str) -> TextMatch:
    """Tell whether a text stands in what was read, and if not, what stands there instead.

    Case counts. Line breaks, typographic forms of quotes, apostrophes and dashes, and quotes around all of it do not. The
    text must stand for itself: "CAT" is not in "CATALOG", nor "$5" in "$5.99"; scripts without spaces have no such bounds.
    """
    wanted, told = normalize(expected), normalize(read)
    if contains(told, wanted):
        return TextMatch(True, 1.0, "")
    if not told:
        return TextMatch(False, 0.0, f'no text was read instead of "{wanted}"')
    nearest, similarity = _nearest_run(wanted, told)
    if nearest.casefold() == wanted.casefold():
        how = "upper and lower case differ"
        similarity = max(similarity, CASE_ONLY)
    elif similarity < MISSPELLING:
        return TextMatch(False, similarity, f'read "{_clip(told)}" instead of "{wanted}"', nearest)
    else:
        how = f"{Levenshtein.distance(wanted, nearest)} of {max(len(wanted), len(nearest))} characters differ"
    return TextMatch(False, similarity, f'read "{_clip(nearest)}" instead of "{wanted}": {how}', nearest)


def normalize(text: str) -> str:
    """Return text as it is compared: Unicode NFKC, plain quotes and dashes, single spaces, no quotes around all of it."""
    text = _limit_marks(text)
    # Before NFKC, which takes some of the signs apart, and after it, which makes new ones.
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    text = _SOLID_GAP.sub("", " ".join(text.split()))
    start, end = 0, len(text)
    while end - start > 2 and text[start] == text[end - 1] and text[start] in "\"'":
        start, end = start + 1, end - 1
        while start < end and text[start] == " ":
            start += 1
        while start < end and text[end - 1] == " ":
            end -= 1
    return text[start:end]


def _limit_marks(text: str) -> str:
    """Return a text with no more than 30 marks on a sign, as Unicode's stream-safe form has it: sorting more takes long."""
    if text.isascii():
        return text
    kept, marks = [], 0
    for sign in text:
        marks = marks + 1 if unicodedata.combining(sign) else 0
        if marks <= MAX_MARKS:
            kept.append(sign)
    return "".join(kept)


def contains(read: str, wanted: str) -> bool:
    """Tell whether a normalized text holds another one that stands for itself there."""
    at = read.find(wanted) if wanted else -1
    while at >= 0:
        if _stands_alone(read, at, at + len(wanted)):
            return True
        at = read.find(wanted, at + 1)
    return False


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start][::-1], text[end : end + 2]
    return not _continues(text[start], before) and not _continues(text[end - 1], after)


def _continues(edge: str, beyond: str) -> bool:
    """Tell whether a word or number goes on beyond its last sign: DON goes on in DON'T, and 5 in 5.99."""
    if not _in_word(edge) or not beyond:
        return False
    if _in_word(beyond[0]):
        return True
    return len(beyond) > 1 and (beyond[1].isdigit() if edge.isdigit() and beyond[0] in ".,:/" else _joins(beyond))


def _joins(beyond: str) -> bool:
    return beyond[0] in "'-" and _in_word(beyond[1])


def _in_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LNM" and not _SOLID_SIGN.match(sign)


def _nearest_run(wanted: str, read: str) -> tuple[str, float]:
    """Return the run of words most like the wanted one, and how like it is; a sign is a word where there are no spaces."""
    pieces = [match.span() for match in _PIECE.finditer(read)]
    about = len(_PIECE.findall(wanted))

    def runs(places: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Give the runs of about as many words that begin at some of the words, and those without signs around them."""
        sizes = [size for size in (about, about - 1, about + 1) if size > 0]
        found = [(i, read[pieces[i][0] : pieces[i + n - 1][1]]) for n in sizes for i in places if i + n <= len(pieces)]
        yield from found
        yield from ((i, bare) for i, run in found if (bare := run.strip(_LOOSE)) != run and bare)

    # At every place, or in long texts first at some, then nearer and nearer around the best of them.
    step = 1 + len(pieces) * len(wanted) * (1 + len(wanted) // 64) // MAX_COMPARED
    alike = wanted.casefold()
    if alike in read.casefold():
        for place in range(0, len(pieces), POSITIONS_AT_A_TIME):
            for _, run in runs(range(place, min(place + POSITIONS_AT_A_TIME, len(pieces)))):
                if run.casefold() == alike:
                    return run, Levenshtein.normalized_similarity(wanted, run)
    places: Sequence[int] = range(0, len(pieces), step)
    while True:
        tried = list(runs(places)) or [(0, read)]
        nearest, similarity, which = process.extractOne(wanted, [run for _, run in tried], scorer=Levenshtein.normalized_similarity)
        if step == 1:
            return nearest, similarity
        best, wide = tried[which][0], step
        step = max(1, step // 4)
        places = range(max(0, best - wide), min(len(pieces), best + wide + 1), step)


def _clip(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
