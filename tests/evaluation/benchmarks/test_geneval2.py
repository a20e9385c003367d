"""GenEval2: Soft-TIFA from recorded probabilities, checked by hand."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer, Sample
from gems.evaluation.benchmarks.geneval2 import (
    BENCHMARKS,
    PROBABILITIES,
    kind_probability,
    probability,
    spellings,
    unlisted_probability,
)
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data" / "geneval2" / "geneval2_data.jsonl"
GENEVAL2 = BENCHMARKS[0]

COUNTED = Sample(
    id="0000",
    prompt="two green squares",
    truth={
        "atom_count": 3,
        "vqa_list": [
            ["How many squares are in the image?", "two"],
            ["Are the squares green?", "Yes"],
            ["Are there any squares in the image?", "Yes"],
        ],
        "skills": ["count", "attribute", "object"],
    },
)


@pytest.fixture
def samples() -> list[Sample]:
    return GENEVAL2.read({DATA.name: DATA})


def said(*tops: Mapping[str, float] | None) -> dict[str, list[JudgeAnswer]]:
    return {str(n): [JudgeAnswer(text="", top=tuple(top.items()))] for n, top in enumerate(tops) if top is not None}


def test_the_spellings_of_an_answer_are_the_official_ones() -> None:
    assert set(spellings("How many squares are in the image?", "two")) == {"two", "Two", " two", " Two", "2", " 2"}
    assert {"8", "eight", "Eight", " 8"} < set(spellings("How many squares are in the image?", "eight"))
    assert "10" in spellings("How many squares are in the image?", "ten")
    assert "11" not in spellings("How many squares are in the image?", "eleven")
    assert set(spellings("Are the squares green?", "Yes")) == {"Yes", "yes", " Yes", " yes"}


def test_a_count_may_be_told_as_a_digit() -> None:
    top = (("2", 0.5), ("Two", 0.25), (" two", 0.125), ("3", 0.0625), ("YES", 0.01))
    assert probability("How many squares are in the image?", "two", top) == 0.875
    assert probability("How many squares are in the image?", "three", top) == 0.0625
    assert probability("Are the squares green?", "Yes", top) == 0
    assert probability("How many?", "two", (("2", 0.7), ("two", 0.7))) == 1, "rounding does not pass 1"


def test_means_are_those_of_the_paper() -> None:
    found = GENEVAL2.score(COUNTED, said({"2": 0.5, "3": 0.25}, {"Yes": 0.75, " yes": 0.25}, {"No": 0.75, "Yes": 0.25}))
    # s = 0.5, 1, 0.25: AM 1.75 / 3; GM (0.125) ** (1 / 3) = 0.5; the likeliest token is right for two of three
    assert found == {
        "am": pytest.approx(1.75 / 3),
        "gm": pytest.approx(0.5),
        "tifa": pytest.approx(2 / 3),
        **{"skill count": 0.5, "questions count": 1.0},
        **{"skill attribute": 1.0, "questions attribute": 1.0},
        **{"skill object": 0.25, "questions object": 1.0},
        # of the first question 0.25 is left, for five spellings of at most 0.25 each; of the others nothing
        "am_most": pytest.approx((0.75 + 1 + 0.25) / 3),
        "gm_most": pytest.approx((0.75 * 0.25) ** (1 / 3)),
        **{"answered": 3.0, "outside": 0.0, "of_kind": 2.75},
    }


def test_a_zero_atom_makes_the_geometric_mean_zero() -> None:
    found = GENEVAL2.score(COUNTED, said({"3": 1.0}, {"Yes": 1.0}, {"Yes": 1.0}))
    assert found["gm"] == 0
    assert found["am"] == pytest.approx(2 / 3)
    assert found["tifa"] == pytest.approx(2 / 3)


def test_a_missing_answer_counts_as_zero() -> None:
    found = GENEVAL2.score(COUNTED, said({"two": 1.0}, None, {"Yes": 1.0}))
    assert (found["gm"], found["am"]) == (0, pytest.approx(2 / 3))
    nothing = GENEVAL2.score(COUNTED, {})
    assert {key: value for key, value in nothing.items() if not key.startswith("questions")} == {
        **{"am": 0, "gm": 0, "tifa": 0, "am_most": 0, "gm_most": 0, "answered": 0, "outside": 0, "of_kind": 0},
        **{"skill count": 0, "skill attribute": 0, "skill object": 0},
    }
    assert nothing["questions count"] == 1


ASKED = ["How many squares are in the image?", "two"]


def twenty(first: Mapping[str, float], rest: float) -> dict[str, float]:
    """Tokens of which the others share what is given, as a judge with 20 alternatives lists them."""
    return {**first, **{f"other {n}": rest / (20 - len(first)) for n in range(20 - len(first))}}


def test_an_answer_outside_the_listed_tokens_has_an_upper_bound() -> None:
    # six spellings of "two" are not listed: of each at most the least that is listed, of all at most what is left
    assert unlisted_probability(*ASKED, tuple(twenty({"three": 0.99}, 0.009).items())) == pytest.approx(0.001)
    assert unlisted_probability(*ASKED, tuple(twenty({"three": 0.9}, 0.0019).items())) == pytest.approx(6 * 0.0001)
    assert unlisted_probability(*ASKED, tuple(twenty({"three": 0.9, "2": 0.05}, 0.0018).items())) == pytest.approx(5 * 0.0001)
    assert unlisted_probability(*ASKED, (("three", 1.0),)) == 0
    assert unlisted_probability(*ASKED, (("three", 0.7), ("3", 0.3 - 1e-9))) == 0, "rounding is no probability"
    assert unlisted_probability(*ASKED, tuple(twenty({"three": 1.0}, 1.9e-8).items())) == pytest.approx(6e-9), (
        "as a sure judge is rounded"
    )
    assert unlisted_probability(*ASKED, ()) == 0, "of an answer that is missing nothing is known"
    ten = Sample(id="0", prompt="x", truth={"atom_count": 10, "vqa_list": [ASKED] * 10, "skills": ["count"] * 10})
    sure = twenty({"two": 0.98}, 0.0002)
    found = GENEVAL2.score(ten, said(*[sure] * 9, twenty({"three": 0.9}, 0.00019)))
    # were the missing answer at 1e-5, GM would be 31.1 with all tokens: 0 and the bound are on its two sides
    assert found["gm"] == 0
    assert found["gm_most"] == pytest.approx((min(1, 0.98 + 5 * 0.0002 / 19) ** 9 * 6e-5) ** 0.1)
    assert found["gm"] < (0.98**9 * 1e-5) ** 0.1 < found["gm_most"]
    assert (found["answered"], found["outside"]) == (10, 1)
    (told,) = GENEVAL2.cautions([found, GENEVAL2.score(ten, said(*[sure] * 10)), {"gm": 0.5}])
    assert told.startswith("the expected answer to 1 of 20 questions is not among the likeliest tokens and counts 0")


def test_a_judge_that_does_not_answer_in_one_word_is_told() -> None:
    assert kind_probability("Are the squares green?", (("Yes", 0.5), (" no", 0.2), ("two", 0.2))) == pytest.approx(0.7)
    assert kind_probability("How many squares?", (("Two", 0.5), (" 12", 0.2), ("eleven", 0.1), ("Yes", 0.2))) == pytest.approx(0.8)
    chats = {"The": 0.6, "This": 0.2, "Yes": 0.1, "2": 0.1}
    found = GENEVAL2.score(COUNTED, said(chats, chats, chats))
    assert found["of_kind"] == pytest.approx(0.3)
    (told,) = GENEVAL2.cautions([found])
    assert told.startswith("the mean probability of an answer of the kind asked for, yes or no or a number, is 0.10:")
    assert GENEVAL2.cautions([GENEVAL2.score(COUNTED, said({"2": 0.6}, {"No": 1.0}, {"yes": 0.6}))]) == []
    asked = GENEVAL2.questions(COUNTED)
    assert [GENEVAL2.readable(q, JudgeAnswer(text="The", top=(("The", 0.7), ("2", 0.1)))) for q in asked] == [True, False, False]
    assert not GENEVAL2.readable(asked[0], JudgeAnswer(text=""))


def test_the_likeliest_token_is_compared_in_lower_case() -> None:
    assert GENEVAL2.score(COUNTED, said({"TWO": 0.9, "2": 0.1}, {"YES": 1.0}, {"Yes": 1.0}))["tifa"] == 1


def test_the_table_weighs_prompts_for_means_and_questions_for_skills() -> None:
    one = {"am": 0.5, "gm": 0.25, "tifa": 1.0, "skill count": 0.5, "questions count": 1.0}
    two = {"am": 1.0, "gm": 0.75, "tifa": 0.0, "skill count": 2.5, "questions count": 3.0}
    one |= {"am_most": 0.5, "gm_most": 0.5, "answered": 1.0, "outside": 1.0, "of_kind": 0.5}
    two |= {"am_most": 1.0, "gm_most": 1.0, "answered": 3.0, "outside": 0.0, "of_kind": 3.0}
    samples = [
        Sample(id=n, prompt="x", group=g, truth={"atom_count": int(g), "vqa_list": [], "skills": ["count"]})
        for n, g in (("0", "03"), ("1", "10"))
    ]
    draws = BootstrapSample([one, two], [s.group for s in samples], np.array([[0, 1]]))
    found = {m.name: (float(m.of(draws)[0]), m.part) for m in GENEVAL2.metrics(samples)}
    assert found == {
        "gm": (50.0, ""),
        "gm_most": (75.0, ""),
        "am": (75.0, ""),
        "am_most": (75.0, ""),
        "tifa": (50.0, ""),
        "skill count": (75.0, "AM by skill"),  # (0.5 + 2.5) / (1 + 3)
        "atomicity 3": (25.0, "GM by atomicity"),
        "atomicity 10": (75.0, "GM by atomicity"),
        "of_kind": (87.5, PROBABILITIES),  # (0.5 + 3) / (1 + 3)
        "outside": (25.0, PROBABILITIES),
    }
    assert GENEVAL2.metrics(samples)[0].name == "gm", "what papers print"


def test_lines_become_samples_and_questions(samples: list[Sample]) -> None:
    assert [s.id for s in samples] == [f"{n:04d}" for n in range(8)]
    assert all(parse_request(s.prompt) for s in samples)
    asked = GENEVAL2.questions(samples[1])
    assert [(q.key, q.kind, q.max_tokens) for q in asked] == [("0", "word", 1), ("1", "word", 1), ("2", "word", 1)]
    assert asked[0].text == "How many squares are in the image? Answer in one word."


def test_the_export_is_what_the_official_script_reads(samples: list[Sample], tmp_path: Path) -> None:
    told = GENEVAL2.export(tmp_path, [BenchmarkImage(s, 0, None if s.id == "0003" else s.id.encode()) for s in samples])
    paths = json.loads((tmp_path / "image_paths.json").read_text())
    assert paths[samples[4].prompt] == "images/0004.png"
    assert (tmp_path / "images" / "0004.png").read_bytes() == b"0004"
    assert samples[3].prompt not in paths
    official = DATA.read_text().splitlines()
    kept = [json.loads(line) for line in (tmp_path / "geneval2_data.jsonl").read_text().splitlines()]
    assert kept == [json.loads(line) for n, line in enumerate(official) if n != 3]
    assert any("1 prompts have no image" in text for text in told)


def test_the_official_output_is_read(samples: list[Sample], tmp_path: Path) -> None:
    scores = [[0.5] * len(s.truth["vqa_list"]) for s in samples]
    scores[1] = [0.5, 1.0, 0.25]
    path = tmp_path / "score_lists.json"
    path.write_text(json.dumps(scores))
    rows = GENEVAL2.imported(path, samples)
    assert [(r.id, r.index) for r in rows] == [(s.id, 0) for s in samples]
    assert rows[1].values["gm"] == pytest.approx(0.5)
    assert rows[1].values["am"] == pytest.approx(1.75 / 3)
    assert rows[1].values["skill attribute"] == 1.0


def test_the_output_for_exported_prompts_alone_finds_them(samples: list[Sample], tmp_path: Path) -> None:
    GENEVAL2.export(tmp_path, [BenchmarkImage(s, 0, None if s.id == "0003" else b"x") for s in samples])
    path = tmp_path / "score_lists.json"
    path.write_text(json.dumps([[0.5] * len(s.truth["vqa_list"]) for s in samples if s.id != "0003"]))
    assert [r.id for r in GENEVAL2.imported(path, samples)] == [s.id for s in samples if s.id != "0003"]
    with pytest.raises(BenchmarkError, match="not of these samples"):
        GENEVAL2.imported(path, samples[:2])


def test_output_of_zeros_and_ones_is_that_of_tifa(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([[1, 0, 1]]))
    assert GENEVAL2.imported(tmp_path / "s.json", [COUNTED])[0].values == {"tifa": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({}, "a list with the scores"),
        ([[0.5] * 3] * 2, "each of 1 prompts"),
        ([[0.5]], "other questions"),
        ([[0.5, "x", 1]], "not from 0 to 1"),
        ([[0.5, float("nan"), 1]], "not from 0 to 1"),
        ([[0.5, -1, 1]], "not from 0 to 1"),
    ],
)
def test_output_of_something_else_is_refused(tmp_path: Path, scores: object, words: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(scores))
    with pytest.raises(BenchmarkError, match=words):
        GENEVAL2.imported(tmp_path / "s.json", [COUNTED])


@pytest.mark.parametrize("line", [{"vqa_list": []}, {"skills": ["count"]}, {"vqa_list": [["a"], ["b"], ["c"]]}])
def test_questions_and_skills_belong_together(tmp_path: Path, line: dict[str, object]) -> None:
    path = tmp_path / DATA.name
    path.write_text(json.dumps({"prompt": COUNTED.prompt, **COUNTED.truth, **line}))
    with pytest.raises(BenchmarkError, match="line 1: vqa_list and skills do not belong together"):
        GENEVAL2.read({DATA.name: path})


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of benchmark files")
def test_the_full_file() -> None:
    samples = GENEVAL2.read({DATA.name: Path(os.environ["GEMS_BENCHMARKS"]) / "geneval2" / DATA.name})
    assert Counter(s.truth["atom_count"] for s in samples) == dict.fromkeys(range(3, 11), 100)
    assert sum(len(GENEVAL2.questions(s)) for s in samples) == 6012
    assert Counter(skill for s in samples for skill in s.truth["skills"]) == {
        "count": 2025,
        "object": 2025,
        "attribute": 1214,
        "position": 662,
        "verb": 86,
    }
    assert {expected for s in samples for question, expected in s.truth["vqa_list"] if not question.startswith("How many")} == {
        "Yes"
    }


def test_an_export_tells_that_images_are_left_out(samples: list[Sample], tmp_path: Path) -> None:
    told = GENEVAL2.export(tmp_path, [BenchmarkImage(samples[0], index, b"png") for index in range(3)])
    assert any("only the first of 3 images a prompt" in text for text in told)


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    line = json.loads(DATA.read_text().splitlines()[0]) | {"prompt": ""}
    (tmp_path / DATA.name).write_text(json.dumps(line))
    with pytest.raises(BenchmarkError, match="line 1: the prompt is empty"):
        GENEVAL2.read({DATA.name: tmp_path / DATA.name})
