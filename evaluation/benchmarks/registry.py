"""The benchmarks by name, with a line about each for the command line; they are imported when needed.

To add a benchmark, write a file beside this one with the benchmark in its `BENCHMARKS`, and its line in `REGISTRY`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from ...errors import SettingError, did_you_mean

if TYPE_CHECKING:
    from .base import Benchmark


class BenchmarkEntry(NamedTuple):
    """The module of a benchmark, and a line about it."""

    file: str
    """Module of `evaluation.benchmarks` with the benchmark in its `BENCHMARKS`."""
    about: str


REGISTRY = {
    "shapes": BenchmarkEntry("shapes", "Shapes: 200 prompts of the embedded models' small world, modelled on GenEval2."),
    "geneval": BenchmarkEntry("geneval", "GenEval: 553 short prompts in six tags, judged by its official detector."),
    "geneval2": BenchmarkEntry("geneval2", "GenEval2: 800 prompts of atomicity 3 to 10, scored by Soft-TIFA."),
    "dpg": BenchmarkEntry("dpg", "DPG-Bench: 1,065 dense prompts, questions with dependencies."),
    "dsg": BenchmarkEntry("dpg", "DSG-1k: 1,060 prompts, questions with dependencies."),
    "oneig-en": BenchmarkEntry(
        "oneig", "OneIG-Bench, English: 1,120 prompts in five categories; alignment, text, and imported dimensions."
    ),
    "oneig-zh": BenchmarkEntry(
        "oneig", "OneIG-Bench, Chinese: 1,320 prompts in six categories; alignment, text, and imported dimensions."
    ),
    "wise": BenchmarkEntry("wise", "WISE: 1,000 prompts that need knowledge of the world, marked by WiScore; the first release."),
    "wise-verified": BenchmarkEntry("wise", "WISE_Verified: 1,000 corrected prompts, right or wrong; a scale of its own."),
    "longtext-en": BenchmarkEntry("longtext", "LongText-Bench, English: 160 prompts with text to be drawn, read by OCR."),
    "longtext-zh": BenchmarkEntry("longtext", "LongText-Bench, Chinese: 160 prompts with text to be drawn, read by OCR."),
    "spatialgeneval": BenchmarkEntry("spatialgeneval", "SpatialGenEval: 1,230 prompts, ten multiple-choice questions each."),
    "crea": BenchmarkEntry("crea", "CREA: 12 objects, 25 creative images each, six criteria; the objects come with GEMS."),
    "artimuse": BenchmarkEntry(
        "artimuse", "ArtiMuse: the 553 GenEval prompts as aesthetic drawings, judged by its official model."
    ),
}


@cache
def load_benchmarks() -> dict[str, Benchmark]:
    """Return all benchmarks by name."""
    files = dict.fromkeys(entry.file for entry in REGISTRY.values())
    modules = [import_module(f"{__package__}.{file}") for file in files]
    return {benchmark.name: benchmark for module in modules for benchmark in module.BENCHMARKS}


def find_benchmark(name: str) -> Benchmark:
    """Return a benchmark.

    Raises:
        SettingError: there is no benchmark of this name.
    """
    known = load_benchmarks()
    if name not in known:
        raise SettingError(f"unknown benchmark {name!r}: {did_you_mean(name, known)}")
    return known[name]
