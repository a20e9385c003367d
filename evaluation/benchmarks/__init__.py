"""The benchmarks: a file for each, all of them found by their `BENCHMARKS`."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import import_module

from ..benchmark import Benchmark, BenchmarkError

FILES = ("shapes", "geneval", "geneval2", "dpg", "oneig", "wise", "longtext", "spatialgeneval", "crea", "artimuse")


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return all benchmarks by name."""
    found = [b for file in FILES for b in import_module(f".{file}", __name__).BENCHMARKS]
    return {benchmark.name: benchmark for benchmark in found}


def find(name: str) -> Benchmark:
    """Return a benchmark.

    Raises:
        BenchmarkError: there is none of this name.
    """
    known = benchmarks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2)
        raise BenchmarkError(
            f"unknown benchmark {name!r}: {'did you mean ' + ' or '.join(near) if near else 'choose ' + ', '.join(known)}"
        )
    return known[name]
