"""Names of before that README, docs and notebooks have shown: they still work, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runs.client import Gems

NAMES = {
    **{"Home": "Workspace", "Past": "RunSummary", "Freed": "PruneReport"},
    **{"past_runs": "Gems.list", "past_run": "Gems.get", "list_runs": "Gems.list", "get_run": "Gems.get"},
    **{name: f"Gems.{name}" for name in ("stream", "resume", "fork", "remove", "prune")},
}
"""Names of `gems`; the functions of before are methods of the client now."""

MODULES = {
    **{"doctor": "commands.doctor", "memory.serializer": "storage.serializer"},
    **{"nodes.answers": "nodes.checks.answers", "serve": "server", "studio.draw": "studio.mcp_tool"},
    **{"evaluation.outcome": "evaluation.study", "evaluation.studies": "evaluation.variants"},
}
"""Modules, without `gems.`."""


def _client(options: dict[str, Any]) -> Gems:
    """Return the client of a call, with what is the client's taken out of the arguments."""
    from .runs.client import Gems

    own = {name for name in ("chat", "image", "runs", "skills", "nodes", "checkers") if name in options}
    if isinstance(options.get("checkers"), str):  # the setting of a run
        own -= {"checkers"}
    return Gems(**{name: options.pop(name) for name in own})


def _stream(prompt: str | None = None, **options: Any) -> Any:
    return _client(options).stream(prompt, **options)


def _resume(thread: str, **options: Any) -> Any:
    return _client(options).resume(thread, **options)


def _fork(thread: str, **options: Any) -> Any:
    client = _client(options)
    followed = {name: options.pop(name) for name in ("on_event", "control", "ask") if name in options}
    forked = client.fork(thread, execute=not followed, **options)
    return client.resume(forked.thread, **followed) if followed else forked


def _list(runs: Any = "runs", **options: Any) -> Any:
    return _client({"runs": runs}).list(**options)


def _get(thread: str, runs: Any = "runs") -> Any:
    return _client({"runs": runs}).get(thread)


def _remove(names: Sequence[str], runs: Any = "runs") -> Any:
    return _client({"runs": runs}).remove(*names)


def _prune(*older_than: Any, runs: Any = "runs", **options: Any) -> Any:
    return _client({"runs": runs}).prune(*older_than, **options)


METHODS: Mapping[str, Callable[..., Any]] = {
    **{"Gems.stream": _stream, "Gems.resume": _resume, "Gems.fork": _fork, "Gems.list": _list},
    **{"Gems.get": _get, "Gems.remove": _remove, "Gems.prune": _prune},
}
"""Functions with the arguments of before, by the method that does the work."""


def warn(old: str, new: str, stacklevel: int) -> None:
    """Say that a name has changed, where the code that uses it stands `stacklevel` calls up."""
    warnings.warn(f"gems.{old} is called gems.{new} now", DeprecationWarning, stacklevel=stacklevel + 1)


class RenamedModules(MetaPathFinder, Loader):
    """Imports a module by its name of before."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return how to import the module, None if it was not renamed."""
        name = fullname.partition(".")[2]
        return ModuleSpec(fullname, self) if fullname == f"gems.{name}" and name in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the one that is being imported."""
        old = module.__name__.partition(".")[2]
        warn(old, MODULES[old], 2)
        sys.modules[module.__name__] = importlib.import_module(f"gems.{MODULES[old]}")
