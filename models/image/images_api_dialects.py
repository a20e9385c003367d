"""The dialects of the images API of OpenAI: which fields each server takes, and what it cannot honour.

All speak `/v1/images/generations` and `/v1/images/edits`, and no two take the same fields. Facts are from the code of
openai 3.52 (`types/image_generate_params.py`), SGLang 0.5.23 (`multimodal_gen/runtime/entrypoints/openai/image_api.py`) and
vLLM-Omni 0.30 (`entrypoints/openai/protocol/images.py`, `api_server.py`). Steps and guidance are named as in diffusers by
both: `num_inference_steps`, `guidance_scale`, `true_cfg_scale`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import ImageModelError
from ..negotiation import refusal_note
from .base import ImageRequest

RESERVED = frozenset({"prompt", "model", "n", "image", "stream"})
"""Fields that a user cannot set: one request is one image, not streamed."""


@dataclass(frozen=True)
class Provider:
    """Which fields one kind of server takes."""

    name: str
    seed: bool = True
    """Whether it takes `seed`."""
    negative_prompt: bool = True
    """Whether it takes `negative_prompt`."""
    always: Mapping[str, object] = field(default_factory=dict)
    """Fields of every request."""
    unsized: Mapping[str, object] = field(default_factory=dict)
    """Fields of a generation without a size, where omitting `size` does not mean the default size of the model."""
    longest_prompt: int | None = None
    """Most characters of a prompt; a longer one is refused."""
    generation_fields: frozenset[str] | None = None
    """Further fields of generations. Others have no effect and no error; None where the server refuses them itself."""
    edit_fields: frozenset[str] | None = None
    """Further fields of edits, likewise."""


_SAMPLING_FIELDS = {"num_inference_steps", "guidance_scale", "true_cfg_scale", "generator_device"}
_IMAGE_FIELDS = {"size", "seed", "negative_prompt", "response_format", "output_format", "output_compression", "user"}
_COMMON_FIELDS = _SAMPLING_FIELDS | _IMAGE_FIELDS

OPENAI = Provider(
    "openai",
    seed=False,
    negative_prompt=False,
    longest_prompt=32_000,  # and no response_format: GPT image models reject it and always answer in base64
)
SGLANG = Provider(
    "sglang",
    # Its defaults are a url, which needs cloud storage, and JPEG. Without a size it draws 1024x1024, with null the model's own.
    always={"response_format": "b64_json", "output_format": "png"},
    unsized={"size": None},
    # What is no field of a generation goes to the model, so nothing is known to have no effect.
    edit_fields=frozenset(
        _COMMON_FIELDS | {"background", "quality", "output_quality", "task_type", "enhance_prompt", "mask", "url"}
        | {"enable_teacache", "enable_cache_dit", "cache_dit_params", "num_frames"}
        | {"enable_upscaling", "upscaling_model_path", "upscaling_scale"}
        | {"profile", "profile_all_stages", "num_profiled_timesteps", "perf_dump_path"}
    ),
)  # fmt: skip
VLLM_OMNI = Provider(
    "vllm-omni",
    always={"response_format": "b64_json"},
    generation_fields=frozenset(
        _COMMON_FIELDS | {"flow_shift", "extra_params", "lora", "layers", "bot_task", "system_prompt", "use_system_prompt"}
        | {"vae_use_slicing", "vae_use_tiling", "return_stage_metrics"}
    ),
    edit_fields=frozenset(
        _COMMON_FIELDS | {"guidance_scale_2", "strength", "lora", "layers", "resolution", "bot_task", "system_prompt"}
        | {"sys_type", "mask_image", "reference_image", "url", "background", "return_stage_metrics"}
    ),
)  # fmt: skip
GEMS = Provider("gems", always={"response_format": "b64_json"})
OTHER = Provider("other", always={"response_format": "b64_json"})
"""An unknown server: it is sent the common fields, and those that it refuses are left out."""

PROVIDERS = {p.name: p for p in (OPENAI, SGLANG, VLLM_OMNI, GEMS)}

OPTIONAL = frozenset({"response_format", "output_format", "seed", "negative_prompt"})
"""Fields that are left out for a server that refuses them: the image does not need them."""

_OWNERS = {"sglang": SGLANG, "vllm": VLLM_OMNI, "vllm-omni": VLLM_OMNI, "gems": GEMS}

_EDITORS = ("gpt-image", "chatgpt-image", "edit", "kontext", "flux.2", "flux2", "flux-2", "qwen-image-2.1")


def provider_of(card: Mapping[str, object]) -> Provider:
    """Return the provider of a model by its entry in `/v1/models`, `OTHER` if unknown."""
    return _OWNERS.get(str(card.get("owned_by")).lower(), OTHER)


def can_edit(model: str, card: Mapping[str, object]) -> bool:
    """Return whether a model takes an image to edit: as its server says, else by its name.

    Args:
        model: its name.
        card: its entry in `/v1/models`, empty where there is none: `gems serve` has `can_edit` there, SGLang
            `supported_task_types`.
    """
    if isinstance(declared := card.get("can_edit"), bool):
        return declared
    tasks = card.get("supported_task_types")
    if isinstance(tasks, list):
        return bool({"I2I", "TI2I"} & set(map(str, tasks)))
    return any(part in model.lower() for part in _EDITORS)


def generation_body(provider: Provider, request: ImageRequest, call: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return the JSON body of a request for a new image; fields in `call` override those of the provider.

    Raises:
        ImageModelError: the provider would refuse the request.
    """
    return {**_common_fields(provider, request, model), **({} if request.width else provider.unsized), **call}


