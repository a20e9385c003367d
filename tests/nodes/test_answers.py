import pytest

from gems.memory.state import Check
from gems.nodes.answers import number, passes, read_out


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
        ("zero", "count", "There are no circles", None),
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
        ("a dozen", "count", "12", None),
        ("开门", "text", "开门", True),
        ("开门", "text", "关门", False),
    ],
)
def test_an_answer_passes_fails_or_is_unknown(expected, kind, answer, passed):
    assert passes(check(expected, kind), answer) is passed


def test_an_image_without_text_has_nothing_read_out():
    said = ("none", "There is no visible text in the image.", "Nothing is written.", "No words are shown on the picture")
    assert {read_out(check("OPEN", "text"), text).difference for text in said} == {'no text was read instead of "OPEN"'}


def test_numbers_in_words_and_digits():
    assert [number(t) for t in ("12", "twelve", "No.", "7 of 7", "7 of 8")] == [12, 12, 0, 7, None]
