"""Real diffusers pipelines as image models: the shipped one, and tiny ones of every family."""

import functools
import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from PIL import Image

from gems.errors import ImageModelError
from gems.models.image.base import ImageRequest
from gems.models.image.diffusers import DiffusersImage
from gems.models.registry import image_model
from gems.models.shapes import WEIGHTS, shapes_image

from .. import tiny

SIZE = {"width": 64, "height": 64}
LAYERS = {"text_encoder_out_layers": (1, 2, 3)}
CALLS = {
    "z_image": {**SIZE, "max_sequence_length": 40},
    "qwen_image": {**SIZE, "max_sequence_length": 30},
    "qwen_image_edit_plus": SIZE,
    "qwen_image_21": {"output_resolution": 64},
    "flux2": {**SIZE, **LAYERS, "max_sequence_length": 110},
    "flux2_klein": {**SIZE, **LAYERS, "max_sequence_length": 32},
    "stable_diffusion": {},
}
"""Options that make the tiny pipelines fast."""

EDITORS = ("qwen_image_edit_plus", "qwen_image_21", "flux2", "flux2_klein")
CUTTERS = ("z_image", "qwen_image", "flux2", "flux2_klein", "stable_diffusion")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Save a tiny pipeline once, under its name."""
    monkeypatch = pytest.MonkeyPatch()
    for name in ("Qwen2VLProcessor", "Qwen3VLProcessor"):
        monkeypatch.setattr(sys.modules["transformers"], name, tiny.processor_class(name))  # the lazy module, not its loader's
    for name in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):  # a million pixels
        monkeypatch.setattr(pipeline_qwenimage_edit_plus, name, 64 * 64)

    @functools.cache
    def saved(family):
        return tiny.saved(getattr(tiny, family)(), tmp_path_factory.mktemp("pipelines") / family)

    yield saved
    monkeypatch.undo()


@pytest.fixture(scope="module")
def load(folder):
    """Return a model of a tiny pipeline, with options of the call and of the model."""

    def loaded(family, *, batch=8, **call):
        return DiffusersImage(folder(family), call={"num_inference_steps": 2, **CALLS[family], **call}, batch=batch, wait=0)

    return loaded


@pytest.fixture
def calls(monkeypatch):
    """Record the arguments of every call of a model's pipeline."""

    def spied(model):
        seen = []
        kind = type(model.load())
        call = kind.__call__

        @functools.wraps(call)
        def spy(self, *args, **options):
            seen.append(options)
            return call(self, *args, **options)

        monkeypatch.setattr(kind, "__call__", spy)
        return seen

    return spied


def png(seed, width=64, height=64):
    noise = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def draw(model, prompt="a red circle", seed=1, **more):
    (image,) = model.generate([ImageRequest(prompt=prompt, seed=seed, **more)])
    return image.tobytes()


def source_of(family):
    return png(0) if family == "qwen_image_edit_plus" else None


@pytest.fixture(scope="module")
def shapes():
    return shapes_image()


def test_the_same_request_gives_the_same_picture_and_another_seed_another(shapes):
    one, two, other = shapes.generate([ImageRequest(prompt="a red circle", seed=s) for s in (1, 1, 2)])
    assert one.mode == "RGB"
    assert one.size == (128, 128)
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_the_prompt_matters(shapes):
    red, blue = shapes.generate([ImageRequest(prompt=f"a {c} square in the center", seed=3) for c in ("red", "blue")])
    assert sum(red.convert("HSV").getchannel("H").histogram()[140:200]) < sum(
        blue.convert("HSV").getchannel("H").histogram()[140:200]
    )


def test_a_size_is_passed_through_and_an_impossible_one_is_refused(shapes):
    (image,) = shapes.generate([ImageRequest(prompt="a star", seed=0, width=160, height=128)])
    assert image.size == (160, 128)
    with pytest.raises(ImageModelError, match=r"refused the request: .*divisible by 16, got 100x100"):
        shapes.generate([ImageRequest(prompt="a star", seed=0, width=100, height=100)])


def test_a_truncated_prompt_is_noted_in_the_run(tmp_path, shapes):
    from gems import run

    prompt = f"{'please ' * 30}draw three red circles"
    result = run(prompt, preset="original", image=shapes, runs=tmp_path)
    assert any("does not read the end of the prompt" in note for note in result.state.notes)


def test_a_folder_in_diffusers_layout_is_an_image_model(shapes):
    other = image_model(f"diffusers:{WEIGHTS}")
    assert other.name == "weights"
    assert other.settings != shapes.settings


def test_the_shipped_model_draws_eight_at_once_bit_by_bit_as_alone(shapes):
    requests = [ImageRequest(prompt=f"a {c} star at the top left", seed=s) for s, c in enumerate(("red", "blue", "green", "cyan"))]
    assert shapes.parallel == 8
    together = shapes.generate([*requests, *requests])
    assert [i.tobytes() for i in together] == [draw(shapes, r.prompt, r.seed) for r in requests] * 2


