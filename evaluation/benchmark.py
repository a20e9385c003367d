"""What a benchmark is: where its data comes from, what is asked about each image, how answers become numbers, and its files.

A benchmark is a subclass of `Benchmark` in a file of `evaluation/benchmarks/`. Nothing here calls a model: `questions` says what
to ask a judge, and `score` is a pure function of the answers, so that a scorer can be checked answer by answer.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..errors import BenchmarkError
from ..frozen import Frozen

FREE = frozenset({"Apache-2.0", "MIT", "CC-BY-4.0"})
"""Licences of data that may be fetched without a word of consent."""


class Source(Frozen):
    """A file of a benchmark's data, and where it is fetched from if nobody names a copy."""

    file: str
    """Its name, in the cache and in a folder that a user names."""
    url: str = ""
    """Pinned to a commit where the place allows that; empty for a file that only a user can name."""
    sha256: str | None = None
    """Of the file at `url`; None where nobody has told it: then what came is written down with the results."""
    licence: str
    """SPDX, or `none stated`."""
    origin: str
    """Whose it is, for people: `facebookresearch/GenEval2 @ a6e82d2`."""
    archive: bool = False
    """Whether it is a .zip or .tar.gz to be unpacked; `read` is then given the folder."""
    optional: bool = False
    """Whether prompts can be read without it: it is needed for scoring alone, or for a part of it."""

    @property
    def free(self) -> bool:
        """Whether it may be fetched without a word of consent."""
        return self.licence in FREE


class Sample(Frozen):
    """One prompt, and what only the scorer may know of it. A run of the graph is given the prompt, and nothing else."""

    id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    group: str = ""
    """The part of the benchmark that it belongs to: a tag, a category."""
    truth: dict[str, Any] = {}
    """The rest of its line, as plain JSON."""


class JudgeQuestion(Frozen):
    """What a judge is asked about one image."""

    key: str
    """By which `score` finds its answers; no two questions of a sample share it."""
    text: str
    system: str = ""
    kind: Literal["say", "word", "read"] = "say"
    """say: an answer in words. word: the probabilities of the first token of the answer, which is one token long. read: all the
    text in the image, which OCR can answer too."""
    rollouts: int = 1
    """How many times it is asked."""
    temperature: float = 0.0
    max_tokens: int = 1024


class JudgeAnswer(Frozen):
    """What a judge said."""

    text: str
    top: tuple[tuple[str, float], ...] = ()
    """For a word: the likeliest first tokens, as they are spelt, each with its probability from 0 to 1."""


def has_answer(question: JudgeQuestion, answer: JudgeAnswer) -> bool:
    """Tell whether anything was answered; of a question for the text in an image, no text is an answer too."""
    return question.kind == "read" or bool(answer.text.strip() or answer.top)


Answers = Mapping[str, Sequence[JudgeAnswer]]
"""The answers about one image, by the key of the question, one a rollout; a question without an answer is missing."""


@dataclass(frozen=True)
class BenchmarkImage:
    """An image to be exported."""

    sample: Sample
    index: int
    """Which of the prompt's images: 0, 1, ..."""
    data: bytes | None
    """PNG; None where the prompt failed, and there is no image."""


@dataclass(frozen=True)
class ImportedScores:
    """Numbers that an official scorer gave: to one image, or to all images of a prompt together."""

    id: str
    index: int | None
    values: Mapping[str, float]


