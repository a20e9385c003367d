"""Damaged rows: the run they are of is listed as damaged and can be removed, and no other is hidden. On both databases."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from gems import Gems, GemsError, run, write_gallery
from gems.runs.manifest import read_manifest, save_manifest
from gems.storage.workspace import Workspace

SQLITE = {
    "metadata-cut": "UPDATE checkpoints SET metadata = substr(metadata, 1, 5) WHERE thread_id = ?",
    "metadata-bytes": "UPDATE checkpoints SET metadata = x'ff00fe' WHERE thread_id = ?",
    "metadata-list": "UPDATE checkpoints SET metadata = '[1]' WHERE thread_id = ?",
    "metadata-empty": "UPDATE checkpoints SET metadata = NULL WHERE thread_id = ?",
    "metadata-deep": "UPDATE checkpoints SET metadata = replace(hex(zeroblob(50000)), '00', '[') WHERE thread_id = ?",
    "metadata-other": "UPDATE checkpoints SET metadata = replace(metadata, '\"loop\"', '\"fork\"') WHERE thread_id = ?",
    "kind-bytes": "UPDATE checkpoints SET type = CAST(x'fffe' AS TEXT) WHERE thread_id = ?",
    "kind-lost": "UPDATE checkpoints SET type = NULL WHERE thread_id = ?",
    "bytes-lost": "UPDATE checkpoints SET checkpoint = NULL WHERE thread_id = ?",
    "bytes-text": "UPDATE checkpoints SET checkpoint = 'text' WHERE thread_id = ?",
    "write-cut": "UPDATE writes SET value = substr(value, 1, 40) WHERE thread_id = ?",
    "write-kind": "UPDATE writes SET type = NULL WHERE thread_id = ?",
    "write-name": "UPDATE writes SET channel = 'noted' WHERE thread_id = ?",
    "record-cut": "UPDATE store SET value = substr(value, 1, 40) WHERE key = ?",
    "record-bytes": "UPDATE store SET value = CAST(x'fffe' AS TEXT) WHERE key = ?",
    "record-other": "UPDATE store SET value = replace(value, 'a red circle', 'a red square') WHERE key = ?",
    "record-parent": "UPDATE store SET value = json_set(value, '$.parent', 3) WHERE key = ?",
    "record-empty": "UPDATE store SET value = '{}' WHERE key = ?",
    "record-deep": "UPDATE store SET value = replace(hex(zeroblob(30000)), '0', '[') WHERE key = ?",
}
POSTGRES = {
    "metadata-number": "UPDATE checkpoints SET metadata = '5' WHERE thread_id = %s",
    "metadata-empty": "UPDATE checkpoints SET metadata = '{}' WHERE thread_id = %s",
    "metadata-other": "UPDATE checkpoints SET metadata = jsonb_set(metadata, '{step}', '7') WHERE thread_id = %s",
    "checkpoint-empty": "UPDATE checkpoints SET checkpoint = '{}' WHERE thread_id = %s",
    "checkpoint-other": "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{versions_seen}', '{}') WHERE thread_id = %s",
    "blob-cut": "UPDATE checkpoint_blobs SET blob = substring(blob, 1, 40) WHERE thread_id = %s",
    "blob-lost": "UPDATE checkpoint_blobs SET blob = NULL WHERE channel = 'prompt' AND thread_id = %s",
    "blob-gone": "DELETE FROM checkpoint_blobs WHERE channel = 'attempts' AND thread_id = %s",
    "write-cut": "UPDATE checkpoint_writes SET blob = substring(blob, 1, 40) WHERE thread_id = %s",
    "write-name": "UPDATE checkpoint_writes SET channel = 'noted' WHERE thread_id = %s",
    "record-list": "UPDATE store SET value = '[1]' WHERE key = %s",
    "record-other": "UPDATE store SET value = jsonb_set(value, '{prompt}', '\"a red square\"') WHERE key = %s",
    "record-parent": "UPDATE store SET value = jsonb_set(value, '{parent}', '3') WHERE key = %s",
}
ODD = ("x" * 300, "../../out", "images")
"""What cannot name a run, but may be in a damaged database."""


def execute(home, statement, *values):
    """Change the database behind everybody's back; return how many rows that was, and the names of their columns."""
    if home.store:
        import psycopg

        with psycopg.connect(home.store) as connection:
            done = connection.execute(statement, values)
            return done.rowcount, [column.name for column in done.description or ()]
    with closing(sqlite3.connect(home.database.path)) as connection, connection:
        done = connection.execute(statement, values)
        return done.rowcount, [column[0] for column in done.description or ()]


