"""The README is true: its Python runs, and its commands are those that CI runs."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gems
from gems.context import PRESETS, RunContext
from gems.graph.costs import estimate

ROOT = Path(gems.__file__).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_there_is_python_in_it():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_its_python_runs(number, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda self: shown.append(self.size))
    exec(compile(BLOCKS[number], f"README, block {number + 1}", "exec"), {})
    assert shown == ([(128, 128)] if ".show()" in BLOCKS[number] else [])


def test_the_python_of_the_page_on_runs_runs_from_top_to_bottom():
    text = (ROOT / "docs" / "runs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 3
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/runs.md, block {number}", "exec"), {})
    assert "mine" not in [past.thread for past in gems.Gems().list()]


@pytest.mark.parametrize("page", ["start.md", "nodes.md"])
def test_the_python_of_a_page_runs_from_top_to_bottom(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/{page}, block {number}", "exec"), {})


def test_what_the_page_on_review_shows_runs_from_top_to_bottom(command):
    text = (ROOT / "docs" / "review.md").read_text(encoding="utf-8")
    assert command("run", "three red circles above a blue square", "--review", "both", "--thread", "mine")[0] == 0
    assert command("resume", "mine", "--answer", '{"action": "accept"}')[0] == 0
    told = re.findall(r"^    gems (resume mine --answer .*)$", text, re.MULTILINE)
    for line in [told[1], told[2]]:
        assert command(*shlex.split(line))[0] == 0, line
    for line in re.search(r"```json\n(.*?)```", text, re.DOTALL).group(1).splitlines():
        gems.Answer.model_validate_json(line)
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1):
        exec(compile(block, f"docs/review.md, block {number}", "exec"), {})


def test_ci_runs_the_command_that_it_names():
    command = re.search(r'pip install (-c constraints.txt -e "\.\[test\]") && (pytest.*)', README)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert command.group(1) in script
    assert script.splitlines()[-1] == command.group(2)


def test_every_file_and_picture_that_it_names_is_there():
    for name in re.findall(r"\]\(([\w/.-]+)\)", README) + re.findall(r'src="([^"]+)"', README):
        assert (ROOT / name).exists(), name


def test_its_first_image_is_the_first_and_the_last_round_of_the_run_that_it_names():
    spec = importlib.util.spec_from_file_location("rounds", ROOT / "docs" / "_ext" / "rounds.py")
    rounds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rounds)
    path = ROOT / "docs" / "rounds.png"
    name, alt = re.search(r'<img src="(.*?)" alt="(.*?)"', README).groups()
    assert f'gems run "{rounds.PROMPT}" --preset loop --seed 1' in README
    assert name == "docs/rounds.png"
    assert rounds.PROMPT in alt
    assert path.stat().st_size < 60_000
    drawn, committed = rounds.rounds_image(), Image.open(path).convert("RGB")
    assert np.abs(np.asarray(drawn, float) - np.asarray(committed, float)).mean() < 3, f"python docs/_ext/rounds.py {name}"


def test_the_table_of_what_presets_take_is_true():
    page = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    real = {name: estimate(RunContext(**values), 8) for name, values in PRESETS.items()}
    assert {name: tuple(map(int, told)) for name, *told in rows} == {n: (*cost.total, *cost.images) for n, cost in real.items()}
