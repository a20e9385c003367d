"""The commands that delete: `gems rm` and `gems prune`."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from ..errors import SettingError
from ..report.text import count_of
from ..terminal import Console, echo
from .options import AsJson, WorkspaceArgs
from .signature import command

if TYPE_CHECKING:
    from ..runs.prune import PruneReport

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@command
def rm_command(
    thread: Annotated[list[str], typer.Argument(help="Names of the runs; see `gems runs`.")],
    workspace: WorkspaceArgs,
    as_json: AsJson = False,
) -> None:
    """Remove runs, with their pages and the images that no other run uses."""
    from ..runs.client import Gems

    _print_report(Gems(runs=workspace.open()).remove(*thread), as_json)


@command
def prune_command(
    *,
    older_than: Annotated[str | None, typer.Option(help="Remove runs whose last step is older than this: 12h, 30d, 8w.")] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the result, page and best image of these runs.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Include runs that were interrupted, failed or wait for a review.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")] = False,
    workspace: WorkspaceArgs,
    as_json: AsJson = False,
) -> None:
    """Free space: remove old finished runs and images that no run uses, and shrink the database."""
    from ..runs.client import Gems

    age = _parse_age(older_than) if older_than is not None else None
    client = Gems(runs=workspace.open())
    report = client.prune(age, keep_best=keep_best, unfinished=unfinished, dry_run=dry_run)
    _print_report(report, as_json, dry_run)


def _parse_age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().lower())
    if match is None:
        raise SettingError(f"--older-than {text}: write a number of hours (h), days (d) or weeks (w), such as 30d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def _print_report(report: PruneReport, as_json: bool, dry_run: bool = False) -> None:
    if as_json:
        echo(json.dumps(report._asdict(), indent=1))
        return
    console = Console()
    would = "would be " if dry_run else ""
    for names, what in ((report.removed, "removed"), (report.trimmed, "reduced to the best image")):
        if names:
            console.print(f"{would}{what}: {escape(', '.join(names))}", soft_wrap=True, highlight=False)
    freed = f"{count_of(report.rows, 'row')}, {count_of(report.images, 'image')} ({decimal(report.image_bytes)})"
    freed += "" if dry_run else f", {decimal(report.database_bytes)} of the database"
    console.print(f"{would}freed: {freed}", soft_wrap=True, highlight=False)
    for note in report.notes:
        console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True, highlight=False)
