"""The CREA task of the GEMS paper: twelve objects in creative forms, 25 images each, six marks (after arXiv 2504.05306)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...errors import BenchmarkError
from ..dataset_files import read_json, read_text, require_keys, require_unique_ids
from ..judges.judge_parsing import ask_marks, first_text, marks
from ..official_layouts import group_by_sample, write_file
from .base import (
    Answers,
    Benchmark,
    BenchmarkImage,
    ImportedScores,
    JudgeAnswer,
    JudgeQuestion,
    Metric,
    OfficialRows,
    Sample,
    Source,
)

OBJECTS = ("couch", "chair", "car", "monster", "mug", "table", "bowl", "bike", "guitar", "helmet", "teapot", "umbrella")
OBJECTS_FILE = "crea_objects.txt"
CRITERIA = {
    "originality": "how new the idea is; 1: the thing as everybody draws it, 5: an idea hardly ever seen",
    "expressiveness": "how strongly it conveys a mood, a story or a character; 1: nothing, 5: unmistakable and moving",
    "aesthetic": "aesthetic appeal: composition, colour and harmony; 1: unpleasant, 5: beautiful",
    "technical": "technical quality: sharpness, detail, light, no broken parts; 1: full of faults, 5: flawless",
    "unexpected": "unexpected associations: how surprising and yet fitting its parts are; 1: nothing surprises, 5: bold",
    "interpretability": "whether the thing that was asked for is still told at once; 1: it is not to be recognised, 5: no doubt",
}
MARK_RANGES = dict.fromkeys(CRITERIA, (1, 5))
SYSTEM = (
    "You are one of the jury of an exhibition. You mark each criterion for itself, use the whole scale, and are hard to impress."
)


class Crea(Benchmark):
    """The sum of the means of six marks, at most 30."""

    name = "crea"
    title = "CREA"
    official_judge = "Kimi-K2.5"
    sources = (
        Source(file=OBJECTS_FILE, url="", licence="Apache-2.0", origin="things or prompts of your own, one a line", optional=True),
    )
    images_per_prompt = 25
    remarks = (
        "The judge's instructions are our own, written from the six criteria; figures of other instructions are another scale.",
        "An answer that cannot be read three times counts 0, where the official script leaves the image out.",
    )

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Return the twelve prompts, or those of a file: a thing a line, or a whole prompt where a line begins with `a` or `an`."""
        path = files.get(OBJECTS_FILE)
        lines = OBJECTS if path is None else tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
        prompts = [line if re.match(r"an? ", line, re.IGNORECASE) else f"a creative {line}" for line in lines]
        if repeated := next((prompt for n, prompt in enumerate(prompts) if prompt in prompts[:n]), None):
            raise BenchmarkError(f"{path}: {repeated!r} is there twice: delete one line")
        samples = [
            Sample(id=f"{n:05d}", prompt=prompt, group=line) for n, (prompt, line) in enumerate(zip(prompts, lines, strict=True))
        ]
        return require_unique_ids(samples, path or Path(OBJECTS_FILE))

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask for all six marks at once."""
        criteria = "\n".join(f"{name}: {meaning}." for name, meaning in CRITERIA.items())
        text = (
            f"Prompt: {sample.prompt}\n\n"
            f"How creative is this image of it? Give six marks, whole numbers from 1 to 5.\n{criteria}\n\n{ask_marks(MARK_RANGES)}"
        )
        return [JudgeQuestion(key="marks", text=text, system=SYSTEM, max_tokens=500)]

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether all marks are in an answer."""
        return marks(answer.text, MARK_RANGES) is not None

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the six marks of an image and their sum; without an answer that can be read all are 0."""
        text = first_text(answers, "marks")
        given = None if text is None else marks(text, MARK_RANGES)
        return mark_values(given or dict.fromkeys(MARK_RANGES, 0))

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The total of 30, the mean of each criterion, and the total by thing."""
        return [
            Metric("total", "total of 30", lambda d: d.mean("total"), digits=2),
            *(Metric(name, name, lambda d, name=name: d.mean(name), digits=2, part="Criteria from 1 to 5") for name in CRITERIA),  # type: ignore[misc]
            *(
                Metric(f"total {group}", group, lambda d, group=group: d.mean("total", group), digits=2, part="Total by thing")  # type: ignore[misc]
                for group in dict.fromkeys(sample.group for sample in samples)
            ),
        ]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `img_idx_00000_sub_00.png` and so on, and `image_paths.json`: {prompt: [paths]}."""
        paths: dict[str, list[str]] = {}
        missing = 0
        for sample, images in group_by_sample(pictures):
            for index, data in enumerate(images):
                if data is None:
                    missing += 1
                    continue
                name = f"img_idx_{sample.id}_sub_{index:02d}.png"
                write_file(folder / name, data)
                paths.setdefault(sample.prompt, []).append(name)
        write_file(folder / "image_paths.json", json.dumps(paths, ensure_ascii=False, indent=1).encode())
        notes = ["the paths in image_paths.json are relative to this folder: run eval.py with --mapping_file here"]
        if missing:
            notes.append(f"{missing} images are missing; the official script leaves them out of its means, here they count 0")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read `evaluation_results.json`: a list with prompt, image_path and six scores for each image."""
        items = read_json(path)
        if not isinstance(items, list):
            raise BenchmarkError(f"{path}: a list with the scores of each image is wanted")
        known = {sample.prompt: sample for sample in samples}
        rows = OfficialRows(samples)
        for number, item in enumerate(items, start=1):
            where = f"{path}, item {number}"
            item = require_keys(item, {"prompt": str, "image_path": str, "scores": list}, where)
            sample, place = known.get(item["prompt"]), re.search(r"_sub_(\d{1,9})\.\w+$", item["image_path"])
            if sample is None or place is None:
                raise BenchmarkError(f"{where}: this is no image of this run: {item['prompt']!r}, {item['image_path']}")
            scores = item["scores"]
            if len(scores) != len(CRITERIA) or not all(type(s) in (int, float) and 1 <= s <= 5 for s in scores):
                raise BenchmarkError(f"{where}: six scores from 1 to 5 are wanted")
            rows.add(where, sample.id, int(place[1]), mark_values(dict(zip(CRITERIA, scores, strict=True))))
        return rows.all(path)


def mark_values(given: Mapping[str, float]) -> dict[str, float]:
    """Return the marks of an image and their sum. The mean of the sums equals the sum of the means, as in the official script."""
    return {"total": math.fsum(given.values())} | {name: float(mark) for name, mark in given.items()}


BENCHMARKS = (Crea(),)
