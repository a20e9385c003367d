"""Texts compared letter for letter: does what was read hold the text that is wanted, and if not, how near is it."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

SAID = 80
"""Characters of what was read that a difference repeats."""

NEAR = 0.34
"""Similarity from which on a misreading is told as a misspelling of the text, rather than as another text."""

CASE = 0.9
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
    nearest, similarity = _nearest(wanted, told)
    if nearest.casefold() == wanted.casefold():
        how = "upper and lower case differ"
        similarity = max(similarity, CASE)
    elif similarity < NEAR:
        return TextMatch(False, similarity, f'read "{_clip(told)}" instead of "{wanted}"', nearest)
    else:
        how = f"{Levenshtein.distance(wanted, nearest)} of {max(len(wanted), len(nearest))} characters differ"
    return TextMatch(False, similarity, f'read "{_clip(nearest)}" instead of "{wanted}": {how}', nearest)


def normalize(text: str) -> str:
    """Return text as it is compared: Unicode NFKC, plain quotes and dashes, single spaces, no quotes around all of it."""
    # Before NFKC, which takes some of the signs apart, and after it, which makes new ones.
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    text = _SOLID_GAP.sub("", " ".join(text.split()))
    while len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def contains(read: str, wanted: str) -> bool:
    """Tell whether a normalized text holds another one that stands for itself there."""
    places = re.finditer(f"(?={re.escape(wanted)})", read)
    return bool(wanted) and any(_bounded(read, place.start(), place.start() + len(wanted)) for place in places)


def _bounded(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start][::-1], text[end : end + 2]
    return not _goes_on(text[start], before) and not _goes_on(text[end - 1], after)


def _goes_on(edge: str, beyond: str) -> bool:
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


def _nearest(wanted: str, read: str) -> tuple[str, float]:
    """Return the run of words most like the wanted one, and how like it is; a sign is a word where there are no spaces."""
    pieces = [match.span() for match in _PIECE.finditer(read)]
    about = len(_PIECE.findall(wanted))
    runs = [
        read[pieces[i][0] : pieces[i + size - 1][1]]
        for size in (about, about - 1, about + 1)
        for i in range(len(pieces) - size + 1 if size > 0 else 0)
    ] or [read]
    runs += [bare for run in runs if (bare := run.strip(_LOOSE)) != run and bare]
    if same := next((run for run in runs if run.casefold() == wanted.casefold()), None):
        return same, Levenshtein.normalized_similarity(wanted, same)
    nearest, similarity, _ = process.extractOne(wanted, runs, scorer=Levenshtein.normalized_similarity)
    return nearest, similarity


def _clip(text: str) -> str:
    return text if len(text) <= SAID else text[: SAID - 1] + "…"
