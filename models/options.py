"""What can be set about the models: which ones, for which role, called how.

No secret has a place here: keys are named by the environment variable that holds them, which is OPENAI_API_KEY for
`openai:` and GEMS_API_KEY for other endpoints if nothing else is said, so that the one never reaches the others.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ..frozen import Frozen
from ..privacy import folder_name, without_hosts, without_paths

CHAT_ROLES = ("planner", "decomposer", "verifier", "summarizer", "refiner", "learner")
"""Roles that ask a chat model, and may each have one of their own."""

Effort = Literal["minimal", "low", "medium", "high", "xhigh"]


class ChatOptions(Frozen):
    """A chat model and how it is called. What is None is left to the endpoint."""

    model: str = Field(default="shapes", description="shapes, openai:MODEL, http(s)://HOST/v1#MODEL, or random.")
    thinking: bool | Effort | None = Field(
        default=None, description="Reasoning on or off, or how much; see `gems.models.chat.thinking`."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="How much chance there is in an answer; 0: least.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Share of the likeliest tokens that an answer is drawn from.")
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer, reasoning included.")
    timeout: float = Field(default=120, gt=0, description="Seconds of one try of a call, to the last byte of its answer.")
    retries: int = Field(default=4, ge=0, description="Tries after the first, for 429, 5xx, time-outs and dropped connections.")
    in_flight: int = Field(default=8, ge=1, description="Most calls to this endpoint at the same time.")
    key_env: str | None = Field(default=None, description="Environment variable that holds the key.")
    extra_body: dict[str, Any] = Field(default={}, description="Fields added to the body of every request.")
    price_input: float | None = Field(default=None, ge=0, description="What a million tokens in cost, in any currency.")
    price_output: float | None = Field(default=None, ge=0, description="What a million tokens out cost, in the same currency.")


class ImageOptions(Frozen):
    """An image model and how it is called. What is None is left to the model."""

    model_config = ConfigDict(populate_by_name=True)

    model: str = Field(
        default="shapes",
        description="shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL, http(s)://HOST/v1#MODEL, or card.",
    )
    call: dict[str, Any] = Field(default={}, alias="set", description="Options of the pipeline's call, or fields of the request.")
    device: str | None = Field(default=None, description="diffusers: cpu, cuda, cuda:1, mps; the best there is by default.")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="diffusers: number format of the weights."
    )
    offload: Literal["none", "model", "sequential", "group"] = Field(
        default="none", description="diffusers: what waits in main memory until it is needed."
    )
    batch: int | None = Field(default=None, ge=1, description="diffusers: most images in one pipeline call.")
    wait: float | None = Field(default=None, ge=0, le=10, description="diffusers: seconds to wait for a batch to fill.")
    provider: Literal["openai", "sglang", "vllm-omni", "gems"] | None = Field(
        default=None, description="HTTP: whose fields the endpoint takes; found out by default."
    )
    timeout: float = Field(default=300, gt=0, description="HTTP: seconds of one try of a call, to the last byte of its answer.")
    retries: int = Field(
        default=4, ge=0, description="HTTP: tries after the first, for 429, 5xx, time-outs and dropped connections."
    )
    in_flight: int = Field(default=4, ge=1, description="HTTP: most calls to this endpoint at the same time.")
    key_env: str | None = Field(default=None, description="HTTP: environment variable that holds the key.")
    price: float | None = Field(default=None, ge=0, description="What an image costs, in the currency of the chat models' prices.")


class ModelOptions(Frozen):
    """The models of a run: one chat model for all roles, others for some of them, and one image model."""

    chat: ChatOptions = ChatOptions()
    roles: dict[str, ChatOptions] = Field(default={}, description="Chat models of roles that have one of their own.")
    image: ImageOptions = ImageOptions()

    @property
    def priced(self) -> bool:
        """Whether any price is known."""
        chats = [self.chat, *self.roles.values()]
        return self.image.price is not None or any(c.price_input is not None or c.price_output is not None for c in chats)

    @property
    def names(self) -> dict[str, str]:
        """The models' names, for people, without hosts and folders: "chat" (of most roles, others with their roles) and "image"."""
        chat = _name(self.chat.model, "shapes-chat")
        others = {role: _name(options.model, "shapes-chat") for role, options in self.roles.items()}
        own = [f"{role}: {name}" for role, name in others.items() if name != chat]
        return {"chat": ", ".join([chat, *own]), "image": _name(self.image.model, "shapes-image")}


def without_places(text: str, models: ModelOptions) -> str:
    """Return text that may be recorded: without the hosts of these models, and without the folders of paths."""
    specs = (models.chat.model, models.image.model, *(role.model for role in models.roles.values()))
    return without_paths(without_hosts(text, specs))


def _name(spec: str, embedded: str) -> str:
    if spec == "shapes":
        return embedded
    scheme, _, rest = spec.partition(":")
    if "#" in spec:
        return spec.rpartition("#")[2]
    if scheme == "diffusers":
        return folder_name(rest)
    return rest or spec
