"""POST /v1/images over real HTTP: the model's own pixels arrive, with seeds and warnings."""

import base64
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from PIL import Image, ImageChops

from gems.errors import ImageModelError
from gems.models.image.base import ImageModel, ImageRequest

from .conftest import pixels, png, problem


def same(left, right):
    return left.size == right.size and ImageChops.difference(left.convert("RGB"), right.convert("RGB")).getbbox() is None


def edit(site, image=None, **fields):
    files = {} if image is None else {"image": ("a.png", image, "image/png")}
    return site.post("/images/edits", data={"prompt": "invert", **fields}, files=files)


def test_the_pictures_are_those_of_the_model_seed_by_seed(site, make_sketcher):
    answer = site.openai.images.generate(model="sketcher", prompt="two red circles", n=3, extra_body={"seed": 7})
    assert [item.model_extra["seed"] for item in answer.data] == [7, 8, 9]
    own = make_sketcher().generate([ImageRequest(prompt="two red circles", seed=seed) for seed in (7, 8, 9)])
    assert all(same(pixels(item), picture) for item, picture in zip(answer.data, own, strict=True))
    assert (pixels(answer.data[0]).format, answer.size) == ("PNG", "128x128")


def test_the_embedded_image_model_draws_over_http():
    pytest.importorskip("torch")
    from gems.models.shapes import shapes_chat, shapes_image
    from gems.server import create_app, running

    from .conftest import Site

    model = shapes_image(call={"num_inference_steps": 1})
    with running(create_app(shapes_chat(), model)) as url:
        site = Site(url)
        item = site.draw("a red circle", seed=5).json()["data"][0]
        site.close()
    assert same(pixels(item), model.generate([ImageRequest(prompt="a red circle", seed=5)])[0])


def test_without_a_seed_one_is_drawn_and_told_so_that_the_picture_can_be_made_again(site):
    first, other = (site.draw("three green stars").json()["data"][0] for _ in range(2))
    assert first["seed"] != other["seed"]
    assert site.draw("three green stars", seed=first["seed"]).json()["data"][0] == first


def test_sizes_in_either_form(lab):
    for fields in ({"size": "30x20"}, {"width": 30, "height": 20}, {"width": 30, "height": 20, "size": "30x20"}):
        answer = lab.draw("red", **fields).json()
        assert (pixels(answer["data"][0]).size, answer["size"], answer["warnings"]) == ((30, 20), "30x20", [])
    assert lab.draw("red", size="auto").json()["size"] == "16x16"


def test_what_is_not_honoured_is_a_warning(site, lab):
    assert lab.draw("red", negative_prompt="blue").json()["warnings"] == ["The negative prompt is not read."]
    assert "128x128" in site.draw(size="64x64").json()["warnings"][0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**31}, "seed"),
        ({"seed": 2**31 - 1, "n": 2}, "seed"),
        ({"size": "big"}, None),
        ({"size": "0x16"}, None),
        ({"size": "99999x99999"}, "size"),
        ({"width": 5}, None),
        ({"width": 16, "height": 16, "size": "32x32"}, None),
        ({"response_format": "url"}, "response_format"),
        ({"output_format": "webp"}, "output_format"),
        ({"num_inference_steps": 50}, "num_inference_steps"),
        ({"guidance_scale": 0}, "guidance_scale"),
        ({"quality": "high"}, "quality"),
        ({"stream": True}, "stream"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(site, fields, param):
    error = problem(site.draw(**fields), 400)
    assert error["param"] == param
    assert next(iter(fields)) in error["message"]


def test_a_url_is_refused_with_what_to_send_instead(site):
    with pytest.raises(openai.BadRequestError, match="b64_json"):
        site.openai.images.generate(prompt="a red circle", response_format="url")
    asks_for_nothing = {"quality": "auto", "user": "me", "background": "auto", "stream": False}
    assert site.draw(response_format="b64_json", output_format="png", **asks_for_nothing).status_code == 200


def test_edits_by_the_openai_client(lab):
    answer = lab.openai.images.edit(
        image=("cat.png", png("red")), prompt="invert", model="lab/negative", n=2, extra_body={"seed": 4}
    )
    assert [item.model_extra["seed"] for item in answer.data] == [4, 5]
    assert same(pixels(answer.data[0]), Image.new("RGB", (16, 16), "cyan"))


def test_what_is_transparent_in_a_source_is_white(lab):
    answer = edit(lab, png((255, 0, 0, 0), mode="RGBA")).json()
    assert same(pixels(answer["data"][0]), Image.new("RGB", (16, 16), "black"))


@pytest.mark.parametrize(
    ("image", "fields", "param"),
    [
        (None, {}, "image"),
        (b"hello", {}, "image"),
        (png()[:60], {}, "image"),
        (png(size=(4000, 4000)), {}, "image"),
        (png(), {"n": "many"}, "n"),
        (png(), {"n": "11"}, "n"),
        (png(), {"strength": "0.5"}, "strength"),
        (png(), {"prompt": ""}, "prompt"),
        (png(), {"size": "4000x4000"}, "size"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(lab, image, fields, param):
    assert problem(edit(lab, image, **fields), 400)["param"] == param


def test_masks_and_second_pictures_are_refused_not_ignored(lab):
    files = [("image", ("a.png", png())), ("mask", ("m.png", png()))]
    assert problem(lab.post("/images/edits", data={"prompt": "x"}, files=files), 400)["param"] == "mask"
    files = [("image[]", ("a.png", png())), ("image[]", ("b.png", png()))]
    assert problem(lab.post("/images/edits", data={"prompt": "x"}, files=files), 400)["param"] == "image"
    assert problem(lab.post("/images/edits", json={"prompt": "x"}), 400)["param"] == "prompt"
    broken = {"content": b"--x\r\nnonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}
    problem(lab.post("/images/edits", **broken), 400)


def test_a_model_that_cannot_edit_says_so(site):
    assert "cannot edit" in problem(edit(site, png()), 400)["message"]


def test_a_refusal_is_the_requests_fault_and_a_failure_the_servers(lab):
    assert "it is not nice" in problem(lab.draw("refuse"), 400)["message"]
    error = problem(lab.draw("fail"), 500)
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]
    assert "/home" not in error["message"]


def test_a_model_that_makes_too_few_pictures_is_a_fault(serving):
    class Lazy(ImageModel):
        name = "lazy"

        def generate(self, requests):
            return [Image.new("RGB", (4, 4))]

    problem(serving(image=Lazy()).draw(n=2), 500)


def test_sixteen_at_once_are_drawn_at_once(serving, make_sketcher):
    from threading import Barrier

    everyone = Barrier(16, timeout=20)  # broken unless sixteen calls are under way together

    class Waiting(make_sketcher):
        def generate(self, requests):
            everyone.wait()
            return super().generate(requests)

    site = serving(image=Waiting())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda seed: site.draw("two red circles", seed=seed), range(16)))
    assert [a.status_code for a in answers] == [200] * 16
    own = make_sketcher()
    for seed, answer in enumerate(answers):
        item = answer.json()["data"][0]
        assert item["seed"] == seed
        assert base64.b64decode(item["b64_json"])
        assert same(pixels(item), own.generate([ImageRequest(prompt="two red circles", seed=seed)])[0])


def test_an_image_model_that_fails_for_one_does_so_for_that_one_alone(lab):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lab.draw, ["red", "refuse"] * 4))
    assert [a.status_code for a in answers] == [200, 400] * 4
    assert ImageModelError.__name__ not in answers[1].text
