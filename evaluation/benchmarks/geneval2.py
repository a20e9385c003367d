"""GenEval2: 800 prompts of atomicity 3 to 10, scored by Soft-TIFA (arXiv 2512.16853, facebookresearch/GenEval2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..benchmark import Answer, Answers, Benchmark, BenchmarkError, Imported, Metric, Picture, Question, Sample, Source
from ..layouts import by_sample, write
from ..reading import json_file, json_lines, unique
from ..scores import arithmetic_mean, geometric_mean

NUMBERS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7"}
KEYS = {"prompt": str, "atom_count": int, "vqa_list": list, "skills": list}


class GenEval2(Benchmark):
    """Probability of the expected one-word answer to each question; their geometric mean is what counts."""

    name = "geneval2"
    title = "GenEval2"
    about = "800 prompts of atomicity 3 to 10, Soft-TIFA: the judge's probability of each right answer."
    official_judge = "Qwen3-VL-8B-Instruct"
    sources = (
        Source(
            file="geneval2_data.jsonl",
            url="https://raw.githubusercontent.com/facebookresearch/GenEval2/a6e82d2/geneval2_data.jsonl",
            licence="CC-BY-NC-4.0",
            origin="facebookresearch/GenEval2 @ a6e82d2",
        ),
    )
    remarks = ("Probabilities are summed over the 20 likeliest first tokens, where the official script has all: near, not equal.",)

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read `geneval2_data.jsonl`; ids are the line numbers, from 0."""
        path = files["geneval2_data.jsonl"]
        samples = []
        for number, line in json_lines(path, KEYS):
            pairs, skills = line["vqa_list"], line["skills"]
            if not pairs or len(pairs) != len(skills) or not all(_is_pair(p) for p in pairs):
                raise BenchmarkError(f"{path}, line {number}: vqa_list and skills do not belong together: is it the official file?")
            truth = {"atom_count": line["atom_count"], "vqa_list": pairs, "skills": skills}
            samples.append(Sample(id=f"{len(samples):04d}", prompt=line["prompt"], group=f"{line['atom_count']:02d}", truth=truth))
        return unique(samples, path)

    def questions(self, sample: Sample) -> list[Question]:
        """Ask each question for one word, of which the first token counts."""
        pairs = sample.truth["vqa_list"]
        return [
            Question(key=str(n), text=f"{question} Answer in one word.", kind="word", max_tokens=1)
            for n, (question, _) in enumerate(pairs)
        ]

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return AM and GM of the questions' probabilities, TIFA (the likeliest token is right), and AM by skill."""
        soft, hard = [], []
        for n, (question, expected) in enumerate(sample.truth["vqa_list"]):
            top = answers[str(n)][0].top if answers.get(str(n)) else ()
            soft.append(probability(question, expected, top))
            hard.append(float(bool(top) and max(top, key=lambda t: t[1])[0] in spellings(question, expected)))
        return {**soft_tifa(soft, sample.truth["skills"]), "tifa": 100 * arithmetic_mean(hard)}

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """GM, AM and TIFA; AM by skill over all questions of it, GM by atomicity."""
        skills = sorted({skill for s in samples for skill in s.truth["skills"]})
        soft = soft_tifa_metrics(skills, sorted({s.group for s in samples}))
        return [*soft[:2], Metric("tifa", "TIFA", lambda d: d.mean("tifa")), *soft[2:]]

    def export(self, folder: Path, pictures: Iterable[Picture]) -> list[str]:
        """Write the images, and `image_paths.json`: {prompt: path}."""
        paths: dict[str, str] = {}
        missing = []
        for sample, images in by_sample(pictures):
            if images[0] is None:
                missing.append(sample.id)
                continue
            write(folder / "images" / f"{sample.id}.png", images[0])
            paths[sample.prompt] = f"images/{sample.id}.png"
        write(folder / "image_paths.json", json.dumps(paths, ensure_ascii=False, indent=1).encode())
        told = ["run evaluation.py in this folder: the paths in image_paths.json are relative to it"]
        if missing:
            told.append(f"{len(missing)} prompts have no image, and evaluation.py stops at the first: leave their lines out")
        return told

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[Imported]:
        """Read the official output: a list with a list of scores for each prompt, in the order of the data."""
        found = json_file(path)
        if not isinstance(found, list) or len(found) != len(samples):
            raise BenchmarkError(f"{path}: a list with the scores of each of {len(samples)} prompts is wanted")
        rows = []
        for sample, scores in zip(samples, found, strict=True):
            if not isinstance(scores, list) or len(scores) != len(sample.truth["vqa_list"]):
                raise BenchmarkError(f"{path}: prompt {sample.id} has other questions than these scores")
            values = [float(score) for score in scores]
            rows.append(Imported(sample.id, 0, soft_tifa(values, sample.truth["skills"])))
        return rows


def soft_tifa(scores: Sequence[float], skills: Sequence[str]) -> dict[str, float]:
    """Return Soft-TIFA of one image: AM and GM of its questions' scores, times 100, and sums by skill.

    Args:
        scores: of each question, from 0 to 1.
        skills: what each question tests.
    """
    found = {"gm": 100 * geometric_mean(scores), "am": 100 * arithmetic_mean(scores)}
    for skill in set(skills):
        mine = [score for score, of in zip(scores, skills, strict=True) if of == skill]
        found |= {f"skill {skill}": 100 * sum(mine), f"questions {skill}": float(len(mine))}
    return found


def soft_tifa_metrics(skills: Sequence[str], atomicities: Sequence[str]) -> list[Metric]:
    """Return GM and AM, averaged over the prompts; AM by skill, each question the same; GM by atomicity, named by groups."""

    def by_skill(skill: str) -> Metric:
        return Metric(f"skill {skill}", skill, lambda d: d.ratio(f"skill {skill}", f"questions {skill}"), part="AM by skill")

    def by_atomicity(group: str) -> Metric:
        number = str(int(group))
        return Metric(f"atomicity {number}", number, lambda d: d.mean("gm", group), part="GM by atomicity")

    main = [Metric(key, f"Soft-TIFA {key.upper()}", lambda d, key=key: d.mean(key)) for key in ("gm", "am")]  # type: ignore[misc]
    return [*main, *map(by_skill, skills), *map(by_atomicity, atomicities)]


def spellings(question: str, expected: str) -> tuple[str, ...]:
    """Return the tokens that count as the expected answer, as the official code lists them.

    For "How many" the word, capitalised too, and the digit; else yes; each with and without a space before.
    """
    words = (
        (expected, expected.capitalize(), NUMBERS.get(expected, expected)) if question.startswith("How many") else ("Yes", "yes")
    )
    return tuple(f"{space}{word}" for word in words for space in ("", " "))


def probability(question: str, expected: str, top: Sequence[tuple[str, float]]) -> float:
    """Return the probability of the expected answer: the sum over its spellings, at most 1."""
    wanted = set(spellings(question, expected))
    return min(1.0, sum(p for token, p in top if token in wanted))


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


BENCHMARKS = (GenEval2(),)
__all__ = ["BENCHMARKS", "Answer", "GenEval2", "probability", "spellings"]
