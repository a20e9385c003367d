"""What is known about the pipelines of diffusers: one row a family, read when an image is asked for.

The facts were read in diffusers 0.42.1, `pipelines/`: the signature, docstring, example and code of each pipeline's
`__call__` and `encode_prompt`; a row says what else it rests on. A pipeline that has no row is called by its own defaults.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...errors import ImageModelError

Wrap = Literal["none", "chat", "chat-no-thinking", "template", "conversation"]
RESERVED = frozenset({"prompt", "image", "generator", "num_images_per_prompt", "output_type", "return_dict"})
"""Options of a call that come from the requests, and cannot be set."""


@dataclass(frozen=True)
class PipelineFamily:
    """How the pipelines of one family are called, and what they read."""

    title: str
    """What people call it."""

    pipeline: str
    """Class name, as in `model_index.json`."""

    facts: str
    """Where the row's facts come from, besides the pipeline's own signature and code."""

    name: str = ""
    """Pattern that tells its checkpoints from others of the same class, searched in the repository's or folder's name."""

    config: Mapping[str, object] = field(default_factory=dict)
    """What must stand in `model_index.json`."""

    call: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the call: steps, guidance, size in pixels."""

    guidance: str | None = None
    """The option that turns classifier-free guidance on; None where there is no such guidance."""

    guidance_above: float = 1.0
    """Guidance runs where the option is greater than this."""

    negative: bool = False
    """Whether a negative prompt is honoured, where guidance runs."""

    default_negative: str | None = None
    """Negative prompt that is passed where the request has none, because guidance does not run without one."""

    ignores: tuple[str, ...] = ()
    """Options of the call that are accepted and have no effect."""

    edits: Literal["no", "can", "only"] = "no"
    """Whether it takes `image=` as the image that the prompt says how to change."""

    batches: bool = True
    """Whether several prompts can be drawn in one call; an edit's image is shared by all of them."""

    wraps: Wrap = "none"
    """What is put around the prompt before it is counted; see `gems.models.image.prompt_budget`."""

    cuts: bool = True
    """Whether text past `max_sequence_length` tokens, or past the tokenizer's own limit, is dropped."""

    length_step: int | None = None
    """Text is padded to the longest of the batch, of lengths rounded up to this many tokens; None: to a fixed length."""

    batch_invariant: bool = False
    """Whether an image is the same, bit by bit, alone and in a batch, on a CPU in float32; see `batch_invariant`."""

    latent_multiple: int | None = None
    """Width and height must be multiples of this many latent cells; None where the pipeline does not tell."""


FAMILIES: tuple[PipelineFamily, ...] = (
    PipelineFamily(
        title="Z-Image-Turbo",
        pipeline="ZImagePipeline",
        # Older diffusers and the model card say 9 steps, which were 8 evaluations then; since diffusers#13730 they are 9.
        facts="the class's example: 8 steps, guidance 0, 1024x1024",
        name="turbo",
        call={"num_inference_steps": 8, "guidance_scale": 0.0, "width": 1024, "height": 1024},
        guidance="guidance_scale",
        guidance_above=0.0,
        negative=True,
        wraps="chat",
        length_step=32,  # SEQ_MULTI_OF in transformer_z_image.py
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="Z-Image",
        pipeline="ZImagePipeline",
        facts="the call's defaults",
        name=r"z.?image(?!.*turbo)",
        call={"num_inference_steps": 50, "guidance_scale": 5.0, "width": 1024, "height": 1024},
        guidance="guidance_scale",
        guidance_above=0.0,
        negative=True,
        wraps="chat",
        length_step=32,
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
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
    ),
    PipelineFamily(
        title="Qwen-Image-Edit",
        pipeline="QwenImageEditPipeline",
        facts="the call's defaults; the size is that of the image, scaled to about 1024x1024",
        call={"num_inference_steps": 50, "true_cfg_scale": 4.0},
        guidance="true_cfg_scale",
        negative=True,
        default_negative=" ",
        ignores=("guidance_scale", "max_sequence_length"),
        edits="only",
        batches=False,  # the processor wants an image for each prompt and is given one
        wraps="template",
        cuts=False,  # the processor is called without truncation
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="Qwen-Image-Edit-2509 or later",
        pipeline="QwenImageEditPlusPipeline",
        facts="the call's defaults, and 40 steps as in SGLang's settings of this pipeline; the size is that of the image",
        call={"num_inference_steps": 40, "true_cfg_scale": 4.0},
        guidance="true_cfg_scale",
        negative=True,
        default_negative=" ",
        ignores=("guidance_scale", "max_sequence_length"),
        edits="only",
        batches=False,  # the call refuses more than one prompt
        wraps="template",
        cuts=False,
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="Qwen-Image-2.1",
        pipeline="QwenImage21Pipeline",
        facts="the call's defaults: meant to be sampled without guidance; output_resolution 1024 gives the size",
        call={"num_inference_steps": 40, "true_cfg_scale": 1.0},
        guidance="true_cfg_scale",
        negative=True,
        default_negative=" ",
        edits="can",
        cuts=False,
        length_step=1,
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="FLUX.2-dev",
        pipeline="Flux2Pipeline",
        facts="the call's defaults; guidance is distilled into the model, so there is no negative prompt",
        call={"num_inference_steps": 50, "guidance_scale": 4.0, "width": 1024, "height": 1024},
        edits="can",
        wraps="conversation",
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="FLUX.2-klein",
        pipeline="Flux2KleinPipeline",
        facts="4 steps: the model card; is_distilled in model_index.json turns guidance off",
        config={"is_distilled": True},
        call={"num_inference_steps": 4, "guidance_scale": 1.0, "width": 1024, "height": 1024},
        ignores=("guidance_scale",),
        edits="can",
        wraps="chat-no-thinking",
        batch_invariant=True,
        latent_multiple=2,
    ),
    PipelineFamily(
        title="FLUX.2-klein-base",
        pipeline="Flux2KleinPipeline",
        facts="the class's example: 50 steps, guidance 4; its negative prompt is always empty",
        config={"is_distilled": False},
        call={"num_inference_steps": 50, "guidance_scale": 4.0, "width": 1024, "height": 1024},
        guidance="guidance_scale",
        edits="can",
        wraps="chat-no-thinking",
        batch_invariant=True,
        latent_multiple=2,
    ),
)


def find_family(pipeline: str, name: str, config: Mapping[str, Any]) -> tuple[PipelineFamily, bool] | None:
    """Return the row of a pipeline, and whether its name had to be guessed at; None where there is no row.

    Args:
        pipeline: class name.
        name: of the repository or folder.
        config: what stands in `model_index.json`.
    """
    rows = [f for f in FAMILIES if f.pipeline == pipeline and all(config.get(k, False) == v for k, v in f.config.items())]
    if not rows:
        return None
    named = [f for f in rows if f.name and re.search(f.name, name, re.IGNORECASE)]
    return (named or rows[-1:])[0], len(rows) > 1 and not named


def family_from_signature(pipeline: type) -> PipelineFamily:
    """Return what the signature of a pipeline's call tells.

    Raises:
        ImageModelError: it does not draw from a prompt.
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