# One picture, alone and in a batch


@pytest.fixture
def latents(calls):
    """Draw pictures and return what is decoded of each, by seed: numbers that no rounding to pixels makes equal."""

    def drawn(model, requests):
        seen, decoded = calls(model), []
        with pytest.MonkeyPatch.context() as patch:
            vae = model.load().vae
            decode = vae.decode
            patch.setattr(vae, "decode", lambda z, *args, **options: decoded.append(z.clone()) or decode(z, *args, **options))
            images = model.generate(requests)
        seeds = [generator.initial_seed() for options in seen for generator in options["generator"]]
        numbers = dict(zip(seeds, torch.cat(decoded), strict=True))
        return [(numbers[r.seed].numpy().tobytes(), i.tobytes()) for r, i in zip(requests, images, strict=True)]

    return drawn


EIGHT = ["a red circle", "a blue star", "three green square", "end", "make it bright", "a red circle", "the star", "red " * 40]


@pytest.mark.parametrize(
    ("family", "threads", "sizes"), [*((family, 1, (2, 3, 5, 8)) for family in CALLS), ("z_image", 2, (3,)), ("flux2", 2, (3,))]
)
def test_a_picture_does_not_depend_on_its_batch(load, latents, family, threads, sizes):
    """Bit by bit, on a CPU in float32, for prompts of several lengths, one of them longer than is read."""
    model = load(family)
    words = EIGHT if family in CUTTERS else EIGHT[:7]
    requests = [ImageRequest(prompt=w, seed=s, source=source_of(family)) for s, w in enumerate(words[: max(sizes)])]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = [latents(model, [r])[0] for r in requests]
        assert len(set(alone)) == len(alone)
        for size in sizes:
            assert latents(model, requests[:size]) == alone[:size]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("family", ["z_image", "qwen_image", "qwen_image_21"])
def test_nor_does_it_with_guidance_and_negative_prompts_of_several_lengths(load, latents, family):
    model = load(family, **{"guidance_scale" if family == "z_image" else "true_cfg_scale": 3.0})
    words = ["", "a blue star", "dull", "make it bright", ""]
    requests = [ImageRequest(prompt="a red circle", negative_prompt=w, seed=s) for s, w in enumerate(words)]
    assert latents(model, requests) == [latents(model, [r])[0] for r in requests]


def test_threads_share_one_call(load, calls):
    model = load("z_image")
    model.batch, model.wait = 6, 3600  # a full batch does not wait
    seen = calls(model)
    with ThreadPoolExecutor(6) as pool:
        images = list(pool.map(lambda s: draw(model, seed=s), range(6)))
    assert [len(options["prompt"]) for options in seen] == [6]
    assert images == [draw(load("z_image"), seed=s) for s in range(6)]


def test_requests_of_other_sizes_go_apart(load, calls):
    model = load("z_image")
    seen = calls(model)
    requests = [ImageRequest(prompt="a star", seed=1, width=w) for w in (64, 96, 64)]
    assert [i.size for i in model.generate(requests)] == [(64, 64), (96, 64), (64, 64)]
    assert sorted(len(options["prompt"]) for options in seen) == [1, 2]


def short_of_memory(model, most):
    """Let the transformer run out of memory for more than so many pictures."""

    def refuse(module, args):
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    model.load().transformer.register_forward_pre_hook(refuse)


def test_a_batch_that_does_not_fit_is_halved_and_it_is_said(load, calls):
    model = load("z_image", guidance_scale=0.0)
    short_of_memory(model, 2)
    unhurt = load("z_image", guidance_scale=0.0)
    seen = calls(model)
    requests = [ImageRequest(prompt="a star", seed=s) for s in range(5)]
    assert [i.tobytes() for i in model.generate(requests)] == [draw(unhurt, "a star", s) for s in range(5)]
    assert [len(options["prompt"]) for options in seen[:5]] == [5, 3, 2, 1, 2]
    assert model.caveats(requests[0])[-1] == "8 images at once did not fit into memory: now there are 2."


def test_a_single_picture_that_does_not_fit_says_what_to_do(load):
    model = load("z_image")
    short_of_memory(model, 0)
    with pytest.raises(ImageModelError, match=r"out of memory for a single image.*offload: model.*smaller size.*dtype"):
        draw(model)


# Each family as it is meant


