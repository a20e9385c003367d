"""DPG-Bench (arXiv 2403.05135, TencentQQGYLab/ELLA) and DSG-1k (arXiv 2310.18235, j-min/DSG): yes/no questions in a graph.

Both have the same columns. A question whose parent was answered no is not valid, and counts as no. They differ in small things,
which are kept: see `zeroed`.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import BenchmarkError
from ..dataset_files import read_csv, read_text, require_unique_ids
from ..judges.judge_parsing import agreed, says_yes
from ..official_layouts import encode_image, grid_limit_note, group_by_sample, image_grid, write_file, write_first_images
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

ANY_YES = "A yes in other letters, in Chinese or with more behind it is a yes; the official script takes `yes` alone: --exact-yes."
TABLE_COLUMNS = (
    "item_id",
    "text",
    "proposition_id",
    "dependency",
    "category_broad",
    "question_natural_language",
)


class QuestionGraph(Benchmark):
    """The share of the questions about an image that are answered yes, with the answers to all that they depend on."""

    official_judge = "mPLUG-large"
    official_yes = "yes"
    cascade: bool
    """How children of failed parents are zeroed: see `zeroed`."""
    digits: int

    @abstractmethod
    def parents(self, texts: Sequence[str]) -> list[list[int]]:
        """Read the column `dependency` of all questions about an image; 0, which means no parent, is left out.

        Raises:
            ValueError: it is not numbers with commas between.
        """

    @abstractmethod
    def group(self, item: str) -> str:
        """Return the part of the benchmark that an item belongs to."""

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read the table, a line a question; ids are its `item_id`, the lines of each stand together."""
        path = files[self.sources[0].file]
        items: dict[str, list[dict[str, str]]] = {}
        last = ""
        for number, row in read_csv(path, TABLE_COLUMNS):
            item = row["item_id"]
            if not re.fullmatch(r"[\w-]+", item) or not row["proposition_id"].strip().isdecimal():
                raise BenchmarkError(f"{path}, line {number}: item_id or proposition_id is none: is it the benchmark's own file?")
            if not row["text"].strip() or not row["question_natural_language"].strip():
                raise BenchmarkError(f"{path}, line {number}: the prompt or the question is empty: is it the benchmark's own file?")
            mine = items.setdefault(item, [])
            if mine and (item != last or row["text"] != mine[0]["text"]):
                raise BenchmarkError(
                    f"{path}, line {number}: item {item} stands in two places or has two prompts: fetch the file again"
                )
            if any(int(other["proposition_id"]) == int(row["proposition_id"]) for other in mine):
                raise BenchmarkError(f"{path}, line {number}: item {item} has question {row['proposition_id']} twice: delete one")
            mine.append(row)
            last = item
        return require_unique_ids([self._sample(item, rows, path) for item, rows in items.items()], path)

    def _sample(self, item: str, rows: Sequence[Mapping[str, str]], path: Path) -> Sample:
        try:
            parents = self.parents([row["dependency"] for row in rows])
        except ValueError as error:
            raise BenchmarkError(f"{path}, item {item}: 'dependency' is not numbers with commas between: {error}") from error
        asked = [
            {
                "id": int(row["proposition_id"]),
                "parents": above,
                "category": row["category_broad"],
                "question": row["question_natural_language"],
            }
            for row, above in zip(rows, parents, strict=True)
        ]
        return Sample(id=item, prompt=rows[0]["text"], group=self.group(item), truth={"questions": asked})

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask each question for yes or no."""
        return [
            JudgeQuestion(key=str(asked["id"]), text=f"{asked['question']} Answer with yes or no only.")
            for asked in sample.truth["questions"]
        ]

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether an answer is yes or no; with `exact_yes` every answer but that word is no."""
        return super().readable(question, answer) if self.exact_yes else says_yes(answer.text) is not None

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the share of yes after zeroing; and for each category the number of yes before it, and of questions."""
        asked: list[dict[str, Any]] = sample.truth["questions"]
        raw = {a["id"]: agreed(answers, str(a["id"]), self.exact_yes) for a in asked}
        final = zero_children(raw, {a["id"]: a["parents"] for a in asked}, cascade=self.cascade)
        values = {"score": sum(final.values()) / len(final)}
        for category in {a["category"] for a in asked}:
            mine = [raw[a["id"]] for a in asked if a["category"] == category]
            values |= {f"yes {category}": float(sum(mine)), f"questions {category}": float(len(mine))}
        return values

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The mean over prompts; the share of yes before zeroing, over all questions of a category; the mean by group."""
        categories = sorted({asked["category"] for sample in samples for asked in sample.truth["questions"]})
        groups = sorted({sample.group for sample in samples} - {""})
        return [
            Metric("score", self.title, lambda d: 100 * d.mean("score"), digits=self.digits),
            *(
                Metric(c, c, lambda d, c=c: 100 * d.ratio(f"yes {c}", f"questions {c}"), digits=self.digits, part="yes by category")  # type: ignore[misc]
                for c in categories
            ),
            *(
                Metric(f"source {g}", g, lambda d, g=g: 100 * d.mean("score", g), digits=self.digits, part="by source")  # type: ignore[misc]
                for g in groups
            ),
        ]


