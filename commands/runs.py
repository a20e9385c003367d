"""The commands that show existing runs: `gems runs`, `gems show` and `gems gallery`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..terminal import Console, echo
from .options import AsJson, ThreadArgument, WorkspaceArgs, path_option, workspace_options
from .run_session import result_summary
from .signature import command

if TYPE_CHECKING:
    from ..runs.listing import RunStatus

JSON_KEYS = {"state": "standing", "last_step": "last", "error": "told"}
"""Fields of a `RunSummary` whose key in the output of `gems runs --json` is an earlier name."""

State = Annotated[
    str | None, typer.Option(help="Only runs that are running, accepted, 'gave up', waiting, unfinished, failed or damaged.")
]
Find = Annotated[str | None, typer.Option(help="Only runs with this text in their name or request.")]


@command
def runs_command(
    *,
    state: State = None,
    find: Find = None,
    workspace: WorkspaceArgs,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, latest last, with their state and usage."""
    from ..runs.client import Gems
    from .progress import show_runs

    summaries = Gems(runs=workspace.open()).list(state=cast("RunStatus | None", state), find=find or "")
    if as_json:
        rows = [{**run._asdict(), "last_step": run.last_step.isoformat(timespec="seconds")} for run in summaries]
        echo(json.dumps([{JSON_KEYS.get(name, name): value for name, value in row.items()} for row in rows], indent=1))
    elif summaries:
        show_runs(Console(), summaries)
    else:
        what = "no such run" if state or find else "no runs"
        Console(stderr=True).print(f"{what} here: start one with `gems run`, or name another folder with --runs", markup=False)


@command
def show_command(
    thread: ThreadArgument,
    *,
    open_page: Annotated[bool, typer.Option("--open", help="Open its report in the browser.")] = False,
    workspace: WorkspaceArgs,
    as_json: AsJson = False,
) -> None:
    """Show a run: every round with its checks and experience, the state and the usage."""
    from ..runs.client import Gems
    from ..runs.manifest import studio_id
    from .progress import TerminalProgress

    place = workspace.open()
    resume_command = f"gems resume {thread}{workspace_options(place)}"
    result = Gems(runs=place).get(thread)
    if as_json:
        echo(json.dumps({**result_summary(result), "studio_id": studio_id(thread)}, indent=1, ensure_ascii=False))
    else:
        TerminalProgress(Console()).show_run(result, resume_command)
        Console().print(f"  thread  {studio_id(thread)} in `langgraph dev`", highlight=False, soft_wrap=True)
    if open_page:
        from ..runs.write_page import refresh_page

        typer.launch(str(refresh_page(thread, place).resolve()))


@command
def gallery_command(
    *,
    state: State = None,
    find: Find = None,
    out: Annotated[Path | None, path_option(help="Page to write; by default gallery.html in --runs.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    workspace: WorkspaceArgs,
) -> None:
    """Write a page of many runs with filters: the best image, the outcome and the usage of each."""
    from ..runs.write_gallery import write_gallery

    path = write_gallery(out, runs=workspace.open(), state=cast("RunStatus | None", state), find=find or "")
    Console().print(f"written: {path}", soft_wrap=True, highlight=False, markup=False)
    if open_page:
        typer.launch(str(path.resolve()))
