"""Running a study: the same seeds for all, what failed is tried again, and one that was killed goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gems.errors import SettingError, StudyError
from gems.evaluation.benchmarks.base import Sample
from gems.evaluation.run_records import read_records
from gems.evaluation.runner import (
    MAX_FAILURES,
    FailureLimit,
    StudyProgress,
    read_prompts,
    spread_evenly,
    work_items,
)
from gems.evaluation.shards import Shard
from gems.evaluation.study import study_warnings
from gems.evaluation.variants import make_variants

from ..conftest import Sketcher
from .colours import Breaking, Colours, record, records_in, timeless
from .small_studies import compare, plan, run_study


def test_variants_are_compared_on_the_same_prompts_and_seeds(tmp_path, make_sketcher):
    model = make_sketcher(0.3)
    study_result = compare(make_variants(["original", "best-of-n", "paper"]), limit=8, runs=tmp_path, image=model)
    original, best, paper = study_result.results
    assert original.images.mean == 1
    assert original.calls.mean == 2
    assert best.images.mean == 5
    assert best.metrics["am"].mean >= original.metrics["am"].mean  # it holds the original's image among its own
    assert paper.metrics["gm"].mean > original.metrics["gm"].mean
    assert paper.gain.mean == pytest.approx(paper.metrics["gm"].mean - original.metrics["gm"].mean)
    assert paper.gain.low <= paper.gain.mean <= paper.gain.high
    assert paper.against == "original"
    assert original.gain is None
    assert 1 <= paper.images.mean <= 5
    by_hand = [100 * score.values["gm"] for key, score in study_result.scored["shapes-perception"].items() if key[0] == "paper"]
    assert paper.metrics["gm"].mean == pytest.approx(sum(by_hand) / 8)
    assert [name for name in original.metrics if "atomicity" in name] == [f"atomicity {n}" for n in range(3, 11)]
    drawn = [(r.prompt, r.seed) for r in model.made]
    assert len(drawn) == len(set(drawn))


def test_the_same_seed_gives_the_same_results(tmp_path, make_sketcher):
    study = make_variants(["default"])
    one, two = (compare(study, limit=8, seed=5, runs=tmp_path / n, image=make_sketcher()) for n in "ab")
    assert timeless(one) == timeless(two)
    other = compare(study, limit=8, seed=6, runs=tmp_path / "c", image=make_sketcher())
    assert timeless(other) != timeless(one)


def test_seeds_of_a_prompt_are_averaged_before_prompts_are_resampled(tmp_path, make_sketcher):
    study_result = compare(make_variants(["original"]), limit=4, seeds=3, runs=tmp_path, image=make_sketcher(0.3))
    (result,) = study_result.results
    lines = records_in(study_result.folder)
    assert len(lines) == 12
    assert len({r.seed for r in lines}) == 12
    assert (result.prompts, result.pictures) == (4, 12)
    (scored,) = study_result.scored.values()
    assert result.metrics["gm"].mean == pytest.approx(100 * sum(score.values["gm"] for score in scored.values()) / 12)


def test_each_image_of_each_prompt_has_a_seed_of_its_own():
    samples = Colours(1500).read({})
    cells = work_items(samples, 7, 8)
    assert len({cell.seed for cell in cells}) == len(cells) == 12_000
    assert cells[0].seed == 7
    assert {(cell.id, cell.index) for cell in cells} == {(s.id, k) for s in samples for k in range(8)}
    assert all(0 <= cell.seed < 2**31 for cell in work_items(samples, 2**31 - 1, 2))


def test_images_per_prompt_are_the_protocols_unless_told(tmp_path, sketcher):
    bench = Colours(2, per_prompt=3)
    study_result = compare(make_variants(["original"]), benchmark=bench, runs=tmp_path, image=sketcher)
    assert sorted(r.index for r in records_in(study_result.folder)) == [0, 0, 1, 1, 2, 2]
    study_result = compare(make_variants(["original"]), benchmark=bench, runs=tmp_path, image=sketcher, per_prompt=1, seeds=2)
    assert sorted(r.index for r in records_in(study_result.folder)) == [0, 0, 1, 1]


def test_a_limit_takes_prompts_from_all_over_the_benchmark():
    assert spread_evenly(range(100), 4) == [0, 25, 50, 75]
    assert spread_evenly(range(3), 4) == spread_evenly(range(3), None) == [0, 1, 2]


def test_what_failed_is_counted_and_tried_again(tmp_path):
    def study(image):
        return compare(make_variants(["original"]), benchmark=Colours(4), out=tmp_path, image=image)

    first = study(Breaking("blue"))
    (result,) = first.results
    assert (result.prompts, result.pictures, result.failed, result.missing) == (4, 3, 1, 0)
    assert result.metrics["share"].mean == pytest.approx(75)  # the failed one shows nothing of what was asked for
    model = Breaking()
    second = study(model)
    assert second.reused == 3
    assert {r.prompt for r in model.made} == {"a blue circle"}
    (result,) = second.results
    assert (result.failed, result.metrics["share"].mean) == (0, 100)
    assert [r.id for r in records_in(tmp_path)].count("c01") == 2
    assert len(read_records(tmp_path)) == 4


def test_a_study_goes_on_after_errors_and_drops_a_torn_line(tmp_path, make_sketcher):
    study = make_variants(["original", "best-of-n"])
    first = compare(study, limit=4, runs=tmp_path, out=tmp_path / "o", image=Breaking(lasts=9, mistakes=0.25))
    # An original and its best-of-n (5 images, one shared), then another original; its best-of-n and the others fail.
    assert [bool(r.image) for r in records_in(tmp_path / "o")] == [True, True, True, False, False, False, False, False]
    assert [r.failed for r in first.results] == [2, 3]
    file = tmp_path / "o" / "samples.jsonl"
    before = file.read_bytes()
    kept = before.splitlines(keepends=True)[:3]
    file.write_bytes(b"".join(kept)[:-20])
    model = Breaking(mistakes=0.25)
    study_result = compare(study, limit=4, runs=tmp_path, out=tmp_path / "o", image=model)
    assert study_result.reused == 2
    assert len(records_in(tmp_path / "o")) == 8
    whole = compare(study, limit=4, runs=tmp_path / "w", image=Breaking(mistakes=0.25))
    assert timeless(study_result) == timeless(whole)
    assert file.read_bytes().startswith(b"".join(kept[:2]))


def test_a_study_in_which_everything_fails_is_stopped_and_kept(tmp_path):
    bench = Colours(30)
    model = Breaking(lasts=3)
    planned = plan(bench, make_variants(["original"]), image=model)
    with pytest.raises(
        StudyError, match=r"20 runs in a row have failed, the last one so: the image model is gone.*are kept"
    ) as told:
        run_study(planned, tmp_path)
    assert "repeat the command" in str(told.value)
    lines = records_in(tmp_path)
    assert [bool(r.image) for r in lines] == [True] * 3 + [False] * MAX_FAILURES
    records, found = run_study(planned._replace(models=plan(bench, make_variants(["original"]), image=Breaking()).models), tmp_path)
    assert found == 3
    assert len(records) == 30
    assert all(r.image for r in records.values())


def test_only_failures_in_a_row_stop_a_study():
    luck = FailureLimit(2)
    for image in (None, "a", None, "a", None):
        luck.note(record(image=image))
    with pytest.raises(StudyError, match="2 runs in a row"):
        luck.note(record(image=None))


def test_runs_that_fail_each_time_do_not_keep_the_others_from_being_made(tmp_path):
    bench = Colours(30)
    planned = plan(bench, make_variants(["original"]), image=Breaking("red", "blue", "green", "yellow"))
    ended = []
    for times in (1, 2):  # 20 of 30 are refused, and so all that is left the second time
        records, found = run_study(
            planned, tmp_path, max_failures=6, progress=StudyProgress(done=lambda r: ended.append(bool(r.image)))
        )
        assert (len(records), sum(r.image is not None for r in records.values())) == (30, 10)
        assert found == (0, 10)[times - 1]
    file = tmp_path / "samples.jsonl"
    file.write_text("".join(r.model_dump_json() + "\n" for r in records_in(tmp_path)[:30] if not r.image))
    ended.clear()
    run_study(planned, tmp_path, max_failures=6, progress=StudyProgress(done=lambda r: ended.append(bool(r.image))))
    assert ended == [True] * 10 + [False] * 20  # what has not been tried yet comes first


def test_a_killed_study_goes_on_where_it_stopped(tmp_path):
    environment = {**os.environ, "COLUMNS": "100"}
    args = ["eval", "shapes", "--presets", "original,loop", "--limit", "16", "--image", "card", "--out", "study"]
    command = [sys.executable, "-m", "gems.cli", *args]
    file = tmp_path / "study" / "samples.jsonl"
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 100
        while (not file.exists() or file.read_bytes().count(b"\n") < 2) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    data = file.read_bytes()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    assert 2 <= len(lines) < 32
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"{len(lines)} recorded images were reused" in done.stdout
    after = file.read_bytes().splitlines()
    assert after[: len(lines)] == lines
    assert len({(r.variant, r.id) for r in records_in(tmp_path / "study")}) == len(after) == 32
    assert {"table.md", "table.csv", "result.json", "plot.png"} <= {p.name for p in (tmp_path / "study").iterdir()}


def test_without_a_folder_named_other_studies_go_elsewhere(tmp_path, sketcher):
    one = compare(make_variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    two = compare(make_variants(["original"]), limit=3, runs=tmp_path, image=sketcher)
    again = compare(make_variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    assert one.folder != two.folder
    assert again.folder == one.folder
    assert again.reused == 2


def test_what_is_told_while_a_study_runs(tmp_path):
    bench = Colours(4)
    began, ended = [], []
    progress = StudyProgress(start=lambda *told: began.append(told), done=lambda r: ended.append(r.key))
    planned = plan(bench, make_variants(["original", "loop"]), image=Sketcher(0.0))
    run_study(planned, tmp_path, shard=Shard(1, 2), progress=progress)
    assert began == [("original", 2, 0), ("loop", 2, 0)]
    assert sorted(ended) == [("loop", "c00", 0), ("loop", "c02", 0), ("original", "c00", 0), ("original", "c02", 0)]
    run_study(planned, tmp_path, progress=progress)
    assert began[2:] == [("original", 4, 2), ("loop", 4, 2)]


def test_the_prompts_are_kept_with_the_study(tmp_path, sketcher):
    study_result = compare(make_variants(["original"]), benchmark=Colours(3), out=tmp_path, image=sketcher)
    assert read_prompts(tmp_path) == study_result.samples == Colours(3).read({})
    lines = (tmp_path / "prompts.jsonl").read_text().splitlines(keepends=True)
    for changed in (lines[1:], [lines[0].replace("red", "blue"), *lines[1:]], []):
        (tmp_path / "prompts.jsonl").write_text("".join(changed))
        with pytest.raises(StudyError, match=r"prompts\.jsonl was changed.*delete it, and repeat the command"):
            read_prompts(tmp_path)
        with pytest.raises(StudyError, match="was changed"):
            compare(make_variants(["original"]), benchmark=Colours(3), out=tmp_path, image=sketcher)
    (tmp_path / "prompts.jsonl").write_text("{}\n")
    with pytest.raises(StudyError, match="is damaged"):
        read_prompts(tmp_path)
    (tmp_path / "prompts.jsonl").unlink()
    with pytest.raises(StudyError, match="holds no study"):
        read_prompts(tmp_path)


@pytest.mark.parametrize("end", "\u2028\u2029\x85\x0b\x0c\x1c\r\n")
def test_a_prompt_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path, sketcher, end):
    data = [Sample(id="1", prompt=f"a red circle{end}and a [b]|star", truth={"asks": []})]
    bench = Colours()
    bench.read = lambda files: data
    planned = plan(bench, make_variants(["original"]), image=sketcher)
    run_study(planned, tmp_path)
    assert read_prompts(tmp_path) == data
    assert [r.prompt for r in read_records(tmp_path).values()] == [data[0].prompt]


def test_with_nothing_to_compare_nothing_is_begun(tmp_path):
    bench = Colours()
    with pytest.raises(SettingError, match="no preset to measure"):
        plan(bench, [])
    with pytest.raises(SettingError, match="review: nobody is there to answer"):
        compare(make_variants(["original"], fixed={"review": "image"}), benchmark=bench, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_runs_that_failed_stand_in_the_warnings(tmp_path):
    study_result = compare(make_variants(["original", "loop"]), benchmark=Colours(3), out=tmp_path, image=Breaking("blue"))
    assert "runs failed, and count as images that show nothing: original 1, loop 1." in study_warnings(study_result)
