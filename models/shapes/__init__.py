"""Shapes world: a small image model and a rule-based chat model that make the loop real on a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..image.base import ImageModel

WEIGHTS = Path(__file__).parent / "weights"
CALL = {"num_inference_steps": 9, "guidance_scale": 0.0, "width": 128, "height": 128, "max_sequence_length": 32}
"""How the pipeline is called: like Z-Image-Turbo, nine steps without guidance."""


def shapes_image(
    weights: Path = WEIGHTS, *, call: Mapping[str, Any] | None = None, batch: int | None = None, wait: float | None = None
) -> ImageModel:
    """Return the embedded image model: a `ZImagePipeline` of 5 million weights that draws shapes on 128x128 pixels.

    Args:
        weights: another folder of weights, for a training's stages.
        call: changes of `CALL`.
        batch: most images in one call; 8 by default, which two CPU cores draw in about half the time of eight calls.
        wait: seconds to wait for a batch to fill.
    """
    from ..image.diffusers import DiffusersImage

    return DiffusersImage(weights, name="shapes-image", call={**CALL, **(call or {})}, device="cpu", batch=batch or 8, wait=wait)


def shapes_chat() -> BaseChatModel:
    """Return the embedded chat model: rules that plan, check, summarize and refine for the shapes world."""
    from .chat import ShapesChat

    return ShapesChat()
