"""The commands that show existing runs: `gems runs`, `gems show` and `gems gallery`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..terminal import Console, echo
from .options import RUNS, AsJson, Images, Runs, Store, path_option, workspace_of, workspace_options
from .run_session import result_summary

if TYPE_CHECKING:
    from ..runs.listing import RunStatus

State = Annotated[
    str | None, typer.Option(help="Only runs that are running, accepted, 'gave up', waiting, unfinished, failed or damaged.")
]
Find = Annotated[str | None, typer.Option(help="Only runs with this text in their name or request.")]


def runs_command(
    state: State = None,
    find: Find = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, latest last, with their state and usage."""
    from ..runs.client import Gems
    from .progress import show_runs

    client = Gems(runs=workspace_of(runs, store, image_store))
    summaries = client.list(state=cast("RunStatus | None", state), find=find or "")
    if as_json:
        echo(json.dumps([{**run._asdict(), "last": run.last.isoformat(timespec="seconds")} for run in summaries], indent=1))
    elif summaries:
        show_runs(Console(), summaries)
    else:
        what = "no such run" if state or find else "no runs"
        Console(stderr=True).print(f"{what} here: start one with `gems run`, or name another folder with --runs", markup=False)


def show_command(
    thread: Annotated[str, typer.Argument(help="Name of the run, as `gems runs` lists it.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open its report in the browser.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: every round with its checks and experience, the state and the usage."""
    from ..runs.client import Gems
    from ..runs.manifest import studio_id
    from .progress import TerminalProgress

    workspace = workspace_of(runs, store, image_store)
    resume_command = f"gems resume {thread}{workspace_options(workspace)}"
    result = Gems(runs=workspace).get(thread)
    if as_json:
        echo(json.dumps({**result_summary(result), "studio_id": studio_id(thread)}, indent=1, ensure_ascii=False))
    else:
        TerminalProgress(Console()).show_run(result, resume_command)
        Console().print(f"  thread  {studio_id(thread)} in `langgraph dev`", highlight=False, soft_wrap=True)
    if open_page:
        from ..runs.write_page import refresh_page

        typer.launch(str(refresh_page(thread, workspace).resolve()))


def gallery_command(
    state: State = None,
    find: Find = None,
    out: Annotated[Path | None, path_option(help="Page to write; by default gallery.html in --runs.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
) -> None:
    """Write a page of many runs with filters: the best image, the outcome and the usage of each."""
    from ..runs.write_gallery import write_gallery

    path = write_gallery(out, runs=workspace_of(runs, store, image_store), state=cast("RunStatus | None", state), find=find or "")
    Console().print(f"written: {path}", soft_wrap=True, highlight=False, markup=False)
    if open_page:
        typer.launch(str(path.resolve()))
