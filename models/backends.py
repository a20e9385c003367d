"""Which backend makes a model: by the scheme of its spec, in GEMS or in another distribution.

A backend is a subclass of `ChatOptions` or `ImageOptions`: options of its own, and `make`, which makes the model of them. Another
distribution registers one by an entry point whose name is the scheme:

```toml
[project.entry-points."gems.image_models"]
plain = "my_package:PlainOptions"
```

A backend is imported when its scheme is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Literal

from ..errors import ModelSpecError

Kind = Literal["chat", "image"]

GROUPS: Mapping[Kind, str] = {"chat": "gems.chat_models", "image": "gems.image_models"}
"""Groups of entry points in which other distributions register backends."""

_ENDPOINT_CHAT = ".chat.endpoint_options:EndpointChatOptions"
_ENDPOINT_IMAGE = ".image.images_api:EndpointImageOptions"

BUILT_IN: Mapping[Kind, Mapping[str, str]] = {
    "chat": {
        "shapes": ".shapes.backend:ShapesChatOptions",
        "openai": _ENDPOINT_CHAT,
        "http": _ENDPOINT_CHAT,
        "https": _ENDPOINT_CHAT,
        "random": ".chat.random_chat:RandomChatOptions",
    },
    "image": {
        "shapes": ".shapes.backend:ShapesImageOptions",
        "diffusers": ".image.diffusers:DiffusersOptions",
        "openai": _ENDPOINT_IMAGE,
        "http": _ENDPOINT_IMAGE,
        "https": _ENDPOINT_IMAGE,
        "card": ".image.prompt_card:CardOptions",
    },
}
"""The backends of GEMS by scheme; their modules are within `gems.models`."""


def schemes(kind: Kind) -> list[str]:
    """Return the schemes of all backends, those of GEMS first."""
    return list(dict.fromkeys([*BUILT_IN[kind], *sorted(entry_points(group=GROUPS[kind]).names)]))


def load_backend(kind: Kind, scheme: str, base: type) -> type | None:
    """Import the backend of a scheme; None if there is none.

    Args:
        kind: of the model.
        scheme: what stands before the colon of a spec, or all of it.
        base: what a backend is a subclass of.

    Raises:
        ModelSpecError: the backend of another distribution cannot be used; the message names it.
    """
    if path := BUILT_IN[kind].get(scheme):
        backend: type = EntryPoint(scheme, f"gems.models{path}", GROUPS[kind]).load()
        return backend
    if scheme == "custom":  # an object of the user's, which no backend makes
        return None
    for found in entry_points(group=GROUPS[kind], name=scheme):
        try:
            loaded = found.load()
            if isinstance(loaded, type) and issubclass(loaded, base):
                return loaded
            problem = f"{found.value} is not a subclass of {base.__name__}"
        except Exception as error:  # a module of somebody else may raise anything
            problem = f"{type(error).__name__}: {error}"
        owner = f"{found.dist.name} {found.dist.version}" if found.dist else found.value
        raise ModelSpecError(f"the {kind} backend {scheme!r} of {owner} cannot be used ({problem}): update or uninstall it")
    return None
