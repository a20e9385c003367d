"""Runs made before, as they stand."""

import io
import threading
import time
from datetime import UTC, datetime

import pytest
from rich.console import Console

from gems import Gems, GemsError, run
from gems.commands.progress import show_runs
from gems.events import RoleEnded, RoleStarted
from gems.runs.listing import RunSummary
from gems.runs.manifest import read_manifest, save_manifest
from gems.storage.locks import holding
from gems.storage.workspace import Workspace


class Stop(Exception):
    """Ends a run in the middle."""


@pytest.fixture
def stopped(sketcher, tmp_path):
    """A folder with a run that ended and one that was stopped after its first image."""
    run("a red circle", image=sketcher, runs=tmp_path, thread="done", preset="original")

    def stop(event):
        if isinstance(event, RoleEnded) and event.role == "verifier":
            raise Stop

    with pytest.raises(Stop):
        run("two blue stars", image=sketcher, runs=tmp_path, thread="half", on_event=stop)
    return tmp_path


def test_each_run_is_told_with_how_it_stands_and_what_it_took(stopped):
    done, half = Gems(runs=stopped).list()
    assert (done.thread, half.thread) == ("done", "half")
    assert done.standing in {"accepted", "gave up"}
    assert (done.rounds, done.images, done.calls) == (1, 1, 2)
    assert half.standing == "unfinished"
    assert (half.prompt, half.images) == ("two blue stars", 1)
    assert done.last <= half.last


@pytest.mark.parametrize("role", ["review", "learner"])
def test_a_run_killed_between_its_decision_and_its_end_has_not_ended(tmp_path, sketcher, role):
    def stop(event):
        if isinstance(event, RoleStarted) and event.role == role and decided:
            raise Stop
        decided.extend(["yes"] if isinstance(event, RoleStarted) and event.role == "selector" else [])

    decided = []
    with pytest.raises(Stop):
        run("a red circle", image=sketcher, runs=tmp_path, thread="t", preset="original", on_event=stop)
    assert Gems(runs=tmp_path).get("t").decision is not None
    assert Gems(runs=tmp_path).list()[0].standing == "unfinished"
    Gems(image=sketcher, runs=tmp_path).resume("t")
    assert Gems(runs=tmp_path).list()[0].standing in ("accepted", "gave up")


def test_a_run_that_another_process_has_in_hand_is_running(stopped):
    with holding(stopped, "half"):
        assert [summary.standing for summary in Gems(runs=stopped).list()][1] == "running"


def test_a_run_whose_record_is_damaged_hides_no_other(stopped):
    with Workspace(stopped).database.open() as opened:
        opened.store.put(("gems", "runs"), "half", {"thread": "half"})
    by_name = {summary.thread: summary for summary in Gems(runs=stopped).list()}
    assert by_name["half"].standing == "damaged"
    assert "restore the database" in by_name["half"].told
    assert by_name["done"].images == 1


def test_looking_changes_neither_database_nor_images(stopped):
    def everything():
        return {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file() and p.name != ".lock"}

    Gems(runs=stopped).list()
    before = everything()
    Gems(runs=stopped).list()
    Gems(runs=stopped).get("half")
    assert everything() == before


def test_a_run_is_given_back_as_it_stands(stopped):
    half, done = Gems(runs=stopped).get("half"), Gems(runs=stopped).get("done")
    assert half.state.round == 1
    assert half.decision is None
    assert done.image.size == (done.best.image.width, done.best.image.height)


def test_what_is_not_there_is_told(stopped, tmp_path):
    with pytest.raises(GemsError, match="there is no run nobody: the latest are"):
        Gems(runs=stopped).get("nobody")
    with pytest.raises(GemsError, match="there is no folder"):
        Gems(runs=tmp_path / "elsewhere").list()


def test_a_folder_without_runs_is_an_empty_list(tmp_path):
    assert Gems(runs=tmp_path).list() == []


def test_the_hour_that_comes_twice_keeps_the_order_of_runs(stopped, monkeypatch):
    began = {"first": datetime(2025, 10, 26, 0, 30, tzinfo=UTC), "second": datetime(2025, 10, 26, 1, 15, tzinfo=UTC)}
    with Workspace(stopped).database.open() as opened:
        record = read_manifest(opened, Workspace(stopped), "half")
        for name, moment in began.items():
            save_manifest(opened, record.model_copy(update={"thread": name, "began": moment}))
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        listed = Gems(runs=stopped).list()[:2]
        assert {summary.thread: summary.last for summary in listed} == began
        assert [summary.thread for summary in listed] == ["first", "second"]
        shown = io.StringIO()
        show_runs(Console(file=shown), listed)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "2025-10-26 02:30" in shown.getvalue()
    assert "2025-10-26 02:15" in shown.getvalue()


def test_looking_disturbs_neither_others_who_look_nor_who_goes_on(stopped, sketcher):
    ended = threading.Event()
    seen = []

    def look():
        with Workspace(stopped).database.open() as opened:
            while not ended.is_set():
                seen.append(opened.is_locked("half"))

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        while len(seen) < 200:
            time.sleep(0.01)
        assert not any(seen)
        for _ in range(20):
            with Workspace(stopped).database.open() as opened, opened.lock_run("half"):
                pass
    finally:
        ended.set()
        for looker in lookers:
            looker.join()


@pytest.mark.parametrize(("terminal", "width"), [(False, 80), (True, 60), (True, 80), (True, 200)])
def test_names_stay_whole_however_narrow_the_terminal_is(terminal, width):
    names = ["20261121-233505-three-red-circles-above-a-bab0", "short"]
    when = datetime(2026, 11, 21, tzinfo=UTC)
    request = "three red circles above a blue square, with a yellow star to the left of all of them"
    listed = [RunSummary(name, "accepted", when, request, 1, 2, 3) for name in names]
    out = io.StringIO()
    show_runs(Console(file=out, width=width, force_terminal=terminal, color_system=None), listed)
    told = out.getvalue()
    assert all(name in told for name in names)
    assert "accepted" in told
    assert "…" not in told
    if not terminal:  # a line each, for grep
        assert all(any(name in line and request in line for line in told.splitlines()) for name in names)
