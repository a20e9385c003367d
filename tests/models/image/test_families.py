"""The table of families against the installed diffusers."""

import inspect

import diffusers
import pytest

from gems.errors import ImageModelError
from gems.models.image.families import FAMILIES, RESERVED, family_from_signature, find_family


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.title)
def test_the_pipelines_have_the_options_that_the_table_names(family):
    options = inspect.signature(getattr(diffusers, family.pipeline).__call__).parameters
    assert {"prompt", *family.call, *family.ignores, *filter(None, [family.guidance])} <= set(options)
    assert family.negative == ("negative_prompt" in options)
    assert (family.edits != "no") == ("image" in options)
    assert not RESERVED & set(family.call)


@pytest.mark.parametrize(
    ("pipeline", "name", "config", "title", "doubt"),
    [
        ("ZImagePipeline", "Z-Image-Turbo", {}, "Z-Image-Turbo", False),
        ("ZImagePipeline", "z_image_turbo-int8", {}, "Z-Image-Turbo", False),
        ("ZImagePipeline", "Z-Image", {}, "Z-Image", False),
        ("ZImagePipeline", "my-pipeline", {}, "Z-Image", True),
        ("QwenImagePipeline", "Qwen-Image-2512", {}, "Qwen-Image", False),
        ("QwenImageEditPlusPipeline", "Qwen-Image-Edit-2511", {}, "Qwen-Image-Edit-2509 or later", False),
        ("Flux2KleinPipeline", "FLUX.2-klein-4B", {"is_distilled": True}, "FLUX.2-klein", False),
        ("Flux2KleinPipeline", "FLUX.2-klein-base-4B", {"is_distilled": False}, "FLUX.2-klein-base", False),
        ("Flux2KleinPipeline", "FLUX.2-klein-base-4B", {}, "FLUX.2-klein-base", False),
    ],
)
def test_a_checkpoint_is_told_by_class_name_and_config(pipeline, name, config, title, doubt):
    family, doubtful = find_family(pipeline, name, config)
    assert (family.title, doubtful) == (title, doubt)


def test_image_to_image_is_not_editing():
    assert find_family("ZImageImg2ImgPipeline", "Z-Image-Turbo", {}) is None
    assert family_from_signature(diffusers.ZImageImg2ImgPipeline).edits == "no"


def test_an_unknown_pipeline_is_called_by_its_own_defaults():
    family = family_from_signature(diffusers.StableDiffusion3Pipeline)
    assert (family.call, family.guidance, family.negative, family.batch_invariant) == ({}, "guidance_scale", True, False)


def test_a_pipeline_without_a_prompt_is_refused():
    with pytest.raises(ImageModelError, match="DDPMPipeline takes no prompt: it is not a text-to-image pipeline"):
        family_from_signature(diffusers.DDPMPipeline)
