"""Removing runs: what goes, and what must not."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from PIL import Image

from gems import Gems, GemsError, run
from gems.errors import RunInUseError
from gems.events import RoleEnded
from gems.runs.prune import ORPHAN_AGE, read_references

PROMPT = "three red circles above a blue square and to the left of a green star"
ANY = timedelta(0)


class Stop(BaseException):
    """Ends a run in the middle."""


def draw(home, make_sketcher, thread, **settings):
    given = {"preset": "paper", "max_rounds": 3, "seed": 11, **settings}
    return run(PROMPT, thread=thread, runs=home, image=make_sketcher(1.0), **given)


def stop_at(role):
    def stop(event):
        if isinstance(event, RoleEnded) and event.role == role:
            raise Stop

    return stop


def digests(home):
    return {picture.digest for picture in home.images.list_images()}


def shown(result):
    return {attempt.image.sha256 for attempt in result.attempts}


def test_a_run_is_removed_with_all_that_is_its_own(home, make_sketcher):
    first, second = draw(home, make_sketcher, "a"), draw(home, make_sketcher, "b", seed=77)
    freed = Gems(runs=home).remove("a")
    assert freed.removed == ("a",)
    assert freed.rows > 20
    assert freed.images == len(shown(first) - shown(second))
    assert freed.image_bytes > 0
    assert [summary.thread for summary in Gems(runs=home).list()] == ["b"]
    assert digests(home) == shown(second)
    assert not (home.folder / "a").exists()
    assert Gems(runs=home).get("b").state == second.state
    with home.database.open() as opened:
        assert opened.row_count("a") == 0
    assert draw(home, make_sketcher, "a").attempts == first.attempts  # its name is free again


def test_pictures_that_another_run_refers_to_are_kept(home, make_sketcher):
    parent = draw(home, make_sketcher, "p")
    child = Gems(runs=home, image=make_sketcher(1.0)).fork("p", round=3, prompt="a red circle", name="f", max_rounds=3)
    Gems(runs=home).remove("p")
    assert digests(home) == shown(child)
    assert shown(child) & shown(parent)
    assert Gems(runs=home).get("f").image.size == child.image.size
    Gems(runs=home).remove("f")
    assert digests(home) == set()


def test_a_picture_that_no_checkpoint_knows_of_goes_with_its_run(home, make_sketcher, monkeypatch):
    from gems.nodes import generator

    def die(*args, **kwargs):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(generator, "Attempt", die)
        with pytest.raises(Stop):
            draw(home, make_sketcher, "cut")
    assert len(digests(home)) == 1
    assert Gems(runs=home).remove("cut").images == 1
    assert digests(home) == set()


def test_old_runs_are_cut_down_to_their_best(home, make_sketcher):
    old = draw(home, make_sketcher, "old")
    with pytest.raises(Stop):
        run(PROMPT, thread="cut", runs=home, image=make_sketcher(1.0), on_event=stop_at("selector"))
    whole = Gems(runs=home).get("cut")
    freed = Gems(runs=home).prune(ANY, keep_best=True)
    assert (freed.removed, freed.trimmed) == ((), ("old",))
    assert freed.images == len(shown(old) - {old.best.image.sha256} - shown(whole))
    assert digests(home) == {old.best.image.sha256} | shown(whole)
    assert Gems(runs=home).get("old").state == old.state
    assert Gems(runs=home).get("old").image.size == old.image.size
    page = old.report_path.read_text()
    again = Gems(runs=home, image=make_sketcher(1.0)).resume("old")
    assert again.state == old.state
    assert again.report_path.read_text() == page
    assert Gems(runs=home, image=make_sketcher(1.0)).resume("cut").state.round >= 1
    assert Gems(runs=home).prune(ANY, keep_best=True).trimmed == ("cut",)


def test_pruning_removes_runs_that_have_ended_and_are_old(home, make_sketcher):
    draw(home, make_sketcher, "done")
    with pytest.raises(Stop):
        run(PROMPT, thread="cut", runs=home, image=make_sketcher(1.0), on_event=stop_at("selector"))
    assert Gems(runs=home).prune(timedelta(days=1)).removed == ()
    told = Gems(runs=home).prune(ANY, dry_run=True)
    assert told.removed == ("done",)
    assert told.images > 0
    assert len(Gems(runs=home).list()) == 2
    freed = Gems(runs=home).prune(ANY)
    assert freed._replace(database_bytes=0) == told
    assert [summary.thread for summary in Gems(runs=home).list()] == ["cut"]
    assert Gems(runs=home).prune(ANY, unfinished=True).removed == ("cut",)
    assert Gems(runs=home).list() == []
    assert digests(home) == set()


def test_the_database_becomes_smaller(home, make_sketcher):
    for number in range(4):
        draw(home, make_sketcher, f"t{number}")
    freed = Gems(runs=home).prune(ANY)
    assert freed.database_bytes > 10_000


def test_a_run_in_progress_is_left_alone(home, make_sketcher):
    draw(home, make_sketcher, "busy")
    with home.database.open() as other, other.lock_run("busy"):
        with pytest.raises(RunInUseError, match=r"the run busy is in progress in another process.*nothing was removed"):
            Gems(runs=home).remove("busy")
        assert Gems(runs=home).prune(ANY).notes == ("the run busy is in progress in another process: left as it is",)
    assert len(Gems(runs=home).list()) == 1


def test_a_picture_that_nothing_refers_to_goes_when_it_is_old(tmp_path, make_sketcher):
    from gems.storage.workspace import Workspace

    home = Workspace(tmp_path / "runs")
    draw(home, make_sketcher, "t")
    orphan = home.images.put(Image.new("RGB", (8, 8), "red"))
    home.images.release(None)
    assert Gems(runs=home).prune().images == 0
    path = next((tmp_path / "runs" / "images").glob(f"*/{orphan.sha256}.png"))
    long_ago = time.time() - ORPHAN_AGE.total_seconds() - 60
    os.utime(path, (long_ago, long_ago))
    assert Gems(runs=home).prune().images == 1
    assert orphan.sha256 not in digests(home)
    assert len(Gems(runs=home).list()) == 1


def test_what_a_killed_process_had_begun_to_write_goes_when_it_is_old(tmp_path, make_sketcher):
    from gems.storage.workspace import Workspace

    home = Workspace(tmp_path / "runs", image_store=tmp_path / "elsewhere")
    draw(home, make_sketcher, "t")
    torn = [tmp_path / "elsewhere" / "ab" / ".x.tmp", tmp_path / "runs" / "t" / ".y.tmp"]
    for path in torn:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"torn")
    assert Gems(runs=home).prune().image_bytes == 0
    assert all(path.exists() for path in torn)
    for path in torn:
        os.utime(path, (0, 0))
    assert Gems(runs=home).prune().image_bytes == 8
    assert not any(path.exists() for path in torn)
    assert Gems(runs=home).get("t").report_path.exists()


def test_pictures_of_other_doors_are_kept(home, make_sketcher):
    draw(home, make_sketcher, "t")
    theirs = home.images.put(Image.new("RGB", (8, 8), "red"), request="x", owner="a thread of LangGraph Studio")
    mine = home.images.put(Image.new("RGB", (8, 8), "blue"))
    for path in home.folder.glob("images/*/*.png"):
        os.utime(path, (0, 0))
    Gems(runs=home).prune(ANY, unfinished=True)
    assert digests(home) == {theirs.sha256, mine.sha256}


def test_homes_that_share_an_image_store_leave_each_others_pictures_alone(tmp_path, make_sketcher):
    from gems.storage.workspace import Workspace

    mine, theirs = (Workspace(tmp_path / name, image_store=tmp_path / "shared") for name in ("mine", "theirs"))
    draw(theirs, make_sketcher, "p")
    child = Gems(runs=theirs, image=make_sketcher(1.0)).fork("p", round=3, prompt="a red circle", name="f", max_rounds=3)
    kept = draw(theirs, make_sketcher, "t", seed=40)
    draw(mine, make_sketcher, "t", seed=40)
    Gems(runs=theirs).remove("p")
    Gems(runs=theirs).prune(ANY, keep_best=True)
    for path in (tmp_path / "shared").glob("*/*.png"):
        os.utime(path, (0, 0))
    Gems(runs=mine).remove("t")
    assert Gems(runs=mine).prune().images == 0
    assert Gems(runs=theirs).get("f").image.size == child.image.size
    assert Gems(runs=theirs).get("t").image.size == kept.image.size


def test_what_is_drawn_or_forked_while_runs_are_removed_is_kept(home, make_sketcher, monkeypatch):
    draw(home, make_sketcher, "old")
    looks = []

    def meanwhile(*args):
        found = read_references(*args)
        looks.append(found)
        if len(looks) == 1:
            draw(home, make_sketcher, "new")
            Gems(runs=home, image=make_sketcher(1.0)).fork("old", round=3, prompt="a red circle", name="kid", max_rounds=3)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("gems.runs.prune.read_references", meanwhile)
        assert Gems(runs=home).remove("old").removed == ("old",)
    for name in ("new", "kid"):
        for attempt in Gems(runs=home).get(name).attempts:
            home.images.open(attempt.image)


def test_a_run_that_is_gone_on_with_meanwhile_is_left_alone(home, make_sketcher, monkeypatch):
    with pytest.raises(Stop):
        run(PROMPT, thread="cut", runs=home, image=make_sketcher(1.0), on_event=stop_at("selector"))
    looks = []

    def meanwhile(*args):
        found = read_references(*args)
        looks.append(found)
        if len(looks) == 1:
            Gems(runs=home, image=make_sketcher(1.0)).resume("cut")
        return found

    with monkeypatch.context() as patch:
        patch.setattr("gems.runs.prune.read_references", meanwhile)
        freed = Gems(runs=home).prune(ANY, unfinished=True)
    assert freed.notes == ("the run cut was resumed meanwhile: left as it is",)
    for attempt in Gems(runs=home).get("cut").attempts:
        home.images.open(attempt.image)


def test_threads_of_other_programs_in_the_same_database_are_let_be(home, make_sketcher):
    from langgraph.checkpoint.base import empty_checkpoint

    with home.database.open() as opened:
        config = {"configurable": {"thread_id": "customer-42", "checkpoint_ns": ""}}
        opened.saver.serde = JsonPlusSerializer()  # as another program has it
        opened.saver.put(config, {**empty_checkpoint(), "channel_values": {"attempts": ["theirs"]}}, {}, {"attempts": "1"})
        rows = opened.row_count("customer-42")
    draw(home, make_sketcher, "mine")
    with pytest.raises(GemsError, match="the name customer-42 is taken by another user of this database"):
        draw(home, make_sketcher, "customer-42")
    with pytest.raises(GemsError, match="the name customer-42 is taken"):
        Gems(runs=home, image=make_sketcher(1.0)).fork("mine", round=2, name="customer-42")
    freed = Gems(runs=home).remove("mine")
    assert (freed.images > 0, freed.notes) == (True, ())
    with home.database.open() as opened:
        assert opened.row_count("customer-42") == rows


def test_many_runs_are_removed_with_few_open_files(tmp_path, make_sketcher):
    import resource

    from gems.storage.workspace import Workspace

    home = Workspace(tmp_path)
    for number in range(40):
        run("a red circle", thread=f"t{number}", runs=home, image=make_sketcher(0.0), preset="original", seed=number)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, hard))
    try:
        assert len(Gems(runs=home).prune(ANY).removed) == 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_folder_of_the_images_cannot_be_a_run(tmp_path, make_sketcher):
    from gems.storage.workspace import Workspace

    home = Workspace(tmp_path, image_store=tmp_path / "pics" / "of me")
    with pytest.raises(GemsError, match="'pics' cannot name a run: the images are in the folder of this name"):
        draw(home, make_sketcher, "pics")


def test_while_a_run_cannot_be_read_no_picture_is_removed(tmp_path, make_sketcher):
    import sqlite3

    from gems.storage.workspace import Workspace

    home = Workspace(tmp_path)
    draw(home, make_sketcher, "good")
    draw(home, make_sketcher, "bad", seed=5)
    with sqlite3.connect(tmp_path / "gems.sqlite") as connection:
        connection.execute("UPDATE checkpoints SET checkpoint = x'00' WHERE thread_id = 'bad'")
    connection.close()
    before = digests(home)
    freed = Gems(runs=home).remove("good")
    assert freed.notes == ("the run bad cannot be read, so no image was removed: restore or remove it first",)
    assert digests(home) == before
    assert Gems(runs=home).remove("bad").images > 0


def test_what_a_killed_removal_left_is_removed_by_the_next(home, make_sketcher, monkeypatch):
    draw(home, make_sketcher, "t")

    def die(*args):
        raise Stop

    for step in ("delete_thread", "delete_manifest"):
        with monkeypatch.context() as patch:
            if step == "delete_manifest":
                patch.setattr("gems.runs.prune.delete_manifest", die)
            else:
                patch.setattr("langgraph.checkpoint.sqlite.SqliteSaver.delete_thread", die)
                patch.setattr("langgraph.checkpoint.postgres.PostgresSaver.delete_thread", die)
            with pytest.raises(Stop):
                Gems(runs=home).remove("t")
        assert [summary.thread for summary in Gems(runs=home).list()] == ["t"]
    assert Gems(runs=home).remove("t").removed == ("t",)
    assert Gems(runs=home).list() == []
    assert digests(home) == set()


@pytest.mark.parametrize("place", ["_delete_images", "delete_manifest"])
def test_a_prune_that_was_killed_is_finished_by_the_next(home, make_sketcher, monkeypatch, place):
    draw(home, make_sketcher, "old")
    draw(home, make_sketcher, "other", seed=77)

    def die(*args):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(f"gems.runs.prune.{place}", die)
        with pytest.raises(Stop):
            Gems(runs=home).prune(ANY)
    found = {summary.thread: summary for summary in Gems(runs=home).list()}
    assert [name for name, summary in found.items() if summary.standing == "damaged"] == ["old"]
    assert "`gems rm old` or `gems prune` finishes it" in found["old"].told
    with pytest.raises(GemsError, match="the run old has begun to be removed"):
        Gems(runs=home, image=make_sketcher()).resume("old")
    assert Gems(runs=home).prune(dry_run=True).removed == ("old",)
    assert Gems(runs=home).prune().removed == ("old",)  # however old it is
    assert [summary.thread for summary in Gems(runs=home).list()] == ["other"]
    assert digests(home) == shown(Gems(runs=home).get("other"))


@pytest.mark.parametrize("place", ["runs.prune._delete_images", "storage.image_store.ImageStore.claim"])
def test_a_prune_to_the_best_that_was_killed_is_finished_by_the_next(home, make_sketcher, monkeypatch, place):
    old = draw(home, make_sketcher, "old")

    def die(*args):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(f"gems.{place}", die)
        with pytest.raises(Stop):
            Gems(runs=home).prune(ANY, keep_best=True)
    with pytest.raises(GemsError, match="pruned"):
        Gems(runs=home, image=make_sketcher()).fork("old", round=2, prompt="a red circle")
    assert Gems(runs=home).prune().trimmed == ("old",)
    assert Gems(runs=home).prune(ANY, keep_best=True).trimmed == ()
    assert digests(home) == {old.best.image.sha256}
    assert Gems(runs=home).get("old").state == old.state
    assert [summary.standing for summary in Gems(runs=home).list()] == [{"accept": "accepted", "give up": "gave up"}[old.decision]]


def test_what_cannot_be_is_told_and_nothing_removed(home, make_sketcher):
    draw(home, make_sketcher, "t")
    with pytest.raises(GemsError, match="there is no run nobody: the latest are t"):
        Gems(runs=home).remove("t", "nobody")
    with pytest.raises(GemsError, match=r"\['t'\] is no name of a run"):
        Gems(runs=home).remove(["t"])
    with pytest.raises(GemsError, match="older_than='30d': give a timedelta"):
        Gems(runs=home).prune("30d")
    with pytest.raises(GemsError, match="with keep_best or with unfinished, not both"):
        Gems(runs=home).prune(ANY, keep_best=True, unfinished=True)
    assert len(Gems(runs=home).list()) == 1


def test_without_runs_there_is_nothing_to_remove(tmp_path):
    with pytest.raises(GemsError, match="there are no runs in"):
        Gems(runs=tmp_path / "none").remove("t")
    with pytest.raises(GemsError, match="there are no runs in"):
        Gems(runs=tmp_path / "none").prune()
    assert not (tmp_path / "none").exists()
