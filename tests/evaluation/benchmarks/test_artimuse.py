"""ArtiMuse: the prompts of GenEval with a prefix, a flat folder, and scores by file name."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.artimuse import BENCHMARKS
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, Sample
from gems.evaluation.benchmarks.geneval import BENCHMARKS as OF_GENEVAL

DATA = Path(__file__).parent / "data" / "geneval" / "evaluation_metadata.jsonl"
ARTIMUSE = BENCHMARKS[0]


@pytest.fixture
def samples() -> list[Sample]:
    return ARTIMUSE.read({DATA.name: DATA})


def test_prompts_are_those_of_geneval_with_a_prefix(samples: list[Sample]) -> None:
    plain = OF_GENEVAL[0].read({DATA.name: DATA})
    assert [(s.id, s.prompt) for s in samples] == [(s.id, f"Aesthetic Drawing: {s.prompt}") for s in plain]
    assert ARTIMUSE.questions(samples[0]) == []


def test_the_export_is_a_data_set_of_the_official_script(samples: list[Sample], tmp_path: Path) -> None:
    told = ARTIMUSE.export(tmp_path, [BenchmarkImage(s, 0, None if s.id == "00002" else s.id.encode()) for s in samples])
    kept = [s.id for s in samples if s.id != "00002"]
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == [f"{i}.png" for i in kept]
    assert json.loads((tmp_path / "test.json").read_text()) == [{"image": f"{i}.png"} for i in kept]
    assert any("1 prompts have no image" in text for text in told)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.json", '{"00000.png": 43.5, "out/00001.png": "50"}'),
        ("gems_ArtiMuse.json", '[{"image": "00000.png", "score": 43.5}, {"image": "00001.png", "score": 50}]'),
        ("scores.csv", "file,score\n00000.png,43.5\nout\\00001.png,50\n"),
    ],
)
def test_scores_are_read_by_file_name(samples: list[Sample], tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    rows = ARTIMUSE.imported(tmp_path / name, samples)
    assert [(r.id, r.index, r.values) for r in rows] == [("00000", 0, {"score": 43.5}), ("00001", 0, {"score": 50.0})]
    failed = ARTIMUSE.score(samples[2], {})
    draws = BootstrapSample([rows[0].values, rows[1].values, failed], ["", "", ""], np.array([[0, 1, 2]]))
    assert float(ARTIMUSE.metrics(samples)[0].of(draws)[0]) == pytest.approx((43.5 + 50 + 0) / 3), "a failed prompt counts as 0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"00099.png": 1}', "there is no prompt 00099 in this run"),
        ('{"00000.png": 101}', "no score from 0 to 100"),
        ('{"00000.png": NaN}', "no score from 0 to 100"),
        ('{"00000.png": null}', "no score from 0 to 100"),
        ('{"00000.png": ' + "9" * 400 + "}", "9999 is no score from 0 to 100"),
        ('{"00000.png": ' + "9" * 5000 + "}", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ('{"a/00000.png": 1, "b/00000.png": 2}', "there twice"),
        ('[{"image": "00000.png"}]', "a list of"),
        ("{}", "there are no results in it"),
    ],
)
def test_other_files_are_refused(samples: list[Sample], tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(BenchmarkError, match=words):
        ARTIMUSE.imported(tmp_path / "scores.json", samples)


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of benchmark files")
def test_the_full_file() -> None:
    assert len(ARTIMUSE.read({DATA.name: Path(os.environ["GEMS_BENCHMARKS"]) / "geneval" / DATA.name})) == 553
