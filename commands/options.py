"""Options that several commands share, and the functions that read them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from rich.markup import escape

from ..errors import SettingError
from ..terminal import Console

if TYPE_CHECKING:
    from ..config import Config
    from ..skills import SkillLibrary
    from ..storage.workspace import Workspace
    from .progress import RunProgress

RUNS = Path("runs")
"""Default folder of the runs."""


def to_path(text: Path | str) -> Path:
    """Return the path of an option or argument, with `~` expanded.

    Raises:
        typer.BadParameter: the text is empty.
    """
    if not str(text):
        raise typer.BadParameter("the path is empty: write a path; . is the working directory")
    return Path(text).expanduser()


def path_option(*names: str, **more: Any) -> Any:
    """Declare an option that takes a path."""
    return typer.Option(*names, parser=to_path, metavar="PATH", **more)


def path_argument(**more: Any) -> Any:
    """Declare an argument that takes a path."""
    return typer.Argument(parser=to_path, **more)


Runs = Annotated[Path, path_option("--runs", envvar="GEMS_RUNS", help="Folder of the runs: checkpoints, images and reports.")]
Store = Annotated[
    str | None,
    typer.Option(
        envvar="GEMS_STORE",
        help="PostgreSQL database for checkpoints and lessons: postgresql://USER@HOST/NAME; by default a SQLite file in --runs.",
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        "--image-store",
        envvar="GEMS_IMAGE_STORE",
        help="Folder or fsspec URL for images, such as s3://BUCKET; by default a folder in --runs.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
Skills = Annotated[
    list[Path] | None, path_option("--skills", help="Folder with your own skills; repeatable.", rich_help_panel="Options")
]
ThreadArgument = Annotated[str, typer.Argument(help="Name of the run, as `gems runs` lists it.")]
ConfigFile = Annotated[
    Path | None,
    path_option("--config", envvar="GEMS_CONFIG", help="TOML file with models by role, model options and settings."),
]


@dataclass(frozen=True)
class ModelArgs:
    """The models of a command, by options and a configuration file."""

    PANEL: ClassVar = "Models"

    chat: Annotated[
        str | None,
        typer.Option(envvar="GEMS_CHAT", help="Chat model: shapes, openai:MODEL, http://HOST/v1#MODEL or random."),
    ] = None
    image: Annotated[
        str | None,
        typer.Option(
            envvar="GEMS_IMAGE",
            help="Image model: shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL, http://HOST/v1#MODEL or card.",
        ),
    ] = None
    config: ConfigFile = None
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Pass an option to the image model's call, such as num_inference_steps=9; repeatable."),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="diffusers: run on cpu, cuda, cuda:1 or mps; by default on the best available.")
    ] = None
    dtype: Annotated[str | None, typer.Option(help="diffusers: load the weights as float32, bfloat16 or float16.")] = None
    offload: Annotated[
        str | None, typer.Option(help="diffusers: offload weights to the CPU: none, model, sequential or group.")
    ] = None
    batch: Annotated[int | None, typer.Option(help="diffusers: generate at most this many images in one pipeline call.")] = None

    def config_of(self) -> Config:
        """Read the configuration file, changed by the options.

        Raises:
            ConfigError: the file or an option is invalid.
        """
        from ..config import load_config

        options = {"device": self.device, "dtype": self.dtype, "offload": self.offload, "batch": self.batch}
        return load_config(self.config, self.chat, self.image, self.set_ or (), options)


@dataclass(frozen=True)
class DryRunArgs:
    """Whether only an estimate is wanted."""

    PANEL: ClassVar = "Options"

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many images and chat calls there may be, and run nothing.")
    ] = False
    checks: Annotated[int, typer.Option(min=1, help="With --dry-run: number of checks of a prompt to assume.")] = 8


@dataclass(frozen=True)
class NewModelArgs:
    """The models that replace those of an existing run."""

    PANEL: ClassVar = "Models"

    chat: Annotated[str | None, typer.Option(help="Replace the chat model of the run.")] = None
    image: Annotated[str | None, typer.Option(help="Replace the image model of the run.")] = None
    config: Annotated[Path | None, path_option(help="TOML file with models and model options to replace.")] = None

    def models_of(self, thread: str, workspace: Workspace) -> dict[str, Any]:
        """Return the models of a run that is resumed or forked, as the arguments `chat` and `image` of `resume` and `fork`.

        Raises:
            GemsError: the configuration file is invalid, or the run's manifest cannot be read.
        """
        from ..config import models_for_resume
        from ..runs.manifest import read_manifest

        if self.config is None or not workspace.database.exists():  # without a database there is no run, which is reported later
            return {"chat": self.chat, "image": self.image}
        with workspace.database.open() as opened:
            recorded = read_manifest(opened, workspace, thread).models
        chat, image = models_for_resume(self.config, recorded, self.chat, self.image)
        return {"chat": chat, "image": image}


@dataclass(frozen=True)
class WorkspaceArgs:
    """Where the runs are stored."""

    PANEL: ClassVar = "Output"

    runs: Runs = RUNS
    store: Store = None
    image_store: Images = None

    def open(self) -> Workspace:
        """Return the workspace.

        Raises:
            GemsError: a URL is invalid, or its driver is not installed.
        """
        return workspace_of(self.runs, self.store, self.image_store)


@dataclass(frozen=True)
class SessionArgs(WorkspaceArgs):
    """How a run is executed: with which skills, where it is stored, and how it is printed."""

    skills: Skills = None
    as_json: AsJson = False
    events: Annotated[bool, typer.Option("--events", help="Print each event as a line of JSON as it happens.")] = False


def workspace_of(runs: Path, store: str | None, image_store: str | None) -> Workspace:
    """Return the workspace that `--runs`, `--store` and `--image-store` name.

    Raises:
        GemsError: a URL is invalid, or its driver is not installed.
    """
    from ..storage.workspace import Workspace

    return Workspace(runs, store=store, image_store=image_store)


def workspace_options(workspace: Workspace) -> str:
    """Return the options that lead a command to a workspace, quoted for a shell, with a leading space.

    They hold no password, and nothing that the environment already sets.
    """
    from ..config import Environment

    here = Environment()
    options = ["--runs", str(workspace.folder)] if workspace.folder != here.runs else []
    options += ["--store", workspace.database.name] if workspace.store not in (None, "", here.store) else []
    options += ["--image-store", str(workspace.images)] if workspace.image_store not in (None, "", here.image_store) else []
    return f" {shlex.join(options)}" if options else ""


def read_request(prompt: str) -> str:
    """Return the request: `-` reads it from standard input, `@FILE` from a file.

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
        raise SettingError(f"{prompt}: cannot read the request from this file: {reason}") from error


def load_skills(folders: Sequence[Path] | None, progress: RunProgress | None = None) -> SkillLibrary:
    """Load the bundled skills and those of the user, and print faults in them to standard error.

    Args:
        folders: the user's folders.
        progress: shows the run that the skills are for; it does not print the same notes again.

    Raises:
        SkillError: a folder cannot be used.
    """
    from ..skills import SkillLibrary

    loaded = SkillLibrary.load(list(folders or ()))
    for note in loaded.notes():
        Console(stderr=True).print(f"[yellow]{escape(note)}[/]", soft_wrap=True, highlight=False)
    if progress is not None:
        progress.printed_notes = frozenset(loaded.notes(paths=False))
    return loaded
