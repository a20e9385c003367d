"""A real diffusers pipeline, the shipped one, as an image model."""

import pytest

from gems.models.image import ImageModelError, ImageRequest
from gems.models.registry import ModelSpecError, chat_model, image_model
from gems.models.shapes import WEIGHTS, shapes_image


@pytest.fixture(scope="module")
def model():
    return shapes_image()


def test_the_same_request_gives_the_same_picture_and_another_seed_another(model):
    one, two, other = model.generate([ImageRequest(prompt="a red circle", seed=s) for s in (1, 1, 2)])
    assert one.mode == "RGB"
    assert one.size == (128, 128)
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_the_prompt_matters(model):
    red, blue = model.generate([ImageRequest(prompt=f"a {c} square in the center", seed=3) for c in ("red", "blue")])
    assert sum(red.convert("HSV").getchannel("H").histogram()[140:200]) < sum(
        blue.convert("HSV").getchannel("H").histogram()[140:200]
    )


def test_a_size_is_passed_through_and_an_impossible_one_is_refused(model):
    (image,) = model.generate([ImageRequest(prompt="a star", seed=0, width=160, height=128)])
    assert image.size == (160, 128)
    with pytest.raises(ImageModelError, match=r"refused the request: .*divisible by 16"):
        model.generate([ImageRequest(prompt="a star", seed=0, width=100, height=100)])


def test_a_prompt_past_the_text_encoders_limit_is_not_cut_in_silence(model):
    assert model.truncated("a red circle at the top left, a blue square at the bottom") is None
    cut = model.truncated(", ".join(["a red circle at the top left"] * 12))
    assert cut
    assert cut.endswith("at the top left")


def test_a_truncated_prompt_is_noted_in_the_run(tmp_path, model):
    from gems import run

    prompt = f"{'please ' * 30}draw three red circles"
    result = run(prompt, preset_name="original", image=model, runs=tmp_path)
    assert any("does not read the end of the prompt" in note for note in result.state.notes)


def test_a_folder_in_diffusers_layout_is_an_image_model(model):
    other = image_model(f"diffusers:{WEIGHTS}")
    assert other.name == "weights"
    assert other.settings != model.settings


@pytest.mark.parametrize("spec", ["", "shape", "openai:", "http://", "http://localhost:1/v1", "ftp://host/v1#m", "diffusers:"])
def test_a_spec_that_is_not_understood_says_what_to_write(spec):
    with pytest.raises(ModelSpecError, match="is not understood: write shapes"):
        chat_model(spec)
    with pytest.raises(ModelSpecError, match="is not understood: write shapes"):
        image_model(spec)


def test_an_endpoint_is_named_by_its_url_and_model():
    chat = chat_model("http://localhost:30000/v1#kimi-k2.5")
    assert chat.model_name == "kimi-k2.5"
    assert chat.openai_api_base == "http://localhost:30000/v1"
