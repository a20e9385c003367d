"""What is stored is read back unchanged, or refused as damaged; nothing that could build objects of any class is read."""

import base64
import json
import pickle
import sqlite3
import zipfile
from pathlib import Path

import pytest

from gems import Gems, GemsError, run
from gems.errors import CheckpointError, RunError
from gems.events import RoleEnded
from gems.memory.state import ImageRef
from gems.storage.serializer import KEY_VARIABLE, serializer
from gems.storage.workspace import Workspace

STORED = Path(__file__).parent / "stored"
PROMPT = "three red circles above a blue square and to the left of a green star"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def finished(tmp_path, sketcher):
    """A folder with one run."""
    run(PROMPT, thread="t", runs=tmp_path, image=sketcher, preset="paper")
    return tmp_path


def tamper(folder, table, column, change):
    """Change one column of every row of a table, behind the back of the library."""
    with sqlite3.connect(folder / "gems.sqlite") as connection:
        rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
        connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [(change(value), id) for id, value in rows])
    connection.close()


@pytest.mark.parametrize("version", sorted(path.stem for path in STORED.glob("v*.zip")))
def test_runs_stored_by_every_version_are_shown_and_gone_on_with(tmp_path, version):
    with zipfile.ZipFile(STORED / f"{version}.zip") as stored:
        stored.extractall(tmp_path)
    standings = {past.thread: past.standing for past in Gems(runs=tmp_path).list()}
    assert standings == {"done": "accepted", "cut": "unfinished", "waits": "waiting"}
    done = Gems(runs=tmp_path).get("done")
    assert done.state.round == 3
    assert len(done.checks) == 11
    assert done.image.size == (done.best.image.width, done.best.image.height)
    before = Gems(runs=tmp_path).get("cut")
    result = Gems(runs=tmp_path).resume("cut")
    assert result.decision in ("accept", "give up")
    assert result.attempts[0] == before.attempts[0]
    assert result.context == before.context
    assert result.report_path.exists()
    ended = Gems(runs=tmp_path).resume("waits", answer={"action": "accept"})
    assert ended.state.result.reason == "a person accepted it"
    assert {past.standing for past in Gems(runs=tmp_path).list()} <= {"accepted", "gave up"}


def test_this_version_is_among_the_stored_ones():
    newest = max(STORED.glob("v*.zip"), key=lambda path: int(path.stem[1:]))
    with zipfile.ZipFile(newest) as stored:
        data = stored.read("gems.sqlite")
    path = Path("copy.sqlite")
    path.write_bytes(data)
    with sqlite3.connect(path) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT DISTINCT type FROM checkpoints")}
    connection.close()
    assert kinds == {serializer().dumps_typed([])[0]}, "the format has changed: store a run of the new one too"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "its bytes have another hash"),
        (lambda data: data[: len(data) // 2], "its bytes have another hash"),
        (lambda data: b"", "its bytes have another hash"),
    ],
)
def test_a_checkpoint_that_was_tampered_with_is_refused_by_name(finished, sketcher, change, told):
    tamper(finished, "checkpoints", "checkpoint", change)
    with pytest.raises(CheckpointError, match=f"run t: a checkpoint is damaged .{told}"):
        Gems(runs=finished).get("t")
    with pytest.raises(CheckpointError, match=f"run t: a checkpoint is damaged .{told}"):
        Gems(runs=finished, image=sketcher).resume("t")
    assert [(past.standing, told in past.told) for past in Gems(runs=finished).list()] == [("damaged", True)]


class Bomb:
    """Writes a file when it is revived."""

    def __reduce__(self):
        return (Path("boom").touch, ())


@pytest.mark.parametrize("kind", ["pickle", "pickle.2", "json", "json.2", "msgpack", "msgpack.2.2", "", "msgpack.3"])
def test_no_kind_is_read_that_could_build_any_object(kind):
    for data in (pickle.dumps(Bomb()), b'{"lc": 2, "type": "constructor", "id": ["pathlib", "Path"], "args": ["boom"]}'):
        with pytest.raises(CheckpointError, match=r"is no kind that is read here|another hash"):
            serializer().loads_typed((kind, data))
    assert not Path("boom").exists()


def test_objects_of_foreign_types_are_neither_written_nor_revived():
    import ormsgpack

    serde = serializer()
    with pytest.raises(TypeError):
        serde.dumps_typed(Bomb())
    inner = serde.plain.inner
    told = ormsgpack.packb(("subprocess", "getoutput", "touch boom"))
    kind, body = serde.dumps_typed(b"")
    evil = type("Evil", (), {"dumps_typed": lambda self, obj: ("msgpack", ormsgpack.packb(ormsgpack.Ext(0, told)))})()
    serde.plain.inner = evil
    kind, body = serde.dumps_typed(None)
    serde.plain.inner = inner
    revived = serde.loads_typed((kind, body))
    assert not Path("boom").exists()
    assert revived is None or isinstance(revived, (str, tuple, list, dict))


def test_the_states_own_types_are_revived():
    ref = ImageRef(sha256="a" * 64, width=1, height=1)
    assert serializer().loads_typed(serializer().dumps_typed(ref)) == ref


def everything(home, url=None):
    """Return all bytes that a database holds."""
    if url is None:
        return b"".join(path.read_bytes() for path in home.folder.glob("gems.sqlite*"))
    import psycopg

    tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "store")
    with psycopg.connect(url) as connection:
        return b"".join(str(row).encode() for table in tables for row in connection.execute(f"SELECT * FROM {table}"))


