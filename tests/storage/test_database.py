"""The database of runs, on SQLite and on PostgreSQL."""

import subprocess
import sys
import threading

import pytest

from gems import Gems, GemsError, run
from gems.errors import CheckpointError, RunInUseError
from gems.events import RoleEnded, RoleStarted
from gems.storage.workspace import Workspace

PROMPT = "three red circles above a blue square and to the left of a green star"


class Stop(Exception):
    """Ends a run in the middle."""


def stop_at(role):
    def stop(event):
        if isinstance(event, RoleEnded) and event.role == role:
            raise Stop

    return stop


def test_a_run_that_was_stopped_goes_on_and_is_listed(home, make_sketcher):
    settings = {"preset": "paper", "seed": 11, "max_rounds": 3}
    whole = run(PROMPT, thread="whole", runs=home, image=make_sketcher(1.0), **settings)
    with pytest.raises(Stop):
        run(PROMPT, thread="cut", runs=home, image=make_sketcher(1.0), on_event=stop_at("summarizer"), **settings)
    assert {past.thread: past.standing for past in Gems(runs=home).list()} == {"whole": "gave up", "cut": "unfinished"}
    model = make_sketcher(1.0)
    result = Gems(runs=home, image=model).resume("cut")
    assert len(model.made) == 2
    assert result.attempts == whole.attempts
    assert result.state.experiences == whole.state.experiences
    timed = {"usage", "before"}
    assert Gems(runs=home).get("cut").state.result.model_dump(exclude=timed) == whole.state.result.model_dump(exclude=timed)


def test_a_run_that_waits_for_a_person_is_listed_and_answered(home, make_sketcher):
    model = make_sketcher(1.0)
    asked = run(PROMPT, thread="t", runs=home, image=model, review="image").waiting
    assert [past.standing for past in Gems(runs=home).list()] == ["waiting"]
    assert Gems(runs=home).get("t").waiting == asked
    with pytest.raises(GemsError, match="say in plain words"):
        Gems(runs=home, image=model).resume("t", answer={"action": "reject"})
    assert [past.standing for past in Gems(runs=home).list()] == ["waiting"]
    assert Gems(runs=home, image=model).resume("t", answer={"action": "reject", "words": "no"}).waiting["round"] == 2
    assert Gems(runs=home, image=model).resume("t", answer={"action": "accept"}).decision == "accept"
    assert [past.standing for past in Gems(runs=home).list()] == ["accepted"]


def test_a_run_is_forked(home, make_sketcher):
    run(PROMPT, thread="p", runs=home, image=make_sketcher(1.0), preset="paper", seed=11, max_rounds=2)
    result = Gems(runs=home, image=make_sketcher(1.0)).fork("p", round=2, prompt="a red circle", max_rounds=2)
    assert [a.prompt for a in result.attempts][1] == "a red circle"


def test_a_run_is_in_one_hand_at_a_time(home):
    with home.database.open() as one, home.database.open() as other:
        assert not other.is_locked("t")
        with one.lock_run("t"):
            assert other.is_locked("t")
            assert not other.is_locked("u")
            with pytest.raises(RunInUseError, match="run t is in progress in another process"), other.lock_run("t"):
                pass
        with other.lock_run("t"):
            pass


def test_only_the_latest_checkpoint_is_kept_and_the_run_can_still_be_shown(home, sketcher):
    before = run(PROMPT, thread="t", runs=home, image=sketcher, preset="paper").state
    run("a red circle", thread="other", runs=home, image=sketcher)
    with home.database.open() as opened:
        rows, others = opened.row_count("t"), opened.row_count("other")
        opened.delete_old_checkpoints("t")
        assert opened.row_count("t") < rows / 2
        assert opened.row_count("other") == others
        assert {tip.thread for tip in opened.branch_heads()} == {"t", "other"}
    assert Gems(runs=home).get("t").state == before


def test_shrinking_frees_what_was_deleted(home, make_sketcher):
    run(PROMPT, thread="t", runs=home, image=make_sketcher(1.0), preset="paper", max_rounds=8)
    with home.database.open() as opened:
        size = opened.size()
        opened.saver.delete_thread("t")
        assert opened.compact() == ""
        assert opened.size() < size
        assert opened.row_count("t") == 0


def test_many_open_a_new_database_at_once(home):
    failed = []

    def open_it():
        try:
            with home.database.open() as opened:
                opened.store.put(("a",), threading.current_thread().name, {"n": 1})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with home.database.open() as opened:
        assert len(opened.store.search(("a",), limit=100)) == 12


WORK = """
import sys
from gems import run
from gems.storage.workspace import Workspace
from gems.tests.conftest import Sketcher
home = Workspace(sys.argv[1], store=sys.argv[2] or None)
for number in range(4):
    run("three red circles above a blue square", thread=f"{sys.argv[3]}-{number}", runs=home, image=Sketcher(1.0), preset="paper",
        max_rounds=3, seed=number)
"""


def test_two_processes_share_a_database_and_nothing_is_lost(home, make_sketcher):
    arguments = [sys.executable, "-c", WORK, home.folder, home.store]
    workers = [subprocess.Popen([*arguments, name]) for name in ("a", "b")]
    assert [worker.wait(100) for worker in workers] == [0, 0]
    found = {past.thread: past for past in Gems(runs=home).list()}
    assert sorted(found) == [f"{name}-{number}" for name in "ab" for number in range(4)]
    settings = {"image": make_sketcher(1.0), "preset": "paper", "max_rounds": 3, "seed": 3}
    alone = run("three red circles above a blue square", runs=home.folder.parent / "alone", **settings)
    for name in ("a-3", "b-3"):
        assert Gems(runs=home).get(name).attempts == alone.attempts
        assert found[name].images == len(alone.attempts)


