import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer
from gems.evaluation.benchmarks.spatialgeneval import DATA_FILE, SpatialGenEval, accuracies, majority_right, parse_letters
from gems.models.shapes.grammar import parse_request

BENCHMARK = SpatialGenEval()
PROMPTS = Path(__file__).parent / "data" / "spatialgeneval" / DATA_FILE
GOOD = "ABCDEABCDE"


def read():
    return BENCHMARK.read({DATA_FILE: PROMPTS})


def said(sample, *rollouts):
    """What the judge said: a string of ten letters for each rollout."""
    return {"letters": [JudgeAnswer(text="\n".join(f"{n}. {c}" for n, c in enumerate(r, start=1))) for r in rollouts]}


def png(color):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, format="PNG")
    return buffer.getvalue()


def test_prompts_and_their_ten_questions_are_read():
    samples = read()
    assert [s.id for s in samples] == [f"{n:06d}" for n in range(1, 9)]
    for sample in samples:
        parse_request(sample.prompt)
        (question,) = BENCHMARK.questions(sample)
        assert (question.rollouts, question.temperature) == (5, 1.0)
        for n, text in enumerate(sample.truth["questions"], start=1):
            assert f"\n{n}. {text}\n" in question.text
        assert not any(sample.prompt in line for line in question.text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{n}. {c}" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}) {c}: because" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"**Question {n}:** {c}" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{c}: the option - the reason" for c in GOOD),
        "Here are my answers.\n\n" + "\n".join(f"{n}. **{c}**" for n, c in enumerate(GOOD, start=1)),
        json.dumps(list(GOOD)),
        "```json\n" + json.dumps([f"{c}: text" for c in GOOD]) + "\n```",
        ", ".join(f"{n}. {c}" for n, c in enumerate(GOOD, start=1)),
        " ".join(f"{n}: {c}" for n, c in enumerate(GOOD, start=1)),
        "```json\n" + json.dumps({str(n): c for n, c in enumerate(GOOD, start=1)}, indent=1) + "\n```",
        "\n".join(f"{n}. ({c}) left of it" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}. {c}) left of it" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}. {c} - a ball" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}. Answer: `{c}`" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}. Option {c.lower()}" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}、{c}。" for n, c in enumerate(GOOD, start=1)),
        "| question | answer |\n|---|---|\n" + "\n".join(f"| {n} | {c} |" for n, c in enumerate(GOOD, start=1)),
        "\n".join(f"{n}. {c} The lantern is blue" for n, c in enumerate(GOOD, start=1)),
        "\n\n".join(f"{c} the lantern" for c in GOOD),
        "\n".join(f"{n}. {c} The lantern" if n == 3 else f"{n}. {c}" for n, c in enumerate(GOOD, start=1)),
        "<think>1. B\n2. B</think>\n" + "\n".join(f"{n}. {c}" for n, c in enumerate(GOOD, start=1)),
    ],
)
def test_letters_are_told_however_they_are_written(text):
    assert parse_letters(text) == tuple(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot see an image.",
        "\n".join(f"{n}. {c}" for n, c in enumerate(GOOD[:9], start=1)),
        "\n".join(f"{n}. {c}" for n, c in enumerate(GOOD + "A", start=1)),
        "\n".join(f"{n}. {c}" for n, c in zip([1, 2, 3, 4, 5, 6, 7, 8, 9, 9], GOOD, strict=True)),
        json.dumps(list(GOOD[:9])),
        json.dumps([f"A ball, {n}" for n in range(10)]),
        json.dumps([1] * 10),
        "\n".join(f"{n}. A red ball" for n in range(1, 11)),
        "\n".join(f"{n}. A-frame house" for n in range(1, 11)),
        "\n".join(f"{n}. {'A red ball' if n % 2 else 'The ball'}" for n in range(1, 11)),
        "\n".join(f"{n}. {c} is it" for n, c in enumerate(GOOD + "A", start=1)),
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_anything_else_is_no_answer(text):
    assert parse_letters(text) is None


def test_four_of_five_votes_make_an_answer_right():
    votes = ["A" * 10, "A" * 10, "A" * 10, "A" * 9 + "B", "A" * 8 + "BB"]
    assert majority_right("A" * 10, votes) == [True] * 9 + [False]  # the tenth has three votes, the ninth four
    assert majority_right("B" * 10, votes) == [False] * 10
    assert majority_right("A" * 10, votes[:4]) == [True] * 9 + [False]


def test_a_tie_is_not_right():
    tie = ["A" * 10, "A" * 10, "B" * 10, "B" * 10, "C" * 10]
    assert not any(majority_right("A" * 10, tie) + majority_right("B" * 10, tie) + majority_right("C" * 10, tie))


def test_a_missing_or_unreadable_rollout_is_no_vote_and_four_are_still_needed():
    assert all(majority_right("A" * 10, ["A" * 10] * 4 + [None]))
    assert not any(majority_right("A" * 10, ["A" * 10] * 3))
    assert not any(majority_right("A" * 10, ["A" * 10] * 3 + [None, None]))


def test_the_numbers_of_an_image():
    sample = read()[0]
    answers = "".join(sample.truth["answers"])
    other = {"A": "B", "B": "C", "C": "D", "D": "E", "E": "A"}
    wrong = answers[0] + other[answers[1]] + answers[2:9] + other[answers[9]]
    # attribute and causal are wrong in two of five rollouts: 8 of 10, 1 of the basic 2, 7 of the spatial 8
    found = BENCHMARK.score(sample, said(sample, answers, answers, answers, wrong, wrong))
    assert (found["accuracy"], found["basic"], found["spatial"]) == (0.8, 0.5, 0.875)
    assert (found["dimension Object"], found["dimension Attribute"], found["dimension Causal"]) == (1, 0, 0)
    assert BENCHMARK.score(sample, said(sample, *[answers] * 5))["accuracy"] == 1
    nothing = BENCHMARK.score(sample, {})
    assert set(nothing.values()) == {0.0}
    assert set(nothing) == set(found)


def test_the_table_is_of_all_prompts_times_100():
    samples = read()[:2]
    names = samples[0].truth["question_type"]
    rows = [accuracies(names, verdicts) for verdicts in ([True, False] + [True] * 7 + [False], [True] * 5 + [False] * 5)]
    draws = BootstrapSample(rows, [s.group for s in samples], np.array([[0, 1]]))
    values = {m.name: m.of(draws)[0] for m in BENCHMARK.metrics(samples)}
    assert values["accuracy"] == pytest.approx(65)
    assert values["basic"] == pytest.approx(75)
    assert values["spatial"] == pytest.approx(62.5)
    assert [m.title for m in BENCHMARK.metrics(samples) if m.part == "By dimension"] == samples[0].truth["question_type"]


def test_shares_of_dimensions_are_rounded_before_their_mean_as_in_the_official_script():
    samples = read()[:3]
    names = samples[0].truth["question_type"]
    rows = [accuracies(names, [n == 0] * 9 + [True]) for n in range(3)]
    draws = BootstrapSample(rows, [""] * 3, np.array([[0, 1, 2]]))
    values = {m.name: m.of(draws)[0] for m in BENCHMARK.metrics(samples)}
    assert values["accuracy"] == pytest.approx(39.97, abs=1e-9)  # (9 * 0.333 + 1) / 10, not 0.4
    assert values["basic"] == pytest.approx(33.3, abs=1e-9)
    assert values["dimension Object"] == pytest.approx(33.3, abs=1e-9)


def test_official_images_are_by_id_and_a_missing_one_keeps_the_order(tmp_path):
    samples = read()
    told = BENCHMARK.export(tmp_path, [BenchmarkImage(s, 0, None if n == 3 else png("red")) for n, s in enumerate(samples)])
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == [f"{s.id}.png" for s in samples]
    assert Image.open(tmp_path / "images" / "000004.png").getextrema() == ((0, 0),) * 3
    assert "1 prompts have no image" in told[1]
    assert BENCHMARK.read({DATA_FILE: tmp_path / DATA_FILE}) == samples


def test_official_results_are_read_back(tmp_path):
    samples = read()
    path = tmp_path / "results.jsonl"
    line = {"id": "000002", "true-or-false": [True] * 5 + [False] * 5, "model_preds": []}
    path.write_text(json.dumps(line) + "\n")
    (row,) = BENCHMARK.imported(path, samples)
    assert (row.id, row.index, row.values["accuracy"], row.values["spatial"]) == ("000002", 0, 0.5, 0.375)
    for change, message in (({"id": "999999"}, "no prompt 999999"), ({"true-or-false": [True]}, "ten of true and false")):
        path.write_text(json.dumps(line | change) + "\n")
        with pytest.raises(BenchmarkError, match=message):
            BENCHMARK.imported(path, samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": ["A"] * 9}, "line 1: ten dimensions, questions and answers"),
        ({"answers": ["the left"] * 10}, "answers are letters"),
        ({"id": 1}, "'id' is int"),
        ({"id": "../../000001"}, "is no name of a file"),
        ({"prompt": " "}, "line 1: the prompt is empty"),
    ],
)
def test_a_line_that_is_not_official_is_refused(tmp_path, change, message):
    path = tmp_path / DATA_FILE
    path.write_text(json.dumps(json.loads(PROMPTS.read_text().splitlines()[0]) | change))
    with pytest.raises(BenchmarkError, match=message):
        BENCHMARK.read({DATA_FILE: path})


def test_exported_prompts_stand_in_the_order_of_their_files(tmp_path):
    two = read()[:2]
    BENCHMARK.export(tmp_path, [BenchmarkImage(sample, 0, png("red")) for sample in reversed(two)])
    assert [json.loads(line)["id"] for line in (tmp_path / DATA_FILE).read_text().splitlines()] == [s.id for s in two]
