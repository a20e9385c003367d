import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer, Sample
from gems.evaluation.benchmarks.wise import LEGACY, VERIFIED, WiseLegacy, WiseVerified
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data"


def folder(benchmark):
    return {source.file: DATA / benchmark.name / source.file for source in benchmark.sources}


def value(benchmark, samples, scores, name="wiscore"):
    metric = next(m for m in benchmark.metrics(samples) if m.name == name)
    draws = BootstrapSample([{"wiscore": score} for score in scores], [s.group for s in samples], np.arange(len(samples))[None])
    return float(metric.of(draws)[0])


def of_ids(*ids, benchmark):
    categories = benchmark.categories
    return [Sample(id=str(i), prompt="x", group=next(c.name for c in categories if c.first <= i <= c.last)) for i in ids]


def png():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("benchmark", [WiseLegacy(), WiseVerified()])
def test_the_three_files_are_read_and_sorted_into_categories_by_id(benchmark):
    samples = benchmark.read(folder(benchmark))
    assert [s.group for s in samples] == ["culture", "culture", "culture", "time", "space", "biology", "physics", "chemistry"]
    assert [s.id for s in samples][:3] == ["1", "2", "400"]
    for sample in samples:
        parse_request(sample.prompt)


def test_the_categories_are_those_of_the_official_scripts():
    assert [c.last - c.first + 1 for c in LEGACY] == [400, 167, 133, 100, 100, 100]
    assert [c.last - c.first + 1 for c in VERIFIED] == [400, 120, 120, 120, 120, 120]
    for categories in (LEGACY, VERIFIED):
        assert math.isclose(sum(c.weight for c in categories), 1)


def test_the_judge_is_told_prompt_and_meaning_and_asked_for_one_object():
    benchmark = WiseLegacy()
    sample = benchmark.read(folder(benchmark))[0]
    (question,) = benchmark.questions(sample)
    assert f"Prompt: {sample.prompt}\n" in question.text
    assert sample.truth["explanation"] in question.text
    assert question.text.endswith('Answer with one JSON object: {"consistency": 0-2, "realism": 0-2, "aesthetic": 0-2}')
    assert question.temperature == 0
    (question,) = WiseVerified().questions(sample)
    assert question.text.endswith('Answer with one JSON object: {"score": 0-1}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"consistency": 2, "realism": 1, "aesthetic": 0}', (0.7 * 2 + 0.2 * 1 + 0.1 * 0) / 2),  # 0.8
        ('```json\n{"consistency": 1, "realism": 2, "aesthetic": 2}\n```', 0.65),  # (0.7 + 0.4 + 0.2) / 2
        ('<think>{"consistency": 0}</think>{"consistency": 2, "realism": 2, "aesthetic": 2}', 1.0),
        ('{"consistency": 2, "realism": 1}', 0.0),
        ('{"consistency": 3, "realism": 1, "aesthetic": 1}', 0.0),
        ('{"consistency": 1.5, "realism": 1, "aesthetic": 1}', 0.0),
        ('{"consistency": true, "realism": 1, "aesthetic": 1}', 0.0),
        ("a fine image", 0.0),
        ("", 0.0),
    ],
)
def test_wiscore_of_an_image(text, expected):
    benchmark = WiseLegacy()
    sample = benchmark.read(folder(benchmark))[0]
    assert benchmark.score(sample, {"marks": [JudgeAnswer(text=text)]})["wiscore"] == pytest.approx(expected)


def test_an_image_that_is_missing_gets_nothing():
    for benchmark in (WiseLegacy(), WiseVerified()):
        sample = benchmark.read(folder(benchmark))[0]
        assert benchmark.score(sample, {})["wiscore"] == 0
    assert WiseVerified().score(sample, {"marks": [JudgeAnswer(text='{"score": 1}')]}) == {"wiscore": 1.0}


def test_overall_weights_the_categories_whatever_their_size():
    benchmark = WiseLegacy()
    samples = of_ids(1, 2, 401, 568, 701, 801, 901, benchmark=benchmark)
    scores = [1.0, 0.5, 1.0, 0.0, 1.0, 0.0, 0.5]
    # culture (1 + 0.5) / 2 = 0.75; 0.4 * 0.75 + 0.167 * 1 + 0.133 * 0 + 0.1 * 1 + 0.1 * 0 + 0.1 * 0.5 = 0.617
    assert value(benchmark, samples, scores) == pytest.approx(0.617)
    assert value(benchmark, samples, scores, "culture") == pytest.approx(0.75)
    verified = WiseVerified()
    samples = of_ids(1, 2, 401, 521, 641, 761, 881, benchmark=verified)
    # 0.4 * 0.75 + 0.12 * (1 + 0 + 1 + 0 + 0.5) = 0.6
    assert value(verified, samples, scores) == pytest.approx(0.6)


