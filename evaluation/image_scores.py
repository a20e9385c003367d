"""Scores of single images: ask the judge the questions that have no recorded answer, score the answers, import official scores."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import BenchmarkError
from ..frozen_model import Frozen
from ..storage.files import replace_file
from ..storage.image_store import ImageStore
from .benchmarks.base import Benchmark, ImportedScores, Sample
from .judges.answer_collection import JudgeTask, collect, needs_asking, recorded_answers
from .judges.answer_log import AnswerLog
from .judges.base import Judge
from .judges.probing import probe
from .run_records import RecordKey, SampleRecord, read_image
from .runner import NO_PROGRESS, StudyProgress

T = TypeVar("T", bound=BaseModel)

MAX_FILE_NAME = 80
"""Most characters of a name in a file's name."""

OFFICIAL = "official scorer"
"""Name of the judge of imported scores, which have a scale of their own."""

JUDGE_TITLES = {"chat": "a chat model that sees images", "rapidocr": "rapidocr", "perception": "the shapes world's perception"}


class ImageScore(NamedTuple):
    """The scores of one image, or of a failed run."""

    values: Mapping[str, float]
    unanswered: int = 0
    """Answers of the judge that are missing or cannot be parsed."""


class ImportedRows(Frozen):
    """Imported scores of a variant's images, as stored."""

    variant: str
    file: str
    """Name of the imported file."""
    when: str = ""
    """UTC, ISO 8601: of two files with scores for the same image the later one counts."""
    rows: tuple[tuple[str, int | None, dict[str, float]], ...]
    """Prompt, index of the image or None for all images of the prompt, and the scores."""


class JudgeScores(Frozen):
    """Scores by one judge, as stored in the folder of a study."""

    judge: str
    remarks: tuple[str, ...] = ()
    """Sentences on how it was asked."""
    rows: tuple[tuple[str, str, int, str | None, dict[str, float], int], ...]
    """Variant, prompt, index of the image, its hash, its scores, and the number of answers that cannot be parsed."""

    @classmethod
    def of(
        cls,
        judge: Judge,
        records: Mapping[RecordKey, SampleRecord],
        scored: Mapping[RecordKey, ImageScore],
        reading: Sequence[str] = (),
    ) -> JudgeScores:
        """Build the stored scores; `reading` has sentences on how the answers were parsed."""
        rows = tuple(
            (*key, _image_hash(records[key]), dict(score.values), score.unanswered) for key, score in sorted(scored.items())
        )
        return cls(judge=judge.name, remarks=(*judge.remarks, *reading), rows=rows)

    def scored(self, records: Mapping[RecordKey, SampleRecord]) -> dict[RecordKey, ImageScore]:
        """Return the scores of records whose image is unchanged."""
        keys = {(variant, id, index): (image, ImageScore(values, empty)) for variant, id, index, image, values, empty in self.rows}
        return {key: score for key, (image, score) in keys.items() if key in records and _image_hash(records[key]) == image}


def require_judge(benchmark: Benchmark, judge: Judge) -> None:
    """Check that a judge suits a benchmark.

    Raises:
        BenchmarkError: it does not.
    """
    if not benchmark.judges:
        raise BenchmarkError(
            f"{benchmark.title} is judged by its official scorer only: leave --judge out, then `gems eval export`, run it, and "
            "`gems eval import`; see docs/benchmarks.md"
        )
    if judge.kind not in benchmark.judges:
        raise BenchmarkError(
            f"{benchmark.title} is not judged by {judge.name}, but by {' or '.join(JUDGE_TITLES[k] for k in benchmark.judges)}"
        )


def require_capable_judge(benchmark: Benchmark, judge: Judge, samples: Sequence[Sample]) -> None:
    """Check that a judge can answer a benchmark's questions, before images are generated for it.

    Raises:
        GemsError: it does not suit the benchmark, cannot be reached, or cannot answer in the form needed.
    """
    require_judge(benchmark, judge)
    probe(judge, (question for sample in samples for question in benchmark.questions(sample)), benchmark.readable)


def score_images(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    records: Mapping[RecordKey, SampleRecord],
    judge: Judge,
    log: AnswerLog,
    store: ImageStore,
    *,
    concurrency: int = 8,
    progress: StudyProgress = NO_PROGRESS,
) -> dict[RecordKey, ImageScore]:
    """Score all images by one judge. Questions with a recorded answer are not asked again.

    Args:
        benchmark: defines the questions and the scores.
        samples: its prompts.
        records: the images.
        judge: answers the questions.
        log: the recorded answers.
        store: the image store.
        concurrency: questions at the same time.
        progress: callbacks; `asking` and `answered` are called.

    Raises:
        GemsError: the judge is not for this benchmark, cannot be reached or used, or most of its answers cannot be read; what
            it has answered is kept.
    """
    require_judge(benchmark, judge)
    known = {sample.id: sample for sample in samples}
    work = list(_judge_tasks(benchmark, known, records, store))
    progress.asking(sum(item.question.rollouts for item in work))
    fresh = [item for item in work if needs_asking(judge, item, log, benchmark.readable)]
    if fresh:
        probe(judge, [item.question for item in fresh], benchmark.readable)
    collect(judge, work, log, readable=benchmark.readable, concurrency=concurrency, on_done=progress.answered)
    return {
        key: _score_image(benchmark, known[record.id], record, judge, log) for key, record in records.items() if record.id in known
    }


def _judge_tasks(
    benchmark: Benchmark, samples: Mapping[str, Sample], records: Mapping[RecordKey, SampleRecord], store: ImageStore
) -> Iterator[JudgeTask]:
    """Yield the questions about all images; an image that two variants share is asked about once."""
    seen: set[tuple[str, str]] = set()
    for record in records.values():
        if record.image is None or record.id not in samples or (record.id, record.image.sha256) in seen:
            continue
        seen.add((record.id, record.image.sha256))
        for question in benchmark.questions(samples[record.id]):
            yield JudgeTask(question, partial(read_image, record, record.image, store), record.image.sha256, record.id)


