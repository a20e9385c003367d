"""Variants with nodes, checkers and models of one's own: in studies, by name, and never answered from records of other code."""

import functools
import importlib
import sys
from pathlib import Path

import pytest

from gems import ImageStore, Verdict
from gems.errors import SettingError
from gems.evaluation import NodeParts, Variant, noisy
from gems.evaluation.source_digest import source_digest
from gems.evaluation.variants import load_variant, make_variants, parse_axis
from gems.nodes.verifier import verifier

from .colours import Colours, Says, records_in
from .small_studies import compare


def yes_to_all(state):
    return {"attempts": [a.judged(Verdict(check=c.id, passed=True) for c in state.checks) for a in state.pending]}


MODULE = """
from functools import partial

from gems import Verdict
from gems.evaluation import Variant

SURE = True


def verdicts(state, passed):
    return [Verdict(check=check.id, passed=passed) for check in state.checks]


def judge(state):
    return {"attempts": [attempt.judged(verdicts(state, SURE)) for attempt in state.pending]}


class Judge:
    def __init__(self, passed):
        self.passed = passed

    def __call__(self, state):
        return {"attempts": [attempt.judged(verdicts(state, self.passed)) for attempt in state.pending]}


variant = Variant("its own name", settings={"max_rounds": 2}, nodes={"verifier": judge})
thing = Variant
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes `my_nodes.py` into the working directory, and imports it anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(*changes):
        text = MODULE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "my_nodes.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("my_nodes", None)
        return load_variant("mine=my_nodes:variant")

    yield write
    sys.modules.pop("my_nodes", None)


def test_a_verifier_that_says_yes_to_all_is_a_variant_and_worse_than_ours(tmp_path, make_sketcher):
    variants = [Variant("default"), Variant("yes", nodes={"verifier": yes_to_all})]
    ours, yes = compare(variants, limit=6, runs=tmp_path, image=make_sketcher(1.0)).results
    assert (yes.rounds.mean, yes.accepted.mean) == (1, 100)
    assert ours.rounds.mean > 1
    assert (yes.against, yes.gain.low <= yes.gain.mean <= yes.gain.high) == ("default", True)


def test_other_code_runs_anew_and_the_same_code_does_not(tmp_path, module, sketcher):
    settings = {"benchmark": Colours(2), "runs": tmp_path, "image": sketcher}
    first = compare([module()], **settings)
    assert compare([module()], **settings).reused == 2
    changed = compare([module(("passed=passed)", "passed=passed and False)"))], **settings)
    assert (changed.reused, changed.folder != first.folder) == (0, True)
    with pytest.raises(Exception, match="another study, which differs in the swapped nodes"):
        compare([module(("SURE = True", "SURE = False"))], **{**settings, "out": first.folder})


@pytest.mark.parametrize(
    "change",
    [
        ("judged(verdicts(state, SURE))", "judged(verdicts(state, not SURE))"),  # the function itself
        ("passed=passed)", "passed=not passed)"),  # a function that it calls
        ("SURE = True", "SURE = None"),  # a value that it names
    ],
)
def test_each_change_that_counts_changes_the_digest(module, change):
    assert module(change).digests != module().digests
    assert module(("variant = Variant", "# a remark\nvariant = Variant")).digests == module().digests


def test_a_digest_sees_closures_partials_objects_classes_methods_and_graphs(module):
    module()
    nodes = sys.modules["my_nodes"]

    def closed(rate):
        return lambda state: rate

    assert source_digest(closed(1)) == source_digest(closed(1)) != source_digest(closed(2))
    assert source_digest(functools.partial(nodes.judge, a=1)) != source_digest(functools.partial(nodes.judge, a=2))
    assert source_digest(nodes.Judge(True)) == source_digest(nodes.Judge(True)) != source_digest(nodes.Judge(False))
    assert source_digest(nodes.Judge(True)) != source_digest(nodes.Judge)
    before = [
        source_digest(thing) for thing in (nodes.Judge(True), nodes.Judge(True).__call__, functools.cache(nodes.judge), nodes)
    ]
    module(("passed=passed)", "passed=bool(passed))"))
    nodes = sys.modules["my_nodes"]
    after = [source_digest(thing) for thing in (nodes.Judge(True), nodes.Judge(True).__call__, functools.cache(nodes.judge), nodes)]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_a_digest_sees_the_nodes_of_a_compiled_graph():
    from langgraph.graph import START, StateGraph

    def compiled(node):
        graph = StateGraph(dict)
        graph.add_node("look", node)
        graph.add_edge(START, "look")
        return graph.compile()

    def judging(passed):
        return lambda state: {"passed": passed}

    assert source_digest(compiled(judging(1))) == source_digest(compiled(judging(1))) != source_digest(compiled(judging(2)))


def test_a_digest_does_not_depend_on_where_images_are_or_on_what_a_model_has_loaded(tmp_path, sketcher):
    here, there = (ImageStore(tmp_path / name) for name in "ab")
    assert source_digest(lambda: here) != source_digest(lambda: there)  # two lambdas
    nodes = [functools.partial(yes_to_all, store) for store in (here, there)]
    assert source_digest(nodes[0]) == source_digest(nodes[1])
    before = source_digest(sketcher)
    sketcher.made.append("a picture")
    assert source_digest(sketcher) == before


def test_nodes_may_be_made_from_the_parts_of_the_study(tmp_path, sketcher):
    seen = []

    def errs(parts: NodeParts):
        seen.append(parts)
        return {"verifier": noisy(verifier(parts.chats["verifier"], parts.images.read, parts.checkers), fn=1.0)}

    study = compare([Variant("errs", settings={"max_rounds": 2}, nodes=errs)], benchmark=Colours(2), out=tmp_path, image=sketcher)
    assert {record.decision for record in records_in(tmp_path)} == {"give up"}
    assert (seen[0].images, study.results[0].rounds.mean) == (study.store, 2)


def test_models_and_checkers_of_a_variant_are_its_own(tmp_path, sketcher):
    class Eyes:
        name, kinds = "eyes", frozenset({"object", "attribute", "count"})

        def check(self, image, checks):
            return [Verdict(check=check.id, passed=False, answer="no") for check in checks]

    variants = [
        Variant("plain", settings={"max_rounds": 1}),
        Variant("eyes", settings={"max_rounds": 1}, checkers=[Eyes()]),
        Variant("card", settings={"max_rounds": 1}, models={"image": "card"}),
        Variant("deaf", settings={"max_rounds": 1}, models={"verifier": Says(says='{"findings": []}')}),
    ]
    compare(variants, benchmark=Colours(1), out=tmp_path, image=sketcher)
    passed = {record.variant: record.checks.passed for record in records_in(tmp_path)}
    assert passed["plain"] > 0
    assert (passed["eyes"], passed["deaf"]) == (0, 0)
    images = {record.variant: record.image.sha256 for record in records_in(tmp_path)}
    assert images["plain"] == images["eyes"] != images["card"]


def test_variants_are_swept_like_presets(module):
    made = make_variants(["paper", module()], [parse_axis("rounds=1,2")], {"patience": None})
    assert [v.name for v in made] == ["paper rounds=1", "paper rounds=2", "mine rounds=1", "mine rounds=2"]
    assert [v.context.max_rounds for v in made] == [1, 2, 1, 2]
    assert [bool(v.digests) for v in made] == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("my_nodes", "write NAME=MODULE:VARIANT, such as mine=my_module:variant"),
        ("mine=no_such_module:variant", "no_such_module cannot be imported (ModuleNotFoundError: No module named"),
        ("mine=broken:variant", "broken cannot be imported (ZeroDivisionError: division by zero)"),
        ("mine=my_nodes:varaint", "there is none; the variants of my_nodes: variant"),
        ("mine=my_nodes:judge", "judge is no gems.evaluation.Variant; the variants of my_nodes: variant"),
    ],
)
def test_what_is_no_variant_is_refused_by_name(module, tmp_path, text, said):
    module()
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(SettingError) as refused:
        load_variant(text)
    assert said in str(refused.value)


def test_a_variant_is_refused_for_an_unknown_role_or_a_name_that_is_there(module):
    with pytest.raises(SettingError, match="unknown role 'verifer': did you mean verifier"):
        Variant("mine", nodes={"verifer": yes_to_all})
    with pytest.raises(SettingError, match="two variants are called default"):
        make_variants(["default", Variant("default", nodes={"verifier": yes_to_all})])


def test_the_command_compares_a_variant_of_the_working_directory(command, module):
    module()
    args = (
        "eval",
        "shapes",
        "--limit",
        2,
        "--image",
        "card",
        "--chat",
        "random",
        "--variant",
        "mine=my_nodes:variant",
        "--out",
        "o",
    )
    code, out, err = command(*args)
    assert code == 0, err
    assert "mine" in out
    assert {record.variant for record in records_in(Path("o"))} == {"default", "mine"}
    assert command(*args)[1].count("recorded images were reused") == 1
