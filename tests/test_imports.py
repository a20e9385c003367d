"""Who imports whom: downwards only, in the order that CONTRIBUTING.md gives, and never in a circle."""

import ast
import graphlib
import re
from pathlib import Path

import gems

ROOT = Path(gems.__file__).parent
NO_PRODUCT = {"tests", "docs", "studies", "notebooks"}
FOR_TYPES = {("events", "runs.result")}
"""Imports that go upwards for a type checker only; at run time there are none."""


def order():
    """Give the level of each folder and root module, 0 at the bottom, as CONTRIBUTING.md draws it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chain = re.search(r"Imports go downwards only: (.*?)\.\s", text, re.DOTALL).group(1)
    return {name: -n for n, names in enumerate(chain.split("→")) for name in re.findall(r"`(\w+)`", names)}


def modules():
    """Give the product's modules by their dotted names without `gems`."""
    files = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0].removesuffix(".py") in order()]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(name, path, among):
    """Give what a module imports at any time, inside functions too: the module's name, and whether it is for types only."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    waiting = [(ast.parse(path.read_text(encoding="utf-8")), False)]
    while waiting:
        node, types = waiting.pop()
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "gems"):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *((node.module or "").split(".")[0 if node.level else 1 :])]).strip(".")
            for alias in node.names:
                whole = f"{module}.{alias.name}".strip(".")
                yield (whole if whole in among else module), types
        types = types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        waiting += [(child, types) for child in ast.iter_child_nodes(node)]


def test_imports_go_downwards_as_contributing_says_also_inside_functions():
    level, files = order(), modules()
    top = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - NO_PRODUCT
    assert top | {p.stem for p in ROOT.glob("*.py")} - {"__init__", "__main__", "_renamed"} == set(level)
    upwards, for_types = set(), set()
    for name, path in files.items():
        for other, types in imported(name, path, files):
            own, its = name.split(".")[0], other.split(".")[0]
            if own != its and not (its in level and level[its] < level[own]):
                (for_types if types else upwards).add((name, other))
    assert upwards == set()
    assert for_types == FOR_TYPES


def test_no_modules_import_each_other_in_a_circle():
    files = modules()
    graph = {name: {other for other, _ in imported(name, path, files)} - {name} for name, path in files.items()}
    for name, other in FOR_TYPES:
        graph[name].discard(other)
    graphlib.TopologicalSorter(graph).prepare()
