"""The report of a run: renders the page and puts it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..context import RunContext
from ..memory.files import replace_file
from ..memory.state import GemsState
from .pictures import ReadImage
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
) -> str:
    """Return the HTML page of a run, finished or not: one file with its images and styles in it, and no script.

    `models` says which model played which part, e.g. {"chat": ..., "image": ...}. An image that `read_image` cannot
    read (OSError, LookupError, ValueError) shows as a blank that says so. `cost` is what it has cost in money, if that is known.
    `waiting`: it waits for a person's answer, whatever was decided before.
    """
    page = view(state, context, thread, models, read_image, cost, waiting)
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
) -> Path:
    """Write the page of a run to `path` and return it. Whoever reads the file meanwhile sees the old page or the new one, whole."""
    page = render_report(state, context, thread=thread, models=models, read_image=read_image, cost=cost, waiting=waiting)
    replace_file(path, page.encode("utf-8", "replace"))
    return path


@cache
def environment() -> Environment:
    """Return the templates of the pages, by their file names; whatever they are given is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment
