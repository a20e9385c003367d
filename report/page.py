"""Render the page of a run and write it."""

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
from .inline_images import ReadImage, read_once
from .page_view import build_view
from .text import duration


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

    Args:
        state: its state.
        context: its settings.
        thread: its name.
        models: names of its models, such as {"chat": ..., "image": ...}.
        read_image: reads an image; one that cannot be read (OSError, LookupError, ValueError) shows as a blank with a text.
        cost: its cost in money, empty if it is not known.
        waiting: whether it waits for a person's answer.
        history: its steps, the inputs of its refiner, and its forks; what is not known is left out.
    """
    page = build_view(state, context, thread, models, read_once(read_image), cost, waiting, history)
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
    """Write the page of a run to `path` and return the path. The file is replaced at once: a reader never sees half a page."""
    page = render_report(
        state, context, thread=thread, models=models, read_image=read_image, cost=cost, waiting=waiting, history=history
    )
    replace_file(path, page.encode("utf-8", "replace"))
    return path


def _finalize(value: Any) -> Any:
    """Make texts `escape_controls`. Markup is ours, and its values have passed through here."""
    return escape_controls(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def environment() -> Environment:
    """Return the Jinja environment of this folder's templates. Texts of people and models are escaped."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["duration"] = duration
    return templates
