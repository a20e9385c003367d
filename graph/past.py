"""Runs that were made before: a list of them, and one as it stands. Nothing is changed by looking."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from langgraph.checkpoint.sqlite import SqliteSaver

from ..errors import GemsError
from ..memory.checkpoints import sqlite_checkpoints
from ..memory.images import ImageStore
from ..memory.locks import RunInUseError, exclusive
from ..memory.state import GemsState, RoleUsage
from .run import DATABASE, Record, RunError, RunResult, read_record

Standing = Literal["running", "accepted", "gave up", "unfinished", "damaged"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)


class Past(NamedTuple):
    """A run in the list."""

    thread: str
    standing: Standing
    """"unfinished": it was interrupted, and `gems resume` goes on with it; "damaged": it cannot be read, `told` says why."""
    last: datetime
    """When its last step ended, in local time."""
    prompt: str = ""
    rounds: int = 0
    images: int = 0
    calls: int = 0
    cost: float | None = None
    told: str = ""


def past_runs(runs: Path | str = "runs") -> list[Past]:
    """Return all runs of a folder, the one with the latest step last.

    Raises:
        RunError: there is no such folder.
        CheckpointError: the database cannot be opened.
    """
    folder = Path(runs)
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}: begin with `gems run`, or name the folder with --runs")
    threads = [path.parent.name for path in folder.glob("*/run.json")]
    if not (folder / DATABASE).exists():
        found = [_past(folder, thread, None) for thread in threads]
    else:
        with sqlite_checkpoints(folder / DATABASE) as saver:
            found = [_past(folder, thread, saver) for thread in threads]
    return sorted(found, key=lambda past: (past.last, past.thread))


def past_run(thread: str, runs: Path | str = "runs") -> RunResult:
    """Return a run as it stands, finished or not.

    Raises:
        RunError: there is no such run, its record is damaged, or it has not come to a first step yet.
        CheckpointError: the database cannot be opened.
    """
    folder = Path(runs)
    record = read_record(folder, thread)
    stored = None
    if (folder / DATABASE).exists():
        with sqlite_checkpoints(folder / DATABASE) as saver:
            stored = _stored(saver, thread)
    if stored is None:
        raise RunError(f"the run {thread} has not come to a first step: go on with `gems resume {thread}`")
    return RunResult(thread, stored[0], record.context, folder / thread, ImageStore(folder / "images"), record.models)


def _past(folder: Path, thread: str, saver: SqliteSaver | None) -> Past:
    last = datetime.fromtimestamp((folder / thread / "run.json").stat().st_mtime)
    record: Record | None = None
    state = None
    try:
        record = read_record(folder, thread)
        if saver is not None and (stored := _stored(saver, thread)):
            state, last = stored
    except GemsError as error:
        return Past(thread, "damaged", last, record.prompt if record else "", told=str(error))
    used = state.usage.total if state else RoleUsage()
    rounds = state.round if state else 0
    return Past(thread, _standing(folder / thread, state), last, record.prompt, rounds, used.images, used.calls, record.cost)


def _standing(folder: Path, state: GemsState | None) -> Standing:
    decision = state.result.decision if state and state.result else None
    if decision in ("accept", "give up"):
        return "accepted" if decision == "accept" else "gave up"
    return "running" if _in_hand(folder) else "unfinished"


def _in_hand(folder: Path) -> bool:
    try:
        with exclusive(folder):
            return False
    except RunInUseError:
        return True


def _stored(saver: SqliteSaver, thread: str) -> tuple[GemsState, datetime] | None:
    """Return a run's last state and when it was written."""
    found = saver.get_tuple({"configurable": {"thread_id": thread}})
    if found is None:
        return None
    values = {name: value for name, value in found.checkpoint["channel_values"].items() if name in GemsState.model_fields}
    written = datetime.fromisoformat(found.checkpoint["ts"]).astimezone().replace(tzinfo=None)
    return (GemsState.model_validate(values), written) if "prompt" in values else None