def test_categories_without_prompts_are_said_and_the_others_weigh_as_much_as_before():
    benchmark = WiseLegacy()
    samples = of_ids(1, 701, benchmark=benchmark)
    assert benchmark.metrics(samples)[0].title == "WiScore (culture, biology only)"
    assert value(benchmark, samples, [1.0, 0.5]) == pytest.approx((0.4 * 1.0 + 0.1 * 0.5) / 0.5)  # 0.9
    assert benchmark.metrics(benchmark.read(folder(benchmark)))[0].title == "WiScore"


def test_a_draw_may_miss_a_category():
    benchmark = WiseLegacy()
    samples = of_ids(1, 701, benchmark=benchmark)
    metric = benchmark.metrics(samples)[0]
    draws = BootstrapSample([{"wiscore": 1.0}, {"wiscore": 0.5}], [s.group for s in samples], np.array([[0, 0], [1, 1], [0, 1]]))
    assert metric.of(draws).tolist() == pytest.approx([1.0, 0.5, 0.9])
    assert np.isnan(metric.of(BootstrapSample([{}, {}], [s.group for s in samples], np.array([[0, 1]]))))


def test_images_are_named_by_id(tmp_path):
    benchmark = WiseLegacy()
    samples = benchmark.read(folder(benchmark))
    pictures = [BenchmarkImage(s, 0, None if s.id == "2" else png()) for s in samples]
    told = benchmark.export(tmp_path, pictures)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{i}.png" for i in (1, 400, 401, 568, 701, 801, 901))
    assert told[1] == "1 prompts have no image: here they count 0"
    assert told[2].startswith("the official calculator gives no overall score unless each of 1,000 prompts has a result")


def test_official_results_are_read_back(tmp_path):
    path = tmp_path / "natural_science_scores_results.jsonl"
    line = {"prompt_id": 701, "Subcategory": "Animal", "consistency": 2.0, "realism": 1.0, "aesthetic_quality": 1.0}
    path.write_text(json.dumps(line) + "\n")
    benchmark = WiseLegacy()
    samples = benchmark.read(folder(benchmark))
    (row,) = benchmark.imported(path, samples)
    assert (row.id, row.index) == ("701", 0)
    assert row.values["wiscore"] == pytest.approx(0.85)  # (1.4 + 0.2 + 0.1) / 2
    path.write_text(json.dumps(line | {"consistency": 999}) + "\n")
    with pytest.raises(BenchmarkError, match="line 1: consistency is 999"):
        benchmark.imported(path, samples)
    path.write_text(json.dumps(line | {"prompt_id": 702}) + "\n")
    with pytest.raises(BenchmarkError, match="no prompt 702"):
        benchmark.imported(path, samples)
    path.write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(BenchmarkError, match="twice"):
        benchmark.imported(path, samples)
    verified = WiseVerified()
    path.write_text('{"prompt_id": 881, "Subcategory": "Reaction", "score": 1}\n')
    assert verified.imported(path, verified.read(folder(verified)))[0].values == {"wiscore": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[0].pop("Explanation"), "item 1: the key 'Explanation' is missing"),
        (lambda items: items[0].update(prompt_id=1001), "prompt_id 1001 is not from 1 to 1000"),
        (lambda items: items[1].update(prompt_id=1), "two prompts have the id 1"),
    ],
)
def test_a_file_that_is_not_official_is_refused(tmp_path, change, message):
    benchmark = WiseLegacy()
    files = folder(benchmark)
    items = json.loads(files["cultural_common_sense.json"].read_text())
    change(items)
    path = tmp_path / "cultural_common_sense.json"
    path.write_text(json.dumps(items))
    with pytest.raises(BenchmarkError, match=message):
        benchmark.read(files | {"cultural_common_sense.json": path})
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="a list of prompts is wanted"):
        benchmark.read(files | {"cultural_common_sense.json": path})
