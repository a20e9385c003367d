"""The names that users have written down elsewhere, of the `gems` installed: `python tests/earlier_version/names.py FILE`."""

import ast
import importlib
import json
import re
import sys
import textwrap
import tomllib
from pathlib import Path

THREADS = ("done", "a-run.2026_1", "6F0E0F0C-6A35-5C0F-9B5E-3D1F5A3C7B11", "6f0e0f0c-6a35-5c0f-9b5e-3d1f5a3c7b11")
TEXTS = ("description", "title")
"""Of a JSON schema: what is for people, and may be worded anew."""


def root():
    """Return the folder of the package, which is the repository's."""
    import gems

    return Path(gems.__file__).parent


def commands():
    """Return the options of each command by its path, each with the environment variable that stands for it."""
    import typer

    from gems.cli import app

    def below(command, path):
        options = {o: p.envvar or "" for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
        yield " ".join(path), dict(sorted(options.items()))
        for name, sub in getattr(command, "commands", {}).items():
            yield from below(sub, (*path, name))

    return dict(below(typer.main.get_command(app), ("gems",)))


def without_texts(schema):
    """Return a JSON schema without what is for people; a property keeps its name, whatever that is."""
    if isinstance(schema, list):
        return [without_texts(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in TEXTS or not isinstance(value, str)}
    return {key: without_texts(value) for key, value in kept.items()}


def graphs():
    """Return by the id in langgraph.json the JSON schemas of a graph's settings, input and output."""
    told = json.loads((root() / "langgraph.json").read_text("utf-8"))["graphs"]
    found = {}
    for name, entry in told.items():
        module, _, attribute = entry["path"].partition(":")
        graph = getattr(importlib.import_module(module), attribute)
        schemas = {"context": graph.get_context_jsonschema(), "input": graph.get_input_jsonschema()}
        found[name] = {**{kind: without_texts(schema) for kind, schema in schemas.items()}, "nodes": sorted(graph.nodes)}
    return found


def presets():
    """Return the settings of each preset."""
    from gems import PRESETS, preset

    return {name: preset(name).model_dump(mode="json") for name in PRESETS}


def settings():
    """Return the JSON schema of a run's settings."""
    from gems import RunContext

    return without_texts(RunContext.model_json_schema())


def ids():
    """Return the ids of threads on a LangGraph server, by the names of runs."""
    from gems import studio_id

    return {thread: studio_id(thread) for thread in THREADS}


def assistants():
    """Return the ids of the presets as assistants of a LangGraph server."""
    from gems import PRESETS, studio_id

    return {name: studio_id(f"preset/{name}") for name in PRESETS}


def shown_imports():
    """Return what README, notebooks and docs import of gems, as `module:name`."""
    sources = [(root() / "README.md").read_text("utf-8")]
    sources += [path.read_text("utf-8") for path in sorted((root() / "docs").rglob("*.md")) if "_build" not in path.parts]
    code = [textwrap.dedent(block) for text in sources for block in re.findall(r"^ *```python\n(.*?)```", text, re.M | re.S)]
    for path in sorted((root() / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    found = set()
    for source in code:
        for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.M))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gems":
                found |= {f"{node.module}:{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {f"{alias.name}:" for alias in node.names if alias.name.split(".")[0] == "gems"}
    return sorted(found)


def environment():
    """Return the environment variables that the reference names, besides those that stand for options."""
    page = (root() / "docs" / "reference" / "environment.md").read_text("utf-8")
    return sorted(set(re.findall(r"`([A-Z][A-Z0-9_]{5,})`", page)))


def project():
    """Return what of the distribution others name: its name, its commands and its extras."""
    told = tomllib.loads((root() / "pyproject.toml").read_text("utf-8"))["project"]
    return {"name": told["name"], "scripts": told["scripts"], "extras": sorted(told["optional-dependencies"])}


def collect():
    """Return all names."""
    import gems

    return {
        **{"public": sorted(gems.__all__), "commands": commands(), "settings": settings(), "presets": presets()},
        **{"graphs": graphs(), "threads": ids(), "assistants": assistants(), "imports": shown_imports()},
        **{"environment": environment(), "project": project()},
    }


if __name__ == "__main__":
    import steps

    with steps.open_outputs() as file:
        told = json.load(file)
    names = {**collect(), "keys": steps.keys_by_kind({**told["sqlite"], **told["other"]})}
    Path(sys.argv[1]).write_text(json.dumps(names, indent=1, ensure_ascii=False) + "\n", "utf-8")
