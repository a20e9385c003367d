"""The commands that make room: `gems rm` and `gems prune`."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from ..errors import SettingError
from ..terminal import Console, echo
from .options import RUNS, AsJson, Images, Runs, Store, home_of

if TYPE_CHECKING:
    from ..runs.prune import PruneReport

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def rm_command(
    thread: Annotated[list[str], typer.Argument(help="Names of the runs; see `gems runs`.")],
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """Remove runs, with their pages and the images that no other run refers to."""
    from ..runs.prune import remove

    _tell(remove(thread, home_of(runs, store, image_store)), as_json)


def prune_command(
    older_than: Annotated[str | None, typer.Option(help="Remove runs whose last step is older: 12h, 30d, 8w.")] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Of these, keep the end, the page and the best image.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also runs that were interrupted, have failed or wait for a person.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """Make room: remove old runs that have ended, and images that nothing refers to, and shrink the database."""
    from ..runs.prune import prune

    age = _age(older_than) if older_than is not None else None
    home = home_of(runs, store, image_store)
    _tell(prune(age, keep_best=keep_best, unfinished=unfinished, dry_run=dry_run, runs=home), as_json, dry_run)


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower())
    if found is None:
        raise SettingError(f"--older-than {text}: write a number and h, d or w for hours, days or weeks, such as 30d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _tell(freed: PruneReport, as_json: bool, dry_run: bool = False) -> None:
    if as_json:
        echo(json.dumps(freed._asdict(), indent=1))
        return
    console = Console()
    would = "would be " if dry_run else ""
    for names, what in ((freed.removed, "removed"), (freed.trimmed, "cut down to their best image")):
        if names:
            console.print(f"{would}{what}: {escape(', '.join(names))}", soft_wrap=True, highlight=False)
    room = f"{freed.rows} rows, {freed.images} images ({decimal(freed.image_bytes)})"
    room += "" if dry_run else f", {decimal(freed.database_bytes)} of the database"
    console.print(f"{would}freed: {room}", soft_wrap=True, highlight=False)
    for note in freed.notes:
        console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True, highlight=False)
