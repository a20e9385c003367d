"""The commands `gems lessons`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ..errors import SettingError
from ..memory.check_kinds import KINDS
from ..terminal import Console, echo
from .options import RUNS, AsJson, Runs, Store, path_argument, workspace_of

if TYPE_CHECKING:
    from ..memory.lessons import Lessons, StoredLesson

lessons_app = typer.Typer(help="Manage the lessons that runs have learned; see `gems run --lessons`.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(help="Ids of lessons, or their first characters, as `gems lessons list` shows them.")]


@lessons_app.command("list")
def lessons_list(
    proposed: Annotated[bool, typer.Option("--proposed", help="Only lessons that wait for approval.")] = False,
    kind: Annotated[str | None, typer.Option(help=f"Only lessons about checks of this kind: {', '.join(KINDS)}.")] = None,
    runs: Runs = RUNS,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """List the lessons, most promising first, with how often each was tried and helped."""
    if kind is not None and kind not in KINDS:
        raise SettingError(f"--kind {kind}: choose one of {', '.join(KINDS)}")
    with _open_lessons(runs, store) as lessons:
        ranked = lessons.ranked("proposed" if proposed else None, kind)
    if as_json:
        echo(json.dumps([lesson.to_json() for lesson in ranked], indent=1, ensure_ascii=False))
    elif ranked:
        Console().print(_lessons_table(ranked))
    else:
        hint = "no lesson waits for approval" if proposed else "no lessons here: learn some with `gems run --lessons keep`"
        Console(stderr=True).print(hint, markup=False)


@lessons_app.command("show")
def lessons_show(
    id: Annotated[str, typer.Argument(help="Id of the lesson, or its first characters.")],
    runs: Runs = RUNS,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Show a lesson with its trials."""
    with _open_lessons(runs, store) as lessons:
        lesson, trials = lessons.get(id)
    if as_json:
        fields = {**lesson.to_json(), "trials": [trial.model_dump(mode="json") for trial in trials]}
        echo(json.dumps(fields, indent=1, ensure_ascii=False))
        return
    kind = f"{lesson.kind}, with the skill {lesson.skill}" if lesson.skill else lesson.kind
    lines = [f"{lesson.id}  {kind}  ({_status(lesson)})", "", lesson.text, ""]
    lines += [f"learned for: {lesson.question}"] if lesson.question else []
    lines.append(f"helped in {lesson.helped} of {lesson.tried} tries")
    for trial in trials:
        outcome = "learned" if trial.learned else "helped" if trial.helped else "did not help"
        lines.append(f"  {trial.at:%Y-%m-%d %H:%M} UTC  {outcome}  {trial.run}")
    echo("\n".join(lines))


@lessons_app.command("approve")
def lessons_approve(ids: Ids, runs: Runs = RUNS, store: Store = None) -> None:
    """Approve proposed lessons, so that later runs with lessons use them."""
    with _open_lessons(runs, store) as lessons:
        for lesson in [lessons.get(id).lesson for id in ids]:  # an unknown id fails before anything is changed
            lessons.approve(lesson.id)
            echo(f"kept: {lesson.id} {lesson.text}")


@lessons_app.command("rm")
def lessons_rm(ids: Ids, runs: Runs = RUNS, store: Store = None) -> None:
    """Remove lessons and their trials. A later run may learn them again."""
    with _open_lessons(runs, store) as lessons:
        for lesson in [lessons.get(id).lesson for id in ids]:
            lessons.remove(lesson.id)
            echo(f"removed: {lesson.id} {lesson.text}")


@lessons_app.command("export")
def lessons_export(
    file: Annotated[Path, path_argument(help="File to write; - means standard output.")], runs: Runs = RUNS, store: Store = None
) -> None:
    """Write all lessons as lines of JSON, for `gems lessons import`."""
    from ..memory.lesson_files import export_lessons
    from ..storage.files import replace_file

    with _open_lessons(runs, store) as lessons:
        lines = [line + "\n" for line in export_lessons(lessons)]
    if str(file) == "-":
        echo("".join(lines), end="")
    else:
        replace_file(file, "".join(lines).encode())
        echo(f"{file}: {len(lines)} lessons")


@lessons_app.command("import")
def lessons_import(
    file: Annotated[Path, path_argument(help="File that `gems lessons export` wrote; - means standard input.")],
    review: Annotated[bool, typer.Option("--review", help="New lessons wait for approval; known ones keep their counts.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
) -> None:
    """Add the lessons of a file. Trials that were imported before are not counted again."""
    from ..errors import LessonError
    from ..memory.lesson_files import import_lessons

    try:
        text = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LessonError(f"{file} is not UTF-8 text ({error}): give a file that `gems lessons export` wrote") from error
    with _open_lessons(runs, store, new=True) as lessons:
        imported = import_lessons(lessons, text.split("\n"), review)
    skipped = f", {imported.left_out} of known lessons not (import without --review to count them)" if imported.left_out else ""
    echo(f"{imported.new} new lessons, {imported.known} known; {imported.booked} trials counted{skipped}")


@contextmanager
def _open_lessons(runs: Path, store: str | None, new: bool = False) -> Iterator[Lessons]:
    """Open the lessons of a workspace; `new` creates its database if there is none.

    Raises:
        LessonError: there is no database.
    """
    from ..errors import LessonError
    from ..memory.lessons import Lessons

    database = workspace_of(runs, store, None).database
    if not new and not database.exists():
        raise LessonError(
            f"there are no runs in {database.name}, so no lessons: start with `gems run --lessons keep`, or change --runs"
        )
    with database.open() as connection:
        yield Lessons(connection.store)


def _status(lesson: StoredLesson) -> str:
    if lesson.status == "proposed":
        return "waits for approval"
    return "no longer used: it seldom helps" if lesson.is_harmful else "kept"


def _lessons_table(lessons: Sequence[StoredLesson]) -> Table:
    out = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("id", "kind", "skill"):
        out.add_column(name, no_wrap=True)
    out.add_column("helped", justify="right", no_wrap=True)
    out.add_column("lesson", ratio=1)
    for lesson in lessons:
        status = "" if _status(lesson) == "kept" else f" [yellow]({_status(lesson)})[/]"
        counts = f"{lesson.helped} of {lesson.tried}"
        out.add_row(lesson.id, lesson.kind, escape(lesson.skill), counts, escape(lesson.text) + status)
    return out
