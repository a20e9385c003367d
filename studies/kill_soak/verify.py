"""Whether runs are as they would be if nobody had been killed."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from pydantic import BaseModel

from gems.errors import ImageStoreError
from gems.memory.state import GemsState, ImageRef
from gems.runs.manifest import config_of
from gems.storage.database import DatabaseConnection
from gems.storage.postgres import PostgresConnection
from gems.storage.sqlite import SqliteConnection, SqliteDatabase
from gems.storage.workspace import Workspace

from .crew import SoakFolder
from .watch import read_log


class SoakFindings(BaseModel):
    """What the runs of a database look like at the end."""

    attempts: int = 0
    checkpoints: int = 0
    drawn: int = 0
    drawn_again: int = 0
    """Pictures of which nothing had been stored when the process was killed."""
    stored_again: int = 0
    lost: int = 0
    """Attempts that are missing or doubled, and stored pictures that no attempt has."""
    differing: int = 0
    leftovers: int = 0
    """Temporary files of writes that were killed."""
    others: int = 0
    """Problems that none of these counts."""
    problems: list[str] = []


def comparable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state as plain data, without what no two runs have in common: seconds, and the ids of messages."""
    if "prompt" not in values:
        return {}  # before the first step
    state = GemsState.model_validate({k: v for k, v in values.items() if k in GemsState.model_fields}).model_dump(mode="json")
    result = state["result"]
    for used in [state["usage"], *([result["usage"], result["before"]] if result else [])]:
        for role in used["roles"].values():
            role["seconds"] = 0
    for message in state["planning"]:
        message.pop("id", None)
    return state


