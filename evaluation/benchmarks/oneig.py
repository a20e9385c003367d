"""OneIG-Bench: alignment, text, reasoning, style and diversity, in English and Chinese (arXiv 2506.07977)."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from ...errors import BenchmarkError
from ...models.chat.answer_text import without_reasoning
from ..dataset_files import read_csv, read_json, require_keys, require_unique_ids
from ..judges.judge_parsing import agreed, first_text, says_yes
from ..official_layouts import encode_image, grid_limit_note, group_by_sample, image_grid, write_file
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

FOLDERS = {
    "Anime_Stylization": "anime",
    "Portrait": "human",
    "General_Object": "object",
    "Text_Rendering": "text",
    "Knowledge_Reasoning": "reasoning",
    "Multilingualism": "multilingualism",
}
"""The folder of the images of each category, as the official layout names it."""
MODEL = "gems"
"""The folder that official scripts take for a model's name."""
READ_TEXT = (
    "Write down all the text that can be read in this image, as it is spelt, and nothing else. "
    "Write no line twice that stands there once. If there is no text, write NONE."
)
JUDGE_NOISE = ("addCriterion", "No text recognized.")
"""Text that Qwen2.5-VL adds to what it reads; the official script removes it too."""
_LETTERS = "a-zA-Z0-9àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ"
_CHINESE = "\u4e00-\u9fa5"
_REPOSITORY = "https://raw.githubusercontent.com/OneIG-Bench/OneIG-Benchmark/41b49831e79e6dde5323618c164da1c4cf0f699d"
_MAX_SHARE = 2.0
"""Of a score: shares and cosines end at 1, DreamSim's distances at 2."""
_DIMENSIONS = ("alignment", "text", "reasoning", "style", "diversity")


