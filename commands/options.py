"""The options that several commands share, and what they do."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..errors import SettingError
from ..terminal import Console

if TYPE_CHECKING:
    from ..skills import SkillLibrary
    from ..storage.workspace import Workspace
    from .progress import TerminalProgress

RUNS = Path("runs")
"""Folder of runs where none is named."""


def to_path(text: Path | str) -> Path:
    """Return a path that an option or an argument names; `~` is a home folder also where no shell has seen it.

    Raises:
        typer.BadParameter: it names nothing.
    """
    if not str(text):
        raise typer.BadParameter("it is empty: name a path; . is the working directory")
    return Path(text).expanduser()


def path_option(*names: str, **more: Any) -> Any:
    """Return an option that takes a path."""
    return typer.Option(*names, parser=to_path, metavar="PATH", **more)


def path_argument(**more: Any) -> Any:
    """Return an argument that takes a path."""
    return typer.Argument(parser=to_path, **more)


Runs = Annotated[Path, path_option("--runs", envvar="GEMS_RUNS", help="Folder of runs: checkpoints, images, reports.")]
Store = Annotated[
    str | None,
    typer.Option(
        envvar="GEMS_STORE",
        help="PostgreSQL for checkpoints and lessons: postgresql://USER@HOST/NAME; else a SQLite file in --runs.",
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        "--image-store", envvar="GEMS_IMAGE_STORE", help="Folder or fsspec URL of the images, such as s3://BUCKET; else in --runs."
    ),
]
Chat = Annotated[
    str | None, typer.Option(envvar="GEMS_CHAT", help="Chat model: shapes, openai:MODEL, http://HOST/v1#MODEL, or random.")
]
ImageSpec = Annotated[
    str | None,
    typer.Option(
        "--image",
        envvar="GEMS_IMAGE",
        help="Image model: shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL, http://HOST/v1#MODEL, or card.",
    ),
]
ConfigFile = Annotated[
    Path | None, path_option("--config", envvar="GEMS_CONFIG", help="TOML file: models by role, their options, settings.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of the image model's call, such as num_inference_steps=9; may be given again."),
]
Device = Annotated[str | None, typer.Option(help="diffusers: cpu, cuda, cuda:1, mps; the best there is by default.")]
Dtype = Annotated[str | None, typer.Option(help="diffusers: float32, bfloat16 or float16.")]
Offload = Annotated[str | None, typer.Option(help="diffusers: none, model, sequential or group.")]
Batch = Annotated[int | None, typer.Option(help="diffusers: most pictures in one call of the pipeline.")]
Candidates = Annotated[int | None, typer.Option(help="Images in each round.")]
Patience = Annotated[int | None, typer.Option(help="Give up after so many rounds without a better image; 0: never.")]
MaxImages = Annotated[int | None, typer.Option(help="Most images of the run.")]
MaxCalls = Annotated[int | None, typer.Option(help="No new round that would go past so many chat calls.")]
MaxTokens = Annotated[int | None, typer.Option(help="The same for tokens, in and out.")]
MaxSeconds = Annotated[float | None, typer.Option(help="The same for seconds of the models.")]
MaxCost = Annotated[float | None, typer.Option(help="The same for money, by the prices in the file of --config.")]
Skills = Annotated[list[Path] | None, path_option("--skills", help="Folder with skills of your own; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs, and nothing else.")]
AsEvents = Annotated[bool, typer.Option("--events", help="Print each event as it happens, as a line of JSON, for programs.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def set_debug(debug: bool) -> None:
    """Have errors show their traceback, here and in what this process starts."""
    if debug:
        os.environ["GEMS_DEBUG"] = "1"


def home_of(runs: Path, store: str | None, image_store: str | None) -> Workspace:
    """Return where runs live, as the options say.

    Raises:
        GemsError: a URL is not understood, or its driver is not installed.
    """
    from ..storage.workspace import Workspace

    return Workspace(runs, store=store, image_store=image_store)


def models_given(thread: str, home: Workspace, chat: str | None, image: str | None, config: Path | None) -> dict[str, Any]:
    """Return the models that the options give to a run made before, as `resume` and `fork` take them.

    Raises:
        GemsError: the file of `--config` cannot be used, or the run's record cannot be read.
    """
    from ..config import models_for_resume
    from ..runs.manifest import read_manifest

    if config is None or not home.database.exists():  # no database, no run: that is told where the run is looked for
        return {"chat": chat, "image": image}
    with home.database.open() as opened:
        recorded = read_manifest(opened, home, thread).models
    chats, drawer = models_for_resume(config, recorded, chat, image)
    return {"chat": chats, "image": drawer}


def reach(home: Workspace) -> str:
    """Return the options that lead a command to a home, quoted for a shell and with a space before.

    There are no passwords in it, and nothing that the environment says already.
    """
    told = ["--runs", str(home.folder)] if home.folder != Path(os.environ.get("GEMS_RUNS", RUNS)) else []
    told += ["--store", home.database.name] if home.store and home.store != os.environ.get("GEMS_STORE") else []
    own = home.image_store and home.image_store != os.environ.get("GEMS_IMAGE_STORE")
    told += ["--image-store", str(home.images)] if own else []
    return f" {shlex.join(told)}" if told else ""


def request_of(prompt: str) -> str:
    """Return the request that is meant: `-` stands for what comes in on standard input, `@FILE` for the text of a file.

    Raises:
        SettingError: the file cannot be read.
    """
    if prompt == "-":
        return sys.stdin.read().strip()
    if not prompt.startswith("@") or len(prompt.split()) != 1:
        return prompt
    try:
        return Path(prompt[1:]).expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingError(f"{prompt}: the file of the request cannot be read: {reason}") from error


def library(folders: Sequence[Path] | None, show: TerminalProgress | None = None) -> SkillLibrary:
    """Load the skills, with those in folders of one's own; say on standard error what is wrong with them.

    Args:
        folders: those of one's own.
        show: what shows the run for which they are loaded: it does not say the same again.

    Raises:
        SkillError: a folder cannot be used.
    """
    from ..skills import SkillLibrary

    loaded = SkillLibrary.load(list(folders or ()))
    for note in loaded.notes():
        Console(stderr=True).print(f"[yellow]{escape(note)}[/]", soft_wrap=True, highlight=False)
    if show is not None:
        show.said = frozenset(loaded.notes(paths=False))
    return loaded
