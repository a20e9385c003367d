"""Compare texts letter by letter: whether a text that was read contains the wanted one, and else how similar it is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

MAX_SHOWN_CHARACTERS = 80
"""Characters of the text read that a difference repeats."""

MAX_MARKS = 30
"""Combining marks on one character that are kept."""

MAX_COMPARED = 20_000_000
"""Characters compared in the search for the nearest run; in longer texts not every position is tried."""

MISSPELLING = 0.34
"""Similarity from which another text counts as a misspelling."""

POSITIONS_AT_A_TIME = 64
"""Positions whose runs are compared at a time."""

CASE_ONLY = 0.9
"""Least similarity of texts that differ in case alone: most people would take them for equal."""

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″「」『』﹁﹂﹃﹄｢｣〝〟〞❝❞״", '"'),
        **dict.fromkeys("‘’‚‛‹›′`´", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u200b\u2060\ufeff\u00ad", ""),
    }
)

# Scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana, Bopomofo and Han, with their punctuation.
_UNSPACED = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3001-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_UNSPACED_GAP = re.compile(rf"(?<=[{_UNSPACED}])\s+(?=[{_UNSPACED}])")
_PIECE = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_LOOSE = " \"'.,;:!?()[]*"


class TextMatch(NamedTuple):
    """The comparison of a text that was read with the wanted one."""

    passed: bool
    similarity: float
    """1 if it passed; otherwise below 1, by the edit distance to the nearest part of the text read."""
    difference: str
    """What is read instead, for people and the refiner; empty if it passed."""
    nearest: str = ""
    """The part of the text read that is most similar to the wanted one, normalized; empty if it passed."""

    @property
    def probability(self) -> float | None:
        """P(the check passes) of a text that failed: below 0.5, higher for a nearer misspelling. None if it passed."""
        return None if self.passed else min(0.49, self.similarity / 2)


def compare_text(expected: str, read: str) -> TextMatch:
    """Compare the expected text with a text that was read.

    Case counts. Line breaks, typographic forms of quotes, apostrophes and dashes, and quotes around all of it do not. The
    text must stand for itself: "CAT" is not in "CATALOG", nor "$5" in "$5.99"; scripts without spaces have no such bounds.
    """
    wanted, text = normalize(expected), normalize(read)
    if contains(text, wanted):
        return TextMatch(True, 1.0, "")
    if not text:
        return TextMatch(False, 0.0, f'no text was read instead of "{wanted}"')
    nearest, similarity = _nearest_run(wanted, text)
    if nearest.casefold() == wanted.casefold():
        how = "upper and lower case differ"
        similarity = max(similarity, CASE_ONLY)
    elif similarity < MISSPELLING:
        return TextMatch(False, similarity, f'read "{_clip(text)}" instead of "{wanted}"', nearest)
    else:
        how = f"{Levenshtein.distance(wanted, nearest)} of {max(len(wanted), len(nearest))} characters differ"
    return TextMatch(False, similarity, f'read "{_clip(nearest)}" instead of "{wanted}": {how}', nearest)


def normalize(text: str) -> str:
    """Return a text for comparison: Unicode NFKC, plain quotes and dashes, single spaces, no quotes around all of it."""
    text = _limit_marks(text)
    # Before NFKC, which decomposes some of these characters, and after it, which makes new ones.
    text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS)
    text = _UNSPACED_GAP.sub("", " ".join(text.split()))
    start, end = 0, len(text)
    while end - start > 2 and text[start] == text[end - 1] and text[start] in "\"'":
        start, end = start + 1, end - 1
        while start < end and text[start] == " ":
            start += 1
        while start < end and text[end - 1] == " ":
            end -= 1
    return text[start:end]


def _limit_marks(text: str) -> str:
    """Return a text with at most 30 marks on a character, as in Unicode's stream-safe format: sorting more is slow."""
    if text.isascii():
        return text
    limited, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MAX_MARKS:
            limited.append(character)
    return "".join(limited)


def contains(read: str, wanted: str) -> bool:
    """Return whether a normalized text contains another one that stands alone there."""
    at = read.find(wanted) if wanted else -1
    while at >= 0:
        end = at + len(wanted)
        before, after = read[max(0, at - 2) : at][::-1], read[end : end + 2]
        if not _continues(read[at], before) and not _continues(read[end - 1], after):
            return True
        at = read.find(wanted, at + 1)
    return False


def _continues(edge: str, beyond: str) -> bool:
    """Return whether a word or number continues after its edge: DON in DON'T, and 5 in 5.99."""
    if not _in_word(edge) or not beyond:
        return False
    if _in_word(beyond[0]):
        return True
    return len(beyond) > 1 and (
        beyond[1].isdigit() if edge.isdigit() and beyond[0] in ".,:/" else beyond[0] in "'-" and _in_word(beyond[1])
    )


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM" and not _UNSPACED_CHARACTER.match(character)


def _nearest_run(wanted: str, read: str) -> tuple[str, float]:
    """Return the run of words most similar to the wanted text, and the similarity; without spaces, a character is a word."""
    pieces = [match.span() for match in _PIECE.finditer(read)]
    about = len(_PIECE.findall(wanted))

    def runs(positions: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Yield the runs of about as many words from each position, also without punctuation around them."""
        sizes = [size for size in (about, about - 1, about + 1) if size > 0]
        whole = [(i, read[pieces[i][0] : pieces[i + n - 1][1]]) for n in sizes for i in positions if i + n <= len(pieces)]
        yield from whole
        yield from ((i, bare) for i, run in whole if (bare := run.strip(_LOOSE)) != run and bare)

    # At every position; in long texts first at some, then closer and closer around the best of them.
    step = 1 + len(pieces) * len(wanted) * (1 + len(wanted) // 64) // MAX_COMPARED
    folded = wanted.casefold()
    if folded in read.casefold():
        for start in range(0, len(pieces), POSITIONS_AT_A_TIME):
            for _, run in runs(range(start, min(start + POSITIONS_AT_A_TIME, len(pieces)))):
                if run.casefold() == folded:
                    return run, Levenshtein.normalized_similarity(wanted, run)
    positions: Sequence[int] = range(0, len(pieces), step)
    while True:
        candidates = list(runs(positions)) or [(0, read)]
        texts = [run for _, run in candidates]
        nearest, similarity, index = process.extractOne(wanted, texts, scorer=Levenshtein.normalized_similarity)
        if step == 1:
            return nearest, similarity
        best, width = candidates[index][0], step
        step = max(1, step // 4)
        positions = range(max(0, best - width), min(len(pieces), best + width + 1), step)


def _clip(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
