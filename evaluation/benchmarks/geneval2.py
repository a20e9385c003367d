"""GenEval2: 800 prompts of atomicity 3 to 10, scored by Soft-TIFA (arXiv 2512.16853, facebookresearch/GenEval2)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BenchmarkError
from ...models.numerals import NUMBER_WORDS
from ..dataset_files import read_json, read_json_lines, require_unique_ids
from ..official_layouts import write_file, write_first_images
from .base import (
    Answers,
    Benchmark,
    BenchmarkImage,
    BootstrapSample,
    ImportedScores,
    JudgeAnswer,
    JudgeQuestion,
    Metric,
    Sample,
    Source,
)

WORD_DIGITS = {word: str(number) for number, word in enumerate(NUMBER_WORDS[1:11], start=1)}
"""The counts that have a digit too, as in the official code: one to ten."""
PATHS_FILE = "image_paths.json"
MAX_OFFICIAL_SCORE = 2.0
"""Limit of official scores: they exceed 1 by rounding, or if two spellings share their first token."""
PROBABILITIES = "The judge's probabilities among the 20 likeliest tokens, %"
ROUNDING = 1e-6
"""By how much the sum of probabilities may be off: servers compute with 32 bits."""
CUT_LIST_LENGTH = 10
"""Tokens of a list that was cut off, at least."""
MIN_KIND_PROBABILITY = 0.5
"""Mean probability of answers of the expected kind below which a warning is shown."""
KEYS = {"prompt": str, "atom_count": int, "vqa_list": list, "skills": list}


class GenEval2(Benchmark):
    """Probability of the expected one-word answer to each question; their geometric mean is the leading metric."""

    name = "geneval2"
    title = "GenEval2"
    official_judge = "Qwen3-VL-8B-Instruct"
    of_judge = frozenset({"answered", "outside", "of_kind"})
    sources = (
        Source(
            file="geneval2_data.jsonl",
            url="https://raw.githubusercontent.com/facebookresearch/GenEval2/a6e82d2289e8d418f27f0adee77908b07060eea3/geneval2_data.jsonl",
            sha256="09233adbc9f877fba205f1a20efa4a8640e7e62a91dfd55893562bed8a928e43",
            licence="CC-BY-NC-4.0",
            origin="facebookresearch/GenEval2 @ a6e82d2",
        ),
    )
    remarks = (
        "Probabilities are summed over the 20 likeliest first tokens, where the official script has all: an expected answer that "
        "is not among them counts 0, and so does the GM of its prompt. `At most` adds the most that the other tokens can have.",
        "A spelling counts as a whole token; the official script takes the first token of one that the judge's tokenizer splits. "
        "Qwen's tokenizer splits only ' 1' to ' 7', whose first token is a mere space: it does not count here.",
    )

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read `geneval2_data.jsonl`; ids are the line numbers, from 0."""
        path = files["geneval2_data.jsonl"]
        samples: list[Sample] = []
        for number, line in read_json_lines(path, KEYS):
            pairs, skills = line["vqa_list"], line["skills"]
            if (
                not pairs
                or len(pairs) != len(skills)
                or not all(map(_is_pair, pairs))
                or not all(isinstance(s, str) for s in skills)
            ):
                raise BenchmarkError(f"{path}, line {number}: vqa_list and skills do not belong together: is it the official file?")
            truth = {"atom_count": line["atom_count"], "vqa_list": pairs, "skills": skills}
            samples.append(Sample(id=f"{len(samples):04d}", prompt=line["prompt"], group=f"{line['atom_count']:02d}", truth=truth))
        return require_unique_ids(samples, path)

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask each question for one word, whose first token counts."""
        pairs = sample.truth["vqa_list"]
        return [
            JudgeQuestion(key=str(n), text=f"{question} Answer in one word.", kind="word", max_tokens=1)
            for n, (question, _) in enumerate(pairs)
        ]

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether an answer of the expected kind, yes or no or a number, is among the likeliest tokens."""
        return kind_probability(question.text, answer.top) > 0

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return AM and GM of the questions' probabilities, TIFA (the likeliest token is right), and AM by skill.

        Beside them stand the most that AM and GM can be with the tokens that are not among the likeliest (`am_most`, `gm_most`);
        and of the questions that were answered their number (`answered`), that of those whose expected answer is not among the
        likeliest (`outside`), and the sum of the probabilities of answers of the kind asked for (`of_kind`).
        """
        soft, most, hard = [], [], []
        counts = {"answered": 0.0, "outside": 0.0, "of_kind": 0.0}
        for n, (question, expected) in enumerate(sample.truth["vqa_list"]):
            top = answers[str(n)][0].top if answers.get(str(n)) else ()
            soft.append(probability(question, expected, top))
            most.append(min(1.0, soft[-1] + unlisted_probability(question, expected, top)))
            hard.append(float(bool(top) and max(top, key=lambda t: t[1])[0].lower() in spellings(question, expected)))
            counts["answered"] += bool(top)
            counts["outside"] += soft[-1] == 0 < most[-1]
            counts["of_kind"] += kind_probability(question, top)
        values = {**soft_tifa(soft, sample.truth["skills"]), "tifa": arithmetic_mean(hard)}
        return {**values, "gm_most": geometric_mean(most), "am_most": arithmetic_mean(most), **counts}

    def cautions(self, values: Sequence[Mapping[str, float]]) -> list[str]:
        """Warn of expected answers outside the likeliest tokens, and of a judge that does not answer in the expected form."""
        answered, outside, kind = (sum(v.get(name, 0.0) for v in values) for name in ("answered", "outside", "of_kind"))
        cautions = []
        if outside:
            cautions.append(
                f"the expected answer to {outside:.0f} of {answered:.0f} questions is not among the likeliest tokens and counts 0, "
                "as does the GM of its prompt: with all tokens GM lies between GM and GM at most."
            )
        if answered and kind / answered < MIN_KIND_PROBABILITY:
            cautions.append(
                f"the mean probability of an answer of the kind asked for, yes or no or a number, is {kind / answered:.2f}: its "
                "answers are not one word, and its figures say little about the images."
            )
        return cautions

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """GM, AM and TIFA; AM by skill over all questions of it, GM by atomicity."""
        skills = sorted({skill for s in samples for skill in s.truth["skills"]})
        soft = soft_tifa_metrics(skills, sorted({s.group for s in samples}))
        most = [Metric(f"{m.name}_most", f"{m.name.upper()} at most", _percent(f"{m.name}_most")) for m in soft[:2]]
        judge = [
            Metric("of_kind", "on yes, no or a number", _percent("of_kind", "answered"), part=PROBABILITIES),
            Metric("outside", "expected answers that have none", _percent("outside", "answered"), part=PROBABILITIES),
        ]
        tifa = Metric("tifa", "TIFA", _percent("tifa"))
        return [soft[0], most[0], soft[1], most[1], tifa, *soft[2:], *judge]

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write the images, `image_paths.json`, {prompt: path}, and `geneval2_data.jsonl` with the lines of these prompts alone."""
        notes = [
            f"in this folder, run evaluation.py --benchmark_data geneval2_data.jsonl --image_filepath_data {PATHS_FILE} --method "
            "soft_tifa_gm --output_file score_lists.json, then import score_lists.json from here"
        ]
        written, missing = write_first_images(folder / "images", pictures, notes)
        paths = {sample.prompt: f"images/{sample.id}.png" for sample in written}
        lines = [json.dumps({"prompt": sample.prompt, **sample.truth}, ensure_ascii=False) + "\n" for sample in written]
        write_file(folder / PATHS_FILE, json.dumps(paths, ensure_ascii=False, indent=1).encode())
        write_file(folder / "geneval2_data.jsonl", "".join(lines).encode())
        if missing:
            notes.append(f"{missing} prompts have no image: their lines are left out for evaluation.py, the table counts them as 0")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read the official output: a list with a list of scores for each prompt, in the order of the data.

        The prompts are those of `image_paths.json` beside it, if there is one. Scores that are all 0 or 1 are those of TIFA.
        """
        exported = _exported_samples(path.parent / PATHS_FILE, samples)
        score_lists = read_json(path)
        if not isinstance(score_lists, list) or len(score_lists) != len(exported):
            raise BenchmarkError(
                f"{path}: a list with the scores of each of {len(exported)} prompts is wanted: import it from the exported folder"
            )
        scored = [_checked_scores(sample, scores, path) for sample, scores in zip(exported, score_lists, strict=True)]
        if all(score in (0.0, 1.0) for scores in scored for score in scores):
            return [ImportedScores(s.id, 0, {"tifa": arithmetic_mean(scores)}) for s, scores in zip(exported, scored, strict=True)]
        return [ImportedScores(s.id, 0, soft_tifa(scores, s.truth["skills"])) for s, scores in zip(exported, scored, strict=True)]


def _percent(over: str, under: str | None = None) -> Callable[[BootstrapSample], NDArray[np.float64]]:
    return lambda draws: 100 * draws.ratio(over, under)


def _exported_samples(paths: Path, samples: Sequence[Sample]) -> list[Sample]:
    """The samples that the official script was given: those of the export, else all."""
    if not paths.is_file():
        return list(samples)
    prompts = read_json(paths)
    if not isinstance(prompts, dict) or not set(prompts) <= {sample.prompt for sample in samples}:
        raise BenchmarkError(f"{paths}: its prompts are not of these samples: import the result of this run")
    return [sample for sample in samples if sample.prompt in prompts]


def _checked_scores(sample: Sample, scores: Any, path: Path) -> list[float]:
    if not isinstance(scores, list) or len(scores) != len(sample.truth["vqa_list"]):
        raise BenchmarkError(
            f"{path}: prompt {sample.id} has other questions than these scores: use --method soft_tifa_gm, soft_tifa_am or tifa"
        )
    if not all(isinstance(score, (int, float)) and 0 <= score < MAX_OFFICIAL_SCORE for score in scores):
        raise BenchmarkError(f"{path}: prompt {sample.id} has a score that is not from 0 to 1")
    return [float(score) for score in scores]


def soft_tifa(scores: Sequence[float], skills: Sequence[str]) -> dict[str, float]:
    """Return Soft-TIFA of one image, from 0 to 1: AM and GM of its questions' scores, and sums by skill.

    Args:
        scores: of each question, from 0 to 1.
        skills: what each question tests.
    """
    values = {"gm": geometric_mean(scores), "am": arithmetic_mean(scores)}
    for skill in set(skills):
        mine = [score for score, of in zip(scores, skills, strict=True) if of == skill]
        values |= {f"skill {skill}": sum(mine), f"questions {skill}": float(len(mine))}
    return values


def soft_tifa_metrics(skills: Sequence[str], atomicities: Sequence[str]) -> list[Metric]:
    """Return, times 100, GM and AM over the prompts; AM by skill, each question the same; GM by atomicity, named by groups."""

    def by_skill(skill: str) -> Metric:
        return Metric(f"skill {skill}", skill, lambda d: 100 * d.ratio(f"skill {skill}", f"questions {skill}"), part="AM by skill")

    def by_atomicity(group: str) -> Metric:
        number = str(int(group))
        return Metric(f"atomicity {number}", number, lambda d: 100 * d.mean("gm", group), part="GM by atomicity")

    main = [Metric(key, f"Soft-TIFA {key.upper()}", lambda d, key=key: 100 * d.mean(key)) for key in ("gm", "am")]  # type: ignore[misc]
    return [*main, *map(by_skill, skills), *map(by_atomicity, atomicities)]


def spellings(question: str, expected: str) -> tuple[str, ...]:
    """Return the tokens that count as the expected answer, as the official code lists them.

    For "How many" the word, capitalised too, and the digit; else yes; each with and without a space before.
    """
    words = (
        (expected, expected.capitalize(), WORD_DIGITS.get(expected, expected))
        if question.startswith("How many")
        else ("Yes", "yes")
    )
    return tuple(f"{space}{word}" for word in words for space in ("", " "))


def probability(question: str, expected: str, top: Sequence[tuple[str, float]]) -> float:
    """Return the probability of the expected answer: the sum over its spellings, at most 1."""
    wanted = set(spellings(question, expected))
    return min(1.0, sum(p for token, p in top if token in wanted))


def unlisted_probability(question: str, expected: str, top: Sequence[tuple[str, float]]) -> float:
    """Return the highest possible probability of spellings of the expected answer that are not among the likeliest tokens.

    None of them is likelier than the least likely token that is listed, and all together have what the listed ones leave.
    """
    if not top:
        return 0.0
    missing = set(spellings(question, expected)) - {token for token, _ in top}
    left = 1 - sum(p for _, p in top)
    if left < ROUNDING:  # a long list never has all tokens; a short one that sums to 1 has
        left = ROUNDING if len(top) >= CUT_LIST_LENGTH else 0.0
    return min(left, len(missing) * min(p for _, p in top))


def kind_probability(question: str, top: Sequence[tuple[str, float]]) -> float:
    """Return the probability of answers of the expected kind: a number to "How many", else yes or no."""
    counted = question.startswith("How many")
    words = (token.strip().casefold() for token, _ in top)
    fits = (word.isdecimal() or word in NUMBER_WORDS if counted else word in ("yes", "no") for word in words)
    return min(1.0, sum(p for (_, p), fit in zip(top, fits, strict=True) if fit))


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def arithmetic_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA AM of one prompt: sum(s_i) / n.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to average: a prompt needs at least one question")
    return math.fsum(scores) / len(scores)


def geometric_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA GM of one prompt: (s_1 * ... * s_n) ** (1 / n); a single zero makes it zero.

    Raises:
        ValueError: there are no scores.
    """
    if scores and min(scores) <= 0:
        return 0.0
    return math.exp(arithmetic_mean([math.log(score) for score in scores]))


BENCHMARKS = (GenEval2(),)
