"""The notebooks run from top to bottom."""

import ast
import json
from pathlib import Path

import pytest

import gems

NOTEBOOKS = sorted((Path(gems.__file__).parent / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_from_top_to_bottom(path):
    names = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            exec(compile(ast.parse(source), path.name, "exec"), names)  # the notebooks are ours
    assert names["result"].best.score.total > 0
