"""The page of a run, written from its last state, its checkpoints and the records of its relatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CheckpointError, RunError
from ..report import RunHistory, render_report, write_report
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .fork_tree import fork_tree_of
from .listing import opened_for, result_of
from .manifest import RunManifest, config_of, read_manifest
from .result import RunResult
from .timeline import shown_to_refiner, steps_of


def write_page(result: RunResult, opened: DatabaseConnection, home: Workspace, record: RunManifest) -> None:
    """Write the page of a run.

    Args:
        result: the run as it stands.
        opened: the database it is in.
        home: where it lives.
        record: what it was started with.
    """
    write_report(result.report_path, result.state, result.context, **_shown(result, opened, home, record))


def page_of(thread: str, opened: DatabaseConnection, home: Workspace) -> str:
    """Return the page of a run as it stands now, without writing it; links to other runs are to ../THREAD/report.html.

    That of a pruned run is the one that it had: of its steps and images too little is left for another.

    Raises:
        GemsError: there is no such run, it has not come to a first step yet, or what is stored of it is damaged.
    """
    record = read_manifest(opened, home, thread)
    result = result_of(opened, home, record)
    if record.pruned and result.report_path.exists():
        return result.report_path.read_text(encoding="utf-8")
    return render_report(result.state, result.context, **_shown(result, opened, home, record))


def _shown(result: RunResult, opened: DatabaseConnection, home: Workspace, record: RunManifest) -> dict[str, Any]:
    return {
        "thread": result.thread,
        "models": result.models.names,
        "read_image": result.store.read,
        "cost": str(result.cost or ""),
        "waiting": result.waiting is not None,
        "history": _history(opened, home, record),
    }


def refresh_page(thread: str, runs: Workspace | Path | str = "runs") -> Path:
    """Write the page of a run anew, as it stands now and with the forks it has now; that of a pruned run stays as it is.

    Raises:
        GemsError: there is no such run, it has not come to a first step yet, or what is stored of it is damaged.
    """
    home = Workspace.of(runs)
    with opened_for(thread, home) as opened:
        record = read_manifest(opened, home, thread)
        result = result_of(opened, home, record)
        if not record.pruned:
            write_page(result, opened, home, record)
        elif not result.report_path.exists():
            raise RunError(f"the run {thread} was pruned, and its page is gone: it cannot be written again")
    return result.report_path


def _history(opened: DatabaseConnection, home: Workspace, record: RunManifest) -> RunHistory:
    try:
        checkpoints = list(opened.saver.list(config_of(record.thread)))
    except CheckpointError:  # a damaged step of long ago does not spoil the page of a run that has gone on since
        checkpoints = []
    swapped = "refiner" in record.nodes  # what another one looked at is not known
    return RunHistory(
        steps=steps_of(checkpoints),
        refiner_inputs=[] if swapped else shown_to_refiner(checkpoints, record.context),
        forks=fork_tree_of(opened, home, record.thread),
        began=record.began,
        failed=record.failed,
        parent=(record.parent.thread, record.parent.round) if record.parent else None,
    )
