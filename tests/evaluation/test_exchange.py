"""To official scorers and back: the same images go out, the numbers come in, and nothing of others gets in the way."""

import json
import os
import shutil
import signal

import pytest

from gems import GemsError
from gems.evaluation.benchmark import BenchmarkError
from gems.evaluation.exchange import export, take_in
from gems.evaluation.outcome import compare, look, report_of, warnings_of
from gems.evaluation.studies import variants

from .colours import Breaking, Colours, records_in

BENCH = Colours(4, per_prompt=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of two variants, in which the blue circle failed."""
    out = tmp_path_factory.mktemp("made") / "study"
    return compare(variants(["original", "loop"]), benchmark=BENCH, out=out, image=Breaking("blue")).folder


@pytest.fixture
def study(made, tmp_path):
    """A copy of that study."""
    return shutil.copytree(made, tmp_path / "study")


def test_the_images_go_out_as_they_are(study, tmp_path):
    made = export(study, tmp_path / "out", benchmark=BENCH)
    assert {name: (place.name, told) for name, (place, told) in made.items()} == {
        "original": ("original", ["2 images are missing"]),
        "loop": ("loop", ["2 images are missing"]),
    }
    files = {p.name: p.read_bytes() for p in (tmp_path / "out" / "original").iterdir()}
    assert sorted(files) == [f"c{n:02d}-{k}.png" for n in (0, 2, 3) for k in (0, 1)]
    record = next(r for r in records_in(study) if r.key == ("original", "c02", 1))
    assert files["c02-1.png"] == (study / record.path).read_bytes()


def test_a_folder_in_use_is_left_alone(study, tmp_path):
    place = tmp_path / "out" / "loop"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with pytest.raises(BenchmarkError, match="loop is not empty: take another --to, or remove it"):
        export(study, tmp_path / "out", benchmark=BENCH)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]


def test_only_the_variants_that_are_named(study, tmp_path):
    assert list(export(study, tmp_path / "out", variants=["loop"], benchmark=BENCH)) == ["loop"]
    with pytest.raises(GemsError, match="--variant best: there is no such variant; choose one of original, loop"):
        export(study, tmp_path / "more", variants=["best"], benchmark=BENCH)


def test_a_layout_of_another_benchmark(study, tmp_path):
    with pytest.raises(GemsError, match="unknown benchmark 'genevil': did you mean geneval"):
        export(study, tmp_path / "out", layout="genevil", benchmark=BENCH)
    with pytest.raises(BenchmarkError, match="Shapes has no layout of its own"):
        export(study, tmp_path / "out", layout="shapes", benchmark=BENCH)
    with pytest.raises(BenchmarkError, match=r"layout of OneIG.* needs 'id' of each prompt, which Colours does not have"):
        export(study, tmp_path / "out", layout="oneig-en", benchmark=BENCH)


def test_an_image_that_is_lost_is_told(study, tmp_path):
    record = next(r for r in records_in(study) if r.path)
    (study / record.path).unlink()
    for _ in range(2):  # nothing half made is in the way
        with pytest.raises(GemsError, match=record.image.sha256[:8]):
            export(study, tmp_path / "out", benchmark=BENCH)
        assert not list((tmp_path / "out").rglob("*.png"))


class Dies(Colours):
    """Takes its process down, as a kill would, when it has laid out the first image of a variant that is told."""

    def export(self, folder, pictures):
        for picture in pictures:
            super().export(folder, [picture])
            if "loop" in str(folder):
                os.kill(os.getpid(), signal.SIGKILL)
        return []


def test_a_killed_export_leaves_no_folder_that_looks_whole_and_the_next_one_clears_up(study, tmp_path):
    out = tmp_path / "out"
    if (child := os.fork()) == 0:
        export(study, out, benchmark=Dies(4, per_prompt=2))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    whole, half = sorted(out.iterdir(), key=lambda place: place.name, reverse=True)
    assert (whole.name, len(list(whole.iterdir()))) == ("original", 6)
    assert half.name.startswith(".")
    assert len(list(half.iterdir())) == 1
    export(study, out, variants=["loop"], benchmark=BENCH)
    assert sorted(place.name for place in out.iterdir()) == ["loop", "original"]
    assert len(list((out / "loop").iterdir())) == 6


def test_nothing_is_written_where_one_of_the_folders_is_in_use(study, tmp_path):
    (tmp_path / "out" / "loop" / "mine").mkdir(parents=True)
    with pytest.raises(BenchmarkError, match="loop is not empty"):
        export(study, tmp_path / "out", benchmark=BENCH)
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["loop"]


def test_seeds_go_out_in_a_folder_each_and_come_back_by_it(tmp_path):
    two = compare(variants(["original"]), benchmark=BENCH, out=tmp_path / "study", image=Breaking("blue"), seeds=2).folder
    ((place, told),) = export(two, tmp_path / "out", benchmark=BENCH).values()
    assert sorted(p.name for p in place.iterdir()) == ["seed-1", "seed-2"]
    drawn = {r.key: (two / r.path).read_bytes() for r in records_in(two) if r.path}
    for seed, first in (("seed-1", 0), ("seed-2", 2)):
        files = {p.name: p.read_bytes() for p in (place / seed).iterdir()}
        wanted = [(prompt, k) for prompt in ("c00", "c02", "c03") for k in (0, 1)]
        assert files == {f"{prompt}-{k}.png": drawn["original", prompt, first + k] for prompt, k in wanted}
    assert told == ["a folder for each of 2 seeds: score each of them, and import its results with --seed 1 to 2",
                    "2 images are missing"]  # fmt: skip

    file = tmp_path / "result.json"
    for seed, share in ((1, 1.0), (2, 0.5), (2, 0.25)):  # the last one takes the place of the one before
        file.write_text(json.dumps(dict.fromkeys(("c00", "c02", "c03"), share)))
        assert take_in(two, file, seed=seed, benchmark=BENCH) == 3
    (result,) = [r for r in look(two, benchmark=BENCH).results if r.metrics["share"].mean != 75]
    assert result.metrics["share"].mean == pytest.approx(100 * 3 * (1.0 + 0.25) / 2 / 4)
    with pytest.raises(GemsError, match="say which images were scored: --seed 1 to 2"):
        take_in(two, file, benchmark=BENCH)
    with pytest.raises(GemsError, match="--seed 3: the study has 2, the first being 1"):
        take_in(two, file, seed=3, benchmark=BENCH)


def test_official_numbers_take_the_place_of_ours(study, tmp_path):
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"c00": 0.5, "c02": 0.5, "c03": 0.5}))
    assert take_in(study, file, "loop", benchmark=BENCH) == 3
    original, loop = look(study, benchmark=BENCH).results
    assert original.metrics["share"].mean == pytest.approx(75)
    assert loop.metrics["share"].mean == pytest.approx(100 * (3 * 0.5 + 0) / 4)  # the failed prompt stays a failed one
    assert loop.failed == 2


def test_where_nobody_judged_the_official_scorer_stands_alone(tmp_path):
    class Official(Colours):
        judges = ()

    bench = Official(3)
    folder = compare(variants(["original"]), benchmark=bench, out=tmp_path / "study", image=Breaking("blue")).folder
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"c00": 1.0, "c02": 0.5}))
    take_in(folder, file, benchmark=bench)
    outcome = look(folder, benchmark=bench)
    (result,) = outcome.results
    assert (result.judge, result.prompts, result.failed, result.missing) == ("official scorer", 3, 1, 0)
    assert result.metrics["share"].mean == pytest.approx(100 * (1 + 0 + 0.5) / 3)
    assert not [w for w in warnings_of(outcome) if "the judge" in w]
    assert report_of(outcome).results == [result]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"c99": 1}', "prompt c99 is none of this study's: was another one exported"),
        ("{}", "there are no results in it"),
        ('{"c00": 1, "c02": NaN}', "prompt c02: share is not a number"),
        ("no json", "this is no result file of Colours"),
        (None, "there is no such file: name the result file of the official scorer"),
    ],
)
def test_a_result_file_of_no_use_changes_nothing(study, tmp_path, text, said):
    before = look(study, benchmark=BENCH).results
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    with pytest.raises(BenchmarkError, match=said):
        take_in(study, tmp_path / "result.json", "loop", benchmark=BENCH)
    assert look(study, benchmark=BENCH).results == before


def test_whose_images_were_scored_has_to_be_said(study, tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(GemsError, match="say whose images were scored: --variant original or loop"):
        take_in(study, tmp_path / "result.json", benchmark=BENCH)
