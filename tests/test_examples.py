"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import gems

ROOT = Path(gems.__file__).parent
FOLDERS = ["", "memory", "nodes", "nodes/checks", "skills"]
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_examples(path):
    name = ".".join(("gems", *path.relative_to(ROOT).with_suffix("").parts))
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted
    assert not tried.failed
