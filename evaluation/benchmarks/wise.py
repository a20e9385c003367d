"""WISE: 1,000 prompts that need knowledge of the world (arXiv 2503.07265, PKU-YuanGroup/WISE), as released first and verified."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import BenchmarkError
from ..dataset_files import read_json, read_json_lines, require_keys, require_unique_ids
from ..judges.judge_parsing import Range, ask_marks, first_text, marks
from ..official_layouts import write_first_images
from .base import (
    Answers,
    Benchmark,
    BenchmarkImage,
    BootstrapSample,
    ImportedScores,
    JudgeAnswer,
    JudgeQuestion,
    Metric,
    OfficialRows,
    Sample,
    Source,
)

KEYS = {"Prompt": str, "Explanation": str, "prompt_id": int}
REPOSITORY = "https://raw.githubusercontent.com/PKU-YuanGroup/WISE/eb51174"
SYSTEM = (
    "You judge images made from a prompt. You know the world well, you look closely, "
    "and you give a high mark only where nothing is wrong."
)


class Category(NamedTuple):
    """A category, identified by the ids of its prompts."""

    name: str
    first: int
    last: int
    weight: float
    """Its share of the overall score."""


LEGACY = (
    Category("culture", 1, 400, 0.4),
    Category("time", 401, 567, 0.167),
    Category("space", 568, 700, 0.133),
    Category("biology", 701, 800, 0.1),
    Category("physics", 801, 900, 0.1),
    Category("chemistry", 901, 1000, 0.1),
)
VERIFIED = (
    Category("culture", 1, 400, 0.4),
    Category("time", 401, 520, 0.12),
    Category("space", 521, 640, 0.12),
    Category("biology", 641, 760, 0.12),
    Category("physics", 761, 880, 0.12),
    Category("chemistry", 881, 1000, 0.12),
)
PARTIAL = "With prompts of some categories only, the weights are those of the categories that are there, made to sum to 1."


class Wise(Benchmark):
    """Base of both releases: one image a prompt, judged with its explanation, and a weighted mean of categories."""

    categories: tuple[Category, ...]
    ranges: Mapping[str, Range]
    """The marks that the judge gives."""
    criteria: str
    """Their meaning."""

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read the three files of the release; ids are `prompt_id`."""
        samples = []
        for source in self.sources:
            path = files[source.file]
            items = read_json(path)
            if not isinstance(items, list):
                raise BenchmarkError(f"{path}: a list of prompts is wanted, this is {type(items).__name__}")
            for number, item in enumerate(items, start=1):
                samples.append(self._sample(require_keys(item, KEYS, f"{path}, item {number}"), f"{path}, item {number}"))
        return require_unique_ids(sorted(samples, key=lambda sample: int(sample.id)), next(iter(files.values())))

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask for all marks at once, with the prompt and its explanation."""
        text = (
            f"Prompt: {sample.prompt}\n"
            f"What the prompt means: {sample.truth['explanation']}\n\n"
            f"{self.criteria}\n\n{ask_marks(self.ranges)}"
        )
        return [JudgeQuestion(key="marks", text=text, system=SYSTEM, max_tokens=500)]

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """WiScore of all categories by weight, and of each."""
        present = [c.name for c in self.categories if any(s.group == c.name for s in samples)]
        missing = len(present) < len(self.categories) and bool(present)
        title = f"WiScore ({', '.join(present)} only)" if missing else "WiScore"
        parts = [
            Metric(name, name, lambda d, name=name: d.mean("wiscore", name), digits=3, part="WiScore by category")  # type: ignore[misc]
            for name in present
        ]
        return [Metric("wiscore", title, weighted_mean("wiscore", self.categories), digits=3), *parts]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `<id>.png`, in one folder."""
        notes = ["the official script takes this folder as IMAGE_DIR"]
        written, missing = write_first_images(folder, pictures, notes)
        if missing:
            notes.append(f"{missing} prompts have no image: here they count 0")
        if len(written) < (every := self.categories[-1].last):
            notes.append(
                f"the official calculator gives no overall score unless each of {every:,} prompts has a result: import the results "
                "of the single prompts"
            )
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read an official `..._scores_results.jsonl`: a line a prompt, of one category file or of all."""
        rows = OfficialRows(samples)
        for number, line in read_json_lines(path, {"prompt_id": int, **dict.fromkeys(self.official_keys, (int, float))}):
            where = f"{path}, line {number}"
            rows.add(where, rows.sample(str(line["prompt_id"]), where).id, 0, self.official_values(line, where))
        return rows.all(path)

    official_keys: tuple[str, ...]
    """The numbers in a line of the official results."""

    def official_values(self, line: Mapping[str, Any], where: str) -> dict[str, float]:
        """Return the numbers of a line of the official results, checked.

        Raises:
            BenchmarkError: one is out of its range.
        """
        values = {key: line[official] for key, official in zip(self.ranges, self.official_keys, strict=True)}
        for key, value in values.items():
            low, high = self.ranges[key]
            if value not in range(low, high + 1):
                raise BenchmarkError(f"{where}: {key} is {value}, not {low} to {high}: run the official script again, it resumes")
        return self.numbers({key: int(value) for key, value in values.items()})

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether all marks are in an answer."""
        return marks(answer.text, self.ranges) is not None

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the WiScore and the marks of an image; an answer that cannot be read three times counts 0."""
        text = first_text(answers, "marks")
        given = None if text is None else marks(text, self.ranges)
        return self.numbers(given or dict.fromkeys(self.ranges, 0))

    @abstractmethod
    def numbers(self, given: Mapping[str, int]) -> dict[str, float]:
        """Return the WiScore of an image from its marks, and the marks."""

    def _sample(self, item: Mapping[str, Any], where: str) -> Sample:
        id = item["prompt_id"]
        group = next((c.name for c in self.categories if c.first <= id <= c.last), None)
        if group is None:
            raise BenchmarkError(f"{where}: prompt_id {id} is not from 1 to 1000: is it the official file?")
        truth = {"explanation": item["Explanation"], "subcategory": str(item.get("Subcategory", ""))}
        return Sample(id=str(id), prompt=item["Prompt"], group=group, truth=truth)


class WiseLegacy(Wise):
    """WISE as first released and as in the paper of GEMS: consistency, realism and aesthetic quality from 0 to 2."""

    name = "wise"
    title = "WISE"
    official_judge = "gpt-4o-2024-05-13"
    sources = tuple(
        Source(
            file=file,
            url=f"{REPOSITORY}/WISE_legacy/data/{file}",
            licence="none stated",
            origin="PKU-YuanGroup/WISE @ eb51174, WISE_legacy",
        )
        for file in ("cultural_common_sense.json", "spatio-temporal_reasoning.json", "natural_science.json")
    )
    remarks = (
        "The judge's instructions are our own, after the published criteria; an image without a readable answer counts 0.",
        PARTIAL,
        "WISE, WISE_Verified and WISE with another judge are three scales.",
    )
    categories = LEGACY
    ranges = {"consistency": (0, 2), "realism": (0, 2), "aesthetic": (0, 2)}
    criteria = (
        "Give three marks, each 0, 1 or 2.\n"
        "consistency: whether the image shows what the prompt means. 0: the heart of it is absent or contradicted. "
        "1: a part is right, and something is missing or wrong. 2: all of it is there and right.\n"
        "realism: whether it could be real. 0: plainly artificial or impossible. 1: believable, with visible faults. "
        "2: it could be a photograph; light, materials and space are right.\n"
        "aesthetic: how good it looks. 0: poor. 1: decent and unremarkable. 2: outstanding composition, colour and style.\n"
        "Between two marks take the lower one."
    )
    official_keys = ("consistency", "realism", "aesthetic_quality")

    def numbers(self, given: Mapping[str, int]) -> dict[str, float]:
        """Return (0.7 consistency + 0.2 realism + 0.1 aesthetic) / 2, and the three marks."""
        score = (0.7 * given["consistency"] + 0.2 * given["realism"] + 0.1 * given["aesthetic"]) / 2
        return {"wiscore": score} | {key: float(mark) for key, mark in given.items()}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Add the means of the three marks, over all prompts alike."""
        return [
            *super().metrics(samples),
            *(Metric(key, key, lambda d, key=key: d.mean(key), digits=2, part="Marks from 0 to 2") for key in self.ranges),  # type: ignore[misc]
        ]


