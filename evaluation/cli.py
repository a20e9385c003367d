"""The commands `gems eval`: studies from the command line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..context import SettingError
from ..errors import GemsError
from ..memory.files import replace_file

if TYPE_CHECKING:
    from .runner import Outcome
    from .studies import Variant

eval_app = typer.Typer(help="Measure presets and settings on benchmarks.", no_args_is_help=True)

WIDTH = 140
"""Columns of a table where there is no terminal to ask."""

Limit = Annotated[int | None, typer.Option(min=1, help="Only so many prompts, spread evenly over the benchmark.")]
Prompts = Annotated[Path | None, typer.Option(help="Requests of your own instead, one a line, in the shapes grammar.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="knob=value, for all variants; may be given again.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first run's first image.")]
Seeds = Annotated[int, typer.Option(min=1, help="Runs of each prompt, each with seeds of its own.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Prompts at the same time; their pictures are drawn together.")]
Against = Annotated[str | None, typer.Option(help="Variant that the others are compared with; the first by default.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the study; by default one in RUNS/eval, named after its definition.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="GEMS_RUNS", help="Folder of runs; images are kept in its folder eval.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the results as JSON to this file too.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@eval_app.command("shapes")
def eval_shapes(
    presets: Annotated[
        str | None, typer.Option(help="Presets to compare, with commas; original,best-of-n,paper,default by default.")
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="knob=values: rounds=1..8, candidates=1,2,4; given again: all combinations.")
    ] = None,
    ablate: Annotated[
        list[str] | None, typer.Option(help="Knob to compare with all its values: recall, skills, verify, fuse, ...")
    ] = None,
    noise: Annotated[
        str | None, typer.Option(help="Share of the verifier's verdicts that are turned: 0.1, or fp=0.1,fn=0.05.")
    ] = None,
    set_: Set = None,
    limit: Limit = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    concurrency: Concurrency = 1,
    against: Against = None,
    out: Out = None,
    json_file: JsonFile = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Compare presets, or values of any setting, on the shapes benchmark: 200 prompts, scored by questions the loop never sees.

    The same command goes on with a study that was stopped.
    """
    from . import studies

    axes = [studies.axis(text) for text in (*(sweep or ()), *(ablate or ()))]
    fixed = _together(studies.changes(set_ or ()), studies.noise(noise) if noise is not None else {}, "--noise")
    names = _names(presets if presets is not None else "default" if axes else "original,best-of-n,paper,default")
    made = studies.variants(names, axes, fixed)
    swept = [f"sweep-{a.name}" for a in axes[: len(sweep or ())]] + [f"ablate-{a.name}" for a in axes[len(sweep or ()) :]]
    name = "-".join(["shapes", *swept])
    options = {"limit": limit, "prompts": prompts, "seed": seed, "seeds": seeds, "concurrency": concurrency, "against": against}
    _study(name, made, out=out, json_file=json_file, runs=runs, debug=debug, **options)


