"""The prompts that a study runs: those of a benchmark, all or some of them, with their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from .benchmarks.base import Benchmark, Sample
from .benchmarks.registry import find_benchmark
from .downloads import Fetched

T = TypeVar("T")


@dataclass(frozen=True)
class Prompts:
    """The prompts of a study, and how many images of each.

    Args:
        benchmark: what is measured, or its name.
        data: the benchmark's files; not needed where its prompts come with the package.
        limit: number of prompts, spread evenly over the benchmark.
        per_prompt: images of each prompt; those of the official protocol by default.
        seed: seed of the first prompt's first image.
        seeds: how many times all of it is done, each with seeds of its own.
    """

    benchmark: Benchmark | str = "shapes"
    data: Fetched | None = None
    limit: int | None = None
    per_prompt: int | None = None
    seed: int = 0
    seeds: int = 1

    @cached_property
    def bench(self) -> Benchmark:
        """The benchmark.

        Raises:
            BenchmarkError: there is none of this name.
        """
        return find_benchmark(self.benchmark) if isinstance(self.benchmark, str) else self.benchmark

    @property
    def images(self) -> int:
        """Images of each prompt, within one of `seeds`."""
        return self.per_prompt or self.bench.images_per_prompt

    def read(self) -> list[Sample]:
        """Read all prompts of the benchmark.

        Raises:
            BenchmarkError: a file is not of the official format.
        """
        return self.bench.read(self.data.files if self.data else {})


def spread_evenly(items: Sequence[T], limit: int | None) -> list[T]:
    """Take `limit` items at even distances, so that a short study still sees every part of a benchmark."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[i * len(items) // limit] for i in range(limit)]
