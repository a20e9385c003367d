"""Checkers of one's own, as the documentation shows them."""

import re
from pathlib import Path

import pytest

import gems
from gems import Gems, GemsError, build_graph
from gems.nodes.checks.checkers import Checker

PAGE = (Path(gems.__file__).parent / "docs" / "checks.md").read_text(encoding="utf-8")


def test_the_checker_of_the_documentation_answers_its_kind_of_checks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    made = {}
    exec(compile(example, "docs/checks.md", "exec"), made)
    assert isinstance(made["AreaCounter"](), Checker)
    state = made["result"].state
    kinds = {check.id: check.kind for check in state.checks}
    answers = {kinds[verdict.check]: verdict.answer for verdict in made["result"].best.verdicts}
    assert answers["count"] == "2"  # the embedded model, which answers the others, says "two"
    assert answers["object"] == "yes"


def test_the_misspelling_of_the_documentation_is_told_as_it_says():
    from gems.nodes.checks.text_match import compare_text

    (read,) = re.findall(r"`(Art GALLREY[^`]*)`", PAGE)
    assert f"✗ {compare_text('GALLERY', read).difference}" in PAGE


def test_a_checker_that_would_never_be_asked_is_refused(sketcher):
    class Misspelt:
        name, kinds = "eyes", frozenset({"counts"})

        def check(self, image, checks):
            return [None for _ in checks]

    with pytest.raises(GemsError, match="the checker eyes: there is no kind 'counts'; the kinds are object, count"):
        build_graph(image=sketcher, checkers=[Misspelt()])
    with pytest.raises(GemsError, match="is not a checker: it needs a name, kinds and check"):
        build_graph(image=sketcher, checkers=[print])
    for wrong in (False, "none", print):
        with pytest.raises(GemsError, match=r"checkers=.* is not a list of checkers: give checkers=\[...\], or \[\] for none"):
            Gems(checkers=wrong)
