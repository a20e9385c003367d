"""The commands that look at runs made before: `gems runs` and `gems show`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from ..context import SettingError
from .finish import summary
from .options import RUNS, AsJson, Images, Runs, Store, home_of, reach


def runs_command(
    state: Annotated[str | None, typer.Option(help="Only running, accepted, 'gave up', waiting, unfinished or damaged.")] = None,
    find: Annotated[str | None, typer.Option(help="Only those with this in their name or request.")] = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, the latest last: how each stands, and what it has taken."""
    from ..graph.past import STANDINGS, past_runs
    from ..progress import runs_table

    if state is not None and state not in STANDINGS:
        raise SettingError(f"--state {state}: choose one of {', '.join(STANDINGS)}")
    wanted = (find or "").casefold()
    listed = past_runs(home_of(runs, store, image_store))
    found = [one for one in listed if state in (None, one.standing) and wanted in f"{one.thread} {one.prompt}".casefold()]
    if as_json:
        print(json.dumps([{**p._asdict(), "last": p.last.isoformat(timespec="seconds")} for p in found], indent=1))  # noqa: T201
    elif found:
        Console().print(runs_table(found))
    else:
        Console(stderr=True).print("no such run here: begin one with `gems run`, or name their folder with --runs", markup=False)


def show_command(
    thread: Annotated[str, typer.Argument(help="Name of the run; see `gems runs`.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open its report page in the browser.")] = False,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
) -> None:
    """Show a run as it stands: every round, its checks, what was learned and what it took."""
    from ..graph.past import past_run
    from ..graph.record import studio_id
    from ..progress import Progress

    home = home_of(runs, store, image_store)
    go_on = f"gems resume {thread}{reach(home)}"
    result = past_run(thread, home)
    if as_json:
        print(json.dumps({**summary(result), "studio_id": studio_id(thread)}, indent=1, ensure_ascii=False))  # noqa: T201
    else:
        Progress(Console()).tell(result, go_on)
        Console().print(f"  thread  {studio_id(thread)} in `langgraph dev`", highlight=False, soft_wrap=True)
    if open_page:
        if not result.report_path.exists():
            raise SettingError(f"the run {thread} has no page yet: `{go_on}` brings it to its end and writes it")
        typer.launch(str(result.report_path.resolve()))
