"""Each recipe of docs/recipes.md, applied in a copy of the tree; then the commands that it names are run there.

A block of code belongs to the file that is named before it: a `diff` changes it (each block of lines must be there
once), any other block is its whole content. A `console` block is run line by line.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "recipes.md").read_text()
RECIPES = dict(re.findall(r"^## (Add an? [^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
EDITOR = f"{sys.executable} {Path(__file__).parent / 'recipe_editor.py'}"
"""Writes what the author of a skill would."""
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(recipe):
    """Yield the language, the file and the text of each block; the file is the last one that the words before it name."""
    prose, *fenced = FENCED.split(recipe)
    for language, text, following in zip(fenced[::3], fenced[1::3], fenced[2::3], strict=True):
        paths = re.findall(r"`([\w./-]+\.\w+)`", prose)
        yield language, paths[-1] if paths else None, text
        prose = following


def changed(text, diff):
    """Apply the hunks of a diff, which are separated by a line `@@`."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"these lines stand {text.count(old)} times in the file, not once:\n{old}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def copy_of_tree(tmp_path_factory):
    tree = tmp_path_factory.mktemp("recipes") / "gems"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    return tree


@pytest.mark.timeout(300)
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works_as_it_is_written(title, copy_of_tree, tmp_path):
    tree = shutil.copytree(copy_of_tree, tmp_path / "gems", copy_function=os.link)
    env = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "EDITOR": EDITOR}
    commands = 0
    for language, path, text in blocks(RECIPES[title]):
        if language == "console":
            for command in text.splitlines():
                done = subprocess.run(command, cwd=tree, env=env, shell=True, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
                commands += 1
            continue
        assert path, f"nothing before this block names its file:\n{text}"
        file = tree / path
        content = changed(file.read_text(), text) if language == "diff" else text
        file.unlink(missing_ok=True)  # a link to the file of the first copy
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert commands, "a recipe ends with the tests to run"


def test_there_is_a_recipe_for_each_kind_of_addition():
    assert {title.removeprefix("Add a ").removeprefix("Add an ") for title in RECIPES} >= {
        "skill", "node", "kind of checks", "preset", "chat backend", "HTTP image backend", "benchmark",
    }  # fmt: skip
