"""Which fields go to which server, and what its errors mean."""

import pytest

from gems.errors import ImageModelError
from gems.models.image.base import ImageRequest
from gems.models.image.images_api_dialects import (
    GEMS,
    OPENAI,
    OTHER,
    SGLANG,
    VLLM_OMNI,
    can_edit,
    caveats,
    edit_form,
    generation_body,
    provider_of,
)
from gems.models.negotiation import parse_error, refused_part

FULL = ImageRequest(prompt="a cat", negative_prompt="dogs", seed=7, width=512, height=256)
PLAIN = ImageRequest(prompt="a cat", seed=7)


@pytest.mark.parametrize(
    ("provider", "full", "plain"),
    [
        (OPENAI, {"size": "1024x1024"}, {}),
        (
            SGLANG,
            {"size": "512x256", "seed": 7, "negative_prompt": "dogs", "response_format": "b64_json", "output_format": "png"},
            {"size": None, "seed": 7, "response_format": "b64_json", "output_format": "png"},
        ),
        *(
            (
                provider,
                {"size": "512x256", "seed": 7, "negative_prompt": "dogs", "response_format": "b64_json"},
                {"seed": 7, "response_format": "b64_json"},
            )
            for provider in (VLLM_OMNI, GEMS, OTHER)
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_provider_is_sent_what_it_takes(provider, full, plain):
    common = {"model": "m", "prompt": "a cat", "n": 1}
    request = FULL.model_copy(update={"width": 1024, "height": 1024}) if provider is OPENAI else FULL
    assert generation_body(provider, request, {}, "m") == {**common, **full}
    assert generation_body(provider, PLAIN, {}, "m") == {**common, **plain}


def test_what_the_user_sets_is_passed_through_and_wins():
    body = generation_body(SGLANG, FULL, {"num_inference_steps": 9, "output_format": "webp"}, "m")
    assert body["num_inference_steps"] == 9
    assert body["output_format"] == "webp"


def test_a_form_holds_text_only():
    call = {"num_inference_steps": 9, "strength": 0.5, "lora": {"name": "x"}, "enable_teacache": True, "user": "me"}
    form = edit_form(VLLM_OMNI, FULL, call, "m")
    assert form == {
        "model": "m", "prompt": "a cat", "n": "1", "size": "512x256", "seed": "7", "negative_prompt": "dogs",
        "response_format": "b64_json", "num_inference_steps": "9", "strength": "0.5", "lora": '{"name": "x"}',
        "enable_teacache": "true", "user": "me",
    }  # fmt: skip
    assert "size" not in edit_form(SGLANG, PLAIN, {}, "m")  # a form has no null; the size is then the source's


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ({"owned_by": "sglang"}, "sglang"),
        ({"owned_by": "vllm"}, "vllm-omni"),
        ({"owned_by": "gems"}, "gems"),
        ({"owned_by": "openai"}, "other"),  # what proxies say of everything
        ({}, "other"),
    ],
)
def test_a_server_is_known_by_who_owns_its_models(card, name):
    assert provider_of(card).name == name


@pytest.mark.parametrize(
    ("model", "card", "can"),
    [
        ("gpt-image-2.5-flare", {}, True),
        ("Qwen/Qwen-Image-Edit-2511", {}, True),
        ("black-forest-labs/FLUX.2-klein-4B", {}, True),
        ("black-forest-labs/FLUX.1-Kontext-dev", {}, True),
        ("Qwen/Qwen-Image-2.1", {}, True),
        ("Qwen/Qwen-Image-2512", {}, False),
        ("Tongyi-MAI/Z-Image-Turbo", {}, False),
        ("mine", {"supported_task_types": ["T2I", "TI2I"]}, True),
        ("my-edit", {"supported_task_types": ["T2I"]}, False),
        ("my-edit", {"can_edit": False}, False),
        ("mine", {"can_edit": True}, True),
    ],
)
def test_whether_a_model_edits_is_said_by_its_server_or_its_name(model, card, can):
    assert can_edit(model, card) is can


@pytest.mark.parametrize(
    ("model", "size", "wrong"),
    [
        ("gpt-image-2", (1000, 1024), "multiples of 16"),
        ("gpt-image-2", (3200, 1024), "three times"),
        ("gpt-image-2", (3840, 3840), "3840x2160"),
        ("gpt-image-2", (3856, 2000), "multiples of 16|3840x2160"),
        ("gpt-image-1.5", (1536, 864), "1536x1024"),
    ],
)
def test_a_size_that_openai_does_not_draw_is_told_before_the_call(model, size, wrong):
    request = ImageRequest(prompt="a cat", seed=1, width=size[0], height=size[1])
    with pytest.raises(ImageModelError, match=rf"{model} does not draw {size[0]}x{size[1]}: .*({wrong})"):
        generation_body(OPENAI, request, {}, model)
    assert generation_body(VLLM_OMNI, request, {}, model)["size"] == f"{size[0]}x{size[1]}"


@pytest.mark.parametrize(
    ("model", "size"),
    [
        ("gpt-image-2", (3840, 2160)),
        ("gpt-image-2.5-flare", (1536, 864)),
        ("gpt-image-2", (3072, 1024)),
        ("gpt-image-1", (1024, 1536)),
    ],
)
def test_the_sizes_that_openai_documents_are_sent(model, size):
    request = ImageRequest(prompt="a cat", seed=1, width=size[0], height=size[1])
    assert generation_body(OPENAI, request, {}, model)["size"] == f"{size[0]}x{size[1]}"


def test_half_a_size_and_a_prompt_too_long_are_told_before_the_call():
    with pytest.raises(ImageModelError, match="width and height together"):
        generation_body(GEMS, ImageRequest(prompt="a cat", seed=1, width=512), {}, "m")
    with pytest.raises(ImageModelError, match=r"32,001 characters and openai takes 32,000: shorten it"):
        generation_body(OPENAI, ImageRequest(prompt="x" * 32_001, seed=1), {}, "m")


def test_what_is_not_honoured_is_said():
    assert caveats(OPENAI, FULL, {}) == [
        "openai takes no seed: the same request gives another image each time",
        "openai takes no negative prompt: it was left out",
    ]
    assert caveats(OPENAI, PLAIN, {}) == ["openai takes no seed: the same request gives another image each time"]
    assert caveats(SGLANG, FULL, {"true_cfg_scale": 4.0}) == caveats(GEMS, FULL, {}) == []
    assert caveats(VLLM_OMNI, FULL, {"steps": 9, "guidance_scale": 4}) == [
        "vllm-omni does not know the field 'steps': it has no effect"
    ]
    edit = FULL.model_copy(update={"source": b"png"})
    assert caveats(SGLANG, edit, {"flow_shift": 3}) == ["sglang does not know the field 'flow_shift': it has no effect"]
    assert caveats(GEMS, PLAIN, {}, {"response_format"}) == ["gems takes no field 'response_format': it was left out"]
    unknown, seed = caveats(OTHER, PLAIN, {}, {"seed", "negative_prompt"})
    assert "does not say whose it is" in unknown
    assert seed == "the images endpoint takes no seed: the same request gives another image each time"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        # OpenAI, in issue 6102 of vercel/ai
        ({"message": "Unknown parameter: 'response_format'.", "type": "invalid_request_error", "param": "response_format",
          "code": "unknown_parameter"}, "response_format"),
        ({"error": {"message": "seed: set when the server is started", "param": "seed", "code": "unsupported_parameter"}}, "seed"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, "seed"),
        ({"detail": "negative_prompt is not supported by this model"}, "negative_prompt"),
        ({"error": {"message": "Invalid value for seed: must be positive", "param": "seed", "code": "invalid_value"}}, None),
        ({"error": {"message": "Unsupported value: size '17x17'", "param": "size"}}, None),
        ("seed is unknown", "seed"),
        (None, None),
    ],
)  # fmt: skip
def test_a_complaint_about_a_field_is_told_from_others(body, field):
    part = refused_part(400, parse_error(body).text, {"response_format", "seed", "negative_prompt"})
    assert (part and part.name) == field


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"error": {"message": "Your request was rejected by the safety system.", "code": "moderation_blocked"}}, True),
        ({"error": {"message": "no", "code": "content_policy_violation"}}, True),
        ({"error": {"message": "Unknown parameter: 'moderation'.", "code": "unknown_parameter"}}, False),
        ("<html><body>content policy</body></html>", False),
    ],
)
def test_a_refusal_of_the_content_is_told_from_other_errors(body, refused):
    assert parse_error(body).is_content_refusal is refused
