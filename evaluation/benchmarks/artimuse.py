"""The ArtiMuse task of GEMS: GenEval's 553 prompts as "Aesthetic Drawing", rated by ArtiMuse (arXiv 2507.14533).

The rater is a model of its own (InternVL-3 8B, thunderbolt215/ArtiMuse): images are exported, its scores are imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import BenchmarkError
from ..dataset_files import read_csv, read_json
from ..official_layouts import write_file, write_first_images
from .base import Answers, Benchmark, BenchmarkImage, ImportedScores, Metric, OfficialRows, Sample
from .geneval import SOURCE, read_samples

PREFIX = "Aesthetic Drawing: "


class ArtiMuse(Benchmark):
    """The mean of the aesthetic scores from 0 to 100 that the model ArtiMuse gives."""

    name = "artimuse"
    title = "ArtiMuse"
    official_judge = "ArtiMuse"
    sources = (SOURCE,)
    judges = ()
    remarks = ("The terms of ArtiMuse and its data bar commercial use.",)

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read GenEval's `evaluation_metadata.jsonl`; ids are the line numbers, from 0."""
        return [Sample(id=s.id, prompt=PREFIX + s.prompt) for s in read_samples(files[SOURCE.file])]

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the score 0 of a failed run; other images are scored by the official model only."""
        return {"score": 0.0}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The mean score."""
        return [Metric("score", "ArtiMuse", lambda draws: draws.mean("score"), digits=2)]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `images/<id>.png` and `test.json`, the list of them: a data set of the official `src/eval/eval_dataset.py`."""
        notes = [
            "copy this folder to test_datasets/NAME of ArtiMuse, run src/eval/eval_dataset.py --dataset NAME, import its JSON file"
        ]
        written, missing = write_first_images(folder / "images", pictures, notes)
        write_file(folder / "test.json", json.dumps([{"image": f"{sample.id}.png"} for sample in written], indent=1).encode())
        if missing:
            notes.append(f"{missing} prompts have no image: ArtiMuse does not see them, the table here counts them as 0")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read scores by file name: the official list of {image, score}, an object {file: score}, or a CSV with file,score."""
        rows = OfficialRows(samples)
        for where, file, score in _read_scores(path):
            line = f"{path}, {where}"
            sample = rows.sample(PurePosixPath(file.replace("\\", "/")).stem, line)
            rows.add(line, sample.id, 0, {"score": _parse_score(score, line)})
        return rows.all(path)


def _read_scores(path: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield the location of each score in the file, its image file, and the score."""
    if path.suffix.lower() == ".csv":
        for number, row in read_csv(path, ("file", "score")):
            yield f"line {number}", row["file"], row["score"]
        return
    data = read_json(path)
    if isinstance(data, dict):
        yield from ((f"key {file!r}", file, score) for file, score in data.items())
    elif isinstance(data, list) and all(isinstance(row, dict) and {"image", "score"} <= set(row) for row in data):
        yield from ((f"entry {number}", str(row["image"]), row["score"]) for number, row in enumerate(data, start=1))
    else:
        raise BenchmarkError(f"{path}: a list of {{image, score}} or an object {{file: score}} is wanted")


def _parse_score(score: Any, where: str) -> float:
    try:
        value = math.nan if isinstance(score, bool) else float(score)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= 100:
        raise BenchmarkError(f"{where}: {str(score)[:40]} is no score from 0 to 100")
    return value


BENCHMARKS = (ArtiMuse(),)
