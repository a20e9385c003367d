"""Facts about pipeline families of diffusers: one row for each.

Source: diffusers 0.42.1, `pipelines/`: signature, docstring, example and code of each `__call__` and `encode_prompt`; a row
names its other sources. A pipeline without a row is called with its own defaults.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...errors import ImageModelError

Wrap = Literal["none", "chat", "chat-no-thinking", "template", "conversation"]
RESERVED = frozenset({"prompt", "image", "generator", "num_images_per_prompt", "output_type", "return_dict"})
"""Options of a call that come from the requests and cannot be set."""


@dataclass(frozen=True)
class PipelineFamily:
    """How the pipelines of one family are called, and what of a prompt they read."""

    title: str
    """Its common name."""

    pipeline: str
    """Class name, as in `model_index.json`."""

    facts: str
    """Sources of the row, besides the signature and code of the pipeline."""

    name: str = ""
    """Pattern of its checkpoints among those of the same class, searched in the name of the repository or folder."""

    config: Mapping[str, object] = field(default_factory=dict)
    """Entries that `model_index.json` must have."""

    call: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the call: steps, guidance, size in pixels."""

    guidance: str | None = None
    """Option that switches on classifier-free guidance; None where there is no such guidance."""

    guidance_above: float = 1.0
    """Guidance runs where the option exceeds this."""

    negative: bool = False
    """Whether a negative prompt is honoured, where guidance runs."""

    default_negative: str | None = None
    """Negative prompt of requests without one, where guidance does not run without it."""

    ignores: tuple[str, ...] = ()
    """Options of the call that have no effect."""

    edits: Literal["no", "can", "only"] = "no"
    """Whether it takes an image to edit as `image=`."""

    batches: bool = True
    """Whether one call takes several prompts; all share the image to edit."""

    wraps: Wrap = "none"
    """Template around the prompt, whose tokens count too; see `gems.models.image.prompt_budget`."""

    cuts: bool = True
    """Whether text past `max_sequence_length` tokens, or past the limit of the tokenizer, is dropped."""

    length_step: int | None = None
    """Prompts are padded to the longest of the batch, rounded up to a multiple of this many tokens; None: to a fixed length."""

    batch_invariant: bool = False
    """Whether an image is the same alone and in a batch, bit by bit, on a CPU in float32; see `BatchInvariant`."""

    latent_multiple: int | None = None
    """Width and height must be multiples of this many latent cells; None where that is unknown."""


_Z_IMAGE = PipelineFamily(
    title="Z-Image",
    pipeline="ZImagePipeline",
    facts="the call's defaults",
    name=r"z.?image(?!.*turbo)",
    call={"num_inference_steps": 50, "guidance_scale": 5.0, "width": 1024, "height": 1024},
    guidance="guidance_scale",
    guidance_above=0.0,
    negative=True,
    wraps="chat",
    length_step=32,  # SEQ_MULTI_OF in transformer_z_image.py
    batch_invariant=True,
    latent_multiple=2,
)
_QWEN = PipelineFamily(
    title="Qwen-Image",  # and Qwen-Image-2512, which is called the same way
    pipeline="QwenImagePipeline",
    # The call's default of 512 text tokens is a cut without padding, so the most it takes costs short prompts nothing.
    facts="steps and true_cfg_scale: the call's defaults; 1328x1328: the model card; 1024 text tokens: check_inputs",
    call={"num_inference_steps": 50, "true_cfg_scale": 4.0, "width": 1328, "height": 1328, "max_sequence_length": 1024},
    guidance="true_cfg_scale",
    negative=True,
    default_negative=" ",  # docstring of guidance_scale: even " " enables guidance; without any it is silently off
    ignores=("guidance_scale",),
    wraps="template",
    length_step=1,
    batch_invariant=True,
    latent_multiple=2,
)
_QWEN_EDIT = replace(
    _QWEN,
    title="Qwen-Image-Edit",
    pipeline="QwenImageEditPipeline",
    facts="the call's defaults; the size is that of the image, scaled to about 1024x1024",
    call={"num_inference_steps": 50, "true_cfg_scale": 4.0},
    ignores=("guidance_scale", "max_sequence_length"),
    edits="only",
    batches=False,  # the processor wants an image for each prompt and is given one
    cuts=False,  # the processor is called without truncation
    length_step=None,
)
_FLUX = PipelineFamily(
    title="FLUX.2-dev",
    pipeline="Flux2Pipeline",
    facts="the call's defaults; guidance is distilled into the model, so there is no negative prompt",
    call={"num_inference_steps": 50, "guidance_scale": 4.0, "width": 1024, "height": 1024},
    edits="can",
    wraps="conversation",
    batch_invariant=True,
    latent_multiple=2,
)
_KLEIN = replace(
    _FLUX,
    title="FLUX.2-klein",
    pipeline="Flux2KleinPipeline",
    facts="4 steps: the model card; is_distilled in model_index.json turns guidance off",
    config={"is_distilled": True},
    call={"num_inference_steps": 4, "guidance_scale": 1.0, "width": 1024, "height": 1024},
    ignores=("guidance_scale",),
    wraps="chat-no-thinking",
)

