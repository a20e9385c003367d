"""LongText-Bench: 160 prompts with long texts, English and Chinese (arXiv 2507.22058, X-Omni-Team/X-Omni `textbench`).

The text is read out of each image; the score is the share of the words (English) or characters (Chinese) wanted that are in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ...errors import BenchmarkError
from ..dataset_files import read_json_lines, require_unique_ids
from ..official_layouts import group_by_sample, write_file
from .base import Answers, Benchmark, BenchmarkImage, ImportedScores, JudgeQuestion, Metric, OfficialRows, Sample, Source

COMMIT = "2b8237bb3789638c290eeda3e83ed81bd3652c3b"
KEYS = {"category": str, "length": str, "prompt": str, "text": list, "prompt_id": int}
RESULT_KEYS = {"image": str, "prompt": str, "ocr_results": str}
LETTERS = "\u4e00-\u9fa5a-zA-Z0-9àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ"
"""Characters that count as text in the official formula: common Chinese characters, ASCII letters and digits, French letters."""
NO_TEXT = "No text recognized"
COPY_TEXT = (
    "Copy out the text that is written in this image, in the order of reading, and write nothing else. Write a text that is there "
    f"once only once. If there is no text in the image, answer: {NO_TEXT}"
)


class LongText(Benchmark):
    """The share of the words or characters wanted that can be read in the images, over all images together."""

    official_judge = "Qwen2.5-VL-7B-Instruct"
    judges = ("chat", "rapidocr")
    images_per_prompt = 4
    remarks = (
        "The judge is asked to read in words of our own, not those of the official script; RapidOCR reads without being asked. The "
        "formula is the official one.",
    )

    def __init__(self, *, name: str, language: Literal["en", "zh"], file: str, sha256: str) -> None:
        self.name = name
        self.language = language
        self.title = f"LongText-{language.upper()}"

        self.sources = (
            Source(
                file=file,
                url=f"https://raw.githubusercontent.com/X-Omni-Team/X-Omni/{COMMIT}/textbench/{file}",
                sha256=sha256,
                licence="Apache-2.0",
                origin="X-Omni-Team/X-Omni @ 2b8237b",
            ),
        )

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read `text_prompts.jsonl` or `text_prompts_zh.jsonl`; ids are their `prompt_id`, which have gaps: 0000 to 0199."""
        path = files[self.sources[0].file]
        samples = []
        for number, line in read_json_lines(path, KEYS):
            if not line["text"] or not all(isinstance(text, str) for text in line["text"]):
                raise BenchmarkError(f"{path}, line {number}: 'text' is not a list of texts: is it the benchmark's own file?")
            truth = {"text": line["text"], "length": line["length"]}
            samples.append(Sample(id=f"{line['prompt_id']:04d}", prompt=line["prompt"], group=line["category"], truth=truth))
        return require_unique_ids(samples, path)

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask for all text in the image."""
        return [JudgeQuestion(key="text", text=COPY_TEXT, kind="read")]

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return how many words or characters are wanted, and how many of them were read: in all, and for the prompt's length."""
        text = answers["text"][0].text if answers.get("text") else ""
        return self._numbers(sample, text)

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The share of the expected text that was read, over all images; the same by category and by length."""
        categories = sorted({sample.group for sample in samples})
        lengths = sorted({sample.truth["length"] for sample in samples})
        return [
            Metric("score", "Text score", lambda d: d.ratio("matched", "wanted"), digits=3),
            *(
                Metric(c, c, lambda d, c=c: d.ratio("matched", "wanted", c), digits=3, part="by category")  # type: ignore[misc]
                for c in categories
            ),
            *(
                Metric(
                    f"length {name}",
                    name,
                    lambda d, n=name: d.ratio(f"matched {n}", f"wanted {n}"),  # type: ignore[misc]
                    digits=3,
                    part="by length",
                )
                for name in lengths
            ),
        ]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `0000_1.png` to `0199_4.png`: the prompt's id, and the number of the image."""
        missing = 0
        for sample, images in group_by_sample(pictures):
            for number, image in enumerate(images, start=1):
                if image is None:
                    missing += 1
                else:
                    write_file(folder / f"{sample.id}_{number}.png", image)
        notes = [
            f"run textbench/evaluate_text_reward.py --mode {self.language} with --sample_dir this folder, join its "
            "results_chunk*.jsonl to results.jsonl, import that (eval.sh looks for a results.json, which is not there)"
        ]
        if missing:
            notes.append(
                f"{missing} images are missing: the official summary leaves them out, the table here counts their texts as not read"
            )
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read `results.jsonl`, or a `results_chunk0.jsonl`, of the official script: the text read in each image, scored here."""
        rows = OfficialRows(samples)
        for number, line in read_json_lines(path, RESULT_KEYS):
            where = f"{path}, line {number}"
            results = re.search(r"(?:^|[/\\])(\d{1,9})(?:_(\d{1,9}))?\.png$", line["image"])
            if results is None or results[2] == "0":
                raise BenchmarkError(f"{where}: {line['image']} is not of the form 0000_1.png")
            sample = rows.sample(f"{int(results[1]):04d}", where)
            if sample.prompt != line["prompt"]:
                raise BenchmarkError(
                    f"{where}: prompt {results[1]} is not of these samples: import the result of this run and language"
                )
            rows.add(where, sample.id, int(results[2] or 1) - 1, self._numbers(sample, line["ocr_results"]))
        return rows.all(path)

    def _numbers(self, sample: Sample, text: str) -> dict[str, float]:
        matched, wanted = matches(sample.truth["text"], text, self.language)
        length = sample.truth["length"]
        counts = {"matched": matched, "wanted": wanted, f"matched {length}": matched, f"wanted {length}": wanted}
        return {key: float(value) for key, value in counts.items()}


def matches(texts: Sequence[str], text: str, language: Literal["en", "zh"]) -> tuple[int, int]:
    """Return how many of the words (en) or characters (zh) of `texts` were read, and how many there are.

    The multiset intersection of the official `summary_scores.py`: each counts as often as it is in both. The order does not
    count, and words too many cost nothing.
    """
    if text.strip().strip(".").casefold() == NO_TEXT.casefold():
        text = ""
    wanted, read = Counter(units(" ".join(texts), language)), Counter(units(text, language))
    return (wanted & read).total(), wanted.total()


def units(text: str, language: Literal["en", "zh"]) -> list[str]:
    """Split a text into the units that are compared, as the official script does.

    English: what is not in `LETTERS` is taken out ("don't" is "dont", "9-5" is "95"), the rest lower-cased and split at spaces.
    Chinese: the characters of `LETTERS` one by one, in their case; white space, punctuation and full-width digits do not count.
    """
    if language == "en":
        return re.sub(rf"[^{LETTERS}\s]", "", text).lower().split()
    return re.findall(f"[{LETTERS}]", text)


BENCHMARKS = (
    LongText(
        name="longtext-en",
        language="en",
        file="text_prompts.jsonl",
        sha256="a2130769e72bd8560470a066114cdac87f80f1eb071ba6bc0f7033225a9be0d8",
    ),
    LongText(
        name="longtext-zh",
        language="zh",
        file="text_prompts_zh.jsonl",
        sha256="6512cd121ac093e8113e114d76eb2c0ce967c220b18e2049e1063554ce496758",
    ),
)
