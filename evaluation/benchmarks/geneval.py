"""GenEval: 553 prompts of six tasks, checked by an object detector (arXiv 2310.11513, djghosh13/geneval).

Its scorer, `evaluation/evaluate_images.py`, runs Mask2Former of mmdet 2.x and CLIP ViT-L/14. That is not repeated here: images
are exported in its layout, and its `results.jsonl` is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import BenchmarkError
from ..dataset_files import read_json_lines, require_unique_ids
from ..official_layouts import group_by_sample, write_file
from .base import Answers, Benchmark, BenchmarkImage, BootstrapSample, ImportedScores, Metric, OfficialRows, Sample, Source

SOURCE = Source(
    file="evaluation_metadata.jsonl",
    url="https://raw.githubusercontent.com/djghosh13/geneval/af4902f24d3ca90ebbb446dd9891a59e0f82725f/prompts/evaluation_metadata.jsonl",
    sha256="5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13",
    licence="MIT",
    origin="djghosh13/geneval @ af4902f",
)
KEYS = {"tag": str, "include": list, "prompt": str}
RESULT_KEYS: dict[str, type | tuple[type, ...]] = {"filename": str, "prompt": str, "correct": (bool, int)}


class GenEval(Benchmark):
    """Whether an image has the objects of its prompt, with their number, colours and positions: right or wrong."""

    name = "geneval"
    title = "GenEval"
    official_judge = "Mask2Former + CLIP ViT-L/14"
    sources = (SOURCE,)
    judges = ()
    images_per_prompt = 4
    remarks = ("Its detector has drifted from people's judgement by up to 17.7 points on new models (arXiv 2512.16853).",)

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read `evaluation_metadata.jsonl`; ids are the line numbers, from 0, as the official generation scripts count them."""
        return read_samples(files[SOURCE.file])

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the score 0 of a failed run; other images are scored by the official detector only."""
        return {"correct": 0.0}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The mean over the tasks of the share of right images, as in `summary_scores.py`; and that share by task."""
        tags = list(dict.fromkeys(sample.group for sample in samples))
        return [
            Metric("overall", "Overall", lambda draws: mean_of_tasks(draws, tags), digits=3),
            *(
                Metric(tag, tag.replace("_", " "), lambda d, tag=tag: d.mean("correct", tag), digits=3, part="by task")  # type: ignore[misc]
                for tag in tags
            ),
        ]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `00000/metadata.jsonl` and `00000/samples/0000.png` and on, a folder for each prompt."""
        missing = 0
        for sample, images in group_by_sample(pictures):
            line = json.dumps({**sample.truth, "prompt": sample.prompt}, ensure_ascii=False)
            write_file(folder / sample.id / "metadata.jsonl", line.encode())
            (folder / sample.id / "samples").mkdir()  # the official script stops at a prompt without this folder
            for index, image in enumerate(images):
                if image is None:
                    missing += 1
                else:
                    write_file(folder / sample.id / "samples" / f"{index:04d}.png", image)
        notes = ["run evaluation/evaluate_images.py on this folder, then import its results.jsonl"]
        if missing:
            notes.append(f"{missing} images are missing: the official summary leaves them out, the table here counts them as wrong")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read `results.jsonl` of the official script: a line for each image, identified by its folder and file name."""
        rows = OfficialRows(samples)
        for number, line in read_json_lines(path, RESULT_KEYS):
            where = f"{path}, line {number}"
            match = re.search(r"(?:^|[/\\])(\d{1,9})[/\\]samples[/\\](\d{1,9})\.png$", line["filename"])
            if match is None:
                raise BenchmarkError(f"{where}: {line['filename']} is not of the form 00000/samples/0000.png")
            sample = rows.sample(f"{int(match[1]):05d}", where)
            if sample.prompt != line["prompt"]:
                raise BenchmarkError(
                    f"{where}: folder {match[1]} with this prompt is not of these samples: import the result of this run"
                )
            if line["correct"] not in (0, 1):
                raise BenchmarkError(
                    f"{where}: 'correct' is {line['correct']}, neither true nor false: run the official script again"
                )
            rows.add(where, sample.id, int(match[2]), {"correct": float(line["correct"])})
        return rows.all(path)


def read_samples(path: Path) -> list[Sample]:
    """Read the prompts of `evaluation_metadata.jsonl`.

    Raises:
        BenchmarkError: it is not of the official format.
    """
    samples: list[Sample] = []
    for _, line in read_json_lines(path, KEYS):
        truth = {key: value for key, value in line.items() if key != "prompt"}
        samples.append(Sample(id=f"{len(samples):05d}", prompt=line["prompt"], group=line["tag"], truth=truth))
    return require_unique_ids(samples, path)


def mean_of_tasks(draws: BootstrapSample, tags: Sequence[str]) -> NDArray[np.float64]:
    """Return the mean over the tasks of each task's share of right images; a task without a prompt in a draw is left out."""
    shares = np.array([draws.mean("correct", tag) for tag in tags])
    known = ~np.isnan(shares)
    with np.errstate(invalid="ignore"):
        total: NDArray[np.float64] = np.where(known, shares, 0.0).sum(axis=0) / known.sum(axis=0)
    return total


BENCHMARKS = (GenEval(),)