class BootstrapSample:
    """The prompts of a benchmark with their numbers, and resamples of them: what a metric is computed from.

    Args:
        rows: the numbers of each prompt, means over its images; a number that a prompt does not have is left out.
        groups: the group of each prompt.
        picks: indices of prompts, int64 of shape (draws, prompts): each row is one draw.
    """

    def __init__(self, rows: Sequence[Mapping[str, float]], groups: Sequence[str], picks: NDArray[np.int64]) -> None:
        self._rows, self._groups, self._picks = rows, np.asarray(groups, dtype=object), picks

    def mean(self, key: str, group: str | None = None) -> NDArray[np.float64]:
        """Return the mean of a number over the prompts that have it, of one group or all, for each draw; NaN where none has it."""
        return self.ratio(key, None, group)

    def ratio(self, over: str, under: str | None, group: str | None = None) -> NDArray[np.float64]:
        """Return the sum of one number over the sum of another, for each draw; `under` None counts the prompts that have `over`."""
        values = np.array([row.get(over, np.nan) for row in self._rows], dtype=np.float64)
        weights = np.array([1.0 if under is None else row.get(under, np.nan) for row in self._rows], dtype=np.float64)
        known = ~(np.isnan(values) | np.isnan(weights))
        if group is not None:
            known &= self._groups == group
        values, weights = np.where(known, values, 0.0), np.where(known, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: NDArray[np.float64] = values[self._picks].sum(axis=1) / weights[self._picks].sum(axis=1)
        return found


class Metric(NamedTuple):
    """A number of the table, computed over prompts."""

    name: str
    """For programs: `gm`."""
    title: str
    """For people: `Soft-TIFA GM`."""
    of: Callable[[BootstrapSample], NDArray[np.float64]]
    """From draws to a value for each of them."""
    digits: int = 1
    part: str = ""
    """The table of parts that it belongs to, such as `AM by skill`; empty for the main table."""


class Benchmark(ABC):
    """What every benchmark offers."""

    name: str
    """As the command line has it: `geneval2`."""
    title: str
    """As papers have it: `GenEval2`."""
    official_judge: str
    """What the official scorer asks, such as `Qwen3-VL-8B-Instruct`; a judge whose name ends like this is official."""
    sources: tuple[Source, ...] = ()
    """Its files. `read` is given a path for each; none where its prompts ship with the package."""
    judges: tuple[str, ...] = ("chat",)
    """What can judge it: `chat`, `rapidocr`, `perception`; empty where only its official scorer can: export and import."""
    official_only: frozenset[str] = frozenset()
    """Numbers that no judge of ours can give: where the official scorer's are imported, they stand beside every judge's own."""
    of_judge: frozenset[str] = frozenset()
    """Numbers of `score` that tell how the judge answers, and nothing of the image."""
    images_per_prompt: int = 1
    """Of the official protocol."""
    remarks: tuple[str, ...] = ()
    """What is to be said below every table: how it differs from the official scorer."""
    official_yes: str = ""
    """The one answer that the official scorer takes for yes; empty where it asks for something else."""
    exact_yes: str = ""
    """The one answer that counts as yes; empty where every way to say yes does. See `exact`."""

    def exact(self) -> Self:
        """Return the benchmark that counts as yes what the official scorer does, and nothing else: for parity with it.

        Raises:
            BenchmarkError: it has no questions for yes or no.
        """
        if not self.official_yes:
            raise BenchmarkError(f"{self.title} has no questions for yes or no: leave --exact-yes out")
        made = copy.copy(self)
        made.exact_yes = self.official_yes
        return made

    @property
    def reading(self) -> tuple[str, ...]:
        """What is to be said of how its judge's answers were read, where that is not as usual."""
        return (f"an answer counts as yes only where it is `{self.exact_yes}` and nothing else.",) if self.exact_yes else ()

    @abstractmethod
    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read the data.

        Args:
            files: the path of each source by its `file`; a source that is not needed for prompts may be missing.

        Raises:
            BenchmarkError: a file is not of the official format; the message names the file and the line.
        """

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Return what to ask a judge about each image of a sample; nothing where only the official scorer can judge it."""
        return []

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Tell whether an answer has the form that `score` reads; one that has not is asked for again, and counted."""
        return has_answer(question, answer)

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the numbers of one image from the recorded answers. Without any answer: what an image that is missing gets."""
        return {}

    def cautions(self, values: Sequence[Mapping[str, float]]) -> list[str]:
        """Return what is to be said of a judge's figures, in sentences, from the numbers of all images that it judged."""
        return []

    @abstractmethod
    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Return the numbers of the table, the one that counts first. Their keys are those of `score` and of what is imported."""

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write images as the official scorer wants them; return what it should know, such as images that are missing.

        Args:
            folder: empty, and made already.
            pictures: of one variant, sample by sample in the benchmark's order, all of a sample's images in a row.

        Raises:
            BenchmarkError: they cannot be laid out.
        """
        raise BenchmarkError(f"{self.title} has no layout of its own: its images are in the folder of the run, by their hash")

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read the result file of the official scorer.

        Raises:
            BenchmarkError: it is none, or of other prompts.
        """
        raise BenchmarkError(f"{self.title}: there is no official result file to be imported; use `gems eval score`")