def test_the_folders_name_tells_turbo_from_its_base(load, folder, calls, tmp_path):
    call = {k: v for k, v in CALLS["z_image"].items() if k not in SIZE}
    for name, steps, guidance, notes in (("Z-Image-Turbo", 8, 0.0, 0), ("Z-Image", 50, 5.0, 0), ("mine", 50, 5.0, 1)):
        (tmp_path / name).symlink_to(folder("z_image"))
        model = DiffusersImage(tmp_path / name, call=call)
        seen = calls(model)
        model.load().transformer.register_forward_pre_hook(stop)
        with pytest.raises(ImageModelError, match="far enough"):
            draw(model)
        asked = {k: seen[0][k] for k in ("num_inference_steps", "guidance_scale", "width", "height")}
        assert asked == {"num_inference_steps": steps, "guidance_scale": guidance, "width": 1024, "height": 1024}
        assert sum("does not tell which ZImagePipeline" in n for n in model.caveats(ImageRequest(prompt="", seed=1))) == notes


def stop(module, args):
    raise RuntimeError("far enough")


def test_guidance_of_qwen_image_runs_without_being_asked_for(load):
    plain, unguided = load("qwen_image"), load("qwen_image", true_cfg_scale=1.0)
    assert draw(plain) != draw(unguided)
    assert draw(plain) == draw(plain, negative_prompt=" ")
    assert draw(plain) != draw(plain, negative_prompt="a blue star") != draw(plain, negative_prompt="dull")
    assert draw(load("qwen_image", negative_prompt="dull")) == draw(plain, negative_prompt="dull")


def test_guidance_of_the_other_kind_is_said_to_have_no_effect(load):
    model = load("qwen_image", guidance_scale=4.0)
    assert model.caveats(ImageRequest(prompt="a star", seed=1)) == [
        "Qwen-Image ignores guidance_scale: set true_cfg_scale instead."
    ]


@pytest.mark.parametrize(
    ("family", "call", "why"),
    [
        ("z_image", {"guidance_scale": 0.0}, "guidance_scale is 0.0"),
        ("qwen_image", {"true_cfg_scale": 1.0}, "true_cfg_scale is 1.0"),
        ("flux2_klein", {}, "it has none"),
        ("flux2", {}, "it has none"),
    ],
)
def test_a_negative_prompt_that_is_not_read_is_said(load, family, call, why):
    model = load(family, **call)
    request = ImageRequest(prompt="a star", negative_prompt="dull", seed=1)
    assert draw(model, "a star", negative_prompt="dull") == draw(model, "a star")
    assert f"The image model {family!r} does not read the negative prompt: {why}." in model.caveats(request)


def test_a_negative_prompt_that_is_read_is_not_remarked_on(load):
    for model in (load("qwen_image"), load("stable_diffusion"), load("z_image", guidance_scale=5.0)):
        assert draw(model) != draw(model, negative_prompt="a dull star")
        notes = model.caveats(ImageRequest(prompt="", negative_prompt="dull", seed=1))
        assert not [n for n in notes if "negative" in n]


def test_a_klein_is_distilled_or_not_as_its_index_says(load, tmp_path, calls):
    base = DiffusersImage(tiny.saved(tiny.flux2_klein(is_distilled=False), tmp_path / "klein"), call=CALLS["flux2_klein"])
    seen = calls(base)
    base.load().transformer.register_forward_pre_hook(stop)
    with pytest.raises(ImageModelError, match="far enough"):
        draw(base)
    assert (seen[0]["num_inference_steps"], seen[0]["guidance_scale"]) == (50, 4.0)
    assert load("flux2_klein").family.call["num_inference_steps"] == 4


def test_a_pipeline_without_a_row_is_called_by_its_own_defaults(folder, calls):
    model = DiffusersImage(folder("stable_diffusion"))
    seen = calls(model)
    draw(model)
    assert set(seen[0]) == {"prompt", "generator"}


def test_a_pipeline_that_takes_no_prompt_is_refused(tmp_path):
    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "ddpm")
    with pytest.raises(ImageModelError, match="DDPMPipeline takes no prompt"):
        draw(DiffusersImage(tmp_path / "ddpm"))


def test_a_size_that_the_family_would_change_in_silence_is_refused(load):
    with pytest.raises(ImageModelError, match=r"divisible by 16, got 100x64"):
        draw(load("qwen_image"), width=100)


# What a prompt is cut to


@pytest.mark.parametrize("family", CUTTERS)
def test_what_is_cut_is_what_does_not_change_the_picture(load, family):
    model = load(family)
    prompt = "make it bright " + "red " * 90 + "a green circle"
    cut = model.truncated(prompt)
    kept = prompt.removesuffix(cut)
    words = len(cut.split())
    whole = draw(model, prompt)
    assert draw(model, kept + " star" * words) == whole  # what was cut may be anything
    assert draw(model, kept.rsplit(maxsplit=1)[0] + " dull" + cut) != whole  # the last word that was kept counts


