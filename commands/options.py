"""The options that several commands share, and what they do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from ..skills import SkillLibrary

RUNS = Path("runs")
"""Folder of runs where none is named."""

Runs = Annotated[Path, typer.Option("--runs", envvar="GEMS_RUNS", help="Folder of runs: checkpoints, images, reports.")]
Chat = Annotated[str | None, typer.Option(envvar="GEMS_CHAT", help="Chat model: shapes, openai:MODEL or http://HOST/v1#MODEL.")]
ImageSpec = Annotated[
    str | None,
    typer.Option(
        "--image",
        envvar="GEMS_IMAGE",
        help="Image model: shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL or http://HOST/v1#MODEL.",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="GEMS_CONFIG", help="TOML file: models by role, their options, settings.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of the image model's call, such as num_inference_steps=9; may be given again."),
]
Device = Annotated[str | None, typer.Option(help="diffusers: cpu, cuda, cuda:1, mps; the best there is by default.")]
Dtype = Annotated[str | None, typer.Option(help="diffusers: float32, bfloat16 or float16.")]
Offload = Annotated[str | None, typer.Option(help="diffusers: none, model, sequential or group.")]
Batch = Annotated[int | None, typer.Option(help="diffusers: most pictures in one call of the pipeline.")]
Skills = Annotated[list[Path] | None, typer.Option("--skills", help="Folder with skills of your own; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs, and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def set_debug(debug: bool) -> None:
    """Have errors show their traceback, here and in what this process starts."""
    if debug:
        os.environ["GEMS_DEBUG"] = "1"


def library(folders: Sequence[Path] | None) -> SkillLibrary:
    """Load the skills, with those in folders of one's own; tell of each that is left out on standard error.

    Raises:
        SkillError: a folder cannot be used.
    """
    from ..skills import SkillLibrary

    loaded = SkillLibrary.load(list(folders or ()))
    for problem in loaded.problems:
        Console(stderr=True).print(f"[yellow]skill left out:[/] {escape(str(problem))}", soft_wrap=True)
    return loaded
