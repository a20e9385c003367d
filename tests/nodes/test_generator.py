"""Images are asked for one by one or several at a time, and what was made is never lost."""

import threading

import pytest
from PIL import Image

from gems import ImageModel, run
from gems.errors import ImageModelError, ImageStoreError
from gems.models.image.base import ImageRequest
from gems.nodes.generator import find_or_generate, request_key
from gems.storage.image_store import ImageStore


class Crowd(ImageModel):
    """Answers only when as many calls are under way as it has a use for; one of its seeds may be broken."""

    name = "crowd"

    def __init__(self, parallel, broken=None):
        self.parallel, self.broken, self.made = parallel, broken, []
        self.gate = threading.Barrier(parallel, timeout=20)

    def generate(self, requests):
        self.gate.wait()
        if requests[0].seed == self.broken:
            raise ImageModelError("no paint left")
        self.made.append(requests[0].seed)
        return [Image.new("RGB", (16, 16), (requests[0].seed, 0, 0))]


def test_candidates_are_asked_for_at_the_same_time_and_keep_their_order(tmp_path):
    result = run("a red circle", preset="best-of-n", image=Crowd(4), runs=tmp_path, candidates=4, seed=10)
    assert [a.seed for a in result.attempts] == [10, 11, 12, 13]
    assert [result.store.open(a.image).getpixel((0, 0))[0] for a in result.attempts] == [10, 11, 12, 13]


def test_a_failure_does_not_lose_the_images_made_beside_it(tmp_path):
    from gems import Gems

    image = Crowd(3, broken=11)
    with pytest.raises(ImageModelError, match="no paint left"):
        run("a red circle", preset="best-of-n", image=image, runs=tmp_path, candidates=3, seed=10, thread="t")
    assert sorted(image.made) == [10, 12]
    again = Crowd(1)
    result = Gems(runs=tmp_path, image=again).resume("t")
    assert again.made == [11]
    assert len(result.attempts) == 3


def test_what_the_model_did_not_honour_is_noted_once(tmp_path):
    class Stubborn(Crowd):
        def caveats(self, request):
            return ["crowd takes no negative prompt: it was left out"] if request.negative_prompt else []

    result = run("a red circle", image=Stubborn(1), runs=tmp_path, negative_prompt="blur", max_rounds=2)
    assert [n for n in result.state.notes if "negative" in n] == ["crowd takes no negative prompt: it was left out"]


def test_another_source_is_another_picture():
    model = Crowd(1)
    one, two = (ImageRequest(prompt="p", seed=1, source=s) for s in (b"one", b"two"))
    assert request_key(model, one) != request_key(model, two)
    assert "b'one'" not in request_key(model, one)


def test_a_picture_that_cannot_be_kept_is_not_paid_for(tmp_path):
    (tmp_path / "images").write_text("in the way")
    image = Crowd(1)
    with pytest.raises(ImageStoreError, match=r"cannot .* the image store"):
        find_or_generate(image, ImageStore(tmp_path / "images"), [ImageRequest(prompt="p", seed=1)], "t")
    assert image.made == []


def test_each_run_has_notes_of_its_own(tmp_path):
    store, request = ImageStore(tmp_path), ImageRequest(prompt="p", seed=1)
    [ref] = find_or_generate(Crowd(1), store, [request], "t")
    assert store.claimed("t") == {ref.sha256}
    assert store.claimed("u") == store.claimed() == set()
    again = Crowd(1)
    assert find_or_generate(again, store, [request], "t") == [ref]
    assert again.made == []


def test_a_picture_does_not_tell_where_a_server_keeps_its_model(tmp_path):
    image, store = Crowd(1), ImageStore(tmp_path)
    image.name = "/home/me/models/Z-Image"
    [ref] = find_or_generate(image, store, [ImageRequest(prompt="p", seed=1)], "t")
    assert store.open(ref).text["model"] == "Z-Image"
    assert not [p for p in tmp_path.rglob("*.*") if b"/home/me" in p.read_bytes()]
