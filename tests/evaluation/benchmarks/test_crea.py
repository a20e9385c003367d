import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer
from gems.evaluation.benchmarks.crea import CRITERIA, OBJECTS, OBJECTS_FILE, Crea
from gems.models.shapes.grammar import parse_request

BENCHMARK = Crea()
DATA = Path(__file__).parent / "data" / "crea"


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format="PNG")
    return buffer.getvalue()


def said(*given):
    return {"marks": [JudgeAnswer(text=json.dumps(dict(zip(CRITERIA, given, strict=False))))]}


def test_the_twelve_prompts_need_no_file():
    samples = BENCHMARK.read({})
    assert [s.prompt for s in samples] == [f"a creative {name}" for name in OBJECTS]
    assert (len(samples), BENCHMARK.images_per_prompt) == (12, 25)


def test_things_and_whole_prompts_of_ones_own(tmp_path):
    path = tmp_path / OBJECTS_FILE
    path.write_text("lamp\n\na red circle above a blue square\nan orange star\nant\n")
    prompts = [s.prompt for s in BENCHMARK.read({OBJECTS_FILE: path})]
    assert prompts == ["a creative lamp", "a red circle above a blue square", "an orange star", "a creative ant"]
    path.write_text("lamp\nlamp\n")
    with pytest.raises(BenchmarkError, match="'a creative lamp' is there twice"):
        BENCHMARK.read({OBJECTS_FILE: path})
    path.write_text("\n")
    with pytest.raises(BenchmarkError, match="no prompts"):
        BENCHMARK.read({OBJECTS_FILE: path})
    samples = BENCHMARK.read({OBJECTS_FILE: DATA / OBJECTS_FILE})
    assert len(samples) == 8
    for sample in samples:
        parse_request(sample.prompt)


def test_the_judge_is_asked_for_six_marks():
    (question,) = BENCHMARK.questions(BENCHMARK.read({})[0])
    assert "Prompt: a creative couch\n" in question.text
    asked = ", ".join(f'"{name}": 1-5' for name in CRITERIA)
    assert question.text.endswith(f"Answer with one JSON object: {{{asked}}}")


def test_the_total_is_the_sum_of_six_marks():
    sample = BENCHMARK.read({})[0]
    found = BENCHMARK.score(sample, said(5, 4, 3, 2, 1, 5))
    assert found["total"] == 20
    assert (found["originality"], found["unexpected"], found["interpretability"]) == (5, 1, 5)


@pytest.mark.parametrize(
    "answers", [{}, {"marks": [JudgeAnswer(text="lovely")]}, said(5, 4, 3, 2, 1), said(0, 4, 3, 2, 1, 5), said(6, 4, 3, 2, 1, 5)]
)
def test_an_answer_that_cannot_be_read_counts_nothing(answers):
    assert set(BENCHMARK.score(BENCHMARK.read({})[0], answers).values()) == {0.0}


def test_the_mean_of_the_totals_is_the_sum_of_the_means():
    samples = BENCHMARK.read({})[:2]
    rows = [BENCHMARK.score(samples[0], said(5, 5, 5, 5, 5, 5)), BENCHMARK.score(samples[1], said(1, 2, 3, 4, 5, 1))]
    draws = BootstrapSample(rows, [s.group for s in samples], np.array([[0, 1]]))
    metrics = {m.name: float(m.of(draws)[0]) for m in BENCHMARK.metrics(samples)}
    assert metrics["total"] == 23  # (30 + 16) / 2
    assert sum(metrics[name] for name in CRITERIA) == pytest.approx(23)
    assert (metrics["total couch"], metrics["total chair"]) == (30, 16)


def test_files_are_laid_out_and_read_back(tmp_path):
    samples = BENCHMARK.read({})[:2]
    told = BENCHMARK.export(
        tmp_path, [BenchmarkImage(s, n, None if n and s is samples[0] else png()) for s in samples for n in range(3)]
    )
    assert (tmp_path / "img_idx_00001_sub_02.png").is_file()
    paths = json.loads((tmp_path / "image_paths.json").read_text())
    assert {prompt: len(names) for prompt, names in paths.items()} == {"a creative couch": 1, "a creative chair": 3}
    assert "2 images are missing" in told[1]
    results = tmp_path / "evaluation_results.json"
    item = {"prompt": "a creative chair", "image_path": paths["a creative chair"][2], "scores": [4.0, 4, 4, 3, 3, 5]}
    results.write_text(json.dumps([item]))
    (row,) = BENCHMARK.imported(results, samples)
    assert (row.id, row.index, row.values["total"]) == ("00001", 2, 23)
    for change, message in (
        ({"prompt": "a creative lamp"}, "no image of this run"),
        ({"scores": [1, 2, 3]}, "six scores"),
        ({"scores": [1, 2, 3, 4, 5, 6]}, "six scores"),
    ):
        results.write_text(json.dumps([item | change]))
        with pytest.raises(BenchmarkError, match=message):
            BENCHMARK.imported(results, samples)
    results.write_text(json.dumps([item, item]))
    with pytest.raises(BenchmarkError, match="twice"):
        BENCHMARK.imported(results, samples)


@pytest.mark.parametrize("score", ["true", "NaN", "0", "6", '"5"'])
def test_scores_that_are_no_marks_are_refused(tmp_path, score):
    path = tmp_path / "evaluation_results.json"
    path.write_text(f'[{{"prompt": "a creative couch", "image_path": "x_sub_00.png", "scores": [{", ".join([score] * 6)}]}}]')
    with pytest.raises(BenchmarkError, match="six scores from 1 to 5"):
        BENCHMARK.imported(path, BENCHMARK.read({}))


def test_a_prompt_may_begin_with_a_capital(tmp_path):
    (tmp_path / OBJECTS_FILE).write_text("A blue couch\n")
    assert [s.prompt for s in BENCHMARK.read({OBJECTS_FILE: tmp_path / OBJECTS_FILE})] == ["A blue couch"]
