"""The report of a run: renders the page and puts it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..context import RunContext
from ..memory.state import GemsState
from ..storage.files import replace_file
from ..terminal import escape_controls
from .history import RunHistory
from .inline_images import ReadImage, once
from .view import duration, view


def render_report(
    state: GemsState,
    context: RunContext,
    *,
    thread: str,
    models: Mapping[str, str],
    read_image: ReadImage,
    cost: str = "",
    waiting: bool = False,
    history: RunHistory | None = None,
) -> str:
    """Return the HTML page of a run, finished or not: one file with its images and styles in it, and no script.

    `models` says which model played which part, e.g. {"chat": ..., "image": ...}. An image that `read_image` cannot
    read (OSError, LookupError, ValueError) shows as a blank that says so. `cost` is what it has cost in money, if that is known.
    `waiting`: it waits for a person's answer, whatever was decided before. `history`: its times, what the refiner was shown,
    and its forks; what is not known of it is left out.
    """
    page = view(state, context, thread, models, once(read_image), cost, waiting, history)
    return environment().get_template("page.html").render(page=page)


def write_report(
    path: Path,
    state: GemsState,
    context: RunContext,
    *,
    thread: str,
    models: Mapping[str, str],
    read_image: ReadImage,
    cost: str = "",
    waiting: bool = False,
    history: RunHistory | None = None,
) -> Path:
    """Write the page of a run to `path` and return it. Whoever reads the file meanwhile sees the old page or the new one, whole."""
    page = render_report(
        state, context, thread=thread, models=models, read_image=read_image, cost=cost, waiting=waiting, history=history
    )
    replace_file(path, page.encode("utf-8", "replace"))
    return path


def _finalize(value: Any) -> Any:
    """Have texts `visible`; markup is ours, and what it was made of has come through here."""
    return escape_controls(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def environment() -> Environment:
    """Return what renders the templates of this folder: everything that comes from people or models is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["duration"] = duration
    return made
