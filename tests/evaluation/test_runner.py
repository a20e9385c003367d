"""Comparing variants: the numbers add up, the same pictures are not drawn twice, and a killed study goes on."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from gems import GemsError
from gems.evaluation.records import Record, StudyError
from gems.evaluation.results import to_json
from gems.evaluation.runner import compare
from gems.evaluation.shapes import Probe, benchmark
from gems.evaluation.studies import axis, noise, variants
from gems.evaluation.tables import breakdown, markdown, table
from gems.models.image import ImageModelError


def records(folder):
    lines = (folder / "samples.jsonl").read_text().splitlines()
    return [Record.model_validate_json(line) for line in lines]


def timeless(outcome):
    """Return what was found, without the seconds."""
    return [r.model_dump(exclude={"seconds"}) for r in outcome.results]


def test_variants_are_compared_on_the_same_prompts_and_seeds(tmp_path, make_sketcher):
    model = make_sketcher(0.3)
    study = variants(["original", "best-of-n", "paper"])
    original, best, paper = compare(study, limit=8, runs=tmp_path, image=model).results
    assert original.images.mean == 1
    assert original.calls.mean == 2
    assert best.images.mean == 5
    assert best.am.mean >= original.am.mean  # it holds the original's image among its own
    assert paper.gm.mean > original.gm.mean
    assert paper.gain.mean == pytest.approx(paper.gm.mean - original.gm.mean)
    assert paper.gain.low <= paper.gain.mean <= paper.gain.high
    assert paper.against == "original"
    assert original.gain is None
    assert 1 <= paper.images.mean <= 5
    assert paper.gm.mean == pytest.approx(paper.scores.soft_tifa_gm)
    assert sorted(original.scores.by_atomicity) == list(range(3, 11))
    drawn = [(r.prompt, r.seed) for r in model.made]
    assert len(drawn) == len(set(drawn))


def test_the_same_seed_gives_the_same_results(tmp_path, make_sketcher):
    study = variants(["default"])
    one, two = (compare(study, limit=8, seed=5, runs=tmp_path / n, image=make_sketcher()) for n in "ab")
    assert timeless(one) == timeless(two)
    other = compare(study, limit=8, seed=6, runs=tmp_path / "c", image=make_sketcher())
    assert timeless(other) != timeless(one)


def test_concurrent_runs_give_the_same_numbers_and_draw_nothing_twice(tmp_path, make_sketcher):
    study = variants(["best-of-n", "default"])
    busy = Crowded(make_sketcher(0.3, seconds=0.005))
    alone = compare(study, limit=4, seeds=2, runs=tmp_path / "a", image=make_sketcher(0.3))
    together = compare(study, limit=4, seeds=2, concurrency=6, runs=tmp_path / "b", image=busy)
    assert timeless(together) == timeless(alone)
    assert busy.most > 1
    drawn = [(r.prompt, r.seed) for r in busy.made]
    assert len(drawn) == len(set(drawn))


class Crowded:
    """An image model that notes how many ask it at the same time."""

    def __new__(cls, sketcher):
        inner, lock = sketcher.generate, threading.Lock()
        sketcher.now = sketcher.most = 0

        def generate(requests):
            with lock:
                sketcher.now += 1
                sketcher.most = max(sketcher.most, sketcher.now)
            try:
                return inner(requests)
            finally:
                with lock:
                    sketcher.now -= 1

        sketcher.generate = generate
        return sketcher


def test_the_embedded_model_gives_the_same_pictures_alone_and_among_others(tmp_path):
    study = variants(["loop"])
    alone = compare(study, limit=3, runs=tmp_path / "a")
    together = compare(study, limit=3, concurrency=3, runs=tmp_path / "b")
    assert {(r.id, r.path) for r in records(alone.folder)} == {(r.id, r.path) for r in records(together.folder)}
    assert timeless(alone) == timeless(together)


def test_seeds_of_a_prompt_are_averaged_before_prompts_are_resampled(tmp_path, make_sketcher):
    outcome = compare(
        variants(["original"]),
        limit=4,
        seeds=3,
        runs=tmp_path,
        image=make_sketcher(0.3),
    )
    (result,) = outcome.results
    lines = records(outcome.folder)
    assert len(lines) == 12
    assert len({r.seed for r in lines}) == 12
    assert result.scores.prompts == 4
    assert result.gm.mean == pytest.approx(100 * sum(r.scores.gm for r in lines) / 12)


def test_a_record_tells_what_the_run_reached_and_took(tmp_path, make_sketcher):
    outcome = compare(variants(["loop-memory"]), limit=4, runs=tmp_path, image=make_sketcher(0.5))
    record = max(records(outcome.folder), key=lambda r: r.rounds)
    assert record.rounds > 1
    assert (tmp_path / record.path).is_file()
    assert record.decision in ("accept", "give up")
    assert (record.checks.passed == record.checks.total) == (record.decision == "accept")
    assert record.images == record.rounds  # of one candidate each
    assert len(record.refiner_input_tokens) == record.rounds - 1
    assert 0 < sum(record.refiner_input_tokens) < record.input_tokens
    assert record.refiner_pictures == tuple(range(1, record.rounds))  # all rounds' pictures are shown
    sample = next(s for s in benchmark() if s.id == record.id)
    assert record.prompt == sample.prompt
    assert len(record.scores.questions) == len(sample.questions)


def test_with_a_verifier_that_passes_nothing_every_run_takes_all_its_rounds(tmp_path, sketcher):
    fixed = {"max_rounds": 4, "patience": None, **noise("fp=0,fn=1")}
    outcome = compare(
        variants(["paper", "default"], (), fixed),
        limit=2,
        runs=tmp_path,
        image=sketcher,
    )
    for result in outcome.results:
        assert result.rounds.mean == 4
        assert result.accepted.mean == 0
        assert len(result.refiner_input_tokens) == 3
    paper, default = outcome.results
    assert paper.refiner_pictures == (1, 2, 3)
    assert default.refiner_pictures[-1] <= 2


def test_a_study_goes_on_after_an_error_and_drops_a_torn_line(tmp_path, make_sketcher):
    class Failing(type(make_sketcher())):
        def generate(self, requests):
            if len(self.made) >= 9:
                raise ImageModelError("the image model is gone: start it again")
            return super().generate(requests)

    study = variants(["original", "best-of-n"])
    with pytest.raises(ImageModelError, match="is gone"):
        compare(study, limit=4, runs=tmp_path, out=tmp_path / "o", image=Failing())
    file = tmp_path / "o" / "samples.jsonl"
    before = file.read_bytes()
    assert before.count(b"\n") == 3  # an original and its best-of-n (5 images, one shared), then another original
    file.write_bytes(before[:-20])
    model = make_sketcher()
    outcome = compare(study, limit=4, runs=tmp_path, out=tmp_path / "o", image=model)
    assert outcome.found == 2
    assert len(records(tmp_path / "o")) == 8
    whole = compare(study, limit=4, runs=tmp_path / "w", image=make_sketcher())
    assert timeless(outcome) == timeless(whole)
    assert file.read_bytes().startswith(b"".join(before.splitlines(keepends=True)[:2]))


def test_a_killed_study_goes_on_where_it_stopped(tmp_path):
    environment = {**os.environ, "COLUMNS": "100"}
    args = [
        "eval",
        "shapes",
        "--presets",
        "original,loop",
        "--limit",
        "6",
        "--out",
        "study",
        "--concurrency",
        "2",
    ]
    command = [sys.executable, "-m", "gems.cli", *args]
    file = tmp_path / "study" / "samples.jsonl"
    with subprocess.Popen(
        command,
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 100
        while (not file.exists() or file.read_bytes().count(b"\n") < 2) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    lines = file.read_bytes().splitlines()
    assert 2 <= len(lines) < 12
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{len(lines)} runs were found" in done.stdout
    after = file.read_bytes().splitlines()
    assert after[: len(lines)] == lines
    assert len({(r.variant, r.id) for r in records(tmp_path / "study")}) == len(after) == 12
    assert {"table.md", "result.json", "plot.png"} <= {p.name for p in (tmp_path / "study").iterdir()}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "--seed"),
        ({"seeds": 2}, "--seeds"),
        ({"limit": 3}, "the prompts"),
        ({"presets": ["loop"]}, "the variants"),
    ],
)
def test_a_folder_holds_one_study(tmp_path, sketcher, change, what):
    def study(presets=("original",), limit=2, **options):
        return compare(
            variants(presets),
            limit=limit,
            runs=tmp_path,
            out=tmp_path / "o",
            image=sketcher,
            **options,
        )

    study()
    before = (tmp_path / "o" / "samples.jsonl").read_bytes()
    with pytest.raises(StudyError, match=f"differs in {what}.*take another --out"):
        study(**change)
    assert (tmp_path / "o" / "samples.jsonl").read_bytes() == before


def test_without_a_folder_named_other_studies_go_elsewhere(tmp_path, sketcher):
    one = compare(variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    two = compare(variants(["original"]), limit=3, runs=tmp_path, image=sketcher)
    again = compare(variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    assert one.folder != two.folder
    assert again.folder == one.folder
    assert again.found == 2


def test_a_damaged_line_is_told(tmp_path, sketcher):
    outcome = compare(variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    file = outcome.folder / "samples.jsonl"
    file.write_text("{}\n" + file.read_text())
    with pytest.raises(StudyError, match="line 1 is damaged"):
        compare(variants(["original"]), limit=2, runs=tmp_path, image=sketcher)


def test_the_tables_and_the_json_say_the_same(tmp_path, make_sketcher):
    results = compare(
        variants(["original", "default"]),
        limit=8,
        runs=tmp_path,
        image=make_sketcher(0.6),
    ).results
    console = Console(width=132, record=True, file=io.StringIO())
    console.print(table(results))
    console.print(breakdown(results))
    shown, text = console.export_text(), markdown(results)
    told = json.loads(json.dumps(to_json(results)))["presets"]
    assert list(told) == ["original", "default"]
    assert told["original"]["prompts"] == 8
    for name in told:
        low, high = told[name]["intervals"]["gm"]
        assert low <= told[name]["gm"] <= high
        assert f"{told[name]['gm']:.1f} ({low:.1f}–{high:.1f})" in text
        for said in (
            f"{told[name]['gm']:.1f}",
            f"{low:.1f}–{high:.1f}",
            f"{told[name]['images_per_prompt']:.2f}",
        ):
            assert said in shown
    assert told["default"]["gm_difference"]["against"] == "original"
    assert f"{told['default']['gm_difference']['mean']:+.1f}" in shown


def test_a_sweep_and_its_plot(tmp_path, make_sketcher):
    from gems.evaluation.plots import plot_memory, plot_scores

    study = variants(["loop", "paper"], [axis("rounds=1..3")])
    results = compare(study, limit=4, runs=tmp_path, image=make_sketcher(0.4)).results
    by_name = {r.name: r for r in results}
    assert by_name["loop rounds=1"].rounds.mean == 1
    assert by_name["loop rounds=3"].gm.mean >= by_name["loop rounds=1"].gm.mean
    plot_scores(results, tmp_path / "plot.png", "a sweep")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert plot_memory(results, tmp_path / "memory.png", "a sweep")
    assert not plot_memory([by_name["loop rounds=1"]], tmp_path / "none.png", "nobody refined")
    assert not (tmp_path / "none.png").exists()


def test_prompts_of_ones_own(tmp_path, sketcher):
    (tmp_path / "mine.txt").write_text("a red circle\ntwo blue stars above a green square\n")
    (result,) = compare(
        variants(["original"]),
        prompts=tmp_path / "mine.txt",
        runs=tmp_path,
        image=sketcher,
    ).results
    assert result.scores.prompts == 2
    assert result.scores.questions == 3 + 7


def test_one_prompt_has_no_interval(tmp_path, sketcher):
    (result,) = compare(variants(["original"]), limit=1, runs=tmp_path, image=sketcher).results
    assert result.gm.low is None
    assert "without intervals" in markdown([result])


def test_a_variant_to_compare_with_must_be_there(tmp_path, sketcher):
    with pytest.raises(
        GemsError,
        match="--against loop: there is no such variant; choose one of original, default",
    ):
        compare(
            variants(["original", "default"]),
            against="loop",
            runs=tmp_path,
            image=sketcher,
        )
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
    (result,) = compare(variants(["paper"]), limit=8, runs=tmp_path, image=sketcher).results
    assert result.scores.soft_tifa_gm == 0  # the judge asked it, and there is no zebra
    assert heard
    assert not [text for text in heard if "zebra" in text]
