"""Image stores on every backend: each test here runs on a folder, in memory and on S3."""

import hashlib
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from gems.errors import ImageStoreError, LostImageError
from gems.memory.state import ImageRef
from gems.storage.image_store import ImageStore


def picture(color="red", size=(16, 12)):
    return Image.new("RGB", size, color)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def store(place):
    return ImageStore(place.url)


def name_of(ref):
    return f"{ref.sha256[:2]}/{ref.sha256}.png"


def test_a_picture_comes_back_with_its_pixels_and_its_story(store):
    ref = store.put(picture(), {"prompt": "ein grüner Stern", "seed": "7"})
    assert (ref.width, ref.height) == (16, 12)
    with Image.open(io.BytesIO(store.read(ref))) as image:
        assert image.text == {"prompt": "ein grüner Stern", "seed": "7"}
    assert store.open(ref).tobytes() == picture().tobytes()


def test_the_same_picture_is_stored_once(store, place):
    first, again = store.put(picture()), store.put(picture())
    assert first == again
    assert [name for name in place.names() if name.endswith(".png")] == [name_of(first)]
    assert store.put(picture("blue")) != first


def test_the_same_picture_may_come_from_many_threads_at_once(store, place):
    with ThreadPoolExecutor(8) as pool:
        refs = list(pool.map(lambda i: store.put(picture(), request="same", owner=f"run {i % 2}"), range(32)))
    assert len(set(refs)) == 1
    assert place.names(".png") == [name_of(refs[0])]
    assert store.open(refs[0]).tobytes() == picture().tobytes()
    assert store.find_by_request("same", "run 0") == store.find_by_request("same", "run 1") == refs[0]
    assert len(place.names()) == 3  # the picture and two notes: nothing temporary


@pytest.mark.parametrize("damage", [lambda data: png(picture("blue")), lambda data: data[:-20], lambda data: b""])
def test_a_damaged_picture_is_refused_by_name(store, place, damage):
    ref = store.put(picture())
    place.write(name_of(ref), damage(store.read(ref)))
    with pytest.raises(LostImageError, match=f"{ref.sha256} is damaged"):
        store.read(ref)
    with pytest.raises(LostImageError, match=f"{ref.sha256} is damaged"):
        store.open(ref)


def test_a_missing_picture_is_refused_by_name(store):
    ref = ImageRef(sha256="ab" * 32, width=1, height=1)
    with pytest.raises(LostImageError, match=f"{'ab' * 32} is not in the store"):
        store.open(ref)


@pytest.mark.parametrize("digest", ["../../secret", "ab/" + "0" * 61, "", "A" * 64, "a" * 64 + "\n"])
def test_an_id_cannot_leave_the_folder(store, digest):
    for use in (store.path, store.delete, lambda d: store.read(ImageRef.model_construct(sha256=d))):
        with pytest.raises(ImageStoreError, match="is not the id of an image"):
            use(digest)


def test_a_request_finds_its_picture_again(store, place):
    ref = store.put(picture(), request="prompt, seed 1", owner="mine")
    assert ImageStore(place.url).find_by_request("prompt, seed 1", "mine") == ref
    assert store.find_by_request("prompt, seed 2", "mine") is None
    assert store.find_by_request("prompt, seed 1", "another") is None
    assert store.find_by_request("prompt, seed 1") is None


def test_graphs_without_a_thread_share_their_notes(store):
    ref = store.put(picture(), request="x")
    assert store.find_by_request("x") == ref
    assert store.claimed() == {ref.sha256}


def test_a_request_whose_picture_is_gone_or_damaged_is_drawn_anew(store, place):
    ref = store.put(picture(), request="x")
    place.write(name_of(ref), b"torn")
    assert store.find_by_request("x") is None
    place.remove(name_of(ref))
    assert store.find_by_request("x") is None


def test_a_damaged_note_is_drawn_anew(store, place):
    ref = store.put(picture(), request="x", owner="mine")
    [note] = place.names(".json")
    for torn in (b'{"sha256": "12', b'{"sha256": "../../secret", "width": 1, "height": 1}', b"[]", b""):
        place.write(note, torn)
        assert store.find_by_request("x", "mine") is None
        assert store.claimed("mine") == store.all_claimed() == set()
    assert store.put(picture(), request="x", owner="mine") == ref
    assert store.find_by_request("x", "mine") == ref


