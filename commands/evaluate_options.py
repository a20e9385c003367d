"""The options that the commands `gems eval` share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer
from rich.markup import escape

from ..errors import GemsError, SettingError
from ..terminal import Console
from .options import RUNS, Images, ModelArgs, path_option

if TYPE_CHECKING:
    from ..evaluation.benchmarks.base import Benchmark
    from ..evaluation.prompts import Prompts
    from ..evaluation.runner import StudyExecution, StudyProgress
    from ..evaluation.variants import Variant
    from ..storage.image_store import ImageStore

TABLE_WIDTH = 140
"""Columns of a table without a terminal."""


@dataclass(frozen=True)
class VariantArgs:
    """What a study compares."""

    PANEL: ClassVar = "Variants"

    presets: Annotated[
        str | None,
        typer.Option(
            help="Presets to compare, separated by commas: original,default if none are given (shapes: and best-of-n,paper)."
        ),
    ] = None
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Your own gems.evaluation.Variant beside the presets: mine=my_module:variant; may be repeated."),
    ] = None
    sweep: Annotated[
        list[str] | None, typer.Option(help="setting=values: rounds=1..8, candidates=1,2,4; repeated: all combinations.")
    ] = None
    ablate: Annotated[
        list[str] | None, typer.Option(help="Setting to compare with all its values: recall, skills, verify, fuse, ...")
    ] = None
    changes: Annotated[list[str] | None, typer.Option("--set", help="setting=value, for all variants; may be repeated.")] = None

    def variants(self, usual: str) -> list[Variant]:
        """Return the variants; `usual` are the presets without any of these options.

        Raises:
            SettingError: a preset, a setting or a variant is unknown, or a value is out of bounds.
        """
        from ..evaluation.variants import load_variant, make_variants, parse_axis, parse_changes

        axes = [parse_axis(text) for text in (*(self.sweep or ()), *(self.ablate or ()))]
        own = [load_variant(text) for text in self.variant or ()]
        presets = self.presets if self.presets is not None else "default" if axes or own else usual
        named = [name.strip() for name in presets.split(",") if name.strip()]
        return make_variants([*named, *own], axes, parse_changes(self.changes or ()))

    def study_name(self, benchmark: str) -> str:
        """Return the name of the study's default folder."""
        swept = [("sweep", text) for text in self.sweep or ()] + [("ablate", text) for text in self.ablate or ()]
        return "-".join([benchmark, *(f"{kind}-{text.partition('=')[0].strip()}" for kind, text in swept)])


