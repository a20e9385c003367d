"""Models that are loaded in one process: one at a time, and equal ones once."""

import gc
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gems import run
from gems.errors import ImageModelError
from gems.models.image.base import ImageRequest
from gems.models.image.devices import LOAD_LOCK
from gems.models.image.diffusers import DiffusersImage
from gems.models.options import ImageOptions
from gems.models.registry import image_model
from gems.models.shapes import WEIGHTS

STEP = {"num_inference_steps": 1}


@pytest.fixture
def loads(monkeypatch):
    """Note for each load of a pipeline how many were loaded at that moment, itself among them."""
    from diffusers import DiffusionPipeline

    load, at_work, seen = DiffusionPipeline.from_pretrained, [], []

    def counted(*args, **kwargs):
        at_work.append(1)
        seen.append(len(at_work))
        try:
            time.sleep(0.01)
            return load(*args, **kwargs)
        finally:
            at_work.pop()

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", counted)
    return seen


def test_models_that_are_needed_at_the_same_time_are_loaded_one_after_the_other_and_all_draw(loads):
    models = [image_model(ImageOptions(model="shapes", call=STEP, batch=size)) for size in (1, 2, 3, 4)]
    with ThreadPoolExecutor(8) as pool:
        images = [i for (i,) in pool.map(lambda m: m.generate([ImageRequest(prompt="a red circle", seed=1)]), models * 2)]
    assert loads == [1, 1, 1, 1]
    assert len({image.tobytes() for image in images}) == 1


def test_nothing_is_drawn_while_a_model_is_loaded_and_nothing_loaded_while_one_draws():
    order, drawing = [], threading.Event()

    def someone_waits_to_load():
        while not LOAD_LOCK._waiting:
            time.sleep(0.001)

    def draw():
        with LOAD_LOCK.generating():
            drawing.set()
            someone_waits_to_load()
            time.sleep(0.02)  # the load would begin now, and so would the next picture
            order.append("drawn")

    def load():
        drawing.wait(10)
        with LOAD_LOCK.loading(), LOAD_LOCK.loading():
            time.sleep(0.02)
            order.append("loaded")

    def draw_later():
        someone_waits_to_load()
        with LOAD_LOCK.generating():
            order.append("drawn later")

    threads = [threading.Thread(target=work) for work in (draw, load, draw_later)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["drawn", "loaded", "drawn later"]


def test_a_load_that_fails_leaves_the_turn_to_others(tmp_path, loads):
    with pytest.raises(ImageModelError, match="cannot load"):
        DiffusersImage(tmp_path).load()
    assert DiffusersImage(WEIGHTS).load() is not None


def test_runs_with_equal_options_load_their_model_once(tmp_path, loads):
    options = ImageOptions(model=f"diffusers:{WEIGHTS}", call={**STEP, "width": 128, "height": 128})
    for seed in range(3):
        run("a red circle", image=options.model_copy(), preset="original", seed=seed, runs=tmp_path)
    assert len(loads) == 1


def test_equal_options_share_a_model_and_others_do_not():
    shapes = image_model("shapes")
    assert image_model(ImageOptions(model="shapes", price=0.1)) is shapes  # a price makes no other model
    other = image_model(ImageOptions(model="shapes", call=STEP))
    assert other is not shapes
    assert image_model("shapes") is shapes  # as it is in use here


def test_a_folder_whose_files_have_changed_is_another_model(tmp_path, monkeypatch):
    shutil.copytree(WEIGHTS, tmp_path / "mine")
    first = image_model("diffusers:./mine")
    assert image_model("diffusers:./mine") is first
    (tmp_path / "mine" / "new.txt").write_text("trained anew")
    assert image_model("diffusers:./mine") is not first
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(WEIGHTS, tmp_path / "elsewhere" / "mine")
    last = image_model("diffusers:./mine")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert image_model("diffusers:./mine") is not last


def test_a_model_that_nobody_uses_is_freed_when_another_one_is_loaded(loads):
    import weakref

    first = image_model(ImageOptions(model="shapes", call=STEP, batch=5))
    pipeline = weakref.ref(first.load())
    del first
    gc.collect()
    assert pipeline() is not None  # the next run may want it
    image_model(ImageOptions(model="shapes", call=STEP, batch=6)).load()
    assert pipeline() is None