class WiseVerified(Wise):
    """WISE_Verified of April 2026: about 200 prompts are new, and the judge answers 0 or 1."""

    name = "wise-verified"
    title = "WISE_Verified"
    official_judge = "Qwen3.5-35B-A3B"
    sources = tuple(
        Source(
            file=file,
            url=f"{REPOSITORY}/data_verified/{file}",
            licence="none stated",
            origin="PKU-YuanGroup/WISE @ eb51174, data_verified",
        )
        for file in (
            "cultural_common_sense_verified.json",
            "spatio-temporal_reasoning_verified.json",
            "natural_science_verified.json",
        )
    )
    remarks = (
        "The judge's instructions are our own, after the published criteria; an image without a readable answer counts 0.",
        PARTIAL,
        "The figures of the GEMS paper are on the scale of the first release (`wise`), not on this one.",
    )
    categories = VERIFIED
    ranges = {"score": (0, 1)}
    criteria = (
        "Decide whether the image is right.\n"
        "score 1: it shows what the prompt means, things relate to one another as they should, and it is real enough to tell.\n"
        "score 0: the answer that the prompt hints at is missing or wrong, a key relation is wrong, or the image is too vague, "
        "too broken or too unreal to tell."
    )
    official_keys = ("score",)

    def numbers(self, given: Mapping[str, int]) -> dict[str, float]:
        """Return the score, 0 or 1."""
        return {"wiscore": float(given["score"])}


def weighted_mean(key: str, categories: Sequence[Category]) -> Callable[[BootstrapSample], NDArray[np.float64]]:
    """Return the metric that weights the mean of each category; normalised over the categories in a draw."""

    def of(draws: BootstrapSample) -> NDArray[np.float64]:
        means = np.array([draws.mean(key, category.name) for category in categories])
        weights = np.array([category.weight for category in categories])[:, None] * ~np.isnan(means)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights * np.nan_to_num(means)).sum(axis=0) / weights.sum(axis=0), dtype=np.float64)

    return of


BENCHMARKS = (WiseLegacy(), WiseVerified())
