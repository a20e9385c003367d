"""SpatialGenEval: 1,230 long prompts with ten multiple-choice questions each (arXiv 2601.20354, AMAP-ML/SpatialGenEval)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import BenchmarkError
from ...models.chat.answer_text import without_reasoning
from ..dataset_files import read_json_lines, require_unique_ids
from ..official_layouts import encode_image, first_images, write_file
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

QUESTIONS = 10
BASIC_DIMENSIONS = 2
"""The first two dimensions, object and attribute, are basic; the other eight are spatial."""
ROLLOUTS = 5
MIN_VOTES = 4
"""Votes that make an answer right."""
KEYS = {"id": str, "prompt": str, "question_type": list, "questions": list, "answers": list}
DATA_FILE = "SpatialGenEval_T2I_Prompts.jsonl"
SYSTEM = "You look at an image and answer questions about it, from what can be seen and from nothing else."
INSTRUCTIONS = (
    "Answer the ten multiple-choice questions about the image. Where the image shows no answer, choose the option None.\n\n"
    "{questions}\n\n"
    "Answer with ten lines, a line for each question in order: its number, a full stop and the letter of one option, "
    "such as `3. B`. Write nothing else."
)
_NUMBER = r"(?:(?:question|answer|q)?\s*(\d{1,2})\s*[.):、\-]*)?"
_LETTER = (
    r"(?:(?:the\s+)?(?:answer|option)\s*(?:is\b)?[\s:]*){0,2}"
    r"(?:[(\[]\s*([A-Z])\s*[)\]].*|([A-Z])\s*(?:$|[.:,;|)。，：].*|\s[-–—].*))"
)
"""A letter alone, in brackets, or with a sign after it: "A red ball" is an option's text and no letter."""
_LINE = re.compile(rf"[\s>#|-]*{_NUMBER}[\s|]*{_LETTER}", re.IGNORECASE)
_BEGIN = re.compile(rf"[\s>#|-]*(?i:{_NUMBER})[\s|]*([A-Z])\s.*")
"""A letter alone with the text of its option behind it: `3. B The lantern is blue`."""
_PAIR = re.compile(r"(?<![\w.])(\d{1,2})\s*[.):、\-]*\s*\(?([A-Z])\)?\s*(?=$|[,;.]|\d)", re.IGNORECASE | re.MULTILINE)
"""Number and letter where many stand in a line: `1. A, 2. B`."""


