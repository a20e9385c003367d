"""GEMS: an agent for text-to-image generation that plans, checks every image, remembers and refines.

`Gems(chat=..., image=...)` is the client: `client.run("three red circles above a blue square")` generates an image.
`build_graph(verifier=my_verifier)` is the graph itself.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import lazy_loader

from . import _old_names

# Libraries that would send statistics of their own ask for these when they are imported, so they are set before any is: of
# images alone, diffusers imports ONNX Runtime. What the user has set stays. See docs/safety.md.
for _name, _quiet in {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}.items():
    os.environ.setdefault(_name, _quiet)

_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"

sys.meta_path.insert(0, _old_names.RenamedModules())


def __getattr__(name: str) -> Any:
    """Import a name of `__init__.pyi` when it is first used, so that `import gems` stays quick."""
    if name in _old_names.NAMES:
        _old_names.warn(name, name := _old_names.NAMES[name], 2)
    if name in _old_names.METHODS:
        return _old_names.METHODS[name]
    return _import(name)
