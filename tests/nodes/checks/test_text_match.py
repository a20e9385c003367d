"""Texts that were read, compared with the texts that are wanted."""

import random

import pytest

from gems.nodes.checks.text_match import TextMatch, compare_text

STANDS_THERE = [
    ("OPEN", "OPEN"),
    ("OPEN", 'The sign says "OPEN".'),
    ("NO", "NO ENTRY"),
    ("GRAND OPENING", "GRAND\n  OPENING"),
    ("Joe's “Bar”", 'Joe’s "Bar"'),
    ("24—7", "24-7"),
    ('"yes"', "yes"),
    ("Café", "Cafe\u0301"),
    ("ＯＰＥＮ", "OPEN"),
    ("$5", "all for $5."),
    ("9:30", "9:30, or later"),
    ("?", "what ?"),
    ("开门大吉", "开门\n大吉"),
    ("开门", "「开门」"),
    ("开门 OPEN", "开门\nOPEN"),
    ("さくら", "さ く ら"),
    ("สวัสดี", "สวัสดี ครับ"),
    ("नमस्ते", "नमस्ते दुनिया"),
]


@pytest.mark.parametrize(("expected", "read"), STANDS_THERE)
def test_the_text_stands_in_what_was_read(expected, read):
    assert compare_text(expected, read) == TextMatch(True, 1.0, "")


@pytest.mark.parametrize(
    ("expected", "read", "difference"),
    [
        ("OPEN", "OEPN", 'read "OEPN" instead of "OPEN": 2 of 4 characters differ'),
        ("GALLERY", "Art GALLREY, 2nd floor", 'read "GALLREY" instead of "GALLERY": 2 of 7 characters differ'),
        ("Open", "we are OPEN", 'read "OPEN" instead of "Open": upper and lower case differ'),
        ("CAT", "CATALOG", 'read "CATALOG" instead of "CAT": 4 of 7 characters differ'),
        ("DON", "DON'T", 'read "DON\'T" instead of "DON": 2 of 5 characters differ'),
        ("$5", "$5.99", 'read "$5.99" instead of "$5": 3 of 5 characters differ'),
        ("OPEN 24/7", "OPEN24/7", 'read "OPEN24/7" instead of "OPEN 24/7": 1 of 9 characters differ'),
        ("Grand Opening", "Grand\nOpenning today", 'read "Grand Openning" instead of "Grand Opening": 1 of 14 characters differ'),
        ("CAFE", "CAFÉ", 'read "CAFÉ" instead of "CAFE": 1 of 4 characters differ'),
        ("开门", "关门", 'read "关门" instead of "开门": 1 of 2 characters differ'),
        ("OPEN", "", 'no text was read instead of "OPEN"'),
        ("OPEN", "12:45", 'read "12:45" instead of "OPEN"'),
    ],
)
def test_the_difference_is_told(expected, read, difference):
    match = compare_text(expected, read)
    assert not match.passed
    assert match.difference == difference
    assert match.similarity < 1


@pytest.mark.parametrize("expected", ["", "\u200b", "\u00ad"])
def test_a_text_that_cannot_be_seen_is_not_read(expected):
    assert not compare_text(expected, "OPEN today").passed


def test_a_long_text_is_not_repeated_in_full():
    assert len(compare_text("OPEN", "lorem ipsum " * 400).difference) < 150


def test_the_nearer_misspelling_is_worth_more_and_none_as_much_as_a_doubt():
    near, far, other = (compare_text("GALLERY", read).probability for read in ("GALLREY", "GARRY", "12:45"))
    assert 0.5 > near > far > other == 0.0
    assert compare_text("GALLERY", "GALLERY").probability is None


def test_only_what_stands_there_passes_and_only_it_is_wholly_similar():
    """Random texts of few signs, so that near misses of every kind come up."""
    dice = random.Random(1)
    for _ in range(3000):
        expected = "".join(dice.choices("ab'-. 1门", k=dice.randint(1, 5))).strip() or "a"
        read = "".join(dice.choices("ab'-. 1门", k=dice.randint(0, 12)))
        match = compare_text(expected, read)
        assert match.passed == (match.similarity == 1.0) == (match.difference == ""), (expected, read)
        assert match.passed or match.probability < 0.5
        assert compare_text(expected, f"{read} | {expected} | {read}").passed, (expected, read)


def test_a_difference_of_case_is_nearer_than_another_letter():
    case, letter = compare_text("GALLERY", "Gallery"), compare_text("GALLERY", "GALLRXY")
    assert not case.passed
    assert case.probability > letter.probability
