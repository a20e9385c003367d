"""A study from beginning to end, and the result that its folder holds: scores by judge, warnings, published figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, cast
from warnings import warn

from ..errors import BenchmarkError, SettingError
from ..models.registry import ChatChoices, ImageChoice
from ..storage.image_store import ImageStore
from ..storage.locks import holding
from .benchmarks.base import Benchmark, Metric, Sample
from .benchmarks.registry import find_benchmark
from .image_scores import (
    OFFICIAL,
    ImageScore,
    ImportedRows,
    JudgeScores,
    answers_path,
    merge_imported,
    official_scores,
    read_imported,
    read_scores,
    require_capable_judge,
    save_scores,
    score_images,
)
from .judges.answer_log import open_answer_log
from .judges.base import Judge
from .judges.registry import judge_of
from .prompts import Prompts
from .published_scores import published_figures
from .run_records import RecordKey, SampleRecord, read_definition, read_records
from .runner import (
    IMAGES_FOLDER,
    IN_THIS_THREAD,
    NO_PROGRESS,
    StudyExecution,
    StudyProgress,
    default_folder,
    plan_study,
    read_prompts,
    run_study,
)
from .shards import Shard
from .study_definition import StudyDefinition
from .study_tables import StudyReport, judge_title
from .variant_results import VariantResult, summarize_variants
from .variants import Variant

P = ParamSpec("P")

MAX_REASONS = 3
"""Reasons of failed runs that are shown, the most frequent first."""

EMBEDDED_MODELS = {"shapes", "shapes-chat", "shapes-image"}
"""Names of the embedded models, here and behind an endpoint."""


REHEARSAL_MODELS = {"card": "card writes the prompt on a card", "random": "random answers at random"}
"""What replaces models in a rehearsal."""


class StudyResult(NamedTuple):
    """The records and scores in the folder of a study."""

    study: StudyDefinition
    benchmark: Benchmark
    samples: list[Sample]
    variants: list[Variant]
    records: Mapping[RecordKey, SampleRecord]
    scored: Mapping[str, Mapping[RecordKey, ImageScore]]
    """By judge. What an official scorer gave is a judge of its own; see `Benchmark.official_only` for the numbers it shares."""
    remarks: Mapping[str, tuple[str, ...]]
    """Sentences on how each judge was asked."""
    base: str
    """The variant that the others are compared with."""
    folder: Path
    store: ImageStore
    """Where its images are."""
    reused: int = 0
    """Images that existed already when the study was resumed."""
    imports: Sequence[ImportedRows] = ()
    """What official scorers gave, file by file."""

    def __repr__(self) -> str:
        names = ", ".join(variant.name for variant in self.variants)
        return f"StudyResult({self.benchmark.name}, variants: {names}, prompts: {len(self.samples)}, folder: {self.folder})"

    @property
    def results(self) -> list[VariantResult]:
        """The result of each variant, by judge."""
        images = self.study.per_prompt * self.study.seeds
        return [
            result
            for judge, scored in self.scored.items()
            for result in summarize_variants(
                self.benchmark, self.variants, self.samples, self.records, scored, self.base, judge=judge, images=images
            )
        ]


@dataclass(frozen=True)
class StudyFiles:
    """Where a study is stored.

    Args:
        out: its folder; by default one in `runs/eval`, named after its definition.
        runs: folder of runs.
        name: of the study, for its default folder; the benchmark's by default.
        store: the image store; in the folder by default.
    """

    out: Path | None = None
    runs: Path = Path("runs")
    name: str | None = None
    store: ImageStore | None = None


IN_RUNS = StudyFiles()
"""In the folder `runs`, under the name of the benchmark."""


def _takes_flat_options(compare: Callable[P, StudyResult]) -> Callable[P, StudyResult]:
    """Let `compare` also take each option of its groups by itself, as earlier versions did, with a DeprecationWarning."""

    @wraps(compare)
    def compare_flat(*args: Any, **options: Any) -> StudyResult:
        moved = []
        for name, group in {"prompts": Prompts, "files": StudyFiles, "execution": StudyExecution}.items():
            if flat := {field.name: options.pop(field.name) for field in fields(group) if field.name in options}:
                options[name] = group(**{option: value for option, value in flat.items() if value is not None})
                moved.append(f"{', '.join(flat)} in {name}={group.__name__}(...)")
        if moved:
            warn(f"compare() takes {' and '.join(moved)} now", DeprecationWarning, stacklevel=2)
        return compare(*args, **options)

    return cast(Callable[P, StudyResult], compare_flat)


@_takes_flat_options
def compare(
    variants: Sequence[Variant],
    prompts: Prompts | None = None,
    *,
    chat: ChatChoices = "shapes",
    image: ImageChoice = "shapes",
    judge: Judge | None = None,
    base: str | None = None,
    files: StudyFiles = IN_RUNS,
    execution: StudyExecution = IN_THIS_THREAD,
) -> StudyResult:
    """Run variants on a benchmark's prompts and judge their best images.

    All variants use the same seeds and share an image store: an image that two of them ask for is generated once and
    counted for both. Each finished run is recorded at once, so the same call resumes a study that was killed.

    Args:
        variants: what is compared.
        prompts: what it is compared on; all of the shapes benchmark by default.
        chat: the chat models.
        image: the image model. Its images are identified by its name and settings.
        judge: by default the perception of the shapes world for its own benchmark. Otherwise, without a judge, images
            are generated and not judged.
        base: the variant that the others are compared with; the first by default.
        files: where the study is stored.
        execution: how it is run.

    Raises:
        GemsError: there is nothing to compare, a file or a model cannot be used, or the folder holds another study.

    Example:
        ```python
        study = compare([Variant("default"), Variant("paper", preset="paper")], Prompts(limit=40))
        study.results[1].gain  # the paired difference, with its interval
        ```
    """
    prompts = prompts or Prompts()
    bench = prompts.bench
    judge = judge_of("perception") if judge is None and "perception" in bench.judges else judge
    _require_variant(base, [v.name for v in variants])
    planned = plan_study(variants, prompts, chat=chat, image=image)
    if judge is not None:
        require_capable_judge(bench, judge, planned.samples)  # before an image is generated that it could not judge
    folder = files.out or default_folder(planned.study, files.runs, files.name)
    images = files.store or ImageStore(folder / IMAGES_FOLDER)
    _, reused = run_study(planned, folder, execution, store=images)
    if judge is not None:
        with _judging_lock(folder, execution.shard):
            score_study(
                folder, judge, benchmark=bench, store=images, concurrency=execution.concurrency, progress=execution.progress
            )
    return load_study(folder, base, benchmark=bench, store=images)._replace(reused=reused)


@contextmanager
def _judging_lock(folder: Path, shard: Shard) -> Iterator[None]:
    """Wait for other shards that are judging: the last one sees all images, so none is left out."""
    if shard.whole:
        yield
        return
    place = folder / ".shards"
    place.mkdir(parents=True, exist_ok=True)
    with holding(place, "/judging", math.inf):
        yield


def score_study(
    folder: Path,
    judge: Judge,
    *,
    benchmark: Benchmark | None = None,
    store: ImageStore | None = None,
    concurrency: int = 8,
    progress: StudyProgress = NO_PROGRESS,
) -> None:
    """Judge the images in the folder of a study; questions that the judge has answered are not asked again.

    Args:
        folder: of the study.
        judge: the judge.
        benchmark: of the study; needed for a custom one, which is not in the registry.
        store: where the images are; in the folder by default.
        concurrency: questions at the same time.
        progress: callbacks.

    Raises:
        GemsError: there is no study, or the judge cannot be used; its answers so far are recorded.
    """
    study = read_definition(folder)
    bench, samples, records = _benchmark_of(study, benchmark), read_prompts(folder), read_records(folder)
    images = store or ImageStore(folder / IMAGES_FOLDER)
    with open_answer_log(answers_path(folder, judge.name)) as log:
        scored = score_images(bench, samples, records, judge, log, images, concurrency=concurrency, progress=progress)
    save_scores(folder, JudgeScores.of(judge, records, scored, bench.reading))


def load_study(
    folder: Path, base: str | None = None, *, benchmark: Benchmark | None = None, store: ImageStore | None = None
) -> StudyResult:
    """Load the result of a study from its folder, by all its judges.

    Args:
        folder: of the study.
        base: the variant that the others are compared with; the first by default.
        benchmark: of the study; needed for a custom one, which is not in the registry.
        store: where the images are; in the folder by default.

    Raises:
        GemsError: there is no study, something in it is damaged, or there is no such variant.
    """
    study = read_definition(folder)
    bench, samples, records = _benchmark_of(study, benchmark), read_prompts(folder), read_records(folder)
    variants = study.as_variants()
    _require_variant(base, study.variants)
    judged, rows = read_scores(folder), read_imported(folder)
    scored = {entry.judge: merge_imported(bench, records, entry.scored(records), rows) for entry in judged}
    imported_names = {name for entry in rows for _, _, values in entry.rows for name in values}
    if rows and not (judged and imported_names <= bench.official_only):
        scored[OFFICIAL] = official_scores(bench, samples, records, rows)
    remarks = {entry.judge: entry.remarks for entry in judged}
    images = store or ImageStore(folder / IMAGES_FOLDER)
    base = base or variants[0].name
    return StudyResult(study, bench, samples, variants, records, scored, remarks, base, folder, images, imports=rows)


def _require_variant(base: str | None, names: Collection[str]) -> None:
    if base is not None and base not in names:
        raise SettingError(f"--base {base}: there is no such variant; choose one of {', '.join(names)}")


def _benchmark_of(study: StudyDefinition, benchmark: Benchmark | None) -> Benchmark:
    if benchmark is not None and benchmark.name != study.benchmark:
        raise BenchmarkError(f"the folder holds a study of {study.benchmark}, not of {benchmark.name}: name another folder")
    return benchmark or find_benchmark(study.benchmark)


def build_report(result: StudyResult, *, paper: bool = False) -> StudyReport:
    """Build the report of a study: its tables, warnings and facts.

    Args:
        result: of the study.
        paper: add the paper's published rows.
    """
    study, bench = result.study, result.benchmark
    results = result.results
    times = f"{study.seeds} times " if study.seeds > 1 else ""
    ours = () if OFFICIAL not in result.scored else (f"What follows is of judges that GEMS asks, not of the {OFFICIAL}.",)
    runs = f"seed {study.seed}, {times}{study.per_prompt} image{'s' if study.per_prompt > 1 else ''} of each prompt"
    chats = ", ".join(f"{role}: {_model_name(identity)}" for role, identity in study.chat.items())
    models = f"chat {chats}; image {_model_name(study.image)}"
    return StudyReport(
        title=f"{bench.title}, {len(result.samples)} of {study.available} prompts",
        metrics=_judged_metrics(result, *result.scored),
        results=results,
        per_prompt=study.per_prompt * study.seeds,
        warnings=study_warnings(result, results),
        facts=[f"gems {study.version} (code {study.code}), {models}; {runs}.", *ours, *bench.remarks],
        published=published_figures(bench.name) if paper else (),
        official_judge=bench.official_judge,
    )


def _judged_metrics(result: StudyResult, *judges: str) -> list[Metric]:
    """Return the metrics of the prompts that judges have scored: a title may name the parts that they cover."""
    known = {id for judge in judges for _, id, _ in result.scored[judge]}
    return result.benchmark.metrics([sample for sample in result.samples if sample.id in known] or result.samples)


def study_warnings(result: StudyResult, results: Sequence[VariantResult] | None = None) -> list[str]:
    """Return warnings, a sentence each, on why figures of a study cannot be compared with others.

    Args:
        result: of the study.
        results: its variants' results, if computed already: every interval takes thousands of resamples.
    """
    study, bench = result.study, result.benchmark
    warnings = []
    embedded = EMBEDDED_MODELS & {_model_name(study.image), *map(_model_name, study.chat.values())}
    if embedded and bench.name != "shapes":
        warnings.append("the embedded models of the shapes world were used: these figures say nothing about real models.")
    if played := REHEARSAL_MODELS.keys() & {_model_name(study.image), *map(_model_name, study.chat.values()), *result.scored}:
        warnings.append(
            f"this is a rehearsal: {', '.join(REHEARSAL_MODELS[name] for name in sorted(played))}. The figures mean nothing."
        )
    verifier = _model_name(study.chat.get("verifier", study.chat["default"]))
    for judge in result.scored:
        if _is_same_model(bench.official_judge if judge == OFFICIAL else judge, verifier):
            seen = f"the judge {judge_title(judge, bench.official_judge)} is also the loop's verifier"
            warnings.append(f"{seen}: the loop was guided by the model that scores it.")
        if judge != OFFICIAL and not judge.lower().endswith(bench.official_judge.lower()):
            warnings.append(f"the judge {judge} is not {bench.official_judge}, the official one: this is a scale of its own.")
        warnings += [f"{judge}: {remark}" for remark in result.remarks.get(judge, ())]
        warnings += [f"{judge}: {caution}" for caution in bench.cautions([score.values for score in result.scored[judge].values()])]
        titles = {metric.name: metric.title for metric in _judged_metrics(result, *result.scored)}
        other = [f"{titles[m.name]} is {m.title}" for m in _judged_metrics(result, judge) if titles[m.name] != m.title]
        warnings += [f"{judge}: {title}." for title in other]
    if len(result.samples) < study.available:
        warnings.append(f"{len(result.samples)} of {study.available} prompts were used; the others are left out.")
    if study.per_prompt != bench.images_per_prompt:
        warnings.append(f"each prompt has {study.per_prompt} images, where the official protocol has {bench.images_per_prompt}.")
    results = result.results if results is None else results
    for judge in result.scored:
        shown = {r.name for r in results if r.judge == judge}
        if absent := [v.name for v in result.variants if v.name not in shown]:
            warnings.append(f"{judge} has judged nothing of {', '.join(absent)} yet: not in the table.")
    if missing := _counts_by_variant(results, "missing"):
        warnings.append(f"images that are not generated or not judged yet do not count: {missing}.")
    if failed := dict.fromkeys(f"{r.name} {r.failed}" for r in results if r.failed):
        warnings.append(f"runs failed, and count as images that show nothing: {', '.join(failed)}.")
        reasons = Counter(record.error for record in result.records.values() if record.error).most_common(MAX_REASONS)
        warnings.append(f"why runs failed: {'; '.join(f'{reason} ({count} times)' for reason, count in reasons)}.")
    if empty := _counts_by_variant(results, "unanswered"):
        warnings.append(f"answers that are missing or cannot be read, however often they were asked for, count as wrong: {empty}.")
    return warnings


def imports_to_json(result: StudyResult) -> list[dict[str, Any]]:
    """Return the imported files of a study as JSON: the variant and the numbers of each."""
    return [
        {
            "judge": OFFICIAL,
            "official_judge": result.benchmark.official_judge,
            "variant": entry.variant,
            "file": entry.file,
            "when": entry.when,
            "numbers": sorted({name for _, _, values in entry.rows for name in values}),
            "rows": len(entry.rows),
        }
        for entry in result.imports
    ]


def _counts_by_variant(results: Sequence[VariantResult], what: str) -> str:
    """Return the counts of variants that are not 0, each with its judge where there are several."""
    several = len({r.judge for r in results}) > 1
    counts = [(r, count) for r in results if (count := getattr(r, what))]
    return ", ".join(f"{r.name} {count}{f' ({r.judge})' if several else ''}" for r, count in counts)


def _model_name(identity: str) -> str:
    """Return the name of a model, without the digest of its settings."""
    return identity.rpartition(" ")[0] or identity


def _is_same_model(a: str, b: str) -> bool:
    def last(name: str) -> str:
        return name.lower().rpartition("/")[2].removesuffix("-chat")

    return last(a) == last(b)