def copy(home, thread, names):
    """Copy a run, row by row, which is quicker than to make others."""
    for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes") if home.store else ("checkpoints", "writes"):
        columns = ", ".join(name for name in execute(home, f"SELECT * FROM {table} LIMIT 0")[1] if name != "thread_id")
        for name in names:
            rows = f"SELECT '{name}', {columns} FROM {table} WHERE thread_id = '{thread}'"
            execute(home, f"INSERT INTO {table} (thread_id, {columns}) {rows}")
    with home.database.open() as opened:
        for name in names:
            save_manifest(opened, read_manifest(opened, home, thread).model_copy(update={"thread": name}))


def test_each_damaged_run_is_listed_with_its_reason_hides_no_other_and_can_be_removed(home, sketcher, command):
    damages = POSTGRES if home.store else SQLITE
    given = {"runs": home, "image": sketcher, "preset": "original", "seed": 3}
    ended = run("a red circle", thread="whole", **given)
    asks = run("a red circle", thread="asks", review="image", **given)  # it waits: what its last step has written is read too
    copy(home, "asks", damages)
    for name, statement in damages.items():
        assert execute(home, statement, name)[0] > 0
    with home.database.open() as opened:
        for name in ODD:
            opened.store.put(("gems", "runs"), name, {"thread": name}, index=False)

    names = {*damages, *ODD}
    listed = {summary.thread: summary for summary in Gems(runs=home).list()}
    assert {name for name, summary in listed.items() if summary.standing == "damaged"} == names
    assert all(listed[name].told for name in names)
    assert (listed["whole"].standing, listed["asks"].standing) == ("accepted", "waiting")
    for name in damages:
        with pytest.raises(GemsError, match=f"run {name}"):
            Gems(runs=home).get(name)
        with pytest.raises(GemsError, match=f"run {name}"):
            Gems(runs=home, image=sketcher).resume(name)
        with pytest.raises(GemsError, match=f"run {name}"):
            Gems(runs=home, image=sketcher).fork(name, round=1, prompt="a red star")
    page = write_gallery(runs=home).read_text(encoding="utf-8")
    assert page.count(">damaged</b>") == len(names)
    freed = Gems(runs=home).prune(timedelta(days=1))
    assert freed.removed == ()
    assert all(any(name in note for note in freed.notes) for name in names)
    assert Gems(runs=home).get("whole").image.size == ended.image.size
    options = ("--runs", home.folder, *(("--store", home.store) if home.store else ()))
    code, out, err = command("runs", *options)
    assert (code, err) == (0, "")
    assert all(name in out for name in names)

    code, out, err = command("rm", *names, *options)
    assert (code, err) == (0, "")
    assert {summary.thread: summary.standing for summary in Gems(runs=home).list()} == {"whole": "accepted", "asks": "waiting"}
    assert Gems(runs=home).get("asks").state == asks.state
    assert Gems(runs=home).prune(timedelta(days=1)).notes == ()
    with home.database.open() as opened:
        assert all(opened.row_count(name) == 0 for name in names)


def test_a_row_that_langgraph_cannot_read_hides_no_other_run(tmp_path, sketcher, command):
    home = Workspace(tmp_path / "runs")
    run("a red circle", thread="whole", runs=home, image=sketcher, preset="original", seed=3)
    row = "INSERT INTO store (prefix, key, value, created_at, updated_at) SELECT prefix, {}, value, {}, {} FROM store WHERE key = ?"
    for key, created in (("'dates'", "'yesterday'"), ("x'ff'", "created_at")):
        assert execute(home, row.format(key, created, created), "whole")[0] == 1
    assert {summary.thread: summary.standing for summary in Gems(runs=home).list()} == {"whole": "accepted", "b'\\xff'": "damaged"}
    assert command("runs", "--runs", home.folder)[0] == 0
    assert command("rm", "whole", "--runs", home.folder)[0] == 0
