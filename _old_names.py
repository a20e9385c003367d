"""Names of before that README, docs and notebooks have shown: they still work, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NAMES = {"Home": "Workspace", "Past": "RunSummary", "Freed": "PruneReport", "past_runs": "list_runs", "past_run": "get_run"}
"""Names of `gems`."""

MODULES = {
    **{"doctor": "commands.doctor", "memory.serializer": "storage.serializer"},
    **{"nodes.answers": "nodes.checks.answers", "serve": "server", "studio.draw": "studio.mcp_tool"},
    **{"evaluation.outcome": "evaluation.study", "evaluation.studies": "evaluation.variants"},
}
"""Modules, without `gems.`."""


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
