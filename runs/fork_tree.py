"""Families of runs: a run, its forks, their forks, and where each has left its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ..report.history import ForkNode
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .listing import summarize
from .manifest import SPACE, ParentRun

Manifests = Mapping[str, Mapping[str, Any]]
"""What runs were started with, by their names, as it is stored."""


def manifests_of(opened: DatabaseConnection) -> Manifests:
    """Return all records, an empty one for each that cannot be read."""
    return opened.store.read_namespace(SPACE)


def parent_of(records: Manifests, thread: str) -> tuple[str, int] | None:
    """Return the run that one was forked from, and the first round that is its own; None if it is no fork."""
    try:
        parent = ParentRun.model_validate(records.get(thread, {}).get("parent"))
    except ValidationError:  # none, or a damaged record
        return None
    return parent.thread, parent.round


def root_of(records: Manifests, thread: str) -> str:
    """Return the run that a whole family comes from."""
    seen = {thread}
    while (parent := parent_of(records, thread)) and parent[0] not in seen:
        thread = parent[0]
        seen.add(thread)
    return thread


def tree_order(records: Manifests, first: str) -> list[tuple[str, int, int]]:
    """Return a run and all that comes from it, each fork after its parent: its name, its depth and the round it left at."""
    forks: dict[str, list[tuple[int, str]]] = {}
    for thread in records:
        if parent := parent_of(records, thread):
            forks.setdefault(parent[0], []).append((parent[1], thread))
    line: list[tuple[str, int, int]] = []
    waiting = [(first, 0, 0)]
    while waiting:
        name, depth, round = waiting.pop()
        line.append((name, depth, round))
        waiting += [(fork, depth + 1, left) for left, fork in sorted(forks.pop(name, ()), reverse=True)]
    return line


def fork_tree_of(opened: DatabaseConnection, home: Workspace, thread: str) -> list[ForkNode]:
    """Return the family of a run, its eldest first and each fork after its parent; nothing where it has no relatives."""
    if not opened.may_contain_forks():
        return []  # most runs have none, and their ends do not read the records of all others
    records = manifests_of(opened)
    line = tree_order(records, root_of(records, thread))
    if len(line) == 1:
        return []
    found = {name: summarize(opened, home, name) for name, _, _ in line if name in records}
    return [
        ForkNode(
            name,
            depth,
            round,
            found[name].standing if name in found else None,
            found[name].rounds if name in found else 0,
            home.has_page(name),
        )
        for name, depth, round in line
    ]
