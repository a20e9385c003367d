"""Image stores in a folder: what they guarantee beyond the others."""

import os
import stat

import pytest
from PIL import Image

from gems.errors import ImageStoreError
from gems.storage.backends import LocalStorage
from gems.storage.image_store import ImageStore


def picture(color="red"):
    return Image.new("RGB", (16, 12), color)


@pytest.mark.parametrize("form", [str, lambda p: p, lambda p: p.as_uri(), lambda p: f"file://localhost{p.as_uri()[7:]}"])
def test_a_folder_is_named_by_a_path_or_a_url(tmp_path, form):
    folder = tmp_path / "my pictures 100%"
    ref = ImageStore(form(folder)).put(picture())
    store = ImageStore(folder)
    assert store.path(ref.sha256) == folder / ref.sha256[:2] / f"{ref.sha256}.png"
    assert store.path(ref.sha256).is_file()
    assert str(store) == store.url == str(folder)


def test_a_url_that_names_another_machines_folder_is_refused():
    with pytest.raises(ImageStoreError, match="write file:///FOLDER"):
        ImageStore("file://pictures/of/mine")


def test_pictures_can_be_read_by_others(tmp_path):
    store = ImageStore(tmp_path)
    assert stat.S_IMODE(store.path(store.put(picture()).sha256).stat().st_mode) == 0o644


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "images").write_text("in the way")
    store = ImageStore(tmp_path / "images")
    for use in (
        store.ensure_writable,
        lambda: store.put(picture()),
        lambda: store.find_by_request("x"),
        store.list_images,
        store.all_claimed,
    ):
        with pytest.raises(ImageStoreError, match=r"cannot (write to|read from|list) .*choose a folder"):
            use()


@pytest.mark.parametrize("within", [False, True])
def test_killed_between_note_and_picture_there_is_no_picture_without_a_note(tmp_path, monkeypatch, within):
    store, wrote = ImageStore(tmp_path), []

    def write_one_and_die(folder, name, data, write=LocalStorage.write):
        if wrote:
            if within:  # the data is on its way to the disk
                monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(KeyboardInterrupt))
                write(folder, name, data)
            raise KeyboardInterrupt
        wrote.append(name)
        write(folder, name, data)

    monkeypatch.setattr(LocalStorage, "write", write_one_and_die)
    with pytest.raises(KeyboardInterrupt):
        store.put(picture(), request="x")
    assert list(tmp_path.rglob("*.png")) == list(tmp_path.rglob("*.tmp")) == []
    assert store.find_by_request("x") is None


def test_a_note_that_cannot_be_read_is_not_taken_for_none(tmp_path):
    store = ImageStore(tmp_path)
    store.put(picture(), request="x", owner="mine")
    [note] = tmp_path.glob("made/*/*.json")
    note.unlink()
    note.mkdir()  # nobody can read a file that is a folder, not even root
    for use in (store.all_claimed, lambda: store.claimed("mine"), lambda: store.find_by_request("x", "mine")):
        with pytest.raises(ImageStoreError, match="cannot read from the image store"):
            use()


def test_a_forgotten_run_leaves_no_folder(tmp_path):
    store = ImageStore(tmp_path)
    store.put(picture(), request="x", owner="mine")
    store.release("mine")
    assert list((tmp_path / "made").iterdir()) == []
