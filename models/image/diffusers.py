"""Text-to-image pipelines of diffusers as image models."""

from __future__ import annotations

import hashlib
import inspect
import io
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field

from ...context import RunContext
from ...errors import ImageModelError, ModelSpecError, did_you_mean, is_of_the_run
from ...pixels import to_rgb
from ..options import ImageOptions
from .base import ImageModel, ImageRequest
from .batching import Batcher
from .devices import DTYPES, LOAD_LOCK, OFFLOADS, Offload, best_device, best_dtype, free_memory, is_out_of_memory, move_to_device
from .families import RESERVED, PipelineFamily, family_from_signature, find_family
from .prompt_budget import PromptBudget

# In a notebook without ipywidgets, loading bars are plain text: no reason for a warning.
warnings.filterwarnings("ignore", message="IProgress not found")

MAX_BATCH_ON_GPU = 4
"""Most images in one call on a GPU; on a CPU a batch of large models takes memory and gains nothing."""


class PipelineOptions(ImageOptions):
    """What pipelines of diffusers have in common."""

    call: dict[str, Any] = Field(default={}, alias="set", description="Options of the pipeline's call.")
    batch: int | None = Field(default=None, ge=1, description="Most images in one pipeline call.")
    wait: float | None = Field(default=None, ge=0, le=10, description="Seconds to wait for a batch to fill.")


class DiffusersOptions(PipelineOptions):
    """A text-to-image pipeline of diffusers."""

    spec = "diffusers:REPOSITORY, diffusers:FOLDER"
    about = "any text-to-image pipeline of diffusers"
    shared = True

    device: str | None = Field(default=None, description="cpu, cuda, cuda:1, mps; the best available by default.")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(default=None, description="Number format of the weights.")
    offload: Offload = Field(default="none", description="Which weights stay in main memory until they are needed.")

    @property
    def source(self) -> str:
        """The repository or folder."""
        name = self.model.partition(":")[2]
        return str(Path(name).expanduser()) if name.startswith("~") else name

    def key(self) -> tuple[str, str]:
        """Return the options, and the whole path and a hash of a folder: the weights may change, or the working directory."""
        folder = Path(self.source).resolve()
        return super().key()[0], f"{folder} {fingerprint(folder)}" if folder.is_dir() else ""

    def make(self) -> DiffusersImage:
        """Return the image model; it loads its weights at the first request."""
        if self.source.startswith((".", "/")) and not Path(self.source).is_dir():
            raise ModelSpecError(f"--image {self.model}: there is no such folder")
        model = DiffusersImage(self.source, **self.model_dump(exclude={"model", "price"}))
        if self.call and (pipeline := model.pipeline_class()):
            check_call(model.name, self.call, inspect.signature(pipeline.__call__).parameters)
        return model


