"""The interface of a benchmark: its data, the questions about each image, the scores of answers, and official files.

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

from ...errors import BenchmarkError
from ...frozen_model import Frozen

FREE_LICENCES = frozenset({"Apache-2.0", "MIT", "CC-BY-4.0"})
"""Licences of data that are fetched without explicit consent."""


class Source(Frozen):
    """A file of a benchmark's data, and where it is fetched from if nobody names a copy."""

    file: str
    """Its name, in the cache and in a folder that a user names."""
    url: str = ""
    """Pinned to a commit where the place allows that; empty for a file that only a user can name."""
    sha256: str | None = None
    """Of the file at `url`; None if unknown: the digest of the download is then recorded with the results."""
    licence: str
    """SPDX, or `none stated`."""
    origin: str
    """Its owner, for people: `facebookresearch/GenEval2 @ a6e82d2`."""
    archive: bool = False
    """Whether it is a .zip or .tar.gz to be unpacked; `read` is then given the folder."""
    optional: bool = False
    """Whether prompts can be read without it: it is needed for scoring alone, or for a part of it."""

    @property
    def free(self) -> bool:
        """Whether it may be fetched without explicit consent."""
        return self.licence in FREE_LICENCES


class Sample(Frozen):
    """One prompt, and what only the scorer may know of it. A run of the graph gets the prompt and nothing else."""

    id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    group: str = ""
    """The part of the benchmark that it belongs to: a tag, a category."""
    truth: dict[str, Any] = {}
    """The rest of its line, as plain JSON."""


class JudgeQuestion(Frozen):
    """A question to the judge about one image."""

    key: str
    """Identifies it in `score`; unique among the questions of a sample."""
    text: str
    system: str = ""
    kind: Literal["say", "word", "read"] = "say"
    """say: an answer in words. word: the probabilities of the first token of the answer, which is one token long. read: all the
    text in the image, which OCR can answer too."""
    rollouts: int = 1
    """Number of times it is asked."""
    temperature: float = 0.0
    max_tokens: int = 1024


class JudgeAnswer(Frozen):
    """The answer of a judge."""

    text: str
    top: tuple[tuple[str, float], ...] = ()
    """For a word: the likeliest first tokens, as they are spelt, each with its probability from 0 to 1."""


def has_answer(question: JudgeQuestion, answer: JudgeAnswer) -> bool:
    """Return whether there is an answer; for a question about the text in an image, no text is an answer too."""
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
    """PNG; None if the run failed."""


@dataclass(frozen=True)
class ImportedScores:
    """Scores by an official scorer: of one image, or of all images of a prompt together."""

    id: str
    index: int | None
    values: Mapping[str, float]


