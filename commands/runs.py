"""The commands that look at runs made before: `gems runs` and `gems show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..terminal import Console, echo
from .finish import summary
from .options import RUNS, AsJson, Images, Runs, Store, home_of, path_option, reach

if TYPE_CHECKING:
    from ..runs.listing import RunStatus

State = Annotated[str | None, typer.Option(help="Only running, accepted, 'gave up', waiting, unfinished, failed or damaged.")]
Find = Annotated[str | None, typer.Option(help="Only those with this in their name or request.")]


def runs_command(
    state: State = None,
    find: Find = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, the latest last: how each stands, and what it has taken."""
    from ..runs.listing import list_runs
    from .progress import show_runs

    found = list_runs(home_of(runs, store, image_store), state=cast("RunStatus | None", state), find=find or "")
    if as_json:
        echo(json.dumps([{**p._asdict(), "last": p.last.isoformat(timespec="seconds")} for p in found], indent=1))
    elif found:
        show_runs(Console(), found)
    else:
        which = "no such run" if state or find else "no runs"
        Console(stderr=True).print(f"{which} here: begin one with `gems run`, or name their folder with --runs", markup=False)


def show_command(
    thread: Annotated[str, typer.Argument(help="Name of the run; see `gems runs`.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open its report page in the browser.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """Show a run as it stands: every round, its checks, what was learned and what it took."""
    from ..runs.listing import get_run
    from ..runs.manifest import studio_id
    from .progress import TerminalProgress

    home = home_of(runs, store, image_store)
    go_on = f"gems resume {thread}{reach(home)}"
    result = get_run(thread, home)
    if as_json:
        echo(json.dumps({**summary(result), "studio_id": studio_id(thread)}, indent=1, ensure_ascii=False))
    else:
        TerminalProgress(Console()).tell(result, go_on)
        Console().print(f"  thread  {studio_id(thread)} in `langgraph dev`", highlight=False, soft_wrap=True)
    if open_page:
        from ..runs.write_page import refresh_page

        typer.launch(str(refresh_page(thread, home).resolve()))


def gallery_command(
    state: State = None,
    find: Find = None,
    out: Annotated[Path | None, path_option(help="The page to write; by default gallery.html in the folder of runs.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
) -> None:
    """Write one page with many runs: their best images, how each ended and what it took, with filters."""
    from ..runs.write_gallery import write_gallery

    path = write_gallery(out, runs=home_of(runs, store, image_store), state=cast("RunStatus | None", state), find=find or "")
    Console().print(f"written: {path}", soft_wrap=True, highlight=False, markup=False)
    if open_page:
        typer.launch(str(path.resolve()))
