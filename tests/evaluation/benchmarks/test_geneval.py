"""GenEval: its layout, its result file and the mean of its tasks."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, Sample
from gems.evaluation.benchmarks.geneval import BENCHMARKS
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data" / "geneval" / "evaluation_metadata.jsonl"
GENEVAL = BENCHMARKS[0]


@pytest.fixture
def samples() -> list[Sample]:
    return GENEVAL.read({DATA.name: DATA})


def table(samples: list[Sample], rows: list[Mapping[str, float]], picks: list[list[int]] | None = None) -> dict[str, list[float]]:
    draws = BootstrapSample(rows, [s.group for s in samples], np.array(picks or [range(len(samples))], dtype=np.int64))
    return {metric.name: [float(v) for v in metric.of(draws)] for metric in GENEVAL.metrics(samples)}


def test_lines_become_samples(samples: list[Sample]) -> None:
    assert [s.id for s in samples] == [f"{n:05d}" for n in range(8)]
    assert samples[3].prompt == "a photo of three yellow triangles"
    assert samples[3].group == "counting"
    assert samples[3].truth["exclude"] == [{"class": "yellow triangle", "count": 4}]
    assert all(parse_request(s.prompt) for s in samples)
    assert GENEVAL.questions(samples[0]) == []


def test_the_score_is_the_mean_of_the_tasks_and_a_failed_prompt_counts_as_wrong(samples: list[Sample]) -> None:
    failed = GENEVAL.score(samples[7], {})
    assert failed == {"correct": 0.0}
    rows = [{"correct": c} for c in (1.0, 0.5, 0.25, 1.0, 0.0, 0.75, 0.0)] + [failed]
    # single_object (1 + 0.5) / 2, two_object 0.25, counting (1 + 0) / 2, colors 0.75, position 0, color_attr 0
    assert table(samples, rows) == {
        "overall": [pytest.approx((0.75 + 0.25 + 0.5 + 0.75 + 0 + 0) / 6)],
        "single_object": [0.75],
        "two_object": [0.25],
        "counting": [0.5],
        "colors": [0.75],
        "position": [0.0],
        "color_attr": [0.0],
    }


def test_a_draw_without_a_task_is_the_mean_of_the_others(samples: list[Sample]) -> None:
    rows = [{"correct": c} for c in (1.0, 0.5, 0.25, 1.0, 0.0, 0.75, 0.0, 0.0)]
    found = table(samples, rows, [[0, 0, 0, 2, 2, 2, 2, 2], [5] * 8])
    assert found["overall"] == [pytest.approx((1 + 0.25) / 2), 0.75]
    assert np.isnan(found["position"]).all()
    assert np.isnan(table(samples, [{}] * 8)["overall"]).all()


def test_the_export_is_the_official_layout(samples: list[Sample], tmp_path: Path) -> None:
    images = [
        BenchmarkImage(s, n, None if (s.id, n) == ("00001", 2) else f"{s.id} {n}".encode()) for s in samples for n in range(4)
    ]
    told = GENEVAL.export(tmp_path, iter(images))
    assert sorted(p.name for p in tmp_path.iterdir()) == [s.id for s in samples]
    official = [json.loads(line) for line in DATA.read_text().splitlines()]
    for sample, line in zip(samples, official, strict=True):
        assert json.loads((tmp_path / sample.id / "metadata.jsonl").read_text()) == line
    assert sorted(p.name for p in (tmp_path / "00001" / "samples").iterdir()) == ["0000.png", "0001.png", "0003.png"]
    assert (tmp_path / "00007" / "samples" / "0003.png").read_bytes() == b"00007 3"
    assert any("1 images are missing" in text for text in told)


def test_a_prompt_without_images_keeps_its_folder(samples: list[Sample], tmp_path: Path) -> None:
    GENEVAL.export(tmp_path, [BenchmarkImage(samples[0], 0, None)])
    assert list((tmp_path / "00000" / "samples").iterdir()) == []


def result(path: Path, samples: list[Sample], **changes: object) -> Path:
    lines = []
    for n, sample in enumerate(samples):
        line = {
            "filename": f"out/{sample.id}/samples/0001.png",
            "tag": sample.group,
            "prompt": sample.prompt,
            "correct": n % 2 == 0,
            "reason": "",
            "metadata": json.dumps({"prompt": sample.prompt}),
            "details": "{}",
        }
        lines.append(json.dumps(line | (changes if n == 1 else {})))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_official_result_is_read(samples: list[Sample], tmp_path: Path) -> None:
    rows = GENEVAL.imported(result(tmp_path / "results.jsonl", samples), samples)
    assert [(r.id, r.index, r.values) for r in rows[:2]] == [("00000", 1, {"correct": 1.0}), ("00001", 1, {"correct": 0.0})]
    assert len(rows) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"filename": "out/1.png"}, "line 2: .*not of the form"),
        ({"filename": f"out/{'0' * 5000}/samples/0000.png"}, "line 2: .*not of the form"),
        ({"filename": "out/00099/samples/0000.png"}, "there is no prompt 00099 in this run"),
        ({"prompt": "a photo of a cow"}, "not of these samples"),
        ({"filename": "out/00000/samples/0001.png", "prompt": "a photo of a red circle"}, "there twice"),
        ({"correct": "yes"}, "'correct' is str"),
        ({"correct": 5}, "'correct' is 5, neither true nor false"),
    ],
)
def test_a_result_of_something_else_is_refused(
    samples: list[Sample], tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BenchmarkError, match=words):
        GENEVAL.imported(result(tmp_path / "results.jsonl", samples, **changes), samples)


def test_an_empty_result_is_refused(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("")
    with pytest.raises(BenchmarkError, match="no results"):
        GENEVAL.imported(tmp_path / "results.jsonl", samples)


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of benchmark files")
def test_the_full_file() -> None:
    samples = GENEVAL.read({DATA.name: Path(os.environ["GEMS_BENCHMARKS"]) / "geneval" / DATA.name})
    assert Counter(s.group for s in samples) == {
        "single_object": 80,
        "two_object": 99,
        "counting": 80,
        "colors": 94,
        "position": 100,
        "color_attr": 100,
    }
