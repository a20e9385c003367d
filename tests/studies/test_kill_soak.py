"""The soak that kills processes: nothing is lost where they are killed, and what is lost, doubled or different would be seen."""

import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module
from pathlib import Path
from threading import Event

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

ROOT = Path(__file__).parents[2]
ZEROS = ("images made again though stored", "attempts lost or doubled", "runs that differ from unkilled ones", "other problems")

BESIDES = "kills besides, of a process that had no run in hand"


def command(*arguments):
    """Run the soak as a user does: in an interpreter of its own, from which it forks."""
    whole = [sys.executable, "-m", "studies.kill_soak", *map(str, arguments)]
    return subprocess.run(whole, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("store", "kills"), [("sqlite", 30), ("postgresql", 10)])
def test_whoever_is_killed_every_run_ends_as_if_nobody_had_been(tmp_path, request, store, kills):
    out = tmp_path / "figures.json"
    own = ("--store", request.getfixturevalue("postgres")) if store == "postgresql" else ()
    soaked = command("--stores", store, "--kills", kills, "--runs", 6, "--workers", 2, "--out", out, *own)
    assert (soaked.returncode, soaked.stderr) == (0, "")
    assert f"| kills within a run | {kills} |" in soaked.stdout
    told = json.loads(out.read_text())[store]
    assert {name: told[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    killed = told["kills by what was killed"]
    assert told["kills within a run"] == sum(killed.values()) - told[BESIDES] == kills
    first = [killed.get(f"checkpoint of step {step}", 0) for step in (-1, 0, 1, 2)]
    assert sum(first) == kills // 3
    assert min(first[:3]) >= 1
    assert told["resumes"] >= kills  # whoever is killed with a run in hand leaves it to be gone on with
    again = told["images drawn again, killed before they were stored"]
    assert told["images drawn"] == told["attempts"] + again >= told["runs"] >= 6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--stores", "mysql"], "--stores mysql: choose of sqlite, postgresql"),
        (["--workers", "0"], "--workers are at least 1"),
        (["--stores", "postgresql", "--store", "mysql://x/y"], "give a URL such as postgresql://user@host/name"),
    ],
)
def test_what_it_cannot_do_is_one_clear_error(soak, wrong, said, capsys):
    with pytest.raises(SystemExit) as end:
        import_module("kill_soak.__main__").main(["--kills", "1", "--runs", "1", *wrong])
    assert end.value.code
    assert said in f"{end.value.code} {capsys.readouterr().err}"


