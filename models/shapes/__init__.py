"""Shapes world: a small image model and a rule-based chat model that make the loop real on a laptop.

What makes models is imported when it is first used, so that reading the world's language needs no numpy.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .backend import CALL, CALL_OPTIONS, WEIGHTS, ShapesChatOptions, ShapesImageOptions, shapes_chat, shapes_image

__all__ = ["CALL", "CALL_OPTIONS", "WEIGHTS", "ShapesChatOptions", "ShapesImageOptions", "shapes_chat", "shapes_image"]
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"backend": __all__})
