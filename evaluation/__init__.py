"""Benchmarks, judges and studies: what a setting, a node or a model of one's own is worth, with an interval.

`compare([Variant("default"), Variant("mine", nodes={"verifier": my_verifier})], Prompts(limit=40))` runs a study.
"""

from __future__ import annotations

# ruff: noqa: F401  (what is imported for types is loaded when it is first used)
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .noise import noisy
    from .prompts import Prompts
    from .runner import StudyExecution
    from .study import StudyFiles, StudyResult, build_report, compare, load_study, score_study
    from .variants import NodeParts, Variant

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "noise": ["noisy"],
        "prompts": ["Prompts"],
        "runner": ["StudyExecution"],
        "study": ["StudyFiles", "StudyResult", "build_report", "compare", "load_study", "score_study"],
        "variants": ["NodeParts", "Variant"],
    },
)
