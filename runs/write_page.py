"""Write the page of a run from its last state, its checkpoints and the manifests of its forks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import CheckpointError, RunError
from ..report import RunHistory, render_report, write_report
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .checkpoint_history import shown_to_refiner, steps_of
from .fork_tree import fork_tree_of
from .listing import read_result
from .manifest import RunManifest, config_of, open_existing, read_manifest
from .result import RunResult


def write_page(result: RunResult, database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> None:
    """Write the page of a run.

    Args:
        result: its current state.
        database: the open database.
        workspace: where the run is.
        manifest: what the run was started with.
    """
    write_report(result.report_path, _run_history(result, database, workspace, manifest))


def page_as_text(thread: str, database: DatabaseConnection, workspace: Workspace) -> str:
    """Return the page of a run in its current state as HTML, without writing it; other runs are linked as ../THREAD/report.html.

    A pruned run keeps the page that it had: too few of its steps and images are left for another.

    Raises:
        GemsError: there is no such run, it has not finished a step yet, or its stored data are damaged.
    """
    manifest = read_manifest(database, workspace, thread)
    result = read_result(database, workspace, manifest)
    if manifest.pruned and result.report_path.exists():
        return result.report_path.read_text(encoding="utf-8")
    return render_report(_run_history(result, database, workspace, manifest))


def refresh_page(thread: str, runs: Workspace | Path | str = "runs") -> Path:
    """Write the page of a run anew, in its current state and with its current forks; that of a pruned run stays as it is.

    Raises:
        GemsError: there is no such run, it has not finished a step yet, or its stored data are damaged.
    """
    workspace = Workspace.of(runs)
    with open_existing(workspace, thread) as database:
        manifest = read_manifest(database, workspace, thread)
        result = read_result(database, workspace, manifest)
        if not manifest.pruned:
            write_page(result, database, workspace, manifest)
        elif not result.report_path.exists():
            raise RunError(f"the run {thread} was pruned, and its page was removed: it cannot be written again")
    return result.report_path


def _run_history(result: RunResult, database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> RunHistory:
    try:
        checkpoints = list(database.saver.list(config_of(manifest.thread)))
    except CheckpointError:  # a damaged early step does not spoil the page of a run that has been resumed since
        checkpoints = []
    swapped = "refiner" in manifest.nodes  # what a swapped refiner reads is not known
    return replace(
        result.history,
        began=manifest.began,
        parent=(manifest.parent.thread, manifest.parent.round) if manifest.parent else None,
        steps=steps_of(checkpoints),
        refiner_inputs=[] if swapped else shown_to_refiner(checkpoints, manifest.context),
        forks=fork_tree_of(database, workspace, manifest.thread),
    )