@dataclass(frozen=True)
class PromptArgs:
    """The prompts of a study."""

    PANEL: ClassVar = "Prompts"

    limit: Annotated[int | None, typer.Option(min=1, help="Use this many prompts, spread evenly over the benchmark.")] = None
    data: Annotated[
        Path | None, path_option("--data", help="A copy of the benchmark's files; for shapes: a file of requests, one a line.")
    ] = None
    accept_licence: Annotated[
        list[str] | None, typer.Option("--accept-licence", help="Licence of the data that you accept, such as CC-BY-NC-4.0.")
    ] = None
    images_per_prompt: Annotated[
        int | None, typer.Option(min=1, help="Images of each prompt; those of the official protocol by default.")
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first run's first image.")] = 0
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions of the whole study, each with its own seeds.")] = 1

    def prompts(self, benchmark: Benchmark) -> Prompts:
        """Return the prompts of a benchmark, whose files are fetched.

        Raises:
            BenchmarkError: a file is missing, or its licence is not accepted.
        """
        from ..evaluation.downloads import fetch
        from ..evaluation.prompts import Prompts

        files = fetch(benchmark, self.data, accept=self.accept_licence or (), say=print_note)
        return Prompts(benchmark, files, self.limit, self.images_per_prompt, self.seed, self.seeds)


@dataclass(frozen=True)
class StudyModelArgs(ModelArgs):
    """The models of a study."""

    set_: Annotated[
        list[str] | None, typer.Option("--call", help="Option of the image model's call, such as num_inference_steps=9.")
    ] = None


@dataclass(frozen=True)
class EngineArgs:
    """How a study is run."""

    PANEL: ClassVar = "Engine"

    shard: Annotated[str | None, typer.Option(help="Only a part of the prompts, such as 3/8; others run the rest.")] = None
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent prompts; their images are generated in batches.")] = 1
    engine: Annotated[str, typer.Option(help="local: threads of this process. ray: the workers of a Ray cluster.")] = "local"
    address: Annotated[str | None, typer.Option(help="ray: the cluster's address, or auto; one on this machine by default.")] = None
    painters: Annotated[int, typer.Option(min=1, help="ray: image models at the same time, each in an actor of its own.")] = 1
    gpus: Annotated[float, typer.Option(min=0, help="ray: GPUs of each of them, such as 1 or 0.5; 0 where they need none.")] = 0

    def execution(self, progress: StudyProgress) -> StudyExecution:
        """Return how the study is run.

        Raises:
            GemsError: an option is of no use, or Ray is not installed.
        """
        from ..evaluation.ray_engine import ray_engine
        from ..evaluation.runner import StudyExecution
        from ..evaluation.shards import Shard

        if self.engine not in ("local", "ray"):
            raise SettingError(f"--engine {self.engine}: choose local or ray")
        if self.engine == "local" and self.address is not None:
            raise SettingError("--address is of a Ray cluster: add --engine ray")
        shard = Shard.read(self.shard)
        if self.engine == "local":
            return StudyExecution(None, self.concurrency, shard, progress)
        engine = ray_engine(address=self.address, painters=self.painters, gpus=self.gpus, concurrency=self.concurrency)
        return StudyExecution(engine, self.concurrency, shard, progress)


@dataclass(frozen=True)
class JudgeArgs:
    """Who scores, and how."""

    PANEL: ClassVar = "Judge"

    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            envvar="GEMS_JUDGE",
            help="Who scores: openai:MODEL, http://HOST/v1#MODEL, rapidocr, shapes (embedded), or random for a rehearsal.",
        ),
    ] = None
    exact_yes: Annotated[
        bool,
        typer.Option("--exact-yes", help="Count as yes only the one word that the official script accepts, for parity with it."),
    ] = False

    def benchmark(self, name: str) -> Benchmark:
        """Return the benchmark, as its answers are to be read.

        Raises:
            GemsError: there is none, or it has no questions for yes or no.
        """
        from ..evaluation.benchmarks.registry import find_benchmark

        return find_benchmark(name).exact() if self.exact_yes else find_benchmark(name)


@dataclass(frozen=True)
class TableArgs:
    """What the tables of a study show, and where its images are."""

    PANEL: ClassVar = "Output"

    base: Annotated[str | None, typer.Option(help="Base variant of the comparison; the first by default.")] = None
    against: Annotated[str | None, typer.Option("--against", help="paper: add the rows that the paper has published.")] = None
    image_store: Images = None
    json_file: Annotated[Path | None, path_option("--json", help="Write the results as JSON to this file too.")] = None

    def __post_init__(self) -> None:
        """Refuse a comparison that there is none of, before anything is run."""
        if self.against not in (None, "paper"):
            raise SettingError(
                f"--against {self.against}: only paper has published rows here; variants are compared with --base {self.against}"
            )

    @property
    def store(self) -> ImageStore | None:
        """The image store; None for the folder of the study."""
        return image_store_at(self.image_store)


@dataclass(frozen=True)
class StudyOutputArgs(TableArgs):
    """Where a study is stored, and what its tables show."""

    out: Annotated[
        Path | None, path_option(help="Folder of the study; by default one in RUNS/eval, named after its definition.")
    ] = None
    runs: Annotated[Path, path_option("--runs", envvar="GEMS_RUNS", help="Folder of runs; studies are in its folder eval.")] = RUNS


def image_store_at(place: str | None) -> ImageStore | None:
    """Return the image store at a place, None for the folder of the study.

    Raises:
        GemsError: the place is not understood.
    """
    from ..storage.image_store import ImageStore

    return None if place is None else ImageStore(place)


def table_console() -> Console:
    """Return the console of tables, wide enough without a terminal."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=max(terminal.width, TABLE_WIDTH))


def print_note(text: GemsError | str) -> None:
    """Print a note on stderr."""
    Console(stderr=True).print(f"[yellow]note:[/] {escape(str(text))}", soft_wrap=True, highlight=False)
