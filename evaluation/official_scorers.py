"""Exchange with official scorers: export images in the layout that they read, and import their result files."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import BenchmarkError, SettingError
from ..storage.image_store import ImageStore
from .benchmarks.base import Benchmark, BenchmarkImage, ImportedScores
from .benchmarks.registry import find_benchmark
from .image_scores import safe_file_name, save_imported
from .run_records import read_image
from .study import StudyResult, load_study


def export_images(
    folder: Path,
    to: Path,
    *,
    layout: str | None = None,
    variants: Sequence[str] | None = None,
    benchmark: Benchmark | None = None,
    store: ImageStore | None = None,
) -> dict[str, tuple[Path, list[str]]]:
    """Write the images of a study for an official scorer, a folder for each variant.

    The folder of a variant with several seeds (`--seeds`) has a subfolder for each: `seed-1`, `seed-2`. A folder is complete or
    absent: the next export removes what a killed one left.

    Args:
        folder: of the study.
        to: parent of the new folders, which must be missing or empty.
        layout: the benchmark whose official scorer will read the images; the study's own by default.
        variants: only these.
        benchmark: of the study; needed for a custom one, which is not in the registry.
        store: where the images are; in the study's folder by default.

    Returns:
        By variant its folder, and what is to be known before the scorer is run.

    Raises:
        GemsError: there is no study or no such layout or variant, an image is lost, or a folder is in use.
    """
    result = load_study(folder, benchmark=benchmark, store=store)
    bench = result.benchmark if layout is None else find_benchmark(layout)
    chosen = [_require_variant(result, name) for name in variants] if variants else list(result.study.variants)
    places = {name: to / safe_file_name(name) for name in chosen}
    for place in places.values():
        if place.exists() and any(place.iterdir()):
            raise BenchmarkError(f"{place} is not empty: take another --to, or remove it")
    return {name: (place, _export_variant(bench, place, result, name)) for name, place in places.items()}


def _export_variant(bench: Benchmark, place: Path, result: StudyResult, variant: str) -> list[str]:
    """Export a variant's images into a temporary folder, then move it into place."""
    seeds = result.study.seeds
    names = [f"seed-{number}" for number in range(1, seeds + 1)] if seeds > 1 else ["."]
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    notes = {}
    try:
        for number, name in enumerate(names, start=1):
            (part / name).mkdir(parents=True)
            notes[name] = bench.export(part / name, _variant_images(result, variant, number))
        part.replace(place)
    except KeyError as error:
        if bench.name == result.benchmark.name:
            raise
        wanted = f"the layout of {bench.title} needs {error} of each prompt"
        raise BenchmarkError(f"{wanted}, which {result.benchmark.title} does not have: take another --layout") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if seeds == 1:
        return notes["."]
    shared = [line for line in notes[names[0]] if all(line in lines for lines in notes.values())]
    own = [f"{name}: {line}" for name, lines in notes.items() for line in lines if line not in shared]
    each = f"a folder for each of {seeds} seeds: score each of them, and import its results with --seed 1 to {seeds}"
    return [each, *shared, *own]


def import_results(
    folder: Path, file: Path, variant: str | None = None, *, seed: int | None = None, benchmark: Benchmark | None = None
) -> int:
    """Import the result file of an official scorer into a study; return how many images or prompts it scores.

    Args:
        folder: of the study.
        file: the result file; importing a file of the same name again replaces its earlier scores.
        variant: whose images were scored; may be left out where the study has one variant.
        seed: the seed of the study that they were generated with: the number in the name of the exported folder, from 1; may be
            left out where there is one.
        benchmark: of the study; needed for a custom one, which is not in the registry.

    Raises:
        GemsError: there is no study or no such variant or seed, or the file is of no use.
    """
    result = load_study(folder, benchmark=benchmark)
    if variant is None and len(result.study.variants) > 1:
        raise SettingError(f"name the variant whose images were scored: --variant {' or '.join(result.study.variants)}")
    name = _require_variant(result, variant) if variant else next(iter(result.study.variants))
    seeds, count = result.study.seeds, result.study.per_prompt
    if seed is None and seeds > 1:
        raise SettingError(
            f"name the seed of the images that were scored: --seed 1 to {seeds}, the number in the name of the exported folder"
        )
    if seed is not None and not 1 <= seed <= seeds:
        raise SettingError(f"--seed {seed}: the study has {seeds}, the first being 1")
    if not file.exists():
        raise BenchmarkError(f"{file}: there is no such file: name the result file of the official scorer")
    scores = result.benchmark.imported(file, result.samples)
    known = {sample.id for sample in result.samples}
    if strange := [entry.id for entry in scores if entry.id not in known]:
        raise BenchmarkError(f"{file}: prompt {strange[0]} is none of this study's: was another one exported?")
    if not scores:
        raise BenchmarkError(f"{file}: there are no results in it")
    for entry in scores:
        if strange := [name for name, value in entry.values.items() if not math.isfinite(value)]:
            raise BenchmarkError(f"{file}: prompt {entry.id}: {strange[0]} is not a number: run the official scorer again")
        if entry.index is not None and entry.index >= count:
            raise BenchmarkError(
                f"{file}: prompt {entry.id} has image {entry.index + 1}, where this study has {count} of each prompt"
            )
    if seeds == 1:
        save_imported(folder, name, file.name, scores)
        return len(scores)
    first = ((seed or 1) - 1) * count  # each seed's images follow those of the one before
    rows = [
        ImportedScores(entry.id, first + index, entry.values)
        for entry in scores
        for index in (range(count) if entry.index is None else [entry.index])
    ]
    save_imported(folder, name, f"seed-{seed}/{file.name}", rows)
    return len(scores)


def _variant_images(result: StudyResult, variant: str, seed: int) -> Iterator[BenchmarkImage]:
    count = result.study.per_prompt
    for sample in result.samples:
        for index in range(count):
            record = result.records.get((variant, sample.id, (seed - 1) * count + index))
            image = record.image if record else None
            yield BenchmarkImage(
                sample, index, None if record is None or image is None else read_image(record, image, result.store)
            )


def _require_variant(result: StudyResult, name: str) -> str:
    if name not in result.study.variants:
        raise SettingError(f"--variant {name}: there is no such variant; choose one of {', '.join(result.study.variants)}")
    return name
