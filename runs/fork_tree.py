"""The tree of a run, its forks and their forks, with the round at which each left its parent."""

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
"""Manifests of runs by their names, as stored, not validated."""


def manifests_of(database: DatabaseConnection) -> Manifests:
    """Return all manifests; one that cannot be read is empty."""
    return database.read_namespace(MANIFESTS)


def parent_of(manifests: Manifests, thread: str) -> tuple[str, int] | None:
    """Return the run that a run was forked from, and the first round that is its own; None if it is no fork."""
    try:
        parent = ParentRun.model_validate(manifests.get(thread, {}).get("parent"))
    except ValidationError:  # none, or a damaged manifest
        return None
    return parent.thread, parent.round


def root_of(manifests: Manifests, thread: str) -> str:
    """Return the root of the tree that a run is in."""
    seen = {thread}
    while (parent := parent_of(manifests, thread)) and parent[0] not in seen:
        thread = parent[0]
        seen.add(thread)
    return thread


def tree_order(manifests: Manifests, root: str) -> list[tuple[str, int, int]]:
    """Return a run and its descendants, each fork after its parent: name, depth, and first round that is not its parent's."""
    forks: dict[str, list[tuple[int, str]]] = {}
    for thread in manifests:
        if parent := parent_of(manifests, thread):
            forks.setdefault(parent[0], []).append((parent[1], thread))
    ordered: list[tuple[str, int, int]] = []
    stack = [(root, 0, 0)]
    while stack:
        name, depth, round = stack.pop()
        ordered.append((name, depth, round))
        stack += [(fork, depth + 1, left) for left, fork in sorted(forks.pop(name, ()), reverse=True)]
    return ordered


def fork_tree_of(database: DatabaseConnection, workspace: Workspace, thread: str) -> list[ForkNode]:
    """Return the tree that a run is in, the root first and each fork after its parent; empty if the run has no relatives."""
    if not database.may_contain_forks():
        return []  # most runs have none: then the manifests of all others need not be read
    manifests = manifests_of(database)
    tree = tree_order(manifests, root_of(manifests, thread))
    if len(tree) == 1:
        return []
    summaries = {name: summarize_run(database, workspace, name) for name, _, _ in tree if name in manifests}
    return [
        ForkNode(
            name,
            depth,
            round,
            summaries[name].state if name in summaries else None,
            summaries[name].rounds if name in summaries else 0,
            workspace.has_page(name),
        )
        for name, depth, round in tree
    ]
