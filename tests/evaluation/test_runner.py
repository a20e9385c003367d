"""Comparing presets: the numbers add up, and the same pictures are not drawn twice."""

import io
import json

import pytest
from rich.console import Console

from gems import GemsError
from gems.evaluation.runner import compare, table, to_json
from gems.evaluation.shapes import Probe, benchmark


def test_presets_are_compared_on_the_same_prompts_and_seeds(tmp_path, make_sketcher):
    model = make_sketcher(0.3)
    original, best, paper = compare(["original", "best-of-n", "paper"], limit=8, runs=tmp_path, image=model)
    assert original.images_per_prompt == 1
    assert original.chat_calls_per_prompt == 2
    assert best.images_per_prompt == 5
    assert best.scores.soft_tifa_am >= original.scores.soft_tifa_am  # it holds the original's image among its own
    assert paper.scores.soft_tifa_gm > original.scores.soft_tifa_gm
    assert 1 <= paper.images_per_prompt <= 5
    assert sorted(original.scores.by_atomicity) == list(range(3, 11))
    drawn = [(r.prompt, r.seed) for r in model.made]
    assert len(drawn) == len(set(drawn))


def test_the_same_seed_gives_the_same_table(tmp_path, make_sketcher):
    one, two = (compare(["default"], limit=8, seed=5, runs=tmp_path / n, image=make_sketcher()) for n in "ab")
    assert one == two
    other = compare(["default"], limit=8, seed=6, runs=tmp_path / "c", image=make_sketcher())
    assert other != one


def test_the_table_and_the_json_say_the_same(tmp_path, make_sketcher):
    results = compare(["original", "default"], limit=8, runs=tmp_path, image=make_sketcher(0.6))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(results))
    shown = console.export_text()
    told = json.loads(json.dumps(to_json(results)))["presets"]
    assert list(told) == ["original", "default"]
    assert told["original"]["prompts"] == 8
    for name in told:
        assert f"{told[name]['gm']:.1f}" in shown
        assert f"{told[name]['images_per_prompt']:.2f}" in shown


def test_prompts_of_ones_own(tmp_path, sketcher):
    (tmp_path / "mine.txt").write_text("a red circle\ntwo blue stars above a green square\n")
    (result,) = compare(["original"], prompts=tmp_path / "mine.txt", runs=tmp_path, image=sketcher)
    assert result.scores.prompts == 2
    assert result.scores.questions == 3 + 7


def test_an_unknown_preset_is_told_before_anything_is_drawn(tmp_path, sketcher):
    with pytest.raises(GemsError, match="unknown preset 'thorogh'"):
        compare(["original", "thorogh"], runs=tmp_path, image=sketcher)
    assert sketcher.made == []


def test_the_loop_never_sees_the_benchmarks_questions(tmp_path, sketcher, monkeypatch):
    from gems.evaluation import runner
    from gems.models.shapes.chat import ShapesChat

    heard = []

    class Listening(ShapesChat):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            heard.extend(str(m.content) for m in messages)
            return super()._generate(messages, stop, run_manager, **kwargs)

    def with_sentinel(n=200):
        sentinel = Probe(question="Is there a zebra in the image?", expected="yes", skill="object")
        return [s.model_copy(update={"questions": (*s.questions, sentinel)}) for s in benchmark(n)]

    monkeypatch.setattr(runner, "chat_model", lambda spec: Listening())
    monkeypatch.setattr(runner, "benchmark", with_sentinel)
    (result,) = compare(["paper"], limit=8, runs=tmp_path, image=sketcher)
    assert result.scores.soft_tifa_gm == 0  # the judge asked it, and there is no zebra
    assert heard
    assert not [text for text in heard if "zebra" in text]