def test_fifty_runs_at_once_on_postgresql(tmp_path, postgres, make_sketcher):
    home = Workspace(tmp_path / "runs", store=postgres)
    failed = []

    def work(number):
        try:
            run(PROMPT, thread=f"t{number}", runs=home, image=make_sketcher(1.0), preset="loop", max_rounds=2, seed=number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    found = Gems(runs=home).list()
    assert sorted(past.thread for past in found) == sorted(f"t{number}" for number in range(50))
    assert {(past.standing, past.images, past.rounds) for past in found} <= {
        ("gave up", 2, 2),
        ("accepted", 2, 2),
        ("accepted", 1, 1),
    }
    assert [a.seed for a in Gems(runs=home).get("t7").attempts][:1] == [7]


def test_texts_of_the_state_are_not_in_the_clear_of_postgresqls_json(tmp_path, postgres, sketcher):
    import psycopg

    run(PROMPT, thread="t", runs=Workspace(tmp_path / "runs", store=postgres), image=sketcher)
    with psycopg.connect(postgres) as connection:
        rows = connection.execute("SELECT checkpoint::text FROM checkpoints").fetchall()
    assert rows
    assert not any("red" in row[0] for row in rows)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:geheim@localhost:1/x", r"cannot work with the database postgresql://me@localhost:1/x .*is it running"),
        ("postgresql://me:geheim@localhost:1/x?colour=red", "URL of the database is not understood"),
        ("postgresql://me:geheim@[::1/x", "--store: the URL is not understood"),
        ("mysql://me:geheim@localhost/x", "--store mysql: give a URL such as postgresql://"),
        ("runs.sqlite", "--store runs.sqlite: give a URL"),
    ],
)
def test_a_database_that_cannot_be_is_told_without_its_password(tmp_path, sketcher, url, told):
    with pytest.raises(GemsError, match=told) as caught:
        run("a red circle", runs=Workspace(tmp_path / "runs", store=url), image=sketcher)
    assert "geheim" not in str(caught.value)


def test_a_server_that_goes_away_during_a_run_is_a_clear_error_and_the_run_goes_on_later(tmp_path, postgres, make_sketcher):
    import psycopg

    home = Workspace(tmp_path / "runs", store=postgres)

    def cut(event):
        if isinstance(event, RoleStarted) and event.role == "verifier":
            with psycopg.connect(postgres, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                    "AND datname = current_database()"
                )

    with pytest.raises(CheckpointError, match=r"run t: .*is it running\? Once it is, `gems resume` goes on"):
        run(PROMPT, thread="t", runs=home, image=make_sketcher(1.0), preset="loop", max_rounds=2, on_event=cut)
    model = make_sketcher(1.0)
    result = Gems(runs=home, image=model).resume("t")
    assert (result.state.round, len(model.made)) == (2, 1)


def test_a_locked_file_is_told_in_clear_words(tmp_path, sketcher, monkeypatch):
    import sqlite3

    home = Workspace(tmp_path)
    with home.database.open():
        pass
    monkeypatch.setattr("gems.storage.sqlite.BUSY_TIMEOUT", 0.2)
    other = sqlite3.connect(tmp_path / "gems.sqlite")
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(CheckpointError, match="is locked by another program: end it"):
            run("a red circle", thread="t", runs=home, image=sketcher)
    finally:
        other.close()
    assert run("a red circle", thread="t", runs=home, image=sketcher).attempts


def test_schemas_of_one_postgresql_database_do_not_share_their_locks(tmp_path, postgres):
    import psycopg

    homes = []
    for schema in ("one", "two"):
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        joined = "&" if "?" in postgres else "?"
        homes.append(Workspace(tmp_path / schema, store=f"{postgres}{joined}options=-csearch_path%3D{schema}"))
    with homes[0].database.open() as one, homes[0].database.open() as same, homes[1].database.open() as other, one.lock_run("t"):
        assert same.is_locked("t")
        assert not other.is_locked("t")
        with other.lock_run("t"):
            pass


def test_the_name_of_a_database_says_all_of_its_url_but_secrets(tmp_path):
    said = "postgresql://me:geheim@/runs?host=%2Frun%2Fpg&password=geheim&sslmode=require&passfile=x&ssl%70assword=geheim"
    assert Workspace(tmp_path, store=said).database.name == "postgresql://me@/runs?host=%2Frun%2Fpg&sslmode=require"
    assert Workspace(tmp_path, store="postgresql://h/runs?password=geheim").database.name == "postgresql://h/runs"


@pytest.mark.parametrize("prompt", ["a red\0circle", "\0"])
def test_a_prompt_with_a_nul_character_is_refused_in_clear_words(home, sketcher, prompt):
    with pytest.raises(GemsError, match="the prompt has a NUL character"):
        run(prompt, thread="t", runs=home, image=sketcher)
    asked = run(PROMPT, thread="t", runs=home, image=sketcher, review="image").waiting
    with pytest.raises(GemsError, match="it has a NUL character"):
        Gems(runs=home, image=sketcher).resume("t", answer={"action": "reject", "words": prompt + "no"})
    assert Gems(runs=home).get("t").waiting == asked