def test_with_a_key_nothing_of_a_run_is_in_the_clear(home, make_sketcher, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    whole = run(PROMPT, thread="t", runs=home, image=make_sketcher(1.0), preset="paper", max_rounds=2)
    found = everything(home, home.store or None)
    words = ("circle", "three red", "Is the star green", "max_rounds", whole.best.image.sha256)
    assert [word for word in words if word.encode() in found] == []
    for word in words[:2]:
        assert base64.b64encode(word.encode())[:-4] not in found
    assert Gems(runs=home).get("t").state == whole.state
    assert Gems(runs=home).list()[0].prompt == PROMPT

    monkeypatch.setenv(KEY_VARIABLE, SECRET[::-1])
    with pytest.raises(RunError, match=r"gems/runs/t: it cannot be decrypted: the key in LANGGRAPH_AES_KEY is another"):
        Gems(runs=home).get("t")
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(RunError, match="it is encrypted: put its key into LANGGRAPH_AES_KEY"):
        Gems(runs=home, image=make_sketcher(1.0)).resume("t")


def test_a_run_begun_in_the_clear_goes_on_encrypted(home, make_sketcher, monkeypatch):
    class Stop(Exception):
        pass

    def stop(event):
        if isinstance(event, RoleEnded) and event.role == "selector":
            raise Stop

    with pytest.raises(Stop):
        run(PROMPT, thread="t", runs=home, image=make_sketcher(1.0), preset="loop", max_rounds=2, on_event=stop)
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    result = Gems(runs=home, image=make_sketcher(1.0)).resume("t")
    assert result.state.round == 2
    assert Gems(runs=home).get("t").state.prompt == PROMPT


def test_a_key_of_the_wrong_length_is_told(tmp_path, sketcher, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(GemsError, match="LANGGRAPH_AES_KEY has 5 bytes: it must have 16, 24 or 32"):
        run("a red circle", runs=tmp_path, image=sketcher)


def test_an_encrypted_checkpoint_that_was_tampered_with_is_refused(tmp_path, sketcher, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    run(PROMPT, thread="t", runs=tmp_path, image=sketcher)
    tamper(tmp_path, "checkpoints", "checkpoint", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="run t: it cannot be decrypted"):
        Gems(runs=tmp_path).get("t")


def test_records_are_json_that_people_can_read_where_there_is_no_key(finished):
    with Workspace(finished).database.open() as opened:
        item = opened.store.get(("gems", "runs"), "t")
    assert json.loads(json.dumps(item.value))["prompt"] == PROMPT


def test_a_run_with_another_key_hides_no_other_and_can_be_removed(home, sketcher, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    run(PROMPT, thread="sealed", runs=home, image=sketcher)
    for key in (None, SECRET[::-1]):
        monkeypatch.setenv(KEY_VARIABLE, key) if key else monkeypatch.delenv(KEY_VARIABLE)
        run("a red circle", thread=f"mine-{bool(key)}", runs=home, image=sketcher)
        found = {past.thread: past for past in Gems(runs=home).list()}
        assert found["sealed"].standing == "damaged"
        assert KEY_VARIABLE in found["sealed"].told
        assert found[f"mine-{bool(key)}"].images > 0
    assert Gems(runs=home).remove("sealed").removed == ("sealed",)
    assert "sealed" not in {past.thread for past in Gems(runs=home).list()}


@pytest.mark.parametrize("torn", ['{"thread": "t", "pro', "", '["t"]', "3"])
def test_a_torn_record_hides_no_other_and_can_be_removed(finished, sketcher, torn):
    run("a red circle", thread="whole", runs=finished, image=sketcher)
    with sqlite3.connect(finished / "gems.sqlite") as connection:
        connection.execute("UPDATE store SET value = ? WHERE key = 't'", (torn,))
    connection.close()
    found = {past.thread: past for past in Gems(runs=finished).list()}
    assert (found["t"].standing, found["whole"].standing) == ("damaged", "accepted")
    assert "restore the database" in found["t"].told
    with pytest.raises(RunError, match=r"the manifest of run t cannot be read .*it is damaged"):
        Gems(runs=finished, image=sketcher).resume("t")
    assert Gems(runs=finished).remove("t").removed == ("t",)


@pytest.mark.parametrize("key", ["", SECRET])
@pytest.mark.parametrize(
    "value",
    [
        {"kind": "cat", "data": "tabby"},
        {"kind": "cat", "data": 3},
        {"kind": 3, "data": ["tabby"]},
        {"kind": "msgpack.2+aes", "data": "tabby"},
        {"kind": "msgpack.2", "data": "dGFiYnk="},
    ],
)
def test_a_value_that_only_looks_encrypted_is_read_as_it_was_written(home, monkeypatch, value, key):
    monkeypatch.setenv(KEY_VARIABLE, key)
    with home.database.open() as opened:
        opened.store.put(("mine",), "pet", value)
        assert opened.store.get(("mine",), "pet").value == value
        assert [item.value for item in opened.store.search(("mine",))] == [value]


def test_an_encrypted_value_that_was_cut_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    home = Workspace(tmp_path)
    with home.database.open() as opened:
        opened.store.put(("mine",), "pet", {"name": "tabby"})
    tamper(tmp_path, "store", "value", lambda text: text[:-3] + text[-2:])
    with home.database.open() as opened, pytest.raises(CheckpointError, match=r"mine/pet: it is damaged .*restore the database"):
        opened.store.get(("mine",), "pet")
