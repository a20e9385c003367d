"""Many runs at once in one process."""

import asyncio
import os
import pickle
import resource
import sqlite3
import threading
from pathlib import Path

import pytest

from gems import Gems, build_graph, preset, run
from gems.errors import CheckpointError, RunInUseError
from gems.storage.image_store import ImageStore
from gems.storage.locks import holding, is_holding
from gems.storage.workspace import Workspace


def in_child(work):
    """Return what a forked process returns."""
    readable, writable = os.pipe()
    if (child := os.fork()) == 0:
        try:
            told = work()
        except BaseException as error:
            told = repr(error)
        os.write(writable, pickle.dumps(told))
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        told = pickle.load(pipe)
    os.waitpid(child, 0)
    return told


def at_once(number, work):
    """Call a function with each number, in a thread each; return what it raised."""
    failed = []

    def one(n):
        try:
            work(n)
        except Exception as error:
            failed.append(repr(error))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


@pytest.fixture
def few_files():
    """Allow this process 50 open files more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 50, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
def test_runs_at_once_in_one_process_take_few_files_and_all_end(tmp_path, make_sketcher):
    models = [make_sketcher(0.0) for _ in range(30)]

    def work(n):
        run("a red circle", thread=f"t{n}", runs=tmp_path, image=models[n], preset="original", seed=n)

    assert at_once(30, work) == []
    assert [past.standing for past in Gems(runs=tmp_path).list()] == ["accepted"] * 30
    assert {len(model.made) for model in models} == {1}


@pytest.mark.usefixtures("few_files")
def test_150_runs_are_held_and_written_at_once(home):
    everybody = threading.Barrier(150)

    def work(n):
        with home.database.open() as opened, opened.lock_run(f"t{n}"):
            everybody.wait(60)
            opened.store.put(("a",), f"t{n}", {"n": n})
            assert opened.is_locked(f"t{(n + 1) % 150}")
            everybody.wait(60)

    assert at_once(150, work) == []
    with home.database.open() as opened:
        assert sorted(item.value["n"] for item in opened.store.search(("a",), limit=200)) == list(range(150))


def test_ainvoke_and_abatch_work_on_the_stores_that_we_open(home, make_sketcher, tmp_path):
    def configs(numbers):
        return [{"configurable": {"thread_id": f"t{n}"}} for n in numbers]

    with home.database.open() as opened:
        graph = build_graph(
            image=make_sketcher(0.0), checkpointer=opened.saver, store=opened.store, image_store=ImageStore(tmp_path / "images")
        )

        async def work():
            ended = await graph.abatch([{"prompt": "a red circle"}] * 6, configs(range(6)), context=preset("loop"))
            states = [await graph.aget_state(config) for config in configs(range(6))]
            history = [state async for state in graph.aget_state_history(configs([0])[0])]
            await opened.saver.adelete_thread("t5")
            return ended, states, history

        ended, states, history = asyncio.run(work())
        assert [state.values["result"].decision for state in states] == [end["result"].decision for end in ended] == ["accept"] * 6
        assert history[0].values == graph.get_state(configs([0])[0]).values
        assert len(history) == len(list(graph.get_state_history(configs([1])[0]))) > 5
        assert opened.row_count("t4") > opened.row_count("t5") == 0


def test_a_forked_process_opens_the_database_anew(tmp_path, sketcher):
    home = Workspace(tmp_path)
    with home.database.open() as opened, opened.lock_run("mine"):

        def work():
            with pytest.raises(CheckpointError, match="before this process was forked"):
                opened.row_count("t")
            with home.database.open() as own:
                assert own.is_locked("mine")
                with pytest.raises(RunInUseError), own.lock_run("mine"):
                    pass
            run("a red circle", thread="t", runs=home, image=sketcher, preset="original")

        assert in_child(work) is None
        assert opened.row_count("t") > 0
        assert opened.is_locked("mine")
        assert in_child(lambda: is_holding(tmp_path, "mine")) is True
    assert in_child(lambda: is_holding(tmp_path, "mine")) is False


def test_what_holds_a_run_in_a_killed_process_lets_go_of_it(tmp_path):
    def work():
        with holding(tmp_path, "t"):
            os._exit(0)

    if (child := os.fork()) == 0:
        work()
    os.waitpid(child, 0)
    assert not is_holding(tmp_path, "t")
    with holding(tmp_path, "t"), holding(tmp_path, "u"):
        assert in_child(lambda: [is_holding(tmp_path, name) for name in ("t", "u", "v")]) == [True, True, False]


def test_one_run_that_fails_to_write_leaves_nothing_to_the_next_one(tmp_path):
    with Workspace(tmp_path).database.open() as opened, Workspace(tmp_path).database.open() as other:

        def half():
            with opened.sqlite.cursor() as cursor:
                cursor.execute("INSERT INTO writes VALUES ('t', '', '1', 'a', '', 0, 'c', '', '')")
                cursor.execute("no SQL")

        with pytest.raises(sqlite3.Error):
            half()
        other.store.put(("a",), "b", {})
        assert other.row_count("t") == 0


def test_a_database_that_is_put_in_the_place_of_an_open_one_is_read(tmp_path, sketcher):
    run("a red circle", thread="old", runs=tmp_path / "a", image=sketcher, preset="original")
    with Workspace(tmp_path / "a").database.open():
        (tmp_path / "a").rename(tmp_path / "b")
        assert not (tmp_path / "a").exists()
        run("a red circle", thread="new", runs=tmp_path / "a", image=sketcher, preset="original")
        assert [past.thread for past in Gems(runs=tmp_path / "a").list()] == ["new"]
        assert [past.thread for past in Gems(runs=tmp_path / "b").list()] == ["old"]
