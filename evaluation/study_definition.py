"""The definition of a study: everything that decides its records. Two studies of one definition may share a folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator, model_validator

from ..context import RETIRED_SETTINGS, RunContext
from ..frozen_model import Frozen
from ..models.options import CHAT_ROLES, ChatOptions
from ..models.registry import Models
from .benchmarks.base import Sample
from .prompts import Prompts
from .variants import Variant

PACKAGES = ("langgraph", "langchain-core", "langchain-openai", "diffusers", "transformers", "torch", "numpy", "pillow")
"""Packages that runs go through, whose versions are recorded."""

RUN_CODE = ("context.py", "graph", "memory", "models", "nodes", "runs", "skills", "storage", "evaluation/benchmarks/shapes.py")
"""The files and folders of the package that decide what a run sends to its models and what it returns."""


NOT_COMPARED = {"versions", "lines"}
"""Fields in which two studies of one definition may differ."""


class StudyDefinition(Frozen):
    """What decides the records of a study. Two of the same definition may share a folder, others may not."""

    format: int = 2
    benchmark: str
    version: str
    code: str
    versions: dict[str, str] = {}
    """Of Python and of the packages that runs go through, when the study began. They do not tell two studies apart."""
    data: dict[str, str] = {}
    """SHA-256 of the benchmark's files."""
    chat: dict[str, str]
    """The chat model of each role, `default` for those not named: name and digest of its options."""
    image: str
    prompts: str
    """How many, and a digest of them and of what only the scorer may know."""
    available: int
    """How many the benchmark has: more, where it was limited."""
    per_prompt: int = 1
    """Images of each prompt, each of a run of its own, within one of `seeds`."""
    seed: int
    seeds: int
    variants: dict[str, dict[str, Any]]
    nodes: dict[str, dict[str, str]] = {}
    """By variant the roles that it swaps, each with a digest of its source, and what else it brings along: `models`, `checkers`."""
    lines: dict[str, tuple[str, float | None]] = {}
    """Of variants that a plot joins: the line, and the place on it."""

    @model_validator(mode="before")
    @classmethod
    def _noise_is_a_node(cls, study: Any) -> Any:
        """Read noise of the verifier, which was a setting, as a swapped verifier."""
        if not isinstance(study, Mapping) or "nodes" in study:
            return study
        variants: dict[str, Any] = {}
        nodes: dict[str, Any] = {}
        for name, settings in study.get("variants", {}).items():
            noise = {key: settings[key] for key in RETIRED_SETTINGS if settings.get(key)}
            variants[name] = {key: value for key, value in settings.items() if key not in RETIRED_SETTINGS}
            nodes |= {name: {"verifier": short_digest(noise)}} if noise else {}
        return {**study, "variants": variants, "nodes": nodes}

    @field_validator("variants")
    @classmethod
    def _with_later_settings(cls, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Give a setting that is newer than the study its default, so that it does not make another study of it."""
        return {name: RunContext.model_validate(v).model_dump(exclude={"seed"}) for name, v in variants.items()}

    def as_variants(self) -> list[Variant]:
        """Return what was compared, in its order."""
        variants = []
        for name, settings in self.variants.items():
            line, at = self.lines.get(name, ("", None))
            variants.append(Variant(name=name, context=RunContext.model_validate(settings), line=line, at=at))
        return variants

    @property
    def digest(self) -> str:
        """A short name of the definition."""
        return hashlib.sha256(self.model_dump_json(exclude=NOT_COMPARED).encode()).hexdigest()[:8]

    def difference(self, other: StudyDefinition) -> str | None:
        """Say in what another study differs from this one, None where it does not."""
        names = {
            **{"format": "its format", "benchmark": "the benchmark", "version": "the version of gems", "code": "the code of gems"},
            **{"data": "the benchmark's files", "chat": "the chat models", "image": "the image model", "prompts": "the prompts"},
            **{"available": "the prompts", "per_prompt": "--images-per-prompt", "seed": "--seed", "seeds": "--seeds"},
            **{"variants": "the variants or their settings", "nodes": "the swapped nodes"},
        }
        return next((label for name, label in names.items() if getattr(self, name) != getattr(other, name)), None)


def prompts_digest(samples: Sequence[Sample]) -> str:
    """Return the number of samples, and a digest of them."""
    return f"{len(samples)} {short_digest([s.model_dump() for s in samples])}"


def define_study(
    prompts: Prompts, samples: Sequence[Sample], available: int, variants: Sequence[Variant], models: Models
) -> StudyDefinition:
    """Return the definition of a study.

    Args:
        prompts: which are run.
        samples: those prompts, read.
        available: how many the benchmark has.
        variants: what is compared.
        models: of variants without models of their own.
    """
    options = models.options
    chats = {"default": options.chat, **{role: options.roles[role] for role in CHAT_ROLES if role in options.roles}}
    return StudyDefinition(
        benchmark=prompts.bench.name,
        version=_package_version("gems-agent"),
        code=code_digest(),
        versions={"python": platform.python_version(), **{p: _package_version(p) for p in PACKAGES}},
        data=prompts.data.digests if prompts.data else {},
        chat={role: _chat_identity(chat) for role, chat in chats.items()},
        image=f"{models.image.name} {short_digest(models.image.settings)}",
        prompts=prompts_digest(samples),
        available=available,
        per_prompt=prompts.images,
        seed=prompts.seed,
        seeds=prompts.seeds,
        variants={v.name: v.context.model_dump(exclude={"seed"}) for v in variants},
        nodes={v.name: v.digests for v in variants if v.digests},
        lines={v.name: (v.line, v.at) for v in variants if v.line},
    )


def _chat_identity(chat: ChatOptions) -> str:
    """Name a chat model with what decides its answers: not where it is served, nor how patiently it is asked."""
    name = chat.model.rpartition("#")[2] if "#" in chat.model else chat.model
    decides: dict[str, Any] = {"thinking": None, "temperature": None, "top_p": None, "max_tokens": None, "extra_body": {}}
    return f"{name} {short_digest({**decides, **chat.model_dump(include=set(decides))})}"


def short_digest(data: object) -> str:
    """Return 16 hex digits of the SHA-256 of what is written as JSON."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _package_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def code_digest(root: Path | None = None) -> str:
    """Return a hash of the code and texts that runs go through: other code may give other numbers under the same settings."""
    root = root or Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for part in RUN_CODE:
        path = root / part
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".py", ".md"))
        for file in files:
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
