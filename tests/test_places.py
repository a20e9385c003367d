"""Folders, disks and terminals that are not as they should be: read-only, full, without locks, without Unicode, gone."""

import errno
import fcntl
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gems import GemsError, Workspace, run
from gems.commands.fork import _read_checks
from gems.commands.review_dialog import read_answer
from gems.config import load_config
from gems.storage.files import replace_file
from gems.storage.locks import holding
from gems.storage.sqlite import _error_message

NOBODY = 65534


@contextmanager
def unwritable(folder):
    """Take from this process the right to write a folder; root has none while it is somebody else."""
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield
    finally:
        if root:
            os.seteuid(0)
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)


@pytest.fixture
def archive(sketcher):
    """Give a folder with two runs that anybody may look into."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # nobody else may look into pytest's
    for name in ("one", "two"):
        run("a red circle", thread=name, runs=folder, image=sketcher, preset="original", lessons="keep")
    yield folder
    shutil.rmtree(folder)


LOOKS = ["runs", "runs --json", "show one", "show one --json", "gallery --out {out}", "lessons list", "lessons export -"]


def test_what_cannot_be_written_can_be_looked_at(command, archive):
    out = archive.with_suffix(".out")
    out.mkdir()
    out.chmod(0o777)

    def looked():
        return [command(*look.format(out=out / "g.html").split(), "--runs", archive) for look in LOOKS]

    before = looked()
    files = sorted(archive.rglob("*"))
    with unwritable(archive):
        assert looked() == before
        code, _, err = command("run", "a red circle", "--runs", archive)
        assert (code, "cannot write in the folder" in err, "choose another with --runs" in err) == (2, True, True)
        for args in ("rm one", "resume one"):
            code, _, err = command(*args.split(), "--runs", archive)
            assert (code, "cannot write in the folder" in err) == (2, True)
        code, _, err = command("prune", "--runs", archive)
        assert (code, "cannot be written (attempt to write a readonly database)" in err) == (2, True)
    assert sorted(archive.rglob("*")) == files
    assert [code for code, _, _ in before] == [0] * len(LOOKS)
    shutil.rmtree(out)


def test_what_another_user_is_writing_is_read_as_it_is_now(command, archive):
    with closing(sqlite3.connect(archive / "gems.sqlite")) as other:
        other.execute("DELETE FROM store WHERE key = 'two'")
        other.commit()
        with unwritable(archive):
            assert [one["thread"] for one in json.loads(command("runs", "--runs", archive, "--json")[1])] == ["one"]


def test_a_tilde_is_the_home_folder_also_where_no_shell_has_seen_it(command, tmp_path, monkeypatch, sketcher):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    run("a red circle", thread="t", runs=Workspace("~/runs", image_store="~/images"), image=sketcher, preset="original")
    (tmp_path / "me" / "c.toml").write_text('preset = "original"\n')
    monkeypatch.setenv("GEMS_RUNS", "~/runs")
    assert command("gallery", "--out", "~/g.html", "--image-store", "~/images")[0] == 0
    assert {"c.toml", "images", "runs", "g.html"} <= {path.name for path in (tmp_path / "me").iterdir()}
    by_file, by_name = (
        command("run", "a red circle", "--dry-run", *args) for args in (["--config", "~/c.toml"], ["--preset", "original"])
    )
    assert by_file == by_name
    assert not (tmp_path / "~").exists()


def test_a_folder_of_runs_without_a_name_is_refused(command, tmp_path):
    for args in ("run", "a red circle"), ("runs",), ("eval", "shapes"):
        code, _, err = command(*args, "--runs", "")
        assert (code, "the path is empty: write a path" in err) == (2, True)
    with pytest.raises(GemsError, match="the folder of runs has no name"):
        run("a red circle", runs="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("database is locked", "is locked by another program"),
        ("database or disk is full", "has no room left on its disk: make room, then go on with `gems resume`"),
        ("unable to open database file", "cannot be opened"),
        ("attempt to write a readonly database", "cannot be written"),
        ("disk I/O error", "its disk has failed or is not a local one (disk I/O error): look at the disk"),
        ("locking protocol", "choose a local disk with --runs, or PostgreSQL with --store"),
        ("out of memory", "needs more memory than there is"),
        ("interrupted", "was interrupted: go on with `gems resume`"),
        ("bad parameter or other API misuse", "failed (bad parameter or other API misuse)"),
        ("database disk image is malformed", "is damaged (database disk image is malformed): restore it from a copy"),
        ("malformed database schema (x)", "is damaged"),
        ("file is not a database", "is damaged"),
    ],
)
def test_what_is_wrong_with_a_database_is_told_as_what_it_is(error, told):
    words = _error_message(Path("runs/gems.sqlite"), sqlite3.OperationalError(error))
    assert words.startswith("the database runs/gems.sqlite ")
    assert told in words
    assert ("damaged" in words) is ("damaged" in told)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_before_anything_is_drawn(tmp_path, sketcher, monkeypatch, number):
    def none(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", none)
    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(GemsError, match=r"has no locks .*choose a folder on a local disk, or keep runs in PostgreSQL"):
        run("a red circle", runs=tmp_path, image=sketcher)
    with pytest.raises(GemsError, match="has no locks"), holding(tmp_path, "study"):
        pass
    assert sketcher.made == []


def test_an_output_that_cannot_encode_a_sign_writes_it_as_json_does(command, monkeypatch, sketcher):
    run("a red circle", thread="t", image=sketcher, preset="original")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    code = command("show", "t")[0]
    prompt = "a fox \U0001f98a and \u2713"
    print("\n" + json.dumps(prompt, ensure_ascii=False), file=out, flush=True)
    *shown, line = out.buffer.getvalue().decode("ascii").splitlines()
    assert (code, any("\\u2713 " in each for each in shown)) == (0, True)
    assert json.loads(line) == prompt


INTERRUPTED = """
import os, signal, sys
module = sys.argv[1]
from importlib.abc import MetaPathFinder