FAMILIES: tuple[PipelineFamily, ...] = (
    replace(
        _Z_IMAGE,
        title="Z-Image-Turbo",
        # Older diffusers and the model card say 9 steps, which were 8 evaluations then; since diffusers#13730 they are 9.
        facts="the class's example: 8 steps, guidance 0, 1024x1024",
        name="turbo",
        call={"num_inference_steps": 8, "guidance_scale": 0.0, "width": 1024, "height": 1024},
    ),
    _Z_IMAGE,
    _QWEN,
    _QWEN_EDIT,
    replace(
        _QWEN_EDIT,
        title="Qwen-Image-Edit-2509 or later",
        pipeline="QwenImageEditPlusPipeline",
        facts="the call's defaults, and 40 steps as in SGLang's settings of this pipeline; the size is that of the image",
        call={"num_inference_steps": 40, "true_cfg_scale": 4.0},
        # The call refuses more than one prompt.
    ),
    replace(
        _QWEN,
        title="Qwen-Image-2.1",
        pipeline="QwenImage21Pipeline",
        facts="the call's defaults: meant to be sampled without guidance; output_resolution 1024 gives the size",
        call={"num_inference_steps": 40, "true_cfg_scale": 1.0},
        ignores=(),
        edits="can",
        wraps="none",
        cuts=False,
    ),
    _FLUX,
    _KLEIN,
    replace(
        _KLEIN,
        title="FLUX.2-klein-base",
        facts="the class's example: 50 steps, guidance 4; its negative prompt is always empty",
        config={"is_distilled": False},
        call={"num_inference_steps": 50, "guidance_scale": 4.0, "width": 1024, "height": 1024},
        guidance="guidance_scale",
        ignores=(),
    ),
)


def find_family(pipeline: str, name: str, config: Mapping[str, Any]) -> tuple[PipelineFamily, bool] | None:
    """Return the row of a pipeline, and whether it is a guess among several; None where there is no row.

    Args:
        pipeline: class name.
        name: of the repository or folder.
        config: content of `model_index.json`.
    """
    rows = [f for f in FAMILIES if f.pipeline == pipeline and all(config.get(k, False) == v for k, v in f.config.items())]
    if not rows:
        return None
    named = [f for f in rows if f.name and re.search(f.name, name, re.IGNORECASE)]
    return (named or rows[-1:])[0], len(rows) > 1 and not named


def family_from_signature(pipeline: type) -> PipelineFamily:
    """Return a row for a pipeline without one, from the signature of its call.

    Raises:
        ImageModelError: the pipeline takes no prompt.
    """
    options = inspect.signature(pipeline.__call__).parameters
    if "prompt" not in options:
        raise ImageModelError(f"{pipeline.__name__} takes no prompt: it is not a text-to-image pipeline. Name another with --image")
    guidance = next((o for o in ("true_cfg_scale", "guidance_scale") if o in options), None)
    return PipelineFamily(
        title=pipeline.__name__,
        pipeline=pipeline.__name__,
        facts="its signature",
        guidance=guidance,
        negative="negative_prompt" in options,
        length_step=1,
    )
