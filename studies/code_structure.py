"""Count what a checkout consists of: files, lines, classes, public names, long signatures, old words, and who imports whom.

    python -m studies.code_structure --root DIR

Tests, docs and notebooks are not counted. An import inside a function counts as any other. An arrow counts the pairs of modules
between two folders; it goes up if it is against the order of folders in this checkout's CONTRIBUTING.md, for other checkouts too.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.table import Table

from gems.terminal import Console

HERE = Path(__file__).resolve().parent.parent
UNCOUNTED = {"tests", "docs", "notebooks", "build"}
DIALECT = ("found", "told", "asked", "said", "made", "kept", "gone on with", "Tell whether", "is none")
MOST_PARAMETERS = 8
"""Parameters that a function can have, besides `**settings`, before it is listed."""
FIGURES = ("files", "lines", "code", "classes", "public names")


def source_files(root: Path) -> dict[str, Path]:
    """Return the Python files of a checkout by the dotted names of their modules, without `gems`."""
    paths = [path for path in sorted(root.rglob("*.py")) if not path.relative_to(root).as_posix().startswith(".")]
    counted = [path for path in paths if path.relative_to(root).parts[0] not in UNCOUNTED]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in counted}


def folder_of(path: Path, root: Path) -> str:
    """Return the folder of a file as the table names it: one or two levels, `root` for the top."""
    return "/".join(path.relative_to(root).parts[:-1][:2]) or "root"


def public_names(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top, those with an underscore before them left out."""
    names = {getattr(node, "name", "_") for node in tree.body}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def code_lines(text: str, tree: ast.Module) -> int:
    """Count the lines that are neither blank, a comment nor part of a text that stands alone, such as a docstring."""
    alone: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            alone |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") and number not in alone for number, line in lines)


def long_signatures(files: Mapping[str, Path]) -> dict[str, int]:
    """Return how many parameters each function has that has more than `MOST_PARAMETERS`, by the function's dotted name.

    `self` and `**kwargs` are not counted; private functions and those inside a function are.
    """
    counts: dict[str, int] = {}
    for module, path in files.items():
        waiting: list[tuple[ast.AST, str]] = [(ast.parse(path.read_text(encoding="utf-8")), module)]
        while waiting:
            node, name = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                number = sum(argument.arg not in ("self", "cls") for argument in taken) + (node.args.vararg is not None)
                if number > MOST_PARAMETERS:
                    counts[name] = number
            waiting += [(child, f"{name}.{getattr(child, 'name', '')}".strip(".")) for child in ast.iter_child_nodes(node)]
    return counts


def imports_of(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, bool]]:
    """Give what a module imports from the package at any time, and whether for a type checker only."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), False)]
    while waiting:
        node, types = waiting.pop()
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "gems"):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *((node.module or "").split(".")[0 if node.level else 1 :])]).strip(".")
            for alias in node.names:
                whole = f"{module}.{alias.name}".strip(".")
                yield (whole if whole in known else module), types
        types = types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        waiting += [(child, types) for child in ast.iter_child_nodes(node)]


def levels(root: Path = HERE) -> dict[str, int]:
    """Return the level of each folder and root module, 0 for the command at the top, as CONTRIBUTING.md draws it."""
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chain = re.search(r"Imports go downwards only: (.*?)\.\s", text, re.DOTALL)
    return {name: -n for n, names in enumerate(chain[1].split("→") if chain else ()) for name in re.findall(r"`(\w+)`", names)}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes each of which leads to all others of its group, groups of one left out."""
    reach = {node: set(targets) for node, targets in graph.items()}
    for middle in graph:
        for node in graph:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    groups = {tuple(sorted(other for other in reach[node] if node in reach.get(other, ()))) for node in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def count_code(files: Mapping[str, Path], root: Path) -> tuple[dict[str, Counter[str]], dict[str, list[str]], Counter[str]]:
    """Return the counts of each folder, the modules of each public name, and how often each word of the dialect stands."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    places: defaultdict[str, list[str]] = defaultdict(list)
    words: Counter[str] = Counter()
    for module, path in files.items():
        text = path.read_text(encoding="utf-8")
        tree, plain = ast.parse(text), re.sub(r"\s+", " ", text)
        names = public_names(tree)
        classes = sum(isinstance(node, ast.ClassDef) for node in tree.body)
        figures = (1, len(text.splitlines()), code_lines(text, tree), classes, len(names))
        counts[folder_of(path, root)] += Counter(dict(zip(FIGURES, figures, strict=True)))
        for name in names:
            places[name].append(module)
        words += Counter({word: len(re.findall(rf"(?<![A-Za-z]){word}(?![A-Za-z])", plain)) for word in DIALECT})
    return counts, places, words


def print_table(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table whose columns but the first are figures."""
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=HERE, help="the checkout; by default that of this file")
    root = parser.parse_args(arguments).root.resolve()
    files, console, level = source_files(root), Console(), levels()
    counts, places, words = count_code(files, root)
    rows = [[folder, *(counts[folder][what] for what in FIGURES)] for folder in sorted(counts)]
    total = sum(counts.values(), Counter[str]())
    print_table(console, "By folder", ("folder", *FIGURES), [*rows, ["all", *(total[what] for what in FIGURES)]])
    twice = sorted(name for name, modules in places.items() if len(modules) > 1)
    print_table(console, "Words of the old dialect", ("word", "times"), words.most_common())
    console.print(f"{len(twice)} public names stand in two files or more: {', '.join(twice)}", highlight=False)
    long = [f"{name} ({count})" for name, count in sorted(long_signatures(files).items())]
    console.print(f"{len(long)} functions with more than {MOST_PARAMETERS} parameters: {', '.join(long)}", highlight=False)
    graph = {name: {other for other, types in imports_of(name, path, files) if not types} - {name} for name, path in files.items()}
    arrows = Counter((name.split(".")[0], other.split(".")[0]) for name in graph for other in graph[name])
    arrows = Counter({pair: n for pair, n in arrows.items() if pair[0] != pair[1] and "studies" not in pair and all(pair)})
    up = {(own, its) for own, its in arrows if own in level and its in level and level[its] >= level[own]}
    lines = [[f"{own} → {its}{' (up)' if (own, its) in up else ''}", count] for (own, its), count in sorted(arrows.items())]
    print_table(console, "Who imports whom", ("from → to", "module pairs"), lines)
    console.print(f"{len(arrows)} arrows, {len(up)} of them up; circles of modules: {circles(graph) or 'none'}", highlight=False)


if __name__ == "__main__":
    main()