class Dpg(QuestionGraph):
    """DPG-Bench: 1,065 long prompts, four images each."""

    name = "dpg"
    title = "DPG-Bench"
    sources = (
        Source(
            file="dpg_bench.csv",
            url="https://raw.githubusercontent.com/TencentQQGYLab/ELLA/3c228f1dc6c4d3cad0a47493816151a419f14db3/dpg_bench/dpg_bench.csv",
            licence="Apache-2.0",
            origin="TencentQQGYLab/ELLA @ 3c228f1",
        ),
    )
    images_per_prompt = 4
    cascade = True
    digits = 2
    remarks = (
        ANY_YES,
        "The official script drops the first line of the csv, a question that others depend on; it is counted here.",
        "An image with a question that depends on a missing one is left out officially; here that question counts as no.",
        "By category: answers before zeroing, of all images; the official script takes those of each prompt's last image alone.",
    )

    def parents(self, texts: Sequence[str]) -> list[list[int]]:
        """Read numbers; anything else would stop the official script."""
        return [parse_numbers(text) for text in texts]

    def group(self, item: str) -> str:
        """DPG-Bench has no parts."""
        return ""

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `<item_id>.png`: the four images of a prompt as a grid of 2 x 2, or its one image."""
        sizes: set[tuple[int, int]] = set()
        empty = black = most = 0
        for sample, images in group_by_sample(pictures):
            cells = 4 if len(images) > 1 else 1
            whole = image_grid(images, columns=min(2, cells), cells=cells)
            most = max(most, len(images))
            if whole is None:
                empty += 1
                continue
            black += sum(image is None for image in images[:cells])
            sizes.add((whole.width // min(2, cells), whole.height // min(2, cells)))
            write_file(folder / f"{sample.id}.png", encode_image(whole, "PNG"))
        side = max(sizes, default=(0, 0))[0]
        notes = [
            f"run compute_dpg_bench.py --image-root-path this folder --resolution {side} --pic-num {min(4, most)}, import its "
            "results .txt"
        ]
        if most > 4:
            notes.append(grid_limit_note(most))
        if len(sizes) > 1 or any(width != height for width, height in sizes):
            notes.append(
                f"the official script cuts squares of one size: these images have {_format_sizes(sizes)}, and would be cut wrongly"
            )
        if black:
            notes.append(f"{black} images are missing: their cell of the grid is black, and is asked about")
        if empty:
            notes.append(f"{empty} prompts have no image: the official script leaves them out, the table here counts them as 0")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read `dpg-bench_<time>_results.txt`: `path, score of each image, their mean` a line, then a summary, which is ignored."""
        rows = OfficialRows(samples)
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            match = re.fullmatch(r"(.+?)((?:, (?:-?\d[\d.eE+-]*|nan|-?inf)){2,})", line)
            if match is None:
                continue
            where = f"{path}, line {number}"
            item = re.split(r"[/\\]", match[1])[-1].split(".")[0]
            try:
                *scores, mean = (float(text) for text in match[2].split(", ")[1:])
            except ValueError as error:
                raise BenchmarkError(f"{where}: {error}") from error
            rows.sample(item, where)
            if not all(0 <= score <= 1 for score in scores) or abs(sum(scores) / len(scores) - mean) > 1e-6:
                raise BenchmarkError(f"{where}: these are not scores from 0 to 1 and their mean")
            for index, score in enumerate(scores):
                rows.add(where, item, index, {"score": score})
        return rows.all(path)


class Dsg(QuestionGraph):
    """DSG-1k: 1,060 prompts of ten sources, one image each."""

    name = "dsg"
    title = "DSG-1k"
    sources = (
        Source(
            file="dsg-1k-anns.csv",
            url="https://raw.githubusercontent.com/j-min/DSG/7330119/dsg/data/dsg-1k-anns.csv",
            sha256="b7ce06ea8a0478ccfd8fba105ecd26d7d301eb99d5c412987546c4cc8e08917a",
            licence="Apache-2.0",
            origin="j-min/DSG @ 7330119",
        ),
    )
    cascade = False
    digits = 1
    remarks = (
        ANY_YES,
        "As in the official code, an item with a dependency that cannot be read (eight items of the file) has none at all, and "
        "tifa160_134, whose questions all depend on a missing one, is always 0.",
    )

    def parents(self, texts: Sequence[str]) -> list[list[int]]:
        """Read numbers; if one cannot be read ("5, right"), no question of the item has parents."""
        try:
            return [parse_numbers(text) for text in texts]
        except ValueError:
            return [[] for _ in texts]

    def group(self, item: str) -> str:
        """Return the source that the prompt was taken from: `whoops` of `whoops_5`."""
        return item.rpartition("_")[0]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `<item_id>.png`."""
        notes: list[str] = []
        _, missing = write_first_images(folder, pictures, notes)
        return [*notes, *([f"{missing} prompts have no image: they count as 0"] if missing else [])]


def parse_numbers(text: str) -> list[int]:
    """Return the numbers of "1,2", without 0, which means no parent.

    Raises:
        ValueError: it is something else.
    """
    return [number for part in text.split(",") if (number := int(part.strip())) != 0]


def zero_children(raw: Mapping[int, bool], parents: Mapping[int, Sequence[int]], *, cascade: bool) -> dict[int, bool]:
    """Return the answers, no where a parent is no or missing.

    Args:
        raw: whether each question was answered yes, in the order of the file.
        parents: the questions that each depends on.
        cascade: DPG-Bench looks at the parents as they stand, in the order of the file: a parent zeroed before counts as no.
            DSG looks at the parents' own answers only: no reaches the children, and not their children.
    """
    final = dict(raw)
    for question in raw:
        seen = final if cascade else raw
        if not all(seen.get(parent, False) for parent in parents[question]):
            final[question] = False
    return final


def _format_sizes(sizes: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{width} x {height}" for width, height in sorted(sizes))


BENCHMARKS = (Dpg(), Dsg())
