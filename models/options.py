"""Options of models: which model, for which role, and how it is called.

No secret has a place here: keys are named by the environment variable that holds them, which is OPENAI_API_KEY for
`openai:` and GEMS_API_KEY for other endpoints by default, so that the key of OpenAI is never sent to others.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ..frozen_model import Frozen
from ..privacy import folder_name, without_hosts, without_paths

CHAT_ROLES = ("planner", "decomposer", "verifier", "summarizer", "refiner", "learner")
"""Roles that call a chat model; each may have its own."""

Effort = Literal["minimal", "low", "medium", "high", "xhigh"]


class ChatOptions(Frozen):
    """A chat model and how it is called. None leaves an option to the endpoint.

    Example:
        ```python
        ChatOptions(model="http://localhost:30000/v1#Qwen3-VL-8B", thinking=False, max_tokens=2000)
        ```
    """

    model: str = Field(default="shapes", description="shapes, openai:MODEL, http(s)://HOST/v1#MODEL, or random.")
    thinking: bool | Effort | None = Field(
        default=None, description="Reasoning on or off, or its effort; see `gems.models.chat.thinking`."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Sampling temperature; 0 is the least random.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling: share of the likeliest tokens.")
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer, reasoning included.")
    timeout: float = Field(default=120, gt=0, description="Seconds for one try, to the last byte of the answer.")
    retries: int = Field(default=4, ge=0, description="Tries after the first, for 429, 5xx, time-outs and dropped connections.")
    in_flight: int = Field(default=8, ge=1, description="Most concurrent calls to the endpoint.")
    key_env: str | None = Field(default=None, description="Environment variable that holds the key.")
    extra_body: dict[str, Any] = Field(default={}, description="Further fields of the body of every request.")
    price_input: float | None = Field(default=None, ge=0, description="Price of a million input tokens, in any currency.")
    price_output: float | None = Field(default=None, ge=0, description="Price of a million output tokens, in the same currency.")


class ImageOptions(Frozen):
    """An image model and how it is called. None leaves an option to the model.

    Example:
        ```python
        ImageOptions(model="diffusers:Tongyi-MAI/Z-Image-Turbo", set={"num_inference_steps": 6}, device="cuda:1")
        ```
    """

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field(
        default="shapes",
        description="shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL, http(s)://HOST/v1#MODEL, or card.",
    )
    call: dict[str, Any] = Field(default={}, alias="set", description="Options of the pipeline's call, or fields of the request.")
    device: str | None = Field(default=None, description="diffusers: cpu, cuda, cuda:1, mps; the best available by default.")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="diffusers: number format of the weights."
    )
    offload: Literal["none", "model", "sequential", "group"] = Field(
        default="none", description="diffusers: which weights stay in main memory until they are needed."
    )
    batch: int | None = Field(default=None, ge=1, description="diffusers: most images in one pipeline call.")
    wait: float | None = Field(default=None, ge=0, le=10, description="diffusers: seconds to wait for a batch to fill.")
    provider: Literal["openai", "sglang", "vllm-omni", "gems"] | None = Field(
        default=None, description="HTTP: which kind of server it is; detected by default."
    )
    timeout: float = Field(default=300, gt=0, description="HTTP: seconds for one try, to the last byte of the answer.")
    retries: int = Field(
        default=4, ge=0, description="HTTP: tries after the first, for 429, 5xx, time-outs and dropped connections."
    )
    in_flight: int = Field(default=4, ge=1, description="HTTP: most concurrent calls to the endpoint.")
    key_env: str | None = Field(default=None, description="HTTP: environment variable that holds the key.")
    price: float | None = Field(default=None, ge=0, description="Price of an image, in the currency of the chat models' prices.")


class ModelOptions(Frozen):
    """The models of a run: one chat model for all roles, others for some of them, and one image model."""

    chat: ChatOptions = ChatOptions()
    roles: dict[str, ChatOptions] = Field(default={}, description="Chat models of single roles.")
    image: ImageOptions = ImageOptions()

    @property
    def priced(self) -> bool:
        """Whether any price is known."""
        chats = [self.chat, *self.roles.values()]
        return self.image.price is not None or any(c.price_input is not None or c.price_output is not None for c in chats)

    @property
    def names(self) -> dict[str, str]:
        """Names of the models without hosts and folders: "chat" (of most roles, then of roles with their own) and "image"."""
        chat = _display_name(self.chat.model, "shapes-chat")
        others = {role: _display_name(options.model, "shapes-chat") for role, options in self.roles.items()}
        own = [f"{role}: {name}" for role, name in others.items() if name != chat]
        return {"chat": ", ".join([chat, *own]), "image": _display_name(self.image.model, "shapes-image")}


def without_hosts_and_folders(text: str, models: ModelOptions) -> str:
    """Return text that may be recorded: without the hosts of these models, and without the folders of paths."""
    specs = (models.chat.model, models.image.model, *(role.model for role in models.roles.values()))
    return without_paths(without_hosts(text, specs))


def _display_name(spec: str, embedded: str) -> str:
    if spec == "shapes":
        return embedded
    scheme, _, rest = spec.partition(":")
    if "#" in spec:
        return spec.rpartition("#")[2]
    if scheme == "diffusers":
        return folder_name(rest)
    return rest or spec
