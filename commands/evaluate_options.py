"""The options that the commands `gems eval` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ..errors import GemsError, SettingError
from ..terminal import Console
from .options import path_option

if TYPE_CHECKING:
    from ..storage.image_store import ImageStore

TABLE_WIDTH = 140
"""Columns of a table without a terminal."""

Limit = Annotated[int | None, typer.Option(min=1, help="Use this many prompts, spread evenly over the benchmark.")]
Data = Annotated[
    Path | None, path_option("--data", help="A copy of the benchmark's files; for shapes: a file of requests, one a line.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="setting=value, for all variants; may be repeated.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first run's first image.")]
Seeds = Annotated[int, typer.Option(min=1, help="Repetitions of the whole study, each with its own seeds.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Concurrent prompts; their images are generated in batches.")]
Base = Annotated[str | None, typer.Option(help="Base variant of the comparison; the first by default.")]
Paper = Annotated[str | None, typer.Option("--against", help="paper: add the rows that the paper has published.")]
Out = Annotated[Path | None, path_option(help="Folder of the study; by default one in RUNS/eval, named after its definition.")]
Runs = Annotated[Path, path_option("--runs", envvar="GEMS_RUNS", help="Folder of runs; studies are in its folder eval.")]
JudgeSpec = Annotated[
    str | None,
    typer.Option(
        "--judge",
        envvar="GEMS_JUDGE",
        help="Who scores: openai:MODEL, http://HOST/v1#MODEL, rapidocr, shapes (embedded), or random for a rehearsal.",
    ),
]
ExactYes = Annotated[
    bool, typer.Option("--exact-yes", help="Count as yes only the one word that the official script accepts, for parity with it.")
]
JsonFile = Annotated[Path | None, path_option("--json", help="Write the results as JSON to this file too.")]


def includes_paper(against: str | None) -> bool:
    """Return whether --against asks for the paper's rows.

    Raises:
        SettingError: it names something else.
    """
    if against not in (None, "paper"):
        raise SettingError(f"--against {against}: only paper has published rows here; variants are compared with --base {against}")
    return against is not None


def split_names(text: str) -> list[str]:
    """Split names at commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


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