def test_a_damaged_picture_is_healed_when_it_is_drawn_again(store, place):
    ref = store.put(picture())
    place.write(name_of(ref), b"torn")
    assert store.put(picture()) == ref
    assert store.open(ref).size == (16, 12)


def test_the_name_of_a_run_cannot_leave_its_folder_and_is_not_shown(store, place):
    names = ["../../etc", "a/b", "a*", "[a-z]", "..", "", "x" * 500, "ein Stern ☆"]
    for i, owner in enumerate(names):
        store.put(picture(size=(i + 1, 1)), request="x", owner=owner)
    assert all(store.find_by_request("x", owner).width == i + 1 for i, owner in enumerate(names))
    notes = place.names(".json")
    assert len(notes) == len(names)
    assert {len(n) for n in notes} == {len("made/") + 32 + len("/") + 64 + len(".json")}
    store.release("a*")
    store.release("[a-z]")
    assert len(place.names(".json")) == len(names) - 2


def test_what_a_run_has_made_is_told_and_forgotten_for_it_alone(store, place):
    shared, mine, other = picture("red"), picture("blue"), picture("green")
    a, b = (store.put(p, request=str(i), owner="mine").sha256 for i, p in enumerate((shared, mine)))
    assert {store.put(p, request=str(i), owner="other").sha256 for i, p in enumerate((shared, other))} > {a}
    assert store.claimed("mine") == {a, b}
    assert store.claimed("nobody") == set()
    assert store.all_claimed() == {a, b} | store.claimed("other")
    store.release("mine")
    store.release("nobody")
    assert store.claimed("mine") == set()
    assert store.all_claimed() == store.claimed("other")
    assert len(store.list_images()) == 3


def test_pictures_are_told_with_their_size_and_age(store, place):
    assert store.list_images() == []
    began = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    refs = [store.put(picture(c), {"color": c}, request=c) for c in ("red", "blue", "green")]
    for foreign in ("notes.txt", "ab/readme.md", f"ab/{'c' * 64}.png", f"made/{'d' * 64}.png", f"ab/cd/{'ab' * 32}.png"):
        place.write(foreign, b"not the store's")
    told = store.list_images()
    assert [t.digest for t in told] == sorted(r.sha256 for r in refs)
    assert {t.digest: t.size for t in told} == {r.sha256: len(store.read(r)) for r in refs}
    assert all(began <= t.written <= datetime.now(UTC) + timedelta(seconds=1) for t in told)


def test_a_deleted_picture_is_gone_and_tells_what_it_freed(store, place):
    ref, other = store.put(picture()), store.put(picture("blue"))
    size = len(store.read(ref))
    assert store.delete(ref.sha256) == size
    assert store.delete(ref.sha256) == 0
    assert [t.digest for t in store.list_images()] == [other.sha256]
    with pytest.raises(LostImageError, match="is not in the store"):
        store.read(ref)
    assert store.put(picture()) == ref
    assert store.open(ref).size == (16, 12)


def test_too_many_pixels_are_refused(store, monkeypatch):
    ref = store.put(picture())
    monkeypatch.setattr("gems.storage.image_store.MAX_PIXELS", 100)
    with pytest.raises(ImageStoreError, match="too large"):
        store.put(picture())
    with pytest.raises(ImageStoreError, match=f"{ref.sha256} has more than 100 pixels"):
        store.open(ref)


@pytest.mark.parametrize("side", [8_100, 10_000, 40_000])  # more than ours; more than Pillow warns of; more than it takes
def test_a_decompression_bomb_is_not_opened(store, place, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    ref = ImageRef(sha256=hashlib.sha256(bomb).hexdigest(), width=1, height=1)
    place.write(name_of(ref), bomb)
    with pytest.raises(ImageStoreError, match="has more than 64,000,000 pixels"):
        store.open(ref)


def test_what_is_no_picture_is_not_opened(store, place):
    page = b"<html>"
    ref = ImageRef(sha256=hashlib.sha256(page).hexdigest(), width=1, height=1)
    place.write(name_of(ref), page)
    with pytest.raises(ImageStoreError, match=f"{ref.sha256} is no PNG"):
        store.open(ref)


def test_a_store_that_can_be_written_passes_its_check(store, place):
    store.ensure_writable()
    assert place.names() == ["store.json"]
    place.remove("store.json")
    store.ensure_writable()
    assert place.names() == []  # asked once
