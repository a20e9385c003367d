"""Render the page of a run and write it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..memory.state import ImageRef
from ..privacy import folder_name, without_paths
from ..storage.files import replace_file
from ..terminal import escape_controls
from .attempts import alt_text, attempt_cards, check_matrix, next_prompt
from .compare import compare_first_and_best
from .history import RunHistory
from .inline_images import HEAVY, InlineImage, inline_image, read_once
from .setting_rows import preset_and_changes, setting_rows
from .summary import outcome_of, summary_tiles
from .text import duration
from .timeline import build_timeline

HERO, CARD, THUMBNAIL = 480, 320, 128
"""Largest width and height of the best image, of an attempt's image and of a thumbnail, in CSS pixels."""

SHARP_UP_TO = 24
"""Number of attempts up to which their images have twice the pixels, for dense screens; with more the page would be heavy."""


def render_report(run: RunHistory) -> str:
    """Return the HTML page of a run, finished or not: one file with its images and styles in it, and no script."""
    run = replace(run, read_image=read_once(run.read_image))
    return environment().get_template("page.html").render(shared_sections(run) | _page_sections(run))


def write_report(path: Path, run: RunHistory) -> Path:
    """Write the page of a run to `path` and return the path. The file is replaced at once: a reader never sees half a page."""
    replace_file(path, render_report(run).encode("utf-8", "replace"))
    return path


def shared_sections(run: RunHistory) -> dict[str, Any]:
    """Return what the templates of the page and of the card show, without images."""
    cards = attempt_cards(run)
    return {
        "run": run,
        "outcome": outcome_of(run),
        "cards": cards,
        "hero_card": next((card for card in cards if card.best), cards[-1] if cards else None),
        "matrix": check_matrix(run),
        "next_prompt": next_prompt(run),
    }


def _page_sections(run: RunHistory) -> dict[str, Any]:
    state, attempts = run.state, run.state.attempts
    hero = run.best or (attempts[-1] if attempts else None)
    rounds = {a.round for a in attempts} | {e.round for e in state.experiences} | {r.round for r in state.reviews}
    density = 2 if len(attempts) <= SHARP_UP_TO else 1
    return {
        "hero": hero and inline_image(hero.image, run.read_image, alt=alt_text(hero), edge=HERO, light=HEAVY),
        "tiles": summary_tiles(run),
        "images": {a.key: inline_image(a.image, run.read_image, alt=alt_text(a), edge=CARD, density=density) for a in attempts},
        "pair": compare_first_and_best(run),
        "timeline": build_timeline(run),
        "rounds": sorted(rounds),
        "thumbnails": _thumbnails(run),
        "preset": preset_and_changes(run.context),
        "settings": setting_rows(run.context),
        "models": {role: without_paths(folder_name(name)) for role, name in run.models.items()},
    }


def _thumbnails(run: RunHistory) -> dict[str, InlineImage]:
    """Return the small images by their SHA-256: each is embedded once, however often the page shows it."""
    of_matrix = [a.image for a in run.state.attempts if run.state.checks]
    of_inputs = [part for shown in run.refiner_inputs for part in shown.parts if isinstance(part, ImageRef)]
    refs = {ref.sha256: ref for ref in (*of_matrix, *of_inputs)}
    return {name: inline_image(ref, run.read_image, alt="", edge=THUMBNAIL, light=0) for name, ref in refs.items()}


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
    templates.filters |= {"duration": duration, "without_paths": without_paths}
    return templates