class OneIG(Benchmark):
    """Alignment and text are judged; reasoning, style and diversity come from the official scripts.

    Args:
        language: `en` or `zh`.
    """

    official_judge = "Qwen2.5-VL-7B-Instruct"
    official_only = frozenset({"reasoning", "style", "diversity"})
    official_yes = "Yes"
    images_per_prompt = 4
    remarks = (
        "Overall is the mean of alignment, text, reasoning, style and diversity; it is empty until the official scores of the last "
        "three are imported.",
        "A yes in other letters or in Chinese, with a full stop or more words after it, is a yes here; the official script takes "
        "`Yes` alone: --exact-yes.",
        "A missing image counts 0 in alignment, and in text as the farthest edit distance that counts; the official scripts "
        "leave it out. In reasoning, style and diversity a prompt without an official score is left out.",
    )

    def __init__(self, language: Literal["en", "zh"]) -> None:
        english = language == "en"
        self.name = f"oneig-{language}"
        self.title = f"OneIG-{language.upper()}"
        self.table = "OneIG-Bench.csv" if english else "OneIG-Bench-ZH.csv"
        self.column = "prompt_en" if english else "prompt_cn"
        self.aligned = ("anime", "human", "object") if english else ("anime", "human", "object", "multilingualism")
        """The folders with question graphs."""
        end = "" if english else "_zh"
        self.graphs = {folder: f"scripts/alignment/Q_D/{folder}{end}.json" for folder in self.aligned}
        self.texts = f"scripts/text/text_content{end}.csv"
        self.farthest = 100 if english else 50
        """Edit distance at which the score is lowest."""
        self.sources = (self._source(self.table, False), *(self._source(f, True) for f in (*self.graphs.values(), self.texts)))

    def read(self, files: Mapping[str, Path]) -> list[Sample]:
        """Read the prompts, and where they are there the question graphs and the texts. Ids are folder and number: `anime_000`."""
        path = files[self.table]
        graphs = {folder: read_graphs(files[file]) for folder, file in self.graphs.items() if file in files}
        texts = read_texts(files[self.texts]) if self.texts in files else {}
        samples = []
        for number, row in read_csv(path, ("category", "id", self.column, "class")):
            where, folder, id = f"{path}, line {number}", FOLDERS.get(row["category"]), row["id"]
            if folder is None:
                raise BenchmarkError(f"{where}: the category {row['category']!r} is unknown: is it the official file?")
            if not re.fullmatch(r"[\w-]+", id):
                raise BenchmarkError(f"{where}: the id {id!r} is no name of a file: is it the official file?")
            if not row[self.column].strip():
                raise BenchmarkError(f"{where}: the prompt is empty: is it the official file?")
            truth: dict[str, Any] = {"id": id, "class": row["class"]}
            if folder in graphs:
                if id not in graphs[folder]:
                    raise BenchmarkError(
                        f"{files[self.graphs[folder]]}: there are no questions for {id} of {path}: take both of one version"
                    )
                truth |= graphs[folder][id]
            if folder == "text" and texts:
                if id not in texts:
                    raise BenchmarkError(f"{files[self.texts]}: there is no text for {id} of {path}: take both of one version")
                truth["text"] = texts[id]
            samples.append(Sample(id=f"{folder}_{id}", prompt=row[self.column], group=folder, truth=truth))
        return require_unique_ids(samples, path)

    def questions(self, sample: Sample) -> list[JudgeQuestion]:
        """Ask the questions of the graph one by one, or for all text in the image."""
        if "text" in sample.truth:
            tokens = 256 if len(sample.truth["text"].split()) > 60 else 128
            return [JudgeQuestion(key="read", text=READ_TEXT, kind="read", max_tokens=tokens)]
        return [
            JudgeQuestion(key=key, text=f"{question} Answer yes or no.", max_tokens=16)
            for key, question in sample.truth.get("questions", {}).items()
        ]

    def readable(self, question: JudgeQuestion, answer: JudgeAnswer) -> bool:
        """Return whether an answer is yes or no; text that was read, and answers with `exact_yes`, can always be parsed."""
        either = question.kind == "read" or self.exact_yes
        return super().readable(question, answer) if either else says_yes(answer.text) is not None

    def score(self, sample: Sample, answers: Answers) -> dict[str, float]:
        """Return the alignment of an image, or the edit distance, completion and words of its text."""
        if "questions" in sample.truth:
            agrees = {key: agreed(answers, key, self.exact_yes) for key in sample.truth["questions"]}
            return {"alignment": alignment_score(agrees, sample.truth["parents"])}
        if "text" not in sample.truth:
            return {}
        wanted, read = normalize_text(sample.truth["text"]), first_text(answers, "read")
        if read is None:
            return {"ed": float(self.farthest), "cr": 0.0, "matched": 0.0, "words": float(len(split_words(wanted, wanted)))}
        return compare_texts(wanted, normalize_text(strip_noise(read)))

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """The overall score and its five dimensions from 0 to 1; alignment and diversity by set; the parts of the text score."""
        five: dict[str, Callable[[BootstrapSample], NDArray[np.float64]]] = {
            "alignment": _mean_metric("alignment"),
            "text": self.text_score,
            "reasoning": _mean_metric("reasoning"),
            "style": _mean_metric("style"),
            "diversity": _mean_metric("diversity"),
        }
        folders = dict.fromkeys(sample.group for sample in samples)
        return [
            Metric("overall", "overall", lambda d: np.mean([of(d) for of in five.values()], axis=0), digits=3),
            *(Metric(name, name, of, digits=3) for name, of in five.items()),
            *(
                Metric(f"{what} {folder}", folder, _mean_metric(what, folder), digits=3, part=f"{what} by set")
                for what in ("alignment", "diversity")
                for folder in folders
                if what == "diversity" or folder in self.aligned
            ),
            Metric("ed", "edit distance (less is better)", _mean_metric("ed"), digits=1, part="text"),
            Metric("cr", "completion rate", _mean_metric("cr"), digits=3, part="text"),
            Metric("wac", "word accuracy", lambda d: d.ratio("matched", "words"), digits=3, part="text"),
        ]

    def text_score(self, draws: BootstrapSample) -> NDArray[np.float64]:
        """Return 1 - min(MAX, ED) (1 - CR) (1 - WAC) / MAX of the means ED and CR and of WAC, for each draw."""
        distance = np.minimum(self.farthest, draws.mean("ed"))
        wrong = (1 - draws.mean("cr")) * (1 - draws.ratio("matched", "words"))
        return np.asarray(1 - distance * wrong / self.farthest, dtype=np.float64)

    def export(self, folder: Path, pictures: Iterable[BenchmarkImage]) -> list[str]:
        """Write `images/<set>/gems/<id>.webp`: a 2x2 grid of four images, or the image itself if there is one a prompt.

        Lossless, as the official scripts tell a missing cell by its being black to the last pixel.
        """
        missing, most = [], 1
        for sample, images in group_by_sample(pictures):
            single = len(images) == 1
            most = max(most, len(images))
            whole = image_grid(images, columns=1, cells=1) if single else image_grid(images)
            if whole is None:
                missing.append(sample.id)
                continue
            path = folder / "images" / sample.group / MODEL / f"{sample.truth['id']}.webp"
            write_file(path, encode_image(whole, "WEBP", lossless=True))
        notes = [
            f"in the official run_*.sh: MODE={self.mode}, IMAGE_DIR=this folder's images, MODEL_NAMES=({MODEL}), "
            f"IMAGE_GRID=({1 if most == 1 else 2})"
        ]
        if most == 1:
            notes.append("diversity needs more than one image a prompt: --images-per-prompt 4")
        if most > 4:
            notes.append(grid_limit_note(most))
        if missing:
            notes.append(f"{len(missing)} prompts have no image, and the official scripts leave them out of their means")
        if "multilingualism" in self.aligned:
            notes.append("run_alignment.sh and run_diversity.sh leave multilingualism out: add it to their --class_items")
        return notes

    def imported(self, path: Path, samples: Sequence[Sample]) -> list[ImportedScores]:
        """Read an official `<dimension>_prompt_score_<mode>_<time>.csv`; the dimension is in the file's name."""
        dimension = next((d for d in _DIMENSIONS if path.name.startswith(f"{d}_prompt_score")), None)
        if dimension is None:
            raise BenchmarkError(
                f"{path}: a file of the official scores of single prompts is wanted, by its own name: "
                f"{', '.join(_DIMENSIONS)}, then _prompt_score_{self.mode}_..."
            )
        other = "ZH" if self.mode == "EN" else "EN"
        if path.name.startswith(f"{dimension}_prompt_score_{other}"):
            raise BenchmarkError(f"{path}: these are scores of the {other} prompts, and this is {self.title}")
        set_of = {"text": "text", "reasoning": "reasoning", "style": "anime"}
        rows = OfficialRows(samples)
        for where, row, value in _read_column(path):
            if not value:  # a prompt of the official files that has no image, of another part of the benchmark too
                continue
            id = f"{set_of[dimension]}_{row}" if dimension in set_of else row
            rows.add(where, id, None, self._values(dimension, value, rows.sample(id, where), where))
        return rows.all(path)

    @property
    def mode(self) -> str:
        """`EN` or `ZH`, as in the official scripts."""
        return "EN" if self.column == "prompt_en" else "ZH"

    def _values(self, dimension: str, text: str, sample: Sample, where: str) -> dict[str, float]:
        shown = repr(text[:40])
        try:
            numbers = [float(number) for number in text.strip("[]() ").split(",")]
            distance, completion, share = numbers if dimension == "text" else (0.0, 0.0, *numbers)
        except ValueError as error:
            raise BenchmarkError(f"{where}: {shown} is no score of {dimension}") from error
        if not (0 <= distance < math.inf and 0 <= completion <= 1 and -1 <= share <= _MAX_SHARE):
            raise BenchmarkError(f"{where}: {shown} is out of the range of {dimension}: is it the file of single prompts?")
        if dimension != "text":
            return {dimension: share}
        if "text" not in sample.truth:
            raise BenchmarkError(f"{where}: scores of text need {self.texts}: name a folder with it by --data")
        wanted = normalize_text(sample.truth["text"])
        count = len(split_words(wanted, wanted))
        return {"ed": distance, "cr": completion, "matched": share * count, "words": float(count)}

    def _source(self, file: str, optional: bool) -> Source:
        return Source(
            file=file,
            url=f"{_REPOSITORY}/{file}",
            licence="CC-BY-NC-4.0",
            origin="OneIG-Bench/OneIG-Benchmark @ 41b4983",
            optional=optional,
        )


