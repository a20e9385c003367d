from pathlib import Path

import pytest

from gems.evaluation.judges.judge_parsing import says_yes
from gems.memory.state import Check
from gems.models.numerals import number, parse_number
from gems.nodes.checks.answers import match_text, passes, yes_or_no


def readings(kind):
    """Return the lines of a table of answers and of what they say; `?` is unknown."""
    lines = (Path(__file__).parent / "readings" / f"{kind}.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines]


@pytest.mark.parametrize(("answer", "says"), readings("yes_or_no"))
def test_yes_no_or_unknown(answer, says):
    meant = {"yes": True, "no": False, "?": None}[says]
    assert yes_or_no(answer) is meant
    assert says_yes(f"<think>Yes? No.</think>{answer}") is meant
    assert passes(check("yes"), answer) is meant
    assert passes(check("no"), answer) is (None if meant is None else not meant)


@pytest.mark.parametrize(("answer", "says"), readings("number"))
def test_a_number_or_none(answer, says):
    stated = None if says == "?" else int(says)
    assert number(answer) == stated
    for expected in ("three", "30", "zero", "33"):
        assert passes(check(expected, "count"), answer) is (None if stated is None else stated == number(expected))


@pytest.mark.parametrize(("wanted", "answer", "says"), readings("text"))
def test_a_text_stands_there_or_not_or_the_answer_does_not_tell(wanted, answer, says):
    assert passes(check(wanted, "text"), answer.replace("\\n", "\n")) is {"passed": True, "failed": False, "?": None}[says]


def test_a_number_in_another_language_is_the_expected_one():
    assert passes(check("二十五", "count"), "25")
    assert passes(check("25", "count"), "twenty-five")
    assert passes(check("是"), "yes")
    assert parse_number("three cats") is None


def check(expected, kind="object"):
    return Check(id="c1", kind=kind, question="?", expected=expected)


@pytest.mark.parametrize(
    ("expected", "kind", "answer", "passed"),
    [
        ("yes", "object", "Yes.", True),
        ("yes", "object", "no, there is none that I know of", False),
        ("yes", "object", "yes, nothing else is there", True),
        ("no", "object", "No", True),
        ("yes", "object", "unknown", None),
        ("yes", "object", "", None),
        ("yes", "object", "the circle is red", None),
        ("three", "count", "3", True),
        ("three", "count", "three circles", True),
        ("3", "count", "Three", True),
        ("three", "count", "four", False),
        ("one", "count", "none", False),
        ("zero", "count", "There are no circles", True),
        ("three", "count", "two or three", None),
        ("three", "count", "many", None),
        ("OPEN 24/7", "text", '"OPEN 24/7"', True),
        ("OPEN 24/7", "text", "OPEN  24/7 ", True),
        ("OPEN", "text", "OPFN", False),
        ("Open", "text", "OPEN", False),
        ("NO", "text", "NO ENTRY", True),
        ("NO", "text", "NOTHING", False),
        ("OPEN", "text", "No text is visible.", False),
        ("NO TEXT", "text", "NO TEXT", True),
        ("No", "text", "No text is visible.", False),
        ("No", "text", "No", True),
        ("Nothing", "text", "Nothing is written.", False),
        ("Nothing", "text", "Nothing", True),
        ("visible", "text", "There is no visible text in the image.", False),
        ("NO SMOKING", "text", "NO\nSMOKING", True),
        ("NO", "text", "NO\nSMOKING", True),
        ("OPEN", "text", "Illegible.", None),
        ("OPEN", "text", "unreadable", None),
        ("OPEN", "text", "UNCLEAR", None),
        ("OPEN", "text", "unsure.", None),
        ("UNKNOWN", "text", "unknown", None),
        ("unknown", "text", "unknown", True),
        ("Unknown", "text", "The Unknown", True),
        ('"yes"', "text", "yes", True),
        ('"yes"', "text", "YES", False),
        ("Unknown", "text", "Unknown", True),
        ("yes", "text", "Yes.", True),
        ("yes.", "object", "Yes", True),
        ("red", "attribute", "Red.", True),
        ("red", "attribute", "blue", False),
        ("a dozen", "count", "12", True),
        ("several", "count", "12", None),
        ("开门", "text", "开门", True),
        ("开门", "text", "关门", False),
    ],
)
def test_an_answer_passes_fails_or_is_unknown(expected, kind, answer, passed):
    assert passes(check(expected, kind), answer) is passed


def test_an_image_without_text_has_nothing_read_out():
    said = ("none", "There is no visible text in the image.", "Nothing is written.", "No words are shown on the picture")
    assert {match_text("OPEN", text).difference for text in said} == {'no text was read instead of "OPEN"'}
