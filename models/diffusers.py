"""Any text-to-image pipeline of diffusers as an image model."""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from .image import ImageModel, ImageModelError, ImageRequest


class DiffusersImage(ImageModel):
    """A diffusers pipeline, loaded at the first picture.

    Args:
        source: a folder in diffusers layout, or the name of a repository.
        name: what to call it; the last part of the source by default.
        call: options of the pipeline's call, such as steps and guidance.
        device: where it runs; a GPU if there is one, by default.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        call: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.source = str(source)
        self.name = name or Path(self.source).name
        self.call = dict(call or {})
        self.device = device
        self._pipeline: Any = None
        self._lock = threading.Lock()

    @cached_property
    def settings(self) -> dict[str, object]:
        """The call's options and, for a folder, the state of its files: what tells pictures of this model from others."""
        source = hashlib.sha256(self.source.encode()).hexdigest()[:16]  # a hash: a folder's path is nobody's business
        return {"model": self.name, "source": source, "files": _fingerprint(Path(self.source)), **self.call}

    def load(self) -> Any:
        """Load the pipeline once and return it.

        Raises:
            ImageModelError: the weights are missing or damaged, or the name is unknown.
        """
        with self._lock:
            if self._pipeline is None:
                self._pipeline = self._load()
            return self._pipeline

    def _load(self) -> Any:
        import torch
        from diffusers import DiffusionPipeline

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        try:
            with _without_progress_bars():
                pipeline = DiffusionPipeline.from_pretrained(self.source, dtype=dtype, local_files_only=Path(self.source).exists())
        except Exception as error:  # diffusers and safetensors raise many kinds for a damaged or missing folder
            reason = " ".join(str(error).split())[:300]
            raise ImageModelError(
                f"cannot load the image model {self.name!r}: {type(error).__name__}: {reason}. "
                "Reinstall it or name another with --image"
            ) from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device)

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Make the pictures one by one, each from its own seed, so that none depends on its neighbours."""
        pipeline = self.load()
        return [self._one(pipeline, request) for request in requests]

    def _one(self, pipeline: Any, request: ImageRequest) -> Image.Image:
        import torch

        options = dict(self.call)
        options.update({k: v for k, v in (("width", request.width), ("height", request.height)) if v})
        if request.negative_prompt:
            options["negative_prompt"] = request.negative_prompt
        generator = torch.Generator("cpu").manual_seed(request.seed)
        # A pipeline keeps its scheduler's state in itself: one call at a time.
        with self._lock:
            try:
                out = pipeline(prompt=request.prompt, generator=generator, **options)
            except (ValueError, TypeError) as error:
                raise ImageModelError(f"the image model {self.name!r} refused the request: {error}") from error
        image: Image.Image = out.images[0]
        return image.convert("RGB")

    def truncated(self, prompt: str) -> str | None:
        """Return the words past the text encoder's limit, counted with the pipeline's own tokenizer."""
        pipeline = self.load()
        option = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
        limit = self.call.get("max_sequence_length", option.default if option else None)
        tokenizer = getattr(pipeline, "tokenizer", None)
        if limit is None or tokenizer is None or not tokenizer.is_fast:
            return None
        spans = tokenizer(prompt, return_offsets_mapping=True, truncation=False)["offset_mapping"]
        if len(spans) <= limit:
            return None
        return prompt[spans[limit][0] :]


def _fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes and times of a folder's files: cheap, and another after a new training."""
    files = sorted(f for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else []
    state = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16] if files else ""


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep the libraries' loading bars out of the terminal: a download shows them still, the files on disk need none."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [log for log in (of_diffusers, of_transformers) if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()
