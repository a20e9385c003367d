"""A kind of checks is one entry: what names the kinds reads it."""

import re
import subprocess
import sys
from pathlib import Path

import gems
from gems.memory.check_kinds import KINDS
from gems.nodes.checks.answers import FORMS

ROOT = Path(gems.__file__).parent
ENTRY = """    CheckKindEntry("knowledge","""
SMELL = """    CheckKindEntry(
        "smell", about="what it smells of", rule="Smells are asked openly.", expected="for a smell one word", form="odour"
    ),
"""
FORM = """FORMS = {
    "odour": AnswerForm("A smell: one word.", "a smell", lambda expected, answer: answer.startswith(expected[:3])),
"""
USES = """
from PIL import Image
from typer.testing import CliRunner

import gems
from gems.cli import app
from gems.nodes import decomposer, learner, verifier
from gems.nodes.checks.answers import passes
from gems.nodes.review_answer import Answer, NewCheck

assert "- Smells are asked openly.\\n" in decomposer.SYSTEM
assert "smell (what it smells of), knowledge (" in decomposer.SYSTEM
draft = decomposer.CheckDraft.model_json_schema()["properties"]
assert "smell" in draft["kind"]["enum"] and "for a smell one word" in draft["expected"]["description"]
assert "- A smell: one word.\\n" in verifier.SYSTEM
assert "smell" in learner.LearnedLesson.model_json_schema()["properties"]["kind"]["enum"]
assert CliRunner().invoke(app, ["lessons", "list", "--kind", "smell"]).exception.args[0].startswith("there are no runs")
assert NewCheck(question="What does it smell of?", kind="smell", expected="smoky").kind == "smell"

checks = decomposer.parse(
    decomposer.Checks(checks=[{"kind": "smell", "question": "What does it smell of?", "expected": "smoky"}]), "a smoky circle"
)["checks"]
for answer, passed in [("smoke", True), ("sea", False), ("", None)]:
    finding = verifier.Findings(findings=[{"id": "c1", "answer": answer, "reason": "seen"}])
    [verdict] = verifier.parse(finding, checks)
    assert verdict.passed is passed is passes(checks[0], answer)


class Blank(gems.ImageModel):
    name = "blank"

    def generate(self, requests):
        return [Image.new("RGB", (64, 64)) for _ in requests]


verdicts = [gems.Verdict(check="c1", passed=False, answer="sea")]
nodes = {
    "decomposer": lambda state: {"checks": checks},
    "verifier": lambda state: {"attempts": [a.judged(verdicts) for a in state.pending]},
}
result = gems.run("a circle", preset="original", image=Blank(), nodes=nodes)
assert gems.GemsState.model_validate_json(result.state.model_dump_json()).checks == checks
assert '<span class="kind">smell</span>' in result.report_path.read_text(encoding="utf-8")
"""


def test_the_table_of_the_docs_has_each_kind_with_the_form_of_its_answer():
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    table = page[page.index("| kind | question |") :].partition("\n\n")[0]
    rows = re.findall(r"^\| (\w+) \| (\w+) \| ([\w ]+) \|", table, re.MULTILINE)
    kinds = [(kind.name, "open" if kind.is_open else "closed", kind.form) for kind in KINDS.values()]
    assert rows == [("kind", "question", "answer"), *kinds]
    assert {kind.form for kind in KINDS.values()} == set(FORMS)


def test_an_entry_is_all_that_a_new_kind_needs(tmp_path):
    for folder in ("", "memory", "nodes", "nodes/checks"):
        (tmp_path / "gems" / folder).mkdir()
        for entry in (ROOT / folder).iterdir():
            if entry.name not in {".git", "__pycache__", "memory", "nodes", "checks"}:
                (tmp_path / "gems" / folder / entry.name).symlink_to(entry)
    for name, old, new in [
        ("memory/check_kinds.py", ENTRY, SMELL + ENTRY),
        ("nodes/checks/answers.py", "FORMS = {\n", FORM),
    ]:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (tmp_path / "gems" / name).unlink()
        (tmp_path / "gems" / name).write_text(text.replace(old, new), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", USES], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