@eval_app.command("memory")
def eval_memory(
    presets: Annotated[str, typer.Option(help="Presets to compare, with commas.")] = "paper,default",
    rounds: Annotated[int, typer.Option(min=2, max=100, help="Rounds of every run.")] = 8,
    set_: Set = None,
    limit: Limit = 8,
    prompts: Prompts = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    concurrency: Concurrency = 1,
    out: Out = None,
    json_file: JsonFile = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Measure how the refiner's input grows with the memory: no check ever passes, so every run takes all its rounds."""
    from . import studies

    forced = {"max_rounds": rounds, "noise_fn": 1.0, "noise_fp": 0.0}
    made = studies.variants(_names(presets), (), _together(studies.changes(set_ or ()), forced, "this study (--rounds)"))
    options = {"limit": limit, "prompts": prompts, "seed": seed, "seeds": seeds, "concurrency": concurrency}
    _study("memory", made, out=out, json_file=json_file, runs=runs, debug=debug, **options)
    Console(stderr=True).print("What this study measures is memory.png; its scores mean nothing, as the verifier passes nothing.")


@eval_app.command("lessons")
def eval_lessons(
    presets: Annotated[str, typer.Option(help="Presets to compare, with commas.")] = "loop-memory,paper,default",
    sweep: Annotated[list[str] | None, typer.Option(help="knob=values, as for `gems eval shapes`: plan=none,rewrite.")] = None,
    set_: Set = None,
    limit: Limit = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    concurrency: Concurrency = 1,
    out: Out = None,
    json_file: JsonFile = None,
    runs: Runs = Path("runs"),
    debug: Debug = False,
) -> None:
    """Measure cross-run experience: lessons are learned on one half of the prompts and tried on the other, and the reverse.

    Your own lessons are neither read nor written.
    """
    _set_debug(debug)
    from . import lessons, studies
    from .plots import PlotError, plot_differences

    axes = [studies.axis(text) for text in sweep or ()]
    if any(a.knob == "lessons" for a in axes):
        raise SettingError("--sweep lessons: this study sets it by itself; compare its values with `gems eval shapes`")
    fixed = _together(studies.changes(set_ or ()), {"lessons": "none"}, "this study")
    made = studies.variants(_names(presets), axes, fixed)
    options: dict[str, Any] = {"limit": limit, "prompts": prompts, "seed": seed, "seeds": seeds, "concurrency": concurrency}
    with _bars() as (start, done):
        outcome = lessons.compare_lessons(made, out=out, runs=runs, on_start=start, on_done=done, **options)
    console = _console()
    console.print(lessons.table(outcome))
    told = lessons.to_json(outcome)
    replace_file(outcome.folder / "result.json", _json(told))
    repeats = f"{seeds} run{'s' if seeds > 1 else ''} of each prompt"
    facts = [
        f"gems {outcome.study.version} (code {outcome.study.code}), image model {outcome.study.image}, seed {seed}, {repeats}."
    ]
    replace_file(outcome.folder / "table.md", lessons.markdown(outcome, facts).encode())
    title = f"with lessons minus without: {outcome.prompts} prompts, {repeats}, 95 % bootstrap intervals"
    try:
        plot_differences([(c.name, c.differences) for c in outcome.compared], outcome.folder / "plot.png", title)
    except PlotError as error:
        _note(error)
    console.print(f"records, lessons and tables: {escape(str(outcome.folder))}", highlight=False, soft_wrap=True)
    if json_file is not None:
        replace_file(json_file, _json(told))


def _set_debug(debug: bool) -> None:
    if debug:
        os.environ["GEMS_DEBUG"] = "1"


def _together(changes: dict[str, Any], forced: dict[str, Any], by: str) -> dict[str, Any]:
    if twice := sorted(set(changes) & set(forced)):
        raise SettingError(f"--set {twice[0]}: {by} sets it too; leave one out")
    return {**changes, **forced}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _study(
    name: str, variants: Sequence[Variant], *, out: Path | None, json_file: Path | None, runs: Path, debug: bool, **options: Any
) -> None:
    """Run a study, write its files and show its tables."""
    _set_debug(debug)
    from .results import to_json
    from .runner import compare
    from .tables import breakdown, table

    console = _console()
    with _bars() as (start, done):
        outcome = compare(variants, name=name, out=out, runs=runs, on_start=start, on_done=done, **options)
    console.print(table(outcome.results))
    console.print(breakdown(outcome.results))
    if outcome.found:
        console.print(f"{outcome.found} runs were found in the records and not made again.", highlight=False)
    _write(outcome, name)
    console.print(f"records, tables and plots: {escape(str(outcome.folder))}", highlight=False, soft_wrap=True)
    if json_file is not None:
        replace_file(json_file, _json(to_json(outcome.results)))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, WIDTH))


@contextmanager
def _bars() -> Iterator[tuple[Callable[[str, int, int], None], Callable[[str], None]]]:
    """Show a bar for each part of a study: what is to be called when one begins, and when a run of it ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True)) as bar:

        def start(variant: str, total: int, found: int) -> None:
            with lock:  # a part may begin more than once, from several threads
                if variant not in tasks:
                    tasks[variant] = bar.add_task(variant, total=0)
                before = next(task for task in bar.tasks if task.id == tasks[variant])
                bar.update(tasks[variant], total=(before.total or 0) + total, completed=before.completed + found)

        def done(variant: str) -> None:
            bar.advance(tasks[variant])

        try:
            yield start, done
        except KeyboardInterrupt:
            bar.console.print("interrupted: the same command goes on with what is left")
            raise typer.Exit(130) from None


def _json(told: object) -> bytes:
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()


def _write(outcome: Outcome, name: str) -> None:
    """Write a study's tables, results and plots into its folder."""
    from .plots import PlotError, plot_memory, plot_scores
    from .results import to_json
    from .tables import markdown

    study, folder, results = outcome.study, outcome.folder, outcome.results
    runs = f"seed {study.seed}, {study.seeds} run{'s' if study.seeds > 1 else ''} of each prompt and variant"
    facts = [f"gems {study.version} (code {study.code}), image model {study.image}, {runs}."]
    replace_file(folder / "table.md", markdown(results, facts).encode())
    replace_file(folder / "result.json", _json({"study": study.model_dump(), **to_json(results)}))
    prompts = f"{results[0].scores.prompts} prompts, {study.seeds} seed{'s' if study.seeds > 1 else ''}"
    try:
        plot_scores(results, folder / "plot.png", f"{name}: {prompts}, 95 % bootstrap intervals over prompts")
        plot_memory(results, folder / "memory.png", f"{name}: the refiner's input by round, {prompts}")
    except PlotError as error:
        _note(error)


def _note(error: GemsError) -> None:
    Console(stderr=True).print(f"[yellow]note:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
