"""Who imports whom: downwards only, in the order that CONTRIBUTING.md gives, and never in a circle."""

import graphlib
from pathlib import Path

import gems
from gems.studies.code_structure import imports_of, levels, source_files

ROOT = Path(gems.__file__).parent
NO_PRODUCT = {"tests", "docs", "studies", "notebooks"}
FOR_TYPES = {("events", "runs.result")}
"""Imports that go upwards for a type checker only; at run time there are none."""


def product_files(level):
    """Give the product's modules by their dotted names without `gems`."""
    return {name: path for name, path in source_files(ROOT).items() if name.split(".")[0] in level}


def test_imports_go_downwards_as_contributing_says_also_inside_functions():
    level = levels()
    files = product_files(level)
    top = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - NO_PRODUCT
    assert top | {p.stem for p in ROOT.glob("*.py")} - {"__init__", "__main__", "_old_names"} == set(level)
    upwards, for_types = set(), set()
    for name, path in files.items():
        for other, types in imports_of(name, path, files):
            own, its = name.split(".")[0], other.split(".")[0]
            if own != its and not (its in level and level[its] < level[own]):
                (for_types if types else upwards).add((name, other))
    assert upwards == set()
    assert for_types == FOR_TYPES


def test_no_modules_import_each_other_in_a_circle():
    files = product_files(levels())
    graph = {name: {other for other, _ in imports_of(name, path, files)} - {name} for name, path in files.items()}
    for name, other in FOR_TYPES:
        graph[name].discard(other)
    graphlib.TopologicalSorter(graph).prepare()