def history(opened: DatabaseConnection, thread: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return step and state of every checkpoint of a run, the oldest first."""
    found = [(c.metadata.get("step"), comparable(c.checkpoint["channel_values"])) for c in opened.saver.list(config_of(thread))]
    return found[::-1]


def histories(place: SoakFolder, runs: int) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
    """Return the histories of the first runs of a place, by their threads."""
    with place.home().database.open() as opened:
        return {thread: history(opened, thread) for thread in (place.job(n).thread for n in range(runs))}


def verify(place: SoakFolder, expected: Mapping[str, list[tuple[Any, dict[str, Any]]]]) -> SoakFindings:
    """Look at all runs of a place, their checkpoints and their pictures.

    Args:
        place: where nobody is at work any more.
        expected: the history of each run, as it is without kills.
    """
    found, home, others = SoakFindings(), place.home(), list[str]()
    if isinstance(home.database, SqliteDatabase):
        with closing(sqlite3.connect(home.database.path)) as connection:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        others += [f"integrity_check: {line}" for line in said if line != "ok"]
    with home.database.open() as opened:
        others += orphans(opened)
        tips = Counter(tip.thread for tip in opened.branch_heads())
        for thread, whole in expected.items():
            past = history(opened, thread)
            others += [] if tips[thread] == 1 else [f"{thread}: it has {tips[thread]} branches"]
            others += [f"{thread}: it is still in hand"] if opened.is_locked(thread) else []
            others += [f"{thread}: {problem}" for problem in _end(home, thread, past[-1][1] if past else {})]
            found.problems += [f"{thread}: {problem}" for problem in _compare(place, thread, past, whole, found)]
    found.others = len(others)
    found.problems += others
    found.leftovers = sum(1 for _ in place.runs.rglob(".*.tmp"))
    return found


def _compare(
    place: SoakFolder,
    thread: str,
    past: list[tuple[Any, dict[str, Any]]],
    whole: list[tuple[Any, dict[str, Any]]],
    found: SoakFindings,
) -> Iterator[str]:
    attempts = past[-1][1].get("attempts", []) if past else []
    found.attempts, found.checkpoints = found.attempts + len(attempts), found.checkpoints + len(past)
    if past != whole:
        found.differing += 1
        yield _difference(past, whole)
    there, wanted = (Counter((a["round"], a["candidate"]) for a in each) for each in (attempts, whole[-1][1]["attempts"]))
    made = read_log(place.pictures(thread))
    unbooked = {line["sha256"] for line in made if line["what"] == "stored"} - {a["image"]["sha256"] for a in attempts}
    wrong = [*(there - wanted).elements(), *(wanted - there).elements()]
    found.lost += len(wrong) + len(unbooked)
    if wrong or unbooked:
        yield f"attempts lost or doubled: {wrong}; stored pictures of no attempt: {sorted(unbooked)}"
    stored = Counter(line["key"] for line in made if line["what"] == "stored")
    twice = Counter(line["key"] for line in made if line["what"] == "asked for though stored") | (stored - Counter(set(stored)))
    found.stored_again += twice.total()
    if twice:
        yield f"made again though stored: {sorted(twice.elements())}"
    found.drawn += sum(line["what"] == "drawn" for line in made)
    found.drawn_again += sum(line["what"] == "drawn" and line["again"] for line in made)


def _end(home: Workspace, thread: str, state: dict[str, Any]) -> Iterator[str]:
    result = state.get("result") or {}
    if result.get("decision") not in ("accept", "give up"):
        yield f"it is not finished: {result.get('decision', 'no decision')}"
    attempts = state.get("attempts", [])
    for attempt in attempts:
        try:
            home.images.open(ImageRef.model_validate(attempt["image"]))
        except ImageStoreError as error:
            yield str(error)
    key = result.get("best_round"), result.get("best_candidate")
    named = [a["image"] for a in attempts if (a["round"], a["candidate"]) == key]
    best, page = (home.folder_of(thread) / name for name in ("best.png", "report.html"))
    if not best.exists() or not named or hashlib.sha256(best.read_bytes()).hexdigest() != named[0]["sha256"]:
        yield "best.png is missing or not the best picture"
    if not page.exists() or not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        yield "report.html is missing or not whole"


def _difference(past: list[tuple[Any, dict[str, Any]]], whole: list[tuple[Any, dict[str, Any]]]) -> str:
    if [step for step, _ in past] != [step for step, _ in whole]:
        return f"its checkpoints are of the steps {[s for s, _ in past]}, those of an unkilled run {[s for s, _ in whole]}"
    step, ours, theirs = next((s, a, b) for (s, a), (_, b) in zip(past, whole, strict=True) if a != b)
    fields = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return f"at step {step} it differs from an unkilled run in {', '.join(fields)}"


def orphans(opened: DatabaseConnection) -> list[str]:
    """Return what is wrong with the rows of checkpoints: writes without a checkpoint, checkpoints whose parent is gone."""
    writes = "writes" if isinstance(opened, SqliteConnection) else "checkpoint_writes"
    other = (
        "(SELECT 1 FROM checkpoints AS p WHERE p.thread_id = c.thread_id AND p.checkpoint_ns = c.checkpoint_ns AND p.checkpoint_id"
    )
    asked = {
        "writes without a checkpoint": (f"SELECT count(*) AS n FROM {writes} AS c WHERE NOT EXISTS {other} = c.checkpoint_id)"),
        "checkpoints whose parent is gone": (
            "SELECT count(*) AS n FROM checkpoints AS c WHERE c.parent_checkpoint_id IS NOT NULL AND c.parent_checkpoint_id <> '' "
            f"AND NOT EXISTS {other} = c.parent_checkpoint_id)"
        ),
    }
    if isinstance(opened, PostgresConnection):
        asked["values of no checkpoint"] = (
            "SELECT count(*) AS n FROM checkpoint_blobs AS b WHERE NOT EXISTS (SELECT 1 FROM checkpoints AS c "
            "WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns "
            "AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)"
        )
    counts = {what: _count(opened, statement) for what, statement in asked.items()}
    return [f"{count} {what}" for what, count in counts.items() if count]


def _count(opened: DatabaseConnection, statement: str) -> int:
    if isinstance(opened, PostgresConnection):
        with opened.connections.pool.connection() as connection:
            found = connection.execute(statement).fetchone()
        return int(found["n"]) if found else 0
    assert isinstance(opened, SqliteConnection)
    with opened.sqlite.cursor(transaction=False) as cursor:
        return int(cursor.execute(statement).fetchone()[0])
