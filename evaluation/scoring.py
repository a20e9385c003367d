"""From a study's images to numbers: ask the judge what it was not asked before, and score its recorded answers."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import BenchmarkError
from ..frozen import Frozen
from ..storage.files import replace_file
from ..storage.image_store import ImageStore
from .benchmark import Benchmark, ImportedScores, Sample
from .judges.answer_log import AnswerLog
from .judges.collecting import JudgeTask, collect, recorded, wanted
from .judges.judging import Judge, probe
from .records import Key, SampleRecord, picture_of

T = TypeVar("T", bound=BaseModel)

LONGEST = 80
"""Most characters of a name in a file's name."""

OFFICIAL = "official scorer"
"""The judge of numbers that were imported: a judge of its own, whose scale is no other judge's."""

KIND = {"chat": "a chat model that sees images", "rapidocr": "rapidocr", "perception": "the shapes world's perception"}


class Scored(NamedTuple):
    """The numbers of one image, or of what should have been one."""

    values: Mapping[str, float]
    unanswered: int = 0
    """Answers that the judge did not give in a form that can be read."""


class ImportedRows(Frozen):
    """What an official scorer gave to the images of a variant, as it is kept."""

    variant: str
    file: str
    """Name of the file that it was in."""
    when: str = ""
    """UTC, ISO 8601: of two files with numbers for the same image the later one counts."""
    rows: tuple[tuple[str, int | None, dict[str, float]], ...]
    """Prompt, which of its images or None for all of them, and the numbers."""


class JudgeScores(Frozen):
    """What a judge's answers came to, as it is kept in the folder of a study."""

    judge: str
    remarks: tuple[str, ...] = ()
    """What is to be said of how it was asked."""
    rows: tuple[tuple[str, str, int, str | None, dict[str, float], int], ...]
    """Variant, prompt, which of its images, the image's hash, its numbers, and answers that cannot be read."""

    @classmethod
    def of(
        cls, judge: Judge, records: Mapping[Key, SampleRecord], scored: Mapping[Key, Scored], reading: Sequence[str] = ()
    ) -> JudgeScores:
        """Gather what is to be kept; `reading` is what is to be said of how the answers were read."""
        rows = tuple((*key, _hash(records[key]), dict(score.values), score.unanswered) for key, score in sorted(scored.items()))
        return cls(judge=judge.name, remarks=(*judge.remarks, *reading), rows=rows)

    def scored(self, records: Mapping[Key, SampleRecord]) -> dict[Key, Scored]:
        """Return the scores of records, those left out whose image is another one by now."""
        keys = {(variant, id, index): (image, Scored(values, empty)) for variant, id, index, image, values, empty in self.rows}
        return {key: score for key, (image, score) in keys.items() if key in records and _hash(records[key]) == image}


def require_judge(benchmark: Benchmark, judge: Judge) -> None:
    """Refuse a judge that is not for a benchmark.

    Raises:
        BenchmarkError: it is not.
    """
    if not benchmark.judges:
        raise BenchmarkError(
            f"{benchmark.title} is judged by its official scorer only: leave --judge out, then `gems eval export`, run it, and "
            "`gems eval import`; see docs/benchmarks.md"
        )
    if judge.kind not in benchmark.judges:
        raise BenchmarkError(
            f"{benchmark.title} is not judged by {judge.name}, but by {' or '.join(KIND[k] for k in benchmark.judges)}"
        )


def require_able(benchmark: Benchmark, judge: Judge, samples: Sequence[Sample]) -> None:
    """Find out whether a judge can answer a benchmark's questions, before images are made for it.

    Raises:
        GemsError: it is not for this benchmark, cannot be reached, or cannot answer in the way that is needed.
    """
    require_judge(benchmark, judge)
    probe(judge, (question for sample in samples for question in benchmark.questions(sample)), benchmark.readable)


def judge_all(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    records: Mapping[Key, SampleRecord],
    judge: Judge,
    book: AnswerLog,
    store: ImageStore,
    *,
    concurrency: int = 8,
    on_start: Callable[[int], None] = lambda total: None,
    on_done: Callable[[bool], None] = lambda known: None,
) -> dict[Key, Scored]:
    """Score all images by one judge. What it has answered before is not asked again.

    Args:
        benchmark: asks and scores.
        samples: its prompts.
        records: the images.
        judge: who answers.
        book: the recorded answers.
        store: where the images are.
        concurrency: questions at the same time.
        on_start: called with the number of answers that are wanted.
        on_done: called for each, with whether it was known before.

    Raises:
        GemsError: the judge is not for this benchmark, cannot be reached or used, or most of its answers cannot be read; what
            it has answered is kept.
    """
    require_judge(benchmark, judge)
    known = {sample.id: sample for sample in samples}
    work = list(_work(benchmark, known, records, store))
    on_start(sum(item.question.rollouts for item in work))
    fresh = [item for item in work if wanted(judge, item, book, benchmark.readable)]
    if fresh:
        probe(judge, [item.question for item in fresh], benchmark.readable)
    collect(judge, work, book, readable=benchmark.readable, concurrency=concurrency, on_done=on_done)
    return {key: _scored(benchmark, known[record.id], record, judge, book) for key, record in records.items() if record.id in known}