@pytest.fixture(scope="module")
def soak():
    file = ROOT / "studies" / "kill_soak" / "__init__.py"
    spec = importlib.util.spec_from_file_location("kill_soak", file, submodule_search_locations=[str(file.parent)])
    sys.modules["kill_soak"] = importlib.util.module_from_spec(spec)
    yield import_module("kill_soak.verify")
    for name in [name for name in sys.modules if name.partition(".")[0] == "kill_soak"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def finished(soak, tmp_path_factory):
    """A place with two finished runs, which nobody was killed in."""
    place = soak.SoakFolder(tmp_path_factory.mktemp("soak"), None, seed=3)
    with closing(import_module("kill_soak.watch").EventLog(place.folder / "journal")) as journal:
        for number in range(2):
            place.go_on(place.job(number), journal)
    return place


@pytest.fixture
def place(soak, finished, tmp_path):
    """A copy of it to be doctored, and what is expected of it."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    copy = soak.SoakFolder(tmp_path / "copy", None, seed=3)
    return copy, soak.histories(copy, 2)


def test_runs_that_nobody_touched_are_as_expected(soak, place):
    found = soak.verify(*place)
    assert found.problems == []
    assert found.attempts == found.drawn > 2
    assert (found.lost, found.differing, found.stored_again, found.drawn_again) == (0, 0, 0, 0)


def in_database(place, *statements):
    with closing(sqlite3.connect(place.runs / "gems.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def a_picture(place, thread="soak-0001"):
    made = [json.loads(line) for line in place.pictures(thread).read_text().splitlines()]
    return next(line for line in made if line["what"] == "stored")


def test_a_state_that_differs_is_told_with_its_field(soak, place):
    place, expected = place
    expected["soak-0001"][-1][1]["attempts"][0]["prompt"] = "another one"
    expected["soak-0000"][2][1]["draft"] = "another one"
    found = soak.verify(place, expected)
    assert found.differing == 2
    assert sorted(found.problems) == [
        "soak-0000: at step 1 it differs from an unkilled run in draft",
        f"soak-0001: at step {expected['soak-0001'][-1][0]} it differs from an unkilled run in attempts",
    ]


def test_a_lost_step_is_a_lost_attempt_and_an_unfinished_run(soak, place):
    place, expected = place
    newest = "(SELECT checkpoint_id FROM checkpoints WHERE thread_id = 'soak-0001' ORDER BY checkpoint_id DESC LIMIT 5)"
    for table in ("checkpoints", "writes"):
        in_database(place, f"DELETE FROM {table} WHERE thread_id = 'soak-0001' AND checkpoint_id IN {newest}")
    found = soak.verify(place, expected)
    assert found.differing == 1
    assert found.lost >= 2  # the attempts, and their pictures, which were paid for
    assert any("it is not finished" in problem for problem in found.problems)


def test_a_picture_made_again_though_it_was_stored_is_told(soak, place):
    place, expected = place
    again = {**a_picture(place), "what": "asked for though stored"}
    with place.pictures("soak-0001").open("a") as file:
        file.write(json.dumps(again) + "\n")
    found = soak.verify(place, expected)
    assert found.stored_again == 1
    assert found.problems == [f"soak-0001: made again though stored: [{again['key']!r}]"]


def test_a_picture_that_is_asked_for_again_is_looked_for_in_the_store(soak, place, monkeypatch):
    place, expected = place
    watch = import_module("kill_soak.watch")
    monkeypatch.setattr("gems.nodes.generator.ImageStore.find_by_request", lambda *a, **k: None)  # the library forgets what it has
    with place.home().database.open() as opened:
        opened.saver.delete_thread("soak-0001")
    with closing(watch.EventLog(place.folder / "journal")) as journal:
        place.finished("soak-0001").unlink()
        place.go_on(place.job(1), journal)
    assert soak.verify(place, expected).stored_again >= 2  # it was asked for again, and stored again


@pytest.mark.parametrize(
    ("doctored", "said"),
    [
        (lambda p: in_database(p, "UPDATE checkpoints SET parent_checkpoint_id = 'x' WHERE parent_checkpoint_id IS NOT NULL"),
         "checkpoints whose parent is gone"),
        (lambda p: in_database(p, "UPDATE writes SET checkpoint_id = 'x' WHERE rowid = 1"), "1 writes without a checkpoint"),
        (lambda p: p.home().images.path(a_picture(p)["sha256"]).write_bytes(b"no picture"), "its bytes have another hash"),
        (lambda p: p.home().images.path(a_picture(p)["sha256"]).unlink(), "is not in the store"),
        (lambda p: (p.runs / "soak-0000" / "best.png").write_bytes(b"no picture"), "best.png is missing or not the best picture"),
        (lambda p: (p.runs / "soak-0000" / "report.html").write_text("<html>"), "report.html is missing or not whole"),
    ],
)  # fmt: skip
def test_whatever_else_is_damaged_is_told(soak, place, doctored, said):
    doctored(place[0])
    found = soak.verify(*place)
    assert found.others >= 1
    assert any(said in problem for problem in found.problems)


def test_a_run_that_is_still_in_hand_is_told(soak, place):
    with place[0].home().database.open() as opened, opened.lock_run("soak-0000"):
        assert soak.verify(*place).problems == ["soak-0000: it is still in hand"]


def test_a_run_that_was_killed_before_its_first_checkpoint_leaves_no_rows_behind(soak, place, tmp_path, monkeypatch):
    """LangGraph saves the first checkpoint and the writes that follow it at the same time, in any order."""
    killed, expected = soak.SoakFolder(tmp_path / "killed", None, seed=3), place[1]
    watch, stored, put_writes = import_module("kill_soak.watch"), Event(), SqliteSaver.put_writes

    def put(*args, **kwargs):
        stored.wait()
        os.kill(os.getpid(), signal.SIGKILL)

    def put_writes_first(*args, **kwargs):
        put_writes(*args, **kwargs)
        stored.set()

    with closing(watch.EventLog(killed.folder / "journal")) as journal:
        if (child := os.fork()) == 0:
            monkeypatch.setattr(SqliteSaver, "put", put)
            monkeypatch.setattr(SqliteSaver, "put_writes", put_writes_first)
            killed.go_on(killed.job(0), journal)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        with killed.home().database.open() as opened:
            assert soak.orphans(opened) == ["3 writes without a checkpoint"]
        killed.go_on(killed.job(0), journal)
    assert soak.verify(killed, {"soak-0000": expected["soak-0000"]}).problems == []
