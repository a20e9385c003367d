"""Families of runs: a run, its forks, their forks, and where each has left its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..report.history import ForkNode
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .listing import summarize_run
from .manifest import MANIFESTS, ParentRun

Manifests = Mapping[str, Mapping[str, Any]]
"""What runs were started with, by their names, as it is stored."""


def manifests_of(database: DatabaseConnection) -> Manifests:
    """Return all manifests, an empty one for each that cannot be read."""
    return database.store.whatever_is_in(MANIFESTS)


def parent_of(manifests: Manifests, thread: str) -> tuple[str, int] | None:
    """Return the run that one was forked from, and the first round that is its own; None if it is no fork."""
    try:
        parent = ParentRun.model_validate(manifests.get(thread, {}).get("parent"))
    except ValidationError:  # none, or a damaged manifest
        return None
    return parent.thread, parent.round


def root_of(manifests: Manifests, thread: str) -> str:
    """Return the run that a whole family comes from."""
    seen = {thread}
    while (parent := parent_of(manifests, thread)) and parent[0] not in seen:
        thread = parent[0]
        seen.add(thread)
    return thread


def tree_order(manifests: Manifests, first: str) -> list[tuple[str, int, int]]:
    """Return a run and all that comes from it, each fork after its parent: its name, its depth and the round it left at."""
    forks: dict[str, list[tuple[int, str]]] = {}
    for thread in manifests:
        if parent := parent_of(manifests, thread):
            forks.setdefault(parent[0], []).append((parent[1], thread))
    line: list[tuple[str, int, int]] = []
    waiting = [(first, 0, 0)]
    while waiting:
        name, depth, round = waiting.pop()
        line.append((name, depth, round))
        waiting += [(fork, depth + 1, left) for left, fork in sorted(forks.pop(name, ()), reverse=True)]
    return line


def fork_tree_of(database: DatabaseConnection, workspace: Workspace, thread: str) -> list[ForkNode]:
    """Return the family of a run, its eldest first and each fork after its parent; nothing where it has no relatives."""
    if not database.may_have_forks():
        return []  # most runs have none, and their ends do not read the manifests of all others
    manifests = manifests_of(database)
    line = tree_order(manifests, root_of(manifests, thread))
    if len(line) == 1:
        return []
    found = {name: summarize_run(database, workspace, name) for name, _, _ in line if name in manifests}
    return [
        ForkNode(
            name,
            depth,
            round,
            found[name].standing if name in found else None,
            found[name].rounds if name in found else 0,
            workspace.has_page(name),
        )
        for name, depth, round in line
    ]