def edit_form(provider: Provider, request: ImageRequest, call: Mapping[str, Any], model: str) -> dict[str, str]:
    """Return the text fields of a request to edit an image; the image itself is the file `image` of the form.

    Raises:
        ImageModelError: the provider would refuse the request.
    """
    return {key: _form_value(value) for key, value in {**_common_fields(provider, request, model), **call}.items()}


def _common_fields(provider: Provider, request: ImageRequest, model: str) -> dict[str, Any]:
    check_request(provider, request, model)
    fields: dict[str, Any] = {"model": model, "prompt": request.prompt, "n": 1, **provider.always}
    if request.width:
        fields["size"] = f"{request.width}x{request.height}"
    if provider.seed:
        fields["seed"] = request.seed
    if provider.negative_prompt and request.negative_prompt:  # an empty one would replace the model's own
        fields["negative_prompt"] = request.negative_prompt
    return fields


def _form_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def check_request(provider: Provider, request: ImageRequest, model: str) -> None:
    """Refuse a request before the call where the provider would.

    Raises:
        ImageModelError: the prompt is too long, width or height is missing, or OpenAI does not document the size.
    """
    if provider.longest_prompt and len(request.prompt) > provider.longest_prompt:
        raise ImageModelError(
            f"the prompt has {len(request.prompt):,} characters and {provider.name} takes {provider.longest_prompt:,}: shorten it"
        )
    if (request.width is None) != (request.height is None):
        raise ImageModelError("an images endpoint takes width and height together: give both or neither")
    if provider is OPENAI and request.width and request.height and (wrong := _size_problem(model, request.width, request.height)):
        raise ImageModelError(f"{model} does not draw {request.width}x{request.height}: {wrong}")


def _size_problem(model: str, width: int, height: int) -> str | None:
    if model.startswith("gpt-image-1"):
        fits = (width, height) in {(1024, 1024), (1536, 1024), (1024, 1536)}
        return None if fits else "it draws 1024x1024, 1536x1024 and 1024x1536"
    if width % 16 or height % 16:
        return "width and height must be multiples of 16"
    if max(width, height) > 3 * min(width, height):
        return "the longer side may be three times the shorter at most"
    if max(width, height) > 3840 or width * height > 3840 * 2160:
        return "3840x2160 is the most"
    return None


def caveats(provider: Provider, request: ImageRequest, call: Mapping[str, Any], left_out: Collection[str] = ()) -> list[str]:
    """Return what of a request is not honoured, a sentence each.

    Args:
        provider: of the server.
        request: the request.
        call: fields that the user added.
        left_out: fields that the server has refused before.
    """
    missing = {name for name, taken in (("seed", provider.seed), ("negative_prompt", provider.negative_prompt)) if not taken}
    missing |= set(left_out)
    if not request.negative_prompt:
        missing.discard("negative_prompt")
    who = "the images endpoint" if provider is OTHER else provider.name
    notes = []
    if provider is OTHER:
        notes.append("The images endpoint does not say whose it is: it is sent the fields that most take (see the option provider)")
    notes += [refusal_note(name, who) for name in sorted(missing, reverse=True)]
    known = provider.generation_fields if request.source is None else provider.edit_fields
    if known is not None:
        notes += [f"{provider.name} does not know the field {name!r}: it has no effect" for name in sorted(set(call) - known)]
    return notes