def _score_image(benchmark: Benchmark, sample: Sample, record: SampleRecord, judge: Judge, log: AnswerLog) -> ImageScore:
    if record.image is None:  # a failed run shows nothing of its prompt
        return ImageScore(benchmark.score(sample, {}))
    questions = benchmark.questions(sample)
    answers = recorded_answers(judge, questions, record.image.sha256, log, benchmark.readable)
    read = sum(benchmark.readable(question, answer) for question in questions for answer in answers.get(question.key, ()))
    return ImageScore(benchmark.score(sample, answers), sum(question.rollouts for question in questions) - read)


def answers_path(folder: Path, judge: str) -> Path:
    """Return the path of a judge's answers in the folder of a study."""
    return folder / f"answers-{safe_file_name(judge)}.jsonl"


def save_scores(folder: Path, scores: JudgeScores) -> None:
    """Save the scores by a judge."""
    replace_file(folder / f"scores-{safe_file_name(scores.judge)}.json", (scores.model_dump_json() + "\n").encode())


def read_scores(folder: Path) -> list[JudgeScores]:
    """Return the saved scores of a study, by all its judges.

    Raises:
        BenchmarkError: a file is damaged.
    """
    return [_read_model(path, JudgeScores, "score again") for path in sorted(folder.glob("scores-*.json"))]


def save_imported(folder: Path, variant: str, file: str, scores: Sequence[ImportedScores]) -> Path:
    """Save the imported scores of a variant; importing the same file again replaces them."""
    path = folder / f"imported-{safe_file_name(variant, file)}.json"
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    rows = ImportedRows(variant=variant, file=file, when=now, rows=tuple((f.id, f.index, dict(f.values)) for f in scores))
    replace_file(path, (rows.model_dump_json(indent=1) + "\n").encode())
    return path


def read_imported(folder: Path) -> list[ImportedRows]:
    """Return the imported scores of a study, the latest last.

    Raises:
        BenchmarkError: a file is damaged.
    """
    files = [_read_model(path, ImportedRows, "import its file again") for path in sorted(folder.glob("imported-*.json"))]
    return sorted(files, key=lambda rows: rows.when)


def merge_imported(
    benchmark: Benchmark,
    records: Mapping[RecordKey, SampleRecord],
    scored: Mapping[RecordKey, ImageScore],
    rows: Sequence[ImportedRows],
) -> dict[RecordKey, ImageScore]:
    """Add imported scores that no judge here can give, `Benchmark.official_only`, to a judge's scores."""
    merged = dict(scored)
    for key, values in _imported_values(records, rows).items():
        only = {name: value for name, value in values.items() if name in benchmark.official_only}
        if key in scored and only:
            merged[key] = scored[key]._replace(values={**scored[key].values, **only})
    return merged


def official_scores(
    benchmark: Benchmark, samples: Sequence[Sample], records: Mapping[RecordKey, SampleRecord], rows: Sequence[ImportedRows]
) -> dict[RecordKey, ImageScore]:
    """Return the imported scores alone; failed runs get the score of no image, in the metrics that were imported.

    That goes for the images that the official scorer takes: of several times of a benchmark many take the first alone. It does
    not go for a part of the benchmark whose results are still to be imported.
    """
    scores = {key: ImageScore(values) for key, values in _imported_values(records, rows).items()}
    known = {sample.id: sample for sample in samples}
    covered: defaultdict[tuple[str, int | None], set[str]] = defaultdict(set)
    for one in rows:
        for _, index, values in one.rows:
            covered[one.variant, index] |= values.keys()
    groups = {key: (key[0], known[key[1]].group) for key in records if key[1] in known}
    to_come = {groups[key] for key in groups if records[key].image is not None} - {groups[key] for key in scores if key in groups}
    for key, record in records.items():
        if groups.get(key) in to_come:
            continue
        names = covered.get((key[0], None), set()) | covered.get((key[0], key[2]), set())  # images it never takes do not fail it
        if record.image is None and names and record.id in known:
            nothing = benchmark.score(known[record.id], {})
            scores[key] = ImageScore({name: value for name, value in nothing.items() if name in names})
    return scores


def _imported_values(records: Mapping[RecordKey, SampleRecord], rows: Sequence[ImportedRows]) -> dict[RecordKey, dict[str, float]]:
    """Return the imported scores of each image; of several files the later one counts."""
    images: defaultdict[tuple[str, str], list[RecordKey]] = defaultdict(list)
    for key, record in records.items():
        if record.image is not None:
            images[key[:2]].append(key)
    values_by_key: dict[RecordKey, dict[str, float]] = {}
    for one in rows:
        for id, index, values in one.rows:
            for key in images[one.variant, id]:
                if index in (None, key[2]):
                    values_by_key.setdefault(key, {}).update(values)
    return values_by_key


def _read_model(path: Path, kind: type[T], cure: str) -> T:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BenchmarkError(f"{path} is damaged: delete it and {cure}") from error


def safe_file_name(*names: str) -> str:
    """Return a unique part of a file name for some names, with a digest if they have characters unfit for one."""
    joined = "-".join(names)
    plain = re.sub(r"[^A-Za-z0-9.=_]+", "-", joined).strip("-.")[:MAX_FILE_NAME]
    if plain == joined and not any("-" in name for name in names[:-1]):
        return plain
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def _image_hash(record: SampleRecord) -> str | None:
    return record.image.sha256 if record.image else None
