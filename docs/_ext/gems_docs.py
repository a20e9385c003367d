"""Sphinx extension of the site: directives for the reference made from the code, and links for names in docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import gems_reference as reference
from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import gems
from gems.cli import app as program
from gems.context import PRESET_DESCRIPTIONS, PRESETS, RunContext
from gems.events import Event
from gems.graph.build import ROLES
from gems.memory.state import STATE_TYPES, GemsState
from gems.models.options import ChatOptions, ImageOptions

PARTS: dict[str, Callable[[], str]] = {
    "settings": lambda: reference.settings(RunContext, ROLES, reference.options_of(program)["run",]),
    "presets": lambda: reference.presets(RunContext, PRESETS, PRESET_DESCRIPTIONS),
    "commands": lambda: reference.commands(program, "gems"),
    "environment": lambda: reference.environment(program),
    "chat options": lambda: reference.backends(ChatOptions.backends()),
    "image options": lambda: reference.backends(ImageOptions.backends()),
    "state": lambda: reference.models([GemsState, *STATE_TYPES]),
    "events": lambda: reference.events(Event),
}


class ReferenceDirective(SphinxDirective):
    """`{gems-reference} settings`: a part of the reference, generated from the code."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Generate the part as Markdown and parse it."""
        return self.parse_text_to_nodes(PARTS[self.arguments[0]](), allow_section_headings=True)


def add_fields(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Append the fields of a pydantic model to its docstring."""
    if what == "class" and inspect.isclass(obj) and issubclass(obj, BaseModel) and obj is not RunContext:
        for field, info in obj.model_fields.items():
            default = "" if info.is_required() else f", {info.get_default(call_default_factory=True)!r} by default"
            default = default if len(default) < 40 else ""
            lines += ["", f"- **{field}**{default}. {info.description or ''}".rstrip()]


def hide_signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returned: str) -> Any:
    """Hide the signature of a model, whose fields are listed below it, and of an error, which readers do not construct."""
    hidden = inspect.isclass(obj) and issubclass(obj, BaseModel | Exception)
    return ("", None) if hidden and signature else None


def restore_type_aliases(app: Sphinx, what: str, name: str, *_: Any) -> None:
    """Show a type alias by its name, where Sphinx would show `TypeAliasForwardRef(...)`."""
    for types in app.env.current_document.autodoc_annotations.values():
        types.update((key, re.sub(r"TypeAliasForwardRef\('([^']+)'\)", r"\1", value)) for key, value in types.items())


def protect_first_colon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Give properties and attributes an empty type, as napoleon reads the text before their first colon as the type."""
    if what in ("property", "attribute") and lines:
        lines[0] = f": {lines[0]}"


def fences_to_blocks(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn fenced code in docstrings into code blocks of reStructuredText, before napoleon reads the section that it is in."""
    fenced, converted = False, []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip().startswith("```"):
            fenced = not fenced
            converted += [f"{indent}.. code-block:: {line.strip().strip('`')}", ""] if fenced else [""]
        else:
            converted.append(f"   {line}" if fenced and line.strip() else line)
    lines[:] = converted


def append_missing_names(app: Sphinx, page: str, source: list[str]) -> None:
    """Append to the Python page the public names that it does not document yet."""
    if page == "reference/python":
        source[0] += reference.missing_names(source[0], {name: getattr(gems, name) for name in gems.__all__}, "gems")


def resolve_name(app: Sphinx, env: BuildEnvironment, node: Any, content: Any) -> Any:
    """Link a name that is documented under another module than the code defines it in.

    Names of other packages, and words in backticks that are not names, stay plain text. Others are broken links.
    """
    if node.get("refdomain") != "py":
        return None
    target, python = node["reftarget"], env.get_domain("py")
    last = target.rpartition(".")[2]
    objects = python.objects  # type: ignore[attr-defined]
    matches = [full for full in objects if full.rpartition(".")[2] == last and not objects[full].aliased]
    if len(matches) == 1:
        return python.resolve_xref(env, node["refdoc"], app.builder, "obj", matches[0], node, content)
    if target.startswith("gems.events."):
        return make_refnode(app.builder, node["refdoc"], "reference/events", nodes.make_id(last), content)
    foreign = "." in target and not target.startswith("gems.")
    return content if foreign or node["reftype"] == "obj" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and handlers."""
    app.add_directive("gems-reference", ReferenceDirective)
    app.connect("autodoc-process-docstring", protect_first_colon, priority=400)  # before napoleon, which has 500
    app.connect("autodoc-process-docstring", fences_to_blocks, priority=400)
    app.connect("autodoc-process-docstring", add_fields)
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("autodoc-process-signature", restore_type_aliases, priority=900)  # after autodoc has recorded the types
    app.connect("source-read", append_missing_names)
    app.connect("missing-reference", resolve_name)
    return {"parallel_read_safe": True}
