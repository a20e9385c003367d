"""What judges write, and what is read in it: yes and no, and marks."""

import pytest

from gems.evaluation.judges.judge_parsing import marks, says_yes

RANGES = {"realism": (0, 2), "aesthetic": (0, 2)}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", True),
        ("Yes, there are two.", True),
        ("Yes, but no", None),
        ("No, yes", None),
        ("**No.** There is none; yes to the other", False),
        ("_Yes_", True),
        ("NO.", False),
        ("1. yes", True),
        ("The answer is yes", True),
        ("**Final answer:** No", False),
        ('{"answer": "yes"}', True),
        ("<think>No? No.</think>Yes", True),
        ("是", True),
        ("是的。", True),
        ("不是", False),
        ("否", False),
        ("是否", None),
        ("Yes or no?", None),
        ("Yes/No", None),
        ("Not yes", None),
        ("yesterday", None),
        ("Is the answer yes? No.", None),
        ("", None),
        ("...", None),
    ],
)
def test_the_first_word_of_an_answer_decides(text: str, meant: bool | None) -> None:
    assert says_yes(text) is meant


@pytest.mark.parametrize(
    "text",
    [
        '{"realism": 1, "aesthetic": 2}',
        '```json\n{"Realism": 1.0, "Aesthetic": "2"}\n```',
        'As {asked}: {"realism": 1, "aesthetic": 2}',
        '{"realism": 1, "aesthetic": 2} (in {braces})',
        '{"marks": {"realism": 1, "aesthetic": 2}}',
        '{"realism": 0, "aesthetic": 0}\nNo, looking again: {"realism": 1, "aesthetic": 2}',
        "{'realism': 1, 'aesthetic': 2,}",
        "**Realism:** 1\n**Aesthetic:** 2",
        "- realism: 1\n- aesthetic = 2.",
    ],
)
def test_marks_are_read_however_they_stand(text: str) -> None:
    assert marks(text, RANGES) == {"realism": 1, "aesthetic": 2}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a fine image",
        '{"realism": 1}',
        '{"realism": 1, "aesthetic": 3}',
        '{"realism": 1, "aesthetic": -1}',
        '{"realism": 1, "aesthetic": 1.5}',
        '{"realism": 1, "aesthetic": NaN}',
        '{"realism": 1, "aesthetic": true}',
        '{"realism": 1, "aesthetic": "two"}',
        '{"realism": 1, "aesthetic": null}',
        "realism: 0-2\naesthetic: 0-2",
        "realism: 1.5\naesthetic: 1",
        "realism: 1\nrealism: 2\naesthetic: 1",
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_mark_is_not_taken_for_one(text: str) -> None:
    assert marks(text, RANGES) is None