def _work(
    benchmark: Benchmark, samples: Mapping[str, Sample], records: Mapping[Key, SampleRecord], store: ImageStore
) -> Iterator[JudgeTask]:
    """Give what is to be asked; a picture that two variants have in common is asked about once."""
    seen: set[tuple[str, str]] = set()
    for record in records.values():
        if record.image is None or record.id not in samples or (record.id, record.image.sha256) in seen:
            continue
        seen.add((record.id, record.image.sha256))
        for question in benchmark.questions(samples[record.id]):
            yield JudgeTask(question, partial(picture_of, record, record.image, store), record.image.sha256, record.id)


def _scored(benchmark: Benchmark, sample: Sample, record: SampleRecord, judge: Judge, book: AnswerLog) -> Scored:
    if record.image is None:  # nothing of what was asked for is there to be seen
        return Scored(benchmark.score(sample, {}))
    questions = benchmark.questions(sample)
    answers = recorded(judge, questions, record.image.sha256, book, benchmark.readable)
    read = sum(benchmark.readable(question, answer) for question in questions for answer in answers.get(question.key, ()))
    return Scored(benchmark.score(sample, answers), sum(question.rollouts for question in questions) - read)


def answers_of(folder: Path, judge: str) -> Path:
    """Return the file of a judge's answers in the folder of a study."""
    return folder / f"answers-{file_name(judge)}.jsonl"


def keep_scores(folder: Path, scores: JudgeScores) -> None:
    """Keep what a judge's answers came to."""
    replace_file(folder / f"scores-{file_name(scores.judge)}.json", (scores.model_dump_json() + "\n").encode())


def kept_scores(folder: Path) -> list[JudgeScores]:
    """Return the scores by all judges of the study in a folder.

    Raises:
        BenchmarkError: a file is damaged.
    """
    return [_read(path, JudgeScores, "score again") for path in sorted(folder.glob("scores-*.json"))]


def keep_imported(folder: Path, variant: str, file: str, found: Sequence[ImportedScores]) -> Path:
    """Keep what was imported for a variant; the same file imported again takes the place of what it gave before."""
    path = folder / f"imported-{file_name(variant, file)}.json"
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    rows = ImportedRows(variant=variant, file=file, when=now, rows=tuple((f.id, f.index, dict(f.values)) for f in found))
    replace_file(path, (rows.model_dump_json(indent=1) + "\n").encode())
    return path


def imported(folder: Path) -> list[ImportedRows]:
    """Return all that was imported into the folder of a study, the latest last.

    Raises:
        BenchmarkError: a file is damaged.
    """
    found = [_read(path, ImportedRows, "import its file again") for path in sorted(folder.glob("imported-*.json"))]
    return sorted(found, key=lambda rows: rows.when)


def with_imported(
    benchmark: Benchmark, records: Mapping[Key, SampleRecord], scored: Mapping[Key, Scored], rows: Sequence[ImportedRows]
) -> dict[Key, Scored]:
    """Return a judge's scores with the imported numbers that no judge of ours can give: `Benchmark.official_only`."""
    found = dict(scored)
    for key, values in _imported_values(records, rows).items():
        only = {name: value for name, value in values.items() if name in benchmark.official_only}
        if key in scored and only:
            found[key] = scored[key]._replace(values={**scored[key].values, **only})
    return found


def official_scores(
    benchmark: Benchmark, samples: Sequence[Sample], records: Mapping[Key, SampleRecord], rows: Sequence[ImportedRows]
) -> dict[Key, Scored]:
    """Return what was imported alone; failed runs get what nothing scores, in the numbers that were imported.

    That goes for the images that the official scorer takes: of several times of a benchmark many take the first alone. It does
    not go for a part of the benchmark whose results are still to be imported.
    """
    found = {key: Scored(values) for key, values in _imported_values(records, rows).items()}
    known = {sample.id: sample for sample in samples}
    covered: defaultdict[tuple[str, int | None], set[str]] = defaultdict(set)
    for one in rows:
        for _, index, values in one.rows:
            covered[one.variant, index] |= values.keys()
    groups = {key: (key[0], known[key[1]].group) for key in records if key[1] in known}
    to_come = {groups[key] for key in groups if records[key].image is not None} - {groups[key] for key in found if key in groups}
    for key, record in records.items():
        if groups.get(key) in to_come:
            continue
        names = covered.get((key[0], None), set()) | covered.get((key[0], key[2]), set())  # images it never takes do not fail it
        if record.image is None and names and record.id in known:
            nothing = benchmark.score(known[record.id], {})
            found[key] = Scored({name: value for name, value in nothing.items() if name in names})
    return found


def _imported_values(records: Mapping[Key, SampleRecord], rows: Sequence[ImportedRows]) -> dict[Key, dict[str, float]]:
    """Return the imported numbers of each image; of several files the later one counts."""
    images: defaultdict[tuple[str, str], list[Key]] = defaultdict(list)
    for key, record in records.items():
        if record.image is not None:
            images[key[:2]].append(key)
    found: dict[Key, dict[str, float]] = {}
    for one in rows:
        for id, index, values in one.rows:
            for key in images[one.variant, id]:
                if index in (None, key[2]):
                    found.setdefault(key, {}).update(values)
    return found


def _read(path: Path, kind: type[T], cure: str) -> T:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BenchmarkError(f"{path} is damaged: delete it and {cure}") from error


def file_name(*names: str) -> str:
    """Return names as a part of a file's name, which no other names share: with a digest where they cannot stand as they are."""
    said = "-".join(names)
    plain = re.sub(r"[^A-Za-z0-9.=_]+", "-", said).strip("-.")[:LONGEST]
    if plain == said and not any("-" in name for name in names[:-1]):
        return plain
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def _hash(record: SampleRecord) -> str | None:
    return record.image.sha256 if record.image else None
