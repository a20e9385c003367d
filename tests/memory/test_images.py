import io
import stat

import pytest
from PIL import Image

from gems.memory import images
from gems.memory.images import ImageStore, ImageStoreError
from gems.memory.state import ImageRef


def picture(color="red", size=(16, 12)):
    return Image.new("RGB", size, color)


def test_a_picture_comes_back_with_its_pixels_and_its_story(tmp_path):
    store = ImageStore(tmp_path / "images")
    ref = store.put(picture(), {"prompt": "ein grüner Stern", "seed": "7"})
    assert (ref.width, ref.height) == (16, 12)
    with Image.open(store.path(ref.sha256)) as image:
        assert image.text == {"prompt": "ein grüner Stern", "seed": "7"}
    assert store.open(ref).tobytes() == picture().tobytes()


def test_the_same_picture_is_stored_once(tmp_path):
    store = ImageStore(tmp_path)
    first, again = store.put(picture()), store.put(picture())
    assert first == again
    assert len(list(tmp_path.rglob("*.png"))) == 1
    assert store.put(picture("blue")) != first


def test_no_temporary_file_is_left(tmp_path):
    store = ImageStore(tmp_path)
    store.put(picture())
    assert [p for p in tmp_path.rglob("*") if p.suffix == ".tmp"] == []


def test_a_damaged_picture_is_named(tmp_path):
    store = ImageStore(tmp_path)
    ref = store.put(picture())
    buffer = io.BytesIO()
    picture("blue").save(buffer, "PNG")
    store.path(ref.sha256).write_bytes(buffer.getvalue())
    with pytest.raises(ImageStoreError, match=f"{ref.sha256} is damaged"):
        store.read(ref)


def test_a_missing_picture_is_named(tmp_path):
    ref = ImageRef(sha256="ab" * 32, width=1, height=1)
    with pytest.raises(ImageStoreError, match="is not in the store"):
        ImageStore(tmp_path).open(ref)


@pytest.mark.parametrize("digest", ["../../secret", "ab/" + "0" * 61, ""])
def test_an_id_cannot_leave_the_folder(tmp_path, digest):
    with pytest.raises(ImageStoreError, match="is not the id of an image"):
        ImageStore(tmp_path).path(digest)


def test_a_request_finds_its_picture_again(tmp_path):
    store = ImageStore(tmp_path)
    ref = store.put(picture(), request="prompt, seed 1")
    assert ImageStore(tmp_path).recall("prompt, seed 1") == ref
    assert store.recall("prompt, seed 2") is None


def test_a_request_whose_picture_is_gone_or_damaged_is_drawn_anew(tmp_path):
    store = ImageStore(tmp_path)
    ref = store.put(picture(), request="x")
    store.path(ref.sha256).write_bytes(b"torn")
    assert store.recall("x") is None
    store.path(ref.sha256).unlink()
    assert store.recall("x") is None


def test_a_damaged_note_is_drawn_anew(tmp_path):
    store = ImageStore(tmp_path)
    store.put(picture(), request="x")
    for note in (tmp_path / "made").iterdir():
        note.write_text('{"sha256": "12')
    assert store.recall("x") is None


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(ImageStoreError, match="cannot write"):
        ImageStore(tmp_path / "images").put(picture())


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("gems.memory.images.MAX_PIXELS", 100)
    with pytest.raises(ImageStoreError, match="too large"):
        ImageStore(tmp_path).put(picture())


def test_pictures_can_be_read_by_others(tmp_path):
    ref = ImageStore(tmp_path).put(picture())
    assert stat.S_IMODE(ImageStore(tmp_path).path(ref.sha256).stat().st_mode) == 0o644


def test_a_damaged_picture_is_healed_when_it_is_drawn_again(tmp_path):
    store = ImageStore(tmp_path)
    ref = store.put(picture())
    store.path(ref.sha256).write_bytes(b"torn")
    assert store.put(picture()) == ref
    assert store.open(ref).size == (16, 12)


def test_killed_between_note_and_picture_there_is_no_picture_without_a_note(tmp_path, monkeypatch):
    store, wrote = ImageStore(tmp_path), []

    def write_one_and_die(path, data, write=images.write_atomically):
        if wrote:
            raise KeyboardInterrupt
        wrote.append(path)
        write(path, data)

    monkeypatch.setattr(images, "write_atomically", write_one_and_die)
    with pytest.raises(KeyboardInterrupt):
        store.put(picture(), request="x")
    assert list(tmp_path.rglob("*.png")) == []
    assert store.recall("x") is None