def read_graphs(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Read a file of question graphs: by the id of the prompt, `questions` by their number and the `parents` of each.

    Raises:
        BenchmarkError: it is none, or a question has no place in the graph.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise BenchmarkError(f"{path}: an object with the questions of each prompt is wanted")
    graphs = {}
    for id, item in data.items():
        where = f"{path}, {id}"
        graph = require_keys(item, {"question": (str, dict), "dependency": (str, dict)}, where)
        try:
            questions, parents = (json.loads(g) if isinstance(g, str) else g for g in (graph["question"], graph["dependency"]))
        except (ValueError, RecursionError) as error:
            raise BenchmarkError(
                f"{where}: questions and dependencies are JSON in a string: fetch the file again ({error})"
            ) from error
        if not isinstance(questions, dict) or not isinstance(parents, dict) or not questions or set(questions) != set(parents):
            raise BenchmarkError(f"{where}: questions and dependencies do not belong together: fetch the file again")
        named = {key: [str(p) for p in each if p != 0] for key, each in parents.items() if isinstance(each, list)}
        if len(named) != len(parents) or not all(isinstance(text, str) and text for text in questions.values()):
            raise BenchmarkError(f"{where}: a dependency is a list of numbers, a question a text: fetch the file again")
        graphs[id] = {"questions": questions, "parents": named}
    return graphs


def read_texts(path: Path) -> dict[str, str]:
    """Read the file of texts: the expected text in the image, by the id of the prompt.

    Raises:
        BenchmarkError: it is none.
    """
    return {row["id"]: row["text_content"] for _, row in read_csv(path, ("id", "text_content"))}


def alignment_score(agrees: Mapping[str, bool], parents: Mapping[str, Sequence[str]]) -> float:
    """Return the share of questions answered yes, where a question counts only if its parents were answered yes as well.

    As in the official script it is the parents' own answers that count, whether or not their parents failed, and a parent
    that is no question is passed over.
    """
    return sum(yes and all(agrees.get(parent, True) for parent in parents[key]) for key, yes in agrees.items()) / len(agrees)


def normalize_text(text: str) -> str:
    """Return a text as it is compared: letters, figures and single spaces; with Chinese in it without any space."""
    letters = re.sub(rf"[^{_CHINESE}{_LETTERS}\s]", "", text)
    return re.sub(r"\s+", "" if is_chinese(letters) else " ", letters).strip()


def is_chinese(text: str) -> bool:
    """Return whether there is Chinese in a text."""
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def split_words(text: str, wanted: str) -> list[str]:
    """Return the words of a cleaned text, or its characters if the expected text is Chinese."""
    return list(text) if is_chinese(wanted) else text.split()


def strip_noise(text: str) -> str:
    """Return the text that a judge read, without what it adds."""
    read = without_reasoning(text)
    for noise in JUDGE_NOISE:
        read = read.replace(noise, "")
    return "" if read.strip().strip(".'\"") == "NONE" else read


def compare_texts(wanted: str, read: str) -> dict[str, float]:
    """Compare two cleaned texts: edit distance, whether they are equal, how many words are in both, and how many are wanted.

    Words are counted as often as they stand in both (a multiset intersection).
    """
    both = Counter(split_words(wanted, wanted)) & Counter(split_words(read, wanted))
    return {
        "ed": float(Levenshtein.distance(read, wanted)),
        "cr": float(read == wanted),
        "matched": float(both.total()),
        "words": float(len(split_words(wanted, wanted))),
    }


def _mean_metric(key: str, group: str | None = None) -> Callable[[BootstrapSample], NDArray[np.float64]]:
    return lambda draws: draws.mean(key, group)


def _read_column(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the location, the prompt and the score of each line; the first column has no name, the second is the model."""
    for number, row in read_csv(path, ("",)):
        models = [key for key in row if key]
        if len(models) != 1:
            raise BenchmarkError(
                f"{path}: the scores of one model are wanted, these are of {len(models)}: delete the other columns"
            )
        yield f"{path}, line {number}", row[""], row[models[0]]


BENCHMARKS = (OneIG("en"), OneIG("zh"))