class DiffusersImage(ImageModel):
    """A diffusers pipeline, loaded at the first request; `gems.models.image.families` says how each family is called.

    Requests from several threads share batches. An image depends on its own seed and not on the rest of its batch: on a CPU
    in float32 bit by bit, on a GPU to the precision of the number format; see `gems.models.image.batch_invariant`.

    Example:
        ```python
        gems.run("a red fox", image=DiffusersImage("Tongyi-MAI/Z-Image-Turbo", device="cuda:1"))
        ```

    Args:
        source: a folder in diffusers layout, or the name of a repository.
        name: name of the model; the last part of the source by default.
        call: options of the pipeline's call, such as steps and guidance; they override those of the family.
        device: such as cuda:1; the best available device by default.
        dtype: float32, bfloat16 or float16; the best for the device by default.
        offload: what waits in main memory until it is needed: none, model (one part of the pipeline at a time is on the
            GPU), sequential or group (one layer at a time).
        batch: most images in one call; 4 on a GPU and 1 on a CPU by default.
        wait: seconds to wait for a batch to fill, 0.01 by default. While a call runs the next batch fills by itself.

    Raises:
        ValueError: dtype, offload or batch is not one of these.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        name: str | None = None,
        call: Mapping[str, Any] | None = None,
        device: str | None = None,
        dtype: str | None = None,
        offload: Offload = "none",
        batch: int | None = None,
        wait: float | None = None,
    ) -> None:
        if dtype not in (None, *DTYPES):
            raise ValueError(f"dtype is one of {', '.join(DTYPES)}, not {dtype!r}")
        if offload not in OFFLOADS:
            raise ValueError(f"offload is one of {', '.join(OFFLOADS)}, not {offload!r}")
        if batch is not None and batch < 1:
            raise ValueError(f"batch is at least 1, not {batch}")
        self.source = str(source)
        self.name = name or Path(self.source).name
        self.call = dict(call or {})
        self.device = device
        self.dtype = dtype
        self.offload = offload
        self.batch = batch
        self.wait = 0.01 if wait is None else wait
        self._pipeline: Any = None

    @cached_property
    def settings(self) -> dict[str, object]:
        """Options of the call, number format and, for a folder, a hash of its files: what determines an image.

        Without device, offload and batch, so that a run that is resumed elsewhere finds its images again.
        """
        source = hashlib.sha256(self.source.encode()).hexdigest()[:16]  # a hash, as the path of a folder is private
        return {
            "model": self.name,
            "source": source,
            "files": fingerprint(Path(self.source)),
            **({"dtype": self.dtype} if self.dtype else {}),
            **self.call,
        }

    @property
    def parallel(self) -> int:  # type: ignore[override]
        """Number of requests that fit into one batch."""
        return self._batcher.first_max_size

    @property
    def can_edit(self) -> bool:
        """Whether the family takes an image to edit; of a repository, only `model_index.json` is read to find out."""
        return self.family.edits != "no"

    @property
    def prompt_limit(self) -> int | None:
        """Number of prompt tokens without those of the template. Loads the pipeline, whose tokenizer counts them."""
        return self._prompt_budget.limit

    def prepare(self) -> None:
        """Load the pipeline.

        Raises:
            ImageModelError: the pipeline cannot be loaded, or takes no prompt.
        """
        self.load()
        _ = self.family

    @property
    def family(self) -> PipelineFamily:
        """How this pipeline is called.

        Raises:
            ImageModelError: the pipeline cannot be loaded, or takes no prompt.
        """
        return self._family_and_guessed[0]

    @cached_property
    def _family_and_guessed(self) -> tuple[PipelineFamily, bool]:
        with LOAD_LOCK.loading():  # diffusers imports modules lazily, and so does a load
            return self._find_family()

    def _find_family(self) -> tuple[PipelineFamily, bool]:
        loaded = self._pipeline
        config = self._index() if loaded is None else {**loaded.config, "_class_name": type(loaded).__name__}
        if row := find_family(str(config.get("_class_name")), Path(self.source).name, config):
            return row
        return family_from_signature(self.pipeline_class() or type(self.load())), False

    def _index(self) -> Mapping[str, Any]:
        """Return the content of `model_index.json`, which needs no weights."""
        from diffusers import DiffusionPipeline

        with self._explained_loading():
            config: dict[str, Any] = DiffusionPipeline.load_config(self.source, local_files_only=Path(self.source).exists())
            return config

    def pipeline_class(self) -> type | None:
        """Return the class of the pipeline as `model_index.json` names it; None if that is not known without the weights."""
        import diffusers

        with LOAD_LOCK.loading(), suppress(ImageModelError):  # the load will say what is wrong
            pipeline: type | None = getattr(diffusers, str(self._index().get("_class_name")), None)
            return pipeline
        return None

    @cached_property
    def _device(self) -> str:
        return self.device or best_device()

    @cached_property
    def _dtype(self) -> str:
        return self.dtype or best_dtype(self._device)

    @property
    def _batch_invariant(self) -> bool:
        """Whether images must be the same in any batch, bit by bit."""
        return self._device == "cpu" and self._dtype == "float32"

    @cached_property
    def _batcher(self) -> Batcher[ImageRequest, Image.Image]:
        size = self.batch or (1 if self._device == "cpu" else MAX_BATCH_ON_GPU)
        return Batcher(
            self._draw, self._batch_key, max_size=size, wait=self.wait, is_oom=is_out_of_memory, recover=self._free_memory
        )

    @cached_property
    def _prompt_budget(self) -> PromptBudget:
        return PromptBudget(self.load(), self.family, {**self.family.call, **self.call})

    def load(self) -> Any:
        """Load the pipeline once and return it.

        Raises:
            ImageModelError: the weights are missing or damaged, the name is unknown, an option of the call does not exist, or
                offloading is set for a CPU.
        """
        if self._pipeline is None:
            with LOAD_LOCK.loading():
                if self._pipeline is None:
                    free_memory()  # of a model that is no longer used: its parts refer to one another
                    self._pipeline = self._load()
        return self._pipeline

    def _load(self) -> Any:
        import torch
        from diffusers import DiffusionPipeline

        dtype, local = getattr(torch, self._dtype), Path(self.source).exists()
        with self._explained_loading(), _without_progress_bars():
            _require_safetensors(Path(self.source))
            pipeline = DiffusionPipeline.from_pretrained(self.source, dtype=dtype, local_files_only=local, use_safetensors=True)
        if "prompt" not in (parameters := inspect.signature(pipeline.__call__).parameters):
            family_from_signature(type(pipeline))
        check_call(self.name, self.call, parameters)
        pipeline.set_progress_bar_config(disable=True)
        vae: Any = getattr(pipeline, "vae", None)
        if hasattr(vae, "use_slicing"):
            vae.enable_slicing()  # one by one: less memory at once, and on a CPU faster and the same bits
        with self._explained_loading():
            move_to_device(pipeline, self._device, self.offload)
        return pipeline

    @contextmanager
    def _explained_loading(self) -> Iterator[None]:
        try:
            yield
        except ImageModelError:
            raise
        except Exception as error:  # diffusers and safetensors raise many kinds for a damaged or missing folder
            if is_out_of_memory(error):
                raise ImageModelError(f"the image model {self.name!r} does not fit into memory. {_LESS_MEMORY}") from error
            reason = " ".join(str(error).split())[:300].rstrip(".")
            raise ImageModelError(
                f"cannot load the image model {self.name!r}: {type(error).__name__}: {reason}. "
                "Reinstall it or name another with --image"
            ) from error

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate one image for each request, in batches shared with requests of other threads."""
        for request in requests:
            self._check(request)
        try:
            return self._batcher.submit(requests)
        except ImageModelError:
            raise
        except Exception as error:  # whatever a pipeline raises: each has its own
            if is_out_of_memory(error):
                raise ImageModelError(
                    f"the image model {self.name!r} ran out of memory for a single image. {_LESS_MEMORY}"
                ) from error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageModelError(f"the image model {self.name!r} refused the request: {reason}") from error

    def _check(self, request: ImageRequest) -> None:
        """Refuse a request that the pipeline cannot fulfil, before it joins a batch."""
        family, pipeline = self.family, self.load()
        if request.source is not None and family.edits == "no":
            raise ImageModelError(
                f"the image model {self.name!r} ({family.title}) draws from words alone and cannot edit an image: "
                "take one that can, such as Qwen-Image-Edit, Qwen-Image-2.1 or FLUX.2"
            )
        if request.source is None and family.edits == "only":
            raise ImageModelError(f"the image model {self.name!r} ({family.title}) edits images and was given none")
        step = family.latent_multiple and family.latent_multiple * getattr(pipeline, "vae_scale_factor", 1)
        options = self._options(request)
        sizes = [options.get(side) for side in ("width", "height")]
        if step and any(side and side % step for side in sizes):
            raise ImageModelError(
                f"the image model {self.name!r} refused the request: width and height must be divisible by {step}, "
                f"got {sizes[0]}x{sizes[1]}"
            )
        places = getattr(getattr(getattr(pipeline, "transformer", None), "config", None), "axes_lens", None)
        if not step or not places:
            return
        most = (places[-1] * step, places[-2] * step)
        if (request.width or 0) > most[0] or (request.height or 0) > most[1]:
            raise ImageModelError(
                f"the image model {self.name!r} refused the request: it draws up to {most[0]}x{most[1]} pixels, "
                f"not {sizes[0]}x{sizes[1]}"
            )

    def _options(self, request: ImageRequest) -> dict[str, Any]:
        """Return the options of the call for one request, without the prompts."""
        defaults = dict(self.family.call)
        if request.source is not None:  # an edit keeps the shape of its image, which the pipeline sees to
            defaults = {k: v for k, v in defaults.items() if k not in ("width", "height")}
        size = {k: v for k, v in (("width", request.width), ("height", request.height)) if v}
        return {**defaults, **self.call, **size}

    def _negative_prompt(self, request: ImageRequest) -> str | None:
        """Return the negative prompt: of the request, of the options, or the default of the family."""
        family = self.family
        if not family.negative or (family.latent_multiple and not self._guided(self._options(request))):
            return None
        return request.negative_prompt or self.call.get("negative_prompt") or family.default_negative

    def _batch_key(self, request: ImageRequest) -> Hashable:
        """Return what requests must have in common to share a batch."""
        family = self.family
        if not family.batches or (self._batch_invariant and not family.batch_invariant):
            return object()  # equal to nothing: alone
        negative = self._negative_prompt(request)
        alike = (request.width, request.height, request.source, negative is None)
        if not self._batch_invariant:
            return alike
        return (*alike, self._prompt_budget.padded_length(request.prompt), self._prompt_budget.padded_length(negative or ""))

    def _draw(self, requests: list[ImageRequest]) -> list[Image.Image]:
        """Generate a batch. A pipeline holds the state of its scheduler: one call at a time."""
        import torch

        pipeline, first = self.load(), requests[0]
        options = self._options(first)
        options.pop("negative_prompt", None)
        if self._negative_prompt(first) is not None:
            options["negative_prompt"] = [self._negative_prompt(r) for r in requests]
        if first.source is not None:
            with Image.open(io.BytesIO(first.source)) as source:
                options["image"] = [source.convert("RGB")]  # a list, in every family: all images of one edit
        from .batch_invariant import BatchInvariant

        with LOAD_LOCK.generating(), BatchInvariant() if self._batch_invariant else nullcontext():
            out = pipeline(
                prompt=[r.prompt for r in requests],
                generator=[torch.Generator("cpu").manual_seed(r.seed) for r in requests],
                **options,
            )
        return [to_rgb(image) for image in out.images]

    def _free_memory(self) -> None:
        self.load().maybe_free_model_hooks()
        free_memory()

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt past the limit of the text encoder, by the tokenizer and template of the pipeline."""
        return self._prompt_budget.truncated(prompt)

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what of a request or of the options is not honoured, and whether a batch was too large."""
        family, guessed = self._family_and_guessed
        options = self._options(request)
        notes = []
        if guessed and not {"num_inference_steps", "guidance_scale"} <= set(self.call):
            notes.append(
                f"The name of {self.name!r} does not tell which {family.pipeline} it is: it is called as {family.title}, with "
                f"{options['num_inference_steps']} steps and guidance {options['guidance_scale']}. Set both to settle it."
            )
        if request.negative_prompt and not self._guided(options):
            why = (
                f"{family.guidance} is {options[family.guidance]}"
                if family.negative and family.guidance in options
                else "it has none"
            )
            notes.append(f"The image model {self.name!r} does not read the negative prompt: {why}.")
        for key in family.ignores:
            if key in self.call:
                instead = f": set {family.guidance} instead" if "guidance" in key and family.guidance else ""
                notes.append(f"{family.title} ignores {key}{instead}.")
        if self._batcher.max_size < self._batcher.first_max_size:
            notes.append(
                f"{self._batcher.first_max_size} images at once did not fit into memory: now there are {self._batcher.max_size}."
            )
        return notes

    def _guided(self, options: Mapping[str, Any]) -> bool:
        """Return whether guidance runs with these options, so that a negative prompt has an effect."""
        family = self.family
        if not family.negative:
            return False
        if family.guidance is None:
            return True
        default = inspect.signature(self.load().__call__).parameters[family.guidance].default
        scale = options.get(family.guidance, default)
        return not isinstance(scale, (int, float)) or scale > family.guidance_above


