"""The commands `gems lessons`: what runs have learned for later ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ..errors import SettingError
from ..memory.state import CheckKind
from ..terminal import Console, echo
from .options import RUNS, AsJson, Runs, Store, home_of, path_argument

if TYPE_CHECKING:
    from ..memory.lessons import Lessons, StoredLesson

lessons_app = typer.Typer(help="What runs have learned for later ones; see `gems run --lessons`.", no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(help="Ids of lessons, or the beginnings of ids; see `gems lessons list`.")]


@lessons_app.command("list")
def lessons_list(
    proposed: Annotated[bool, typer.Option("--proposed", help="Only those that wait for approval.")] = False,
    kind: Annotated[
        str | None, typer.Option(help=f"Only those about checks of this kind: {', '.join(get_args(CheckKind))}.")
    ] = None,
    runs: Runs = RUNS,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """List the lessons, the most promising first: how often each was tried, and how often it helped."""
    if kind is not None and kind not in get_args(CheckKind):
        raise SettingError(f"--kind {kind}: choose one of {', '.join(get_args(CheckKind))}")
    with _book(runs, store) as book:
        found = book.ranked("proposed" if proposed else None, kind)  # type: ignore[arg-type]
    if as_json:
        echo(json.dumps([lesson.to_json() for lesson in found], indent=1, ensure_ascii=False))
    elif found:
        Console().print(_table(found))
    else:
        hint = "none waits for approval" if proposed else "no lesson here: runs with `gems run --lessons keep` leave some"
        Console(stderr=True).print(hint, markup=False)


@lessons_app.command("show")
def lessons_show(
    id: Annotated[str, typer.Argument(help="Id of the lesson, or its beginning.")],
    runs: Runs = RUNS,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Show a lesson with its trials."""
    with _book(runs, store) as book:
        lesson, trials = book.get(id)
    if as_json:
        told = {**lesson.to_json(), "trials": [trial.model_dump(mode="json") for trial in trials]}
        echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    about = f"{lesson.kind}, with the skill {lesson.skill}" if lesson.skill else lesson.kind
    lines = [f"{lesson.id}  {about}  ({_standing(lesson)})", "", lesson.text, ""]
    lines += [f"learned for: {lesson.question}"] if lesson.question else []
    lines.append(f"helped in {lesson.helped} of {lesson.tried} tries")
    for trial in trials:
        how = "learned there" if trial.learned else "helped" if trial.helped else "did not help"
        lines.append(f"  {trial.at:%Y-%m-%d %H:%M} UTC  {how}  {trial.run}")
    echo("\n".join(lines))


@lessons_app.command("approve")
def lessons_approve(ids: Ids, runs: Runs = RUNS, store: Store = None) -> None:
    """Keep lessons that were proposed: from now on, runs with lessons are shown them."""
    with _book(runs, store) as book:
        for lesson in [book.get(id).lesson for id in ids]:  # an unknown one is told before anything is done
            book.approve(lesson.id)
            echo(f"kept: {lesson.id} {lesson.text}")


@lessons_app.command("rm")
def lessons_rm(ids: Ids, runs: Runs = RUNS, store: Store = None) -> None:
    """Remove lessons, with what was counted of them. A later run may learn them again."""
    with _book(runs, store) as book:
        for lesson in [book.get(id).lesson for id in ids]:
            book.remove(lesson.id)
            echo(f"removed: {lesson.id} {lesson.text}")


@lessons_app.command("export")
def lessons_export(
    file: Annotated[Path, path_argument(help="File to write, - for standard output.")], runs: Runs = RUNS, store: Store = None
) -> None:
    """Write all lessons, a line of JSON each, for `gems lessons import` elsewhere."""
    from ..memory.lesson_files import export_lessons
    from ..storage.files import replace_file

    with _book(runs, store) as book:
        lines = [line + "\n" for line in export_lessons(book)]
    if str(file) == "-":
        echo("".join(lines), end="")
    else:
        replace_file(file, "".join(lines).encode())
        echo(f"{file}: {len(lines)} lessons")


@lessons_app.command("import")
def lessons_import(
    file: Annotated[Path, path_argument(help="File that `gems lessons export` has written, - for standard input.")],
    review: Annotated[bool, typer.Option("--review", help="New ones wait for approval; known ones keep their counts.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
) -> None:
    """Take over lessons from elsewhere. What was imported before counts once."""
    from ..errors import LessonError
    from ..memory.lesson_files import import_lessons

    try:
        text = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LessonError(f"{file} is no UTF-8 text ({error}): give a file that `gems lessons export` has written") from error
    with _book(runs, store, new=True) as book:
        done = import_lessons(book, text.split("\n"), review)
    left_out = f", {done.left_out} of known lessons left out (to count them, import without --review)" if done.left_out else ""
    echo(f"{done.new} new lessons, {done.known} known ones; {done.booked} trials booked{left_out}")


@contextmanager
def _book(runs: Path, store: str | None, new: bool = False) -> Iterator[Lessons]:
    """Open the lessons of a home.

    Raises:
        LessonError: there is no database yet, and none is to be made.
    """
    from ..errors import LessonError
    from ..memory.lessons import Lessons

    database = home_of(runs, store, None).database
    if not new and not database.exists():
        raise LessonError(
            f"there are no runs in {database.name}, so no lessons: begin with `gems run --lessons keep`, or see --runs"
        )
    with database.open() as opened:
        yield Lessons(opened.store)


def _standing(lesson: StoredLesson) -> str:
    if lesson.status == "proposed":
        return "waits for approval"
    return "no longer shown: it seldom helps" if lesson.is_harmful else "kept"


def _table(found: Sequence[StoredLesson]) -> Table:
    out = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("id", "kind", "skill"):
        out.add_column(name, no_wrap=True)
    out.add_column("helped", justify="right", no_wrap=True)
    out.add_column("lesson", ratio=1)
    for lesson in found:
        standing = "" if _standing(lesson) == "kept" else f" [yellow]({_standing(lesson)})[/]"
        counts = f"{lesson.helped} of {lesson.tried}"
        out.add_row(lesson.id, lesson.kind, escape(lesson.skill), counts, escape(lesson.text) + standing)
    return out