@pytest.mark.parametrize("family", CUTTERS)
def test_the_limit_is_the_longest_prompt_that_is_read(load, family):
    model = load(family)
    longest = " ".join(["red"] * model.prompt_limit)
    assert model.truncated(longest) is None
    assert model.truncated(longest + " star").strip() == "star"


@pytest.mark.parametrize("family", ["qwen_image_edit_plus", "qwen_image_21"])
def test_pipelines_that_read_all_have_no_limit(load, family):
    model = load(family)
    assert (model.prompt_limit, model.truncated("red " * 3000)) == (None, None)


def test_the_template_around_a_prompt_counts_where_the_pipeline_counts_it(load):
    # Z-Image counts `<|im_start|>user` and a line break; Qwen-Image takes its 34 tokens of template off before it counts.
    assert (load("z_image").prompt_limit, load("qwen_image").prompt_limit) == (40 - 3, 30)


# Editing


@pytest.mark.parametrize("family", EDITORS)
def test_an_edit_depends_on_its_picture_and_on_its_words(load, family):
    model = load(family)
    assert model.can_edit
    edited = draw(model, "make it bright", source=png(0))
    assert edited == draw(model, "make it bright", source=png(0))
    assert len({edited, draw(model, "make it bright", source=png(1)), draw(model, "a dull end", source=png(0))}) == 3
    if family != "qwen_image_edit_plus":
        assert edited != draw(model, "make it bright")


@pytest.mark.parametrize("family", ["qwen_image_21", "flux2", "flux2_klein"])
def test_edits_of_one_picture_share_a_call_and_others_do_not(load, calls, family):
    model = load(family)
    requests = [ImageRequest(prompt="make it bright", seed=s, source=png(p)) for s, p in ((1, 0), (2, 0), (3, 1))]
    alone = [model.generate([r])[0].tobytes() for r in requests]
    seen = calls(model)
    assert [i.tobytes() for i in model.generate(requests)] == alone
    assert [len(options["prompt"]) for options in seen] == [2, 1]


def test_an_edit_keeps_the_shape_of_its_picture(folder):
    model = DiffusersImage(folder("flux2_klein"), call={**LAYERS, "max_sequence_length": 32, "num_inference_steps": 1})
    (image,) = model.generate([ImageRequest(prompt="make it bright", seed=1, source=png(0, 96, 64))])
    assert image.size == (96, 64)


def test_whether_a_model_edits_is_known_before_it_is_loaded(folder):
    for family in CALLS:
        model = DiffusersImage(folder(family))
        assert model.can_edit == (family in EDITORS)
        assert model._pipeline is None


def test_a_model_that_cannot_edit_says_so(load):
    for family in ("z_image", "qwen_image", "stable_diffusion"):
        with pytest.raises(ImageModelError, match="draws from words alone and cannot edit an image"):
            draw(load(family), source=png(0))


def test_a_model_that_only_edits_says_so(load):
    with pytest.raises(ImageModelError, match="edits images and was given none"):
        draw(load("qwen_image_edit_plus"))


# Options


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"num_inference_step": 3}, "the image model .* has no option 'num_inference_step': did you mean num_inference_steps"),
        ({"style": "oil"}, "the image model .* has no option 'style': choose one of .*guidance_scale, height"),
        ({"generator": 1}, "the option 'generator' of the image model .* comes from the requests"),
    ],
)
def test_an_option_that_does_not_exist_is_named_with_what_is_near(load, call, words):
    with pytest.raises(ImageModelError, match=words):
        draw(load("z_image", **call))


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_there_is_nothing_to_offload_from_on_a_cpu(folder, offload):
    with pytest.raises(ImageModelError, match=r"runs on the CPU: leave offload at 'none', or name the GPU"):
        DiffusersImage(folder("z_image"), device="cpu", offload=offload).load()


@pytest.mark.parametrize("wrong", [{"dtype": "int4"}, {"offload": "all"}, {"batch": 0}])
def test_a_setting_that_does_not_exist_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
        DiffusersImage("anything", **wrong)


def test_what_determines_a_picture_is_in_the_settings(folder):
    def settings(**more):
        return DiffusersImage(folder("z_image"), **more).settings

    assert settings() == settings(device="cpu", batch=4, offload="model", wait=1)
    assert settings() != settings(dtype="bfloat16") != settings(call={"num_inference_steps": 3}) != settings()


def test_another_number_format_is_used(folder):
    model = DiffusersImage(folder("z_image"), dtype="bfloat16", call={**CALLS["z_image"], "num_inference_steps": 1})
    draw(model)
    assert {p.dtype for p in model.load().transformer.parameters()} == {torch.bfloat16}


def test_a_missing_part_is_one_clear_error(tmp_path, folder):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text((folder("z_image") / "model_index.json").read_text())
    with pytest.raises(ImageModelError, match="cannot load the image model 'broken'"):
        draw(DiffusersImage(broken))