_LESS_MEMORY = (
    "Let weights wait in main memory (offload: model, group or sequential), ask for a smaller size, or for a smaller number "
    "format (dtype: bfloat16)"
)


def check_call(model: str, call: Iterable[str], known: Mapping[str, inspect.Parameter | None]) -> None:
    """Refuse options that the call of a pipeline does not have.

    Args:
        model: its name.
        call: names of the options.
        known: parameters of the pipeline's call.

    Raises:
        ImageModelError: there is no such option, or it comes from the requests.
    """
    if any(p is not None and p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    for key in call:
        if key in RESERVED:
            raise ImageModelError(f"the option {key!r} of the image model {model} comes from the requests and cannot be set")
        if key not in known:
            of_the_run = key in RunContext.model_fields
            hint = is_of_the_run(key) if of_the_run else did_you_mean(key, set(known) - RESERVED - {"self"})
            raise ImageModelError(f"the image model {model} has no option {key!r}: {hint}")


def _require_safetensors(folder: Path) -> None:
    """Refuse a folder where a part has only pickled weights: loading a pickle can run any code.

    Raises:
        ImageModelError: a part has only pickled weights. For a repository, diffusers itself raises.
    """
    pickled = {file.parent for ending in ("bin", "pt", "ckpt") for file in folder.glob(f"*/*.{ending}")}
    if only := sorted(part.name for part in pickled if not any(part.glob("*.safetensors"))):
        raise ImageModelError(
            f"the image model {folder.name!r} has the weights of its {only[0]} as a pickle, which could run any code: "
            "take its safetensors, or convert it on a machine you can spare, by save_pretrained"
        )


def fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes and times of the files in a folder: cheap, and different after a new training."""
    files = sorted(f for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else []
    state = [(str(f.relative_to(folder)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16] if files else ""


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Hide loading bars of diffusers and transformers; downloads still show theirs."""
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