class OfficialRows:
    """The rows of an official result file while it is read: each of a known prompt, and none twice.

    Args:
        samples: the prompts of the study.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = {sample.id: sample for sample in samples}
        self._rows: dict[tuple[str, int | None], ImportedScores] = {}

    def sample(self, id: str, where: str) -> Sample:
        """Return a prompt by its id.

        Raises:
            BenchmarkError: the study has no such prompt.
        """
        if id not in self._samples:
            raise BenchmarkError(f"{where}: there is no prompt {id} in this run: is it the result of another one?")
        return self._samples[id]

    def add(self, where: str, id: str, index: int | None, values: Mapping[str, float]) -> None:
        """Add the scores of an image, or of all images of a prompt.

        Raises:
            BenchmarkError: it has scores already.
        """
        if (id, index) in self._rows:
            what = f"prompt {id}" if index is None else f"image {index} of prompt {id}"
            raise BenchmarkError(f"{where}: {what} is there twice: delete one line")
        self._rows[id, index] = ImportedScores(id, index, values)

    def all(self, path: Path) -> list[ImportedScores]:
        """Return all rows.

        Raises:
            BenchmarkError: there is none.
        """
        if not self._rows:
            raise BenchmarkError(f"{path}: there are no results in it")
        return list(self._rows.values())


class BootstrapSample:
    """The scores of prompts, and resamples of the prompts: what a metric is computed from.

    Args:
        rows: the scores of each prompt, means over its images; a score that a prompt does not have is left out.
        groups: the group of each prompt.
        picks: indices of prompts, int64 of shape (draws, prompts): each row is one draw.
    """

    def __init__(self, rows: Sequence[Mapping[str, float]], groups: Sequence[str], picks: NDArray[np.int64]) -> None:
        self._rows, self._groups, self._picks = rows, np.asarray(groups, dtype=object), picks

    def mean(self, key: str, group: str | None = None) -> NDArray[np.float64]:
        """Return the mean of a score over the prompts that have it, of one group or all, for each draw; NaN if none has it."""
        return self.ratio(key, None, group)

    def ratio(self, over: str, under: str | None, group: str | None = None) -> NDArray[np.float64]:
        """Return the ratio of the sums of two scores for each draw; `under` None counts the prompts that have `over`."""
        values = np.array([row.get(over, np.nan) for row in self._rows], dtype=np.float64)
        weights = np.array([1.0 if under is None else row.get(under, np.nan) for row in self._rows], dtype=np.float64)
        known = ~(np.isnan(values) | np.isnan(weights))
        if group is not None:
            known &= self._groups == group
        values, weights = np.where(known, values, 0.0), np.where(known, weights, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios: NDArray[np.float64] = values[self._picks].sum(axis=1) / weights[self._picks].sum(axis=1)
        return ratios


class Metric(NamedTuple):
    """A figure of the table, computed over prompts."""

    name: str
    """For programs: `gm`."""
    title: str
    """For people: `Soft-TIFA GM`."""
    of: Callable[[BootstrapSample], NDArray[np.float64]]
    """Computes a value for each draw."""
    digits: int = 1
    part: str = ""
    """The table of parts that it belongs to, such as `AM by skill`; empty for the main table."""


class Benchmark(ABC):
    """Base class of benchmarks."""

    name: str
    """As the command line has it: `geneval2`."""
    title: str
    """As papers have it: `GenEval2`."""
    official_judge: str
    """The model of the official scorer, such as `Qwen3-VL-8B-Instruct`; a judge whose name ends with it is official."""
    sources: tuple[Source, ...] = ()
    """Its files. `read` gets a path for each; empty if its prompts ship with the package."""
    judges: tuple[str, ...] = ("chat",)
    """Kinds of judges that suit it: `chat`, `rapidocr`, `perception`; empty if only its official scorer does (export, import)."""
    official_only: frozenset[str] = frozenset()
    """Scores that no judge here can give: once imported, they are shown beside the scores of every judge."""
    of_judge: frozenset[str] = frozenset()
    """Scores that describe how the judge answers, and not the image."""
    images_per_prompt: int = 1
    """Of the official protocol."""
    remarks: tuple[str, ...] = ()
    """Sentences below every table: how it differs from the official scorer."""
    official_yes: str = ""
    """The one answer that the official scorer counts as yes; empty if it does not ask for yes or no."""
    exact_yes: str = ""
    """The one answer that counts as yes; empty if every form of yes does. See `exact`."""

    def exact(self) -> Self:
        """Return a copy that counts as yes only what the official scorer does, for parity with it.

        Raises:
            BenchmarkError: it has no questions for yes or no.
        """
        if not self.official_yes:
            raise BenchmarkError(f"{self.title} has no questions for yes or no: leave --exact-yes out")
        benchmark = copy.copy(self)
        benchmark.exact_yes = self.official_yes
        return benchmark

    @property
    def reading(self) -> tuple[str, ...]:
        """Sentences on how its judge's answers are parsed, if not as usual."""
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
        """Return the questions about each image of a sample; empty if only the official scorer can judge it."""
        return []

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether `score` can parse an answer; if not, it is asked for again, and counted."""
        return has_answer(question, answer)

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the scores of one image from the recorded answers; without answers, the scores of a failed run."""
        return {}

    def cautions(self, values: Sequence[Mapping[str, float]]) -> list[str]:
        """Return warnings about a judge's figures, in sentences, from the scores of all images that it judged."""
        return []

    @abstractmethod
    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Return the metrics of the table, the leading one first, computed from the keys of `score` and `imported`."""

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write images in the layout of the official scorer; return notes for its user, such as missing images.

        Args:
            folder: an empty folder.
            pictures: of one variant, sample by sample in the benchmark's order, all of a sample's images in a row.

        Raises:
            BenchmarkError: they cannot be laid out.
        """
        raise BenchmarkError(f"{self.title} has no layout of its own: its images are in the folder of the study, by their hash")

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read the result file of the official scorer.

        Raises:
            BenchmarkError: it is another file, or of other prompts.
        """
        raise BenchmarkError(f"{self.title}: there is no official result file to be imported; use `gems eval score`")
