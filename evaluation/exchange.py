"""To official scorers and back: images laid out as they want them, and their result files."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..context import SettingError
from ..memory.images import ImageStore
from .benchmark import Benchmark, BenchmarkError, Picture
from .catalogue import find
from .outcome import Outcome, look
from .records import picture_of
from .scoring import file_name, keep_imported


def export(
    folder: Path,
    to: Path,
    *,
    layout: str | None = None,
    variants: Sequence[str] | None = None,
    benchmark: Benchmark | None = None,
    store: ImageStore | None = None,
) -> dict[str, tuple[Path, list[str]]]:
    """Write the images of a study for an official scorer, a folder for each variant.

    Args:
        folder: of the study.
        to: in which the folders are made; they must not be there yet, or be empty.
        layout: the benchmark whose layout it is; the study's own by default.
        variants: only these.
        benchmark: of the study; needed where it is one of your own, which no name leads to.
        store: where the images are; in the study's folder by default.

    Returns:
        By variant its folder, and what is to be known before the scorer is run.

    Raises:
        GemsError: there is no study or no such layout or variant, an image is lost, or a folder is in use.
    """
    outcome = look(folder, benchmark=benchmark, store=store)
    bench = outcome.benchmark if layout is None else find(layout)
    chosen = [_variant(outcome, name) for name in variants] if variants else list(outcome.study.variants)
    made = {}
    for name in chosen:
        place = to / file_name(name)
        if place.exists() and any(place.iterdir()):
            raise BenchmarkError(f"{place} is not empty: take another --to, or remove it")
        place.mkdir(parents=True, exist_ok=True)
        made[name] = (place, _exported(bench, place, outcome, name))
    return made


def _exported(bench: Benchmark, place: Path, outcome: Outcome, variant: str) -> list[str]:
    """Lay out a variant's images; nothing is left behind where that fails."""
    try:
        return bench.export(place, _pictures(outcome, variant))
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, KeyError) and bench.name != outcome.benchmark.name:
            wanted = f"the layout of {bench.title} needs {error} of each prompt"
            raise BenchmarkError(f"{wanted}, which {outcome.benchmark.title} does not have: take another --layout") from error
        raise


def take_in(folder: Path, file: Path, variant: str | None = None, *, benchmark: Benchmark | None = None) -> int:
    """Take the result file of an official scorer into a study; return how many images or prompts it has numbers of.

    Args:
        folder: of the study.
        file: the result file; the same file, or another of its name, taken in again replaces what it gave before.
        variant: whose images were scored; may be left out where the study has one variant.
        benchmark: of the study; needed where it is one of your own, which no name leads to.

    Raises:
        GemsError: there is no study or no such variant, or the file is of no use.
    """
    outcome = look(folder, benchmark=benchmark)
    if variant is None and len(outcome.study.variants) > 1:
        raise SettingError(f"say whose images were scored: --variant {' or '.join(outcome.study.variants)}")
    name = _variant(outcome, variant) if variant else next(iter(outcome.study.variants))
    if not file.exists():
        raise BenchmarkError(f"{file}: there is no such file: name the result file of the official scorer")
    found = outcome.benchmark.imported(file, outcome.samples)
    known = {sample.id for sample in outcome.samples}
    if strange := [one.id for one in found if one.id not in known]:
        raise BenchmarkError(f"{file}: prompt {strange[0]} is none of this study's: was another one exported?")
    if not found:
        raise BenchmarkError(f"{file}: there are no results in it")
    for one in found:
        if strange := [name for name, value in one.values.items() if not math.isfinite(value)]:
            raise BenchmarkError(f"{file}: prompt {one.id}: {strange[0]} is not a number: run the official scorer again")
    keep_imported(folder, name, file.name, found)
    return len(found)


def _pictures(outcome: Outcome, variant: str) -> Iterator[Picture]:
    for sample in outcome.samples:
        for index in range(outcome.study.per_prompt * outcome.study.seeds):
            record = outcome.records.get((variant, sample.id, index))
            image = record.image if record else None
            yield Picture(sample, index, None if record is None or image is None else picture_of(record, image, outcome.store))


def _variant(outcome: Outcome, name: str) -> str:
    if name not in outcome.study.variants:
        raise SettingError(f"--variant {name}: there is no such variant; choose one of {', '.join(outcome.study.variants)}")
    return name