class Impatient(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where a shell has begun this in the background
from gems.__main__ import main
sys.argv = ["gems", "--version"]
main()
"""


@pytest.mark.parametrize("module", ["gems.cli", "rich"])
def test_ctrl_c_while_the_command_is_imported_is_one_line(module):
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "error: interrupted\n")


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    (tmp_path / "bom.toml").write_text('preset = "original"\n', encoding="utf-8-sig")
    assert load_config("bom.toml").preset == "original"
    (tmp_path / "checks.json").write_text(
        json.dumps([{"id": "c1", "kind": "attribute", "question": "Is it red?"}]), encoding="utf-8-sig"
    )
    assert [check.question for check in _read_checks(tmp_path / "checks.json")] == ["Is it red?"]
    (tmp_path / "answer.json").write_text('{"action": "accept"}', encoding="utf-8-sig")
    assert read_answer("@answer.json") == {"action": "accept"}


def test_a_file_where_the_folder_of_a_run_would_be_is_told(tmp_path, sketcher):
    (tmp_path / "t").write_text("mine")
    with pytest.raises(GemsError, match=r"t is a file, where the run's folder would be: move it away, or choose another name"):
        run("a red circle", thread="t", runs=tmp_path, image=sketcher)
    assert sketcher.made == []


def test_a_working_directory_that_is_gone_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(GemsError, match="the working directory has been removed"):
        run("a red circle")


@pytest.mark.parametrize("place", ["gems.storage.backends.replace_file", "gems.storage.files.replace_file"])
def test_a_picture_that_does_not_fit_on_the_disk_asks_for_room(tmp_path, sketcher, monkeypatch, place):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(place, full)
    with pytest.raises(GemsError, match=r"No space left on device\): make room, then go on with `gems resume`"):
        run("a red circle", thread="t", runs=tmp_path, image=sketcher, preset="original")


def test_a_device_or_a_pipe_that_is_to_be_written_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_file(tmp_path / "pipe", b"page")
        assert os.read(reader, 10) == b"page"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    replace_file(Path("/dev/null"), b"page")
    assert Path("/dev/null").is_char_device()
