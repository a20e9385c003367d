"""The study of cross-run experience, and that no evaluation touches the user's lessons."""

import json
from pathlib import Path

import pytest

from gems import GemsError, run
from gems.evaluation.benchmarks.shapes import make_benchmark
from gems.evaluation.prompts import Prompts
from gems.evaluation.runner import StudyProgress
from gems.evaluation.variants import make_variants, parse_axis, parse_changes
from gems.memory.lessons import Lessons, StoredLesson
from gems.storage.workspace import Workspace
from gems.studies.lessons import compare_lessons, lessons_markdown, lessons_to_json, main, split_halves

from ..evaluation.small_studies import compare


@pytest.fixture
def mine(tmp_path):
    """A folder of runs with a lesson that would change every picture."""
    runs = tmp_path / "runs"
    with Workspace(runs).database.open() as opened:
        Lessons(opened.store).add(StoredLesson(kind="object", text="Give every thing a place of its own."))
    return runs


def lessons_in(runs):
    with Workspace(runs).database.open() as opened:
        return Lessons(opened.store).records()


def study(runs, sketcher, presets=("loop-memory",), **more):
    rewriting = make_variants(presets, [], parse_changes(["plan=rewrite"]))
    prompts = Prompts(limit=more.pop("limit", 4))
    return compare_lessons(rewriting, prompts, runs=runs, image=sketcher, concurrency=2, **more)


def test_lessons_of_one_half_are_measured_on_the_other(mine, make_sketcher):
    before = lessons_in(mine)
    study_result = study(mine, make_sketcher(0.2))
    (compared,) = study_result.compared
    assert compared.without.prompts == compared.with_.prompts == 4
    assert [bool(found) for found in compared.learned] == [True, True]
    assert compared.differences["images"].mean == pytest.approx(compared.with_.images.mean - compared.without.images.mean)
    assert lessons_in(mine) == before
    told = lessons_to_json(study_result)["presets"]["loop-memory"]
    assert set(told["differences"]) == {"gm", "images", "rounds", "calls", "tokens"}
    assert told["lessons"]["a"][0]["id"] == compared.learned[0][0].id
    text = lessons_markdown(study_result)
    assert "| loop-memory with |" in text
    assert compared.learned[0][0].text in text


def test_the_same_study_gives_the_same_and_makes_nothing_again(mine, make_sketcher):
    model, found = make_sketcher(0.2), []
    once = study(mine, model, out=mine / "study")
    made = len(model.made)
    again = study(
        mine, model, out=mine / "study", progress=StudyProgress(start=lambda name, total, done: found.append(total - done))
    )
    assert (len(model.made), set(found)) == (made, {0})
    assert lessons_to_json(again) == lessons_to_json(once)
    elsewhere = study(mine.parent / "elsewhere", make_sketcher(0.2))
    counts = [[(x.id, x.tried, x.helped) for found in o.compared[0].learned for x in found] for o in (once, elsewhere)]
    assert counts[0] == counts[1]


def test_the_halves_are_different_and_alike():
    samples = make_benchmark(40)
    parts = split_halves(samples, 0)
    assert sorted(s.id for half in parts.values() for s in half) == sorted(s.id for s in samples)
    for n in range(3, 11):
        one, two = (sum(s.atomicity == n for s in half) for half in parts.values())
        assert abs(one - two) <= 1
    assert parts != split_halves(samples, 1)


def test_one_prompt_cannot_be_halved(mine, sketcher):
    with pytest.raises(GemsError, match="at least two"):
        study(mine, sketcher, limit=1)


@pytest.mark.parametrize("value", ["none", "read", "keep", "review"])
def test_no_run_of_another_study_knows_a_lesson(mine, sketcher, value):
    before = lessons_in(mine)
    settings = {"limit": 2, "runs": mine, "image": sketcher}
    plain = compare(make_variants(["loop-memory"], [], parse_changes(["plan=rewrite"])), **settings).results[0]
    swept = compare(
        make_variants(["loop-memory"], [parse_axis(f"lessons={value}")], parse_changes(["plan=rewrite"])), **settings
    ).results[0]
    assert swept.images.mean == plain.images.mean
    assert lessons_in(mine) == before
    knowing = run(make_benchmark(3)[2].prompt, preset="loop-memory", plan="rewrite", image=sketcher, runs=mine, lessons="read")
    assert knowing.state.lessons  # they are there: it is the studies that leave them alone


def test_the_command_leaves_tables_results_and_lessons(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["--limit", "2", "--presets", "loop", "--set", "plan=rewrite", "--set", "max_rounds=2", "--out", "mine"])
    assert "loop without" in capsys.readouterr().out
    told = json.loads(Path("mine/result.json").read_text())
    assert list(told["presets"]) == ["loop"]
    assert Path("mine/table.md").read_text().startswith("Lessons learned on one half of 2 prompts")
    assert Path("mine/plot.png").exists()


@pytest.mark.parametrize("args", [["--sweep", "lessons=keep"], ["--set", "lessons=keep"]])
def test_the_study_sets_the_setting_by_itself(args):
    with pytest.raises(GemsError, match="lessons: this study sets it by itself"):
        main(args)
