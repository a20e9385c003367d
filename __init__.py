"""GEMS: an agent for text-to-image generation that plans, checks every image, remembers and refines.

`Gems(chat=..., image=...)` is the client: `client.run("three red circles above a blue square")` generates an image.
`build_graph(verifier=my_verifier)` is the graph itself.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from . import _old_names

if TYPE_CHECKING:
    from .context import PRESETS, RunContext, preset
    from .errors import AnswerError, GemsError
    from .events import CheckAnswered, Event, ImageMade, RoleEnded, RoleStarted, RunEnded, read_event
    from .graph.build import build_graph
    from .graph.stream_events import aevents_from_stream, events_from_stream
    from .memory.state import Attempt, Check, Experience, GemsState, ImageRef, Result, Review, Score, Usage, Verdict
    from .models.image.base import ImageModel, ImageRequest
    from .nodes.review_answer import Answer
    from .report import contact_sheet
    from .runs.client import BatchResult, Gems, run
    from .runs.listing import RunSummary
    from .runs.manifest import studio_id
    from .runs.prune import PruneReport
    from .runs.result import RunResult
    from .runs.write_gallery import write_gallery
    from .skills import SkillLibrary
    from .storage.image_store import ImageStore
    from .storage.workspace import Workspace

# Libraries that would send statistics of their own ask for these when they are imported, so they are set before any is: of
# images alone, diffusers imports ONNX Runtime. What the user has set stays. See docs/safety.md.
for _name, _quiet in {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}.items():
    os.environ.setdefault(_name, _quiet)

_MODULES = {
    "context": ("PRESETS", "RunContext", "preset"),
    "errors": ("AnswerError", "GemsError"),
    "events": ("CheckAnswered", "Event", "ImageMade", "RoleEnded", "RoleStarted", "RunEnded", "read_event"),
    "graph.build": ("build_graph",),
    "graph.stream_events": ("aevents_from_stream", "events_from_stream"),
    "runs.client": ("BatchResult", "Gems", "run"),
    "runs.prune": ("PruneReport",),
    "runs.listing": ("RunSummary",),
    "runs.manifest": ("studio_id",),
    "runs.result": ("RunResult",),
    "storage.workspace": ("Workspace",),
    "storage.image_store": ("ImageStore",),
    "memory.state": ("Attempt", "Check", "Experience", "GemsState", "ImageRef", "Result", "Review", "Score", "Usage", "Verdict"),
    "models.image.base": ("ImageModel", "ImageRequest"),
    "nodes.review_answer": ("Answer",),
    "report": ("contact_sheet",),
    "runs.write_gallery": ("write_gallery",),
    "skills": ("SkillLibrary",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # noqa: RUF022  (grouped by what they are for)
    "Gems", "run", "build_graph", "RunResult", "BatchResult", "RunSummary", "PruneReport", "Workspace",
    "Event", "RoleStarted", "RoleEnded", "ImageMade", "CheckAnswered", "RunEnded", "read_event",
    "events_from_stream", "aevents_from_stream",
    "write_gallery", "contact_sheet", "studio_id", "RunContext", "PRESETS", "preset",
    "GemsState", "Check", "Verdict", "Score", "Attempt", "Experience", "Review", "ImageRef", "Result", "Usage",
    "Answer", "AnswerError", "ImageModel", "ImageRequest", "ImageStore", "SkillLibrary", "GemsError",
]  # fmt: skip
__version__ = "0.1.0"

sys.meta_path.insert(0, _old_names.RenamedModules())


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import gems` stays quick."""
    if name in _old_names.NAMES:
        _old_names.warn(name, name := _old_names.NAMES[name], 2)
    if name in _old_names.METHODS:
        return _old_names.METHODS[name]
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *_MODULE_OF})