class SpatialGenEval(Benchmark):
    """A question is right if four of five answers to it are."""

    name = "spatialgeneval"
    title = "SpatialGenEval"
    official_judge = "Qwen2.5-VL-72B-Instruct"
    sources = (
        Source(
            file=DATA_FILE,
            url=f"https://raw.githubusercontent.com/AMAP-ML/SpatialGenEval/8b294b5fd0bca204fcfbf2cd74b75d9c359e40f6/eval/{DATA_FILE}",
            licence="none stated",
            origin="AMAP-ML/SpatialGenEval @ 8b294b5",
        ),
    )
    remarks = (
        "The judge's instructions are our own; it is asked for letters alone, the official script asks for a reason after each.",
        "An answer that is not ten letters is asked for three times, and is then no vote, where four votes are still needed; the "
        "official script asks up to 25 times for five answers and then leaves the prompt out.",
    )

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read the prompts; each has ten questions with options, and the letter of the right one."""
        path = files[DATA_FILE]
        samples = []
        for number, line in read_json_lines(path, KEYS):
            lists = [line["question_type"], line["questions"], line["answers"]]
            if not all(len(each) == QUESTIONS and all(isinstance(text, str) and text.strip() for text in each) for each in lists):
                raise BenchmarkError(
                    f"{path}, line {number}: ten dimensions, questions and answers are wanted: is it the official file?"
                )
            if not all(re.match(r"[A-Z]\b", answer.strip()) for answer in line["answers"]):
                raise BenchmarkError(f"{path}, line {number}: answers are letters of options: is it the official file?")
            if not re.fullmatch(r"[\w-]+", line["id"]):
                raise BenchmarkError(f"{path}, line {number}: the id {line['id']!r} is no name of a file: is it the official file?")
            truth = {key: line[key] for key in ("question_type", "questions", "answers")}
            samples.append(
                Sample(
                    id=line["id"],
                    prompt=line["prompt"],
                    group=str(line.get("scene", "")),
                    truth={**truth, "scene": line.get("scene", "")},
                )
            )
        return require_unique_ids(samples, path)

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask all ten questions in one call, five times."""
        listed = "\n".join(f"{n}. {_without_number(text)}" for n, text in enumerate(sample.truth["questions"], start=1))
        return [
            JudgeQuestion(
                key="letters",
                text=INSTRUCTIONS.format(questions=listed),
                system=SYSTEM,
                rollouts=ROLLOUTS,
                temperature=1.0,
                max_tokens=512,
            )
        ]

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether ten letters are in an answer."""
        return parse_letters(answer.text) is not None

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the shares of right answers: of all ten, of the basic and of the spatial ones, and each dimension's."""
        rollouts = [parse_letters(answer.text) for answer in answers.get("letters", ())]
        return accuracies(sample.truth["question_type"], majority_right(sample.truth["answers"], rollouts))

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The mean over all ten dimensions times 100; the basic and the spatial ones, and each dimension.

        As in the official script the share of each dimension is rounded to three digits before it goes into a mean.
        """
        dimensions = list(dict.fromkeys(name for sample in samples for name in sample.truth["question_type"]))
        groups = {
            "basic": ("basic (object, attribute)", dimensions[:BASIC_DIMENSIONS]),
            "spatial": ("spatial (the other eight)", dimensions[BASIC_DIMENSIONS:]),
        }
        return [
            Metric("accuracy", "accuracy", mean_over_dimensions(dimensions)),
            *(Metric(key, title, mean_over_dimensions(names), part="Basic and spatial") for key, (title, names) in groups.items()),
            *(Metric(f"dimension {name}", name, mean_over_dimensions([name]), part="By dimension") for name in dimensions),
        ]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `images/<id>.png`, and the prompts that they are of.

        The official script takes images by their place in the sorted folder. A prompt without an image therefore gets a black one.
        """
        lines, missing = {}, []
        notes = [f"give the official script this {DATA_FILE} as its prompts (INPUT_JSON), and the folder images"]
        for sample, data in first_images(pictures, notes):
            if data is None:
                missing.append(sample.id)
                data = encode_image(Image.new("RGB", (1024, 1024)), "PNG")
            write_file(folder / "images" / f"{sample.id}.png", data)
            lines[f"{sample.id}.png"] = json.dumps({"id": sample.id, "prompt": sample.prompt, **sample.truth}, ensure_ascii=False)
        write_file(folder / DATA_FILE, ("\n".join(lines[name] for name in sorted(lines)) + "\n").encode())
        if missing:
            notes.append(
                f"{len(missing)} prompts have no image; black ones stand in, as the official script goes by the order of files"
            )
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read the official results: JSON lines with `id` and `true-or-false`, ten answers each."""
        rows = OfficialRows(samples)
        for number, line in read_json_lines(path, {"id": str, "true-or-false": list}):
            where, verdicts = f"{path}, line {number}", line["true-or-false"]
            sample = rows.sample(line["id"], where)
            if len(verdicts) != QUESTIONS or not all(isinstance(verdict, bool) for verdict in verdicts):
                raise BenchmarkError(f"{where}: ten of true and false are wanted in 'true-or-false'")
            rows.add(where, sample.id, 0, accuracies(sample.truth["question_type"], verdicts))
        return rows.all(path)


def mean_over_dimensions(dimensions: Sequence[str]) -> Callable[[BootstrapSample], NDArray[np.float64]]:
    """Return the mean over dimensions, times 100, of the share of right answers in each, rounded to three digits."""

    def of(draws: BootstrapSample) -> NDArray[np.float64]:
        shares = [[round(share, 3) for share in draws.mean(f"dimension {name}").tolist()] for name in dimensions]
        means: NDArray[np.float64] = 100 * np.asarray(shares, dtype=np.float64).mean(axis=0)
        return means

    return of


def parse_letters(text: str) -> tuple[str, ...] | None:
    """Return the ten letters of an answer: JSON, a line each, numbered or not, or ten numbered in a row. None otherwise."""
    plain = re.sub(r"[*`_]", "", without_reasoning(text))
    lines = _json_lines(plain) or [line.strip() for line in plain.splitlines()]
    read = [(match[1], (match[2] or match[3]).upper()) for line in lines if (match := _LINE.fullmatch(line))]
    if len(read) < QUESTIONS:
        read = _leading_letters(lines) or read
    for numbered in ([pair for pair in read if pair[0]], [(pair[1], pair[2].upper()) for pair in _PAIR.finditer(plain)]):
        if [int(number) for number, _ in numbered] == list(range(1, QUESTIONS + 1)):
            return tuple(letter for _, letter in numbered)
    return tuple(letter for _, letter in read) if len(read) == QUESTIONS and not any(number for number, _ in read) else None


def _leading_letters(lines: Sequence[str]) -> list[tuple[str, str]] | None:
    """Return the first letter of each of ten lines, as the official script reads them, with the line's number if it has one.

    Every line begins with a letter that stands alone. "A red ball" may be the text of an option: ten such lines are none.
    """
    begun = [_LINE.fullmatch(line) or _BEGIN.fullmatch(line) for line in lines if line]
    read = [(match[1], next(filter(None, match.groups()[1:])).upper()) for match in begun if match]
    return read if len(read) == len(begun) == QUESTIONS and {letter for _, letter in read} != {"A"} else None


def _json_lines(text: str) -> list[str] | None:
    """Return the entries of a JSON list or of an object by number as lines; None without such JSON."""
    for start, end in ("[]", "{}"):
        try:
            data = json.loads(text[text.find(start) : text.rfind(end) + 1])
        except (ValueError, RecursionError):
            continue
        given = [f"{key}. {each}" for key, each in data.items()] if isinstance(data, dict) else data
        if len(given) == QUESTIONS and all(isinstance(each, str) for each in given):
            return [each.strip() for each in given]
    return None


def majority_right(answers: Sequence[str], rollouts: Iterable[Sequence[str] | None]) -> list[bool]:
    """Return for each question whether its answer got at least four votes; an answer that could not be read is no vote."""
    counted = [rollout for rollout in rollouts if rollout is not None][:ROLLOUTS]
    return [sum(rollout[n] == answer.strip()[0] for rollout in counted) >= MIN_VOTES for n, answer in enumerate(answers)]


def accuracies(dimensions: Sequence[str], verdicts: Sequence[bool]) -> dict[str, float]:
    """Return the shares of questions that are right: all, the basic two, the spatial eight, and each by its dimension."""
    shares: dict[str, Any] = {
        "accuracy": sum(verdicts) / len(verdicts),
        "basic": sum(verdicts[:BASIC_DIMENSIONS]) / BASIC_DIMENSIONS,
        "spatial": sum(verdicts[BASIC_DIMENSIONS:]) / (len(verdicts) - BASIC_DIMENSIONS),
    }
    return shares | {f"dimension {name}": float(verdict) for name, verdict in zip(dimensions, verdicts, strict=True)}


def _without_number(text: str) -> str:
    return re.sub(r"^\s*(?:Q(?:uestion)?\s*)?\d{1,2}\s*[.):]\s*", "", text.strip())


BENCHMARKS = (SpatialGenEval(),)
