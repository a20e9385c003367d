"""The backends of the embedded pair: their options, and how the image model is called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..image.base import ImageRequest
from ..image.diffusers import DiffusersImage, PipelineOptions, check_call
from ..options import ChatOptions

if TYPE_CHECKING:
    from .chat import ShapesChat

WEIGHTS = Path(__file__).parent / "weights"
CALL = {"num_inference_steps": 9, "guidance_scale": 0.0, "width": 128, "height": 128, "max_sequence_length": 32}
"""How the pipeline is called: like Z-Image-Turbo, nine steps without guidance."""
CALL_OPTIONS = str.split(
    "height width num_inference_steps sigmas guidance_scale cfg_normalization cfg_truncation negative_prompt latents prompt_embeds "
    "negative_prompt_embeds joint_attention_kwargs callback_on_step_end callback_on_step_end_tensor_inputs max_sequence_length"
)
"""Options of the call of `ZImagePipeline`, known without importing it."""


class ShapesImageOptions(PipelineOptions):
    """The embedded image model: a `ZImagePipeline` of 5 million weights that draws shapes on 128x128 pixels."""

    spec = "shapes"
    about = "the embedded diffusion model"
    shared = True

    def make(self) -> ShapesImage:
        """Return the image model; it loads its weights at the first request."""
        check_call("shapes", self.call, dict.fromkeys(CALL_OPTIONS))
        return shapes_image(call=self.call, batch=self.batch, wait=self.wait)


class ShapesChatOptions(ChatOptions):
    """The embedded chat model: rules for the shapes world."""

    spec = "shapes"
    about = "the embedded rules"
    shared = True

    def make(self) -> ShapesChat:
        """Return the chat model."""
        return shapes_chat()


class ShapesImage(DiffusersImage):
    """The embedded image model, which has only seen images of 128x128 pixels."""

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what of a request is not honoured, and whether it asks for a size that the model cannot draw well."""
        asked, own = (f"{size['width']}x{size['height']}" for size in (self._options(request), CALL))
        note = f"The embedded image model draws {own} pixels well and other sizes badly: {asked} were requested."
        return [*super().caveats(request), *([note] if asked != own else [])]


def shapes_image(
    weights: Path = WEIGHTS, *, call: Mapping[str, Any] | None = None, batch: int | None = None, wait: float | None = None
) -> ShapesImage:
    """Return the embedded image model: a `ZImagePipeline` of 5 million weights that draws shapes on 128x128 pixels.

    Args:
        weights: another folder of weights, for a training's stages.
        call: changes of `CALL`.
        batch: most images in one call; 8 by default, which two CPU cores draw in about half the time of eight calls.
        wait: seconds to wait for a batch to fill.
    """
    return ShapesImage(weights, name="shapes-image", call={**CALL, **(call or {})}, device="cpu", batch=batch or 8, wait=wait)


def shapes_chat() -> ShapesChat:
    """Return the embedded chat model: rules that plan, check, summarize and refine for the shapes world."""
    from .chat import ShapesChat

    return ShapesChat()
