"""To official scorers and back: the same images go out, the numbers come in, and nothing of others gets in the way."""

import csv
import io
import json
import os
import re
import shutil
import signal

import pytest
from PIL import Image

from gems import GemsError
from gems.commands.evaluate_report import write_study_files
from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import ImportedScores, Metric
from gems.evaluation.image_scores import OFFICIAL
from gems.evaluation.official_scorers import export_images, import_results
from gems.evaluation.study import build_report, load_study, study_warnings
from gems.evaluation.study_tables import to_markdown
from gems.evaluation.variants import make_variants

from ..conftest import Sketcher
from .colours import Breaking, Colours, records_in, timeless
from .small_studies import compare

BENCH = Colours(4, per_prompt=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of two variants, in which the blue circle failed."""
    out = tmp_path_factory.mktemp("made") / "study"
    return compare(make_variants(["original", "loop"]), benchmark=BENCH, out=out, image=Breaking("blue")).folder


@pytest.fixture
def study(made, tmp_path):
    """A copy of that study."""
    return shutil.copytree(made, tmp_path / "study")


def test_the_images_go_out_as_they_are(study, tmp_path):
    made = export_images(study, tmp_path / "out", benchmark=BENCH)
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
        export_images(study, tmp_path / "out", benchmark=BENCH)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]


def test_only_the_variants_that_are_named(study, tmp_path):
    assert list(export_images(study, tmp_path / "out", variants=["loop"], benchmark=BENCH)) == ["loop"]
    with pytest.raises(GemsError, match="--variant best: there is no such variant; choose one of original, loop"):
        export_images(study, tmp_path / "more", variants=["best"], benchmark=BENCH)


def test_a_layout_of_another_benchmark(study, tmp_path):
    with pytest.raises(GemsError, match="unknown benchmark 'genevil': did you mean geneval"):
        export_images(study, tmp_path / "out", layout="genevil", benchmark=BENCH)
    with pytest.raises(BenchmarkError, match="Shapes has no layout of its own"):
        export_images(study, tmp_path / "out", layout="shapes", benchmark=BENCH)
    with pytest.raises(BenchmarkError, match=r"layout of OneIG.* needs 'id' of each prompt, which Colours does not have"):
        export_images(study, tmp_path / "out", layout="oneig-en", benchmark=BENCH)


def test_an_image_that_is_lost_is_told(study, tmp_path):
    record = next(r for r in records_in(study) if r.path)
    (study / record.path).unlink()
    for _ in range(2):  # nothing half made is in the way
        with pytest.raises(GemsError, match=record.image.sha256[:8]):
            export_images(study, tmp_path / "out", benchmark=BENCH)
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
        export_images(study, out, benchmark=Dies(4, per_prompt=2))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    whole, half = sorted(out.iterdir(), key=lambda place: place.name, reverse=True)
    assert (whole.name, len(list(whole.iterdir()))) == ("original", 6)
    assert half.name.startswith(".")
    assert len(list(half.iterdir())) == 1
    export_images(study, out, variants=["loop"], benchmark=BENCH)
    assert sorted(place.name for place in out.iterdir()) == ["loop", "original"]
    assert len(list((out / "loop").iterdir())) == 6


def test_nothing_is_written_where_one_of_the_folders_is_in_use(study, tmp_path):
    (tmp_path / "out" / "loop" / "mine").mkdir(parents=True)
    with pytest.raises(BenchmarkError, match="loop is not empty"):
        export_images(study, tmp_path / "out", benchmark=BENCH)
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["loop"]


def test_seeds_go_out_in_a_folder_each_and_come_back_by_it(tmp_path):
    two = compare(make_variants(["original"]), benchmark=BENCH, out=tmp_path / "study", image=Breaking("blue"), seeds=2).folder
    ((place, told),) = export_images(two, tmp_path / "out", benchmark=BENCH).values()
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
        assert import_results(two, file, seed=seed, benchmark=BENCH) == 3
    (result,) = [r for r in load_study(two, benchmark=BENCH).results if r.metrics["share"].mean != 75]
    assert result.metrics["share"].mean == pytest.approx(100 * 3 * (1.0 + 0.25) / 2 / 4)
    with pytest.raises(GemsError, match="name the seed of the images that were scored: --seed 1 to 2"):
        import_results(two, file, benchmark=BENCH)
    with pytest.raises(GemsError, match="--seed 3: the study has 2, the first being 1"):
        import_results(two, file, seed=3, benchmark=BENCH)


def test_official_numbers_are_of_a_judge_of_their_own(study, tmp_path):
    before = timeless(load_study(study, benchmark=BENCH))
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"c00": 0.5, "c02": 0.25}))
    assert import_results(study, file, "loop", benchmark=BENCH) == 2
    study_result = load_study(study, benchmark=BENCH)
    official = [r for r in study_result.results if r.judge == OFFICIAL]
    assert timeless(study_result)[: len(before)] == before  # the other judge's figures are what they were
    ((name, share, gain, missing),) = [(r.name, r.metrics["share"].mean, r.gain, r.missing) for r in official]
    # c01 failed and counts 0, c03 has no official number, and the official scorer has no original to compare with
    assert (name, share, gain, missing) == ("loop", pytest.approx(100 * (0.5 + 0 + 0.25) / 3), None, 2)
    said = study_warnings(study_result)
    assert "images that are not generated or not judged yet do not count: loop 2 (official scorer)." in said
    assert "official scorer has judged nothing of original yet: not in the table." in said
    assert "the judge shapes-perception is not Eyes-8B, the official one: this is a scale of its own." in said
    assert not [text for text in said if "official scorer is not" in text]


def test_what_is_imported_is_told_apart_in_every_table_and_file(study, tmp_path):
    for name, share in (("original", 0.5), ("loop", 1.0)):
        (tmp_path / f"{name}.json").write_text(json.dumps({f"c0{n}": share for n in (0, 2, 3)}))
        import_results(study, tmp_path / f"{name}.json", name, benchmark=BENCH)
    study_result = load_study(study, benchmark=BENCH)
    report = build_report(study_result)
    write_study_files(study_result, report)
    text = (study / "table.md").read_text()
    assert "| original | official scorer (Eyes-8B) | 37.5 " in text
    assert "| loop | official scorer (Eyes-8B) | 75.0 " in text
    assert "| loop | shapes-perception | 75.0 " in text
    assert text.count("+37.5 (") == 1  # the difference to the official original, and never to another judge's
    assert "Δ is the paired difference to original by the same judge: two judges are two scales." in text
    rows = list(csv.DictReader(io.StringIO((study / "table.csv").read_text())))
    sources = {(row["judge"], row["source"]) for row in rows if row["metric"].startswith("share")}
    assert sources == {("shapes-perception", "measured"), ("official scorer", "official scorer")}
    told = json.loads((study / "result.json").read_text())
    assert told["judges"]["official scorer"]["loop"]["sources"]["share"] == "official scorer"
    assert told["judges"]["shapes-perception"]["loop"]["sources"]["share"] == "measured"
    assert [(one["variant"], one["file"], one["official_judge"], one["numbers"], one["rows"]) for one in told["imported"]] == [
        ("original", "original.json", "Eyes-8B", ["share"], 3),
        ("loop", "loop.json", "Eyes-8B", ["share"], 3),
    ]
    plot = Image.open(io.BytesIO((study / "plot.png").read_bytes()))
    assert plot.height == pytest.approx(2 * 4.8 * 150, abs=2)  # panels for each judge
    page = (study / "gallery.html").read_text()
    assert "Share right of loop by shapes-perception is lowest." in page
    assert "<bdi>official scorer (Eyes-8B)</bdi> 50.0" in page


class Styled(Colours):
    """Style is of the official scorer alone, and the first metric is the mean of both."""

    official_only = frozenset({"style"})

    def metrics(self, samples):
        both = Metric("overall", "Overall", lambda d: (d.mean("share") + d.mean("style")) / 2, digits=2)
        return [both, *super().metrics(samples), Metric("style", "Style", lambda d: d.mean("style"), digits=2)]

    def imported(self, path, samples):
        return [ImportedScores(id, None, values) for id, values in json.loads(path.read_text()).items()]


def test_what_no_judge_can_give_stands_in_its_row_with_a_sign(tmp_path):
    bench = Styled(2)
    folder = compare(make_variants(["original", "loop"]), benchmark=bench, out=tmp_path / "study", image=Sketcher(0.0)).folder
    file = tmp_path / "style.json"
    for name in ("original", "loop"):
        file.write_text(json.dumps({"c00": {"style": 0.5}, "c01": {"style": 0.25}}))
        import_results(folder, file, name, benchmark=bench)
    report = build_report(load_study(folder, benchmark=bench))
    assert {r.judge for r in report.results} == {"shapes-perception"}
    assert [r.sources for r in report.results] == 2 * [
        {"overall": "measured, official scorer", "share": "measured", "share cold": "measured", "share warm": "measured",
         "style": "official scorer"}
    ]  # fmt: skip
    text = to_markdown(report)
    assert "| 100.0 (100.0–100.0) | 0.38 † (0.25–0.50) |" in text
    assert re.search(r"\| original \| 0\.69 ‡ ", text)
    assert "† By the official scorer (Eyes-8B), imported. ‡ From the judge's numbers and those of the official scorer" in text
    file.write_text(json.dumps({"c00": {"share": 0.5, "style": 0.5}, "c01": {"share": 0.5, "style": 0.25}}))
    import_results(folder, file, "loop", benchmark=bench)
    results = {(r.judge, r.name): r for r in load_study(folder, benchmark=bench).results}
    assert results["official scorer", "loop"].metrics["overall"].mean == pytest.approx((0.5 + 0.375) / 2)
    assert results["shapes-perception", "loop"].metrics["share"].mean == 100


def test_the_official_scorer_may_be_the_verifier_too(tmp_path):
    class Near(Colours):
        official_judge = "shapes-chat"

    bench = Near(2)
    folder = compare(make_variants(["original"]), benchmark=bench, out=tmp_path / "study", image=Sketcher(0.0)).folder
    (tmp_path / "r.json").write_text('{"c00": 1.0}')
    import_results(folder, tmp_path / "r.json", benchmark=bench)
    told = "the judge official scorer (shapes-chat) is also the loop's verifier"
    assert [text for text in study_warnings(load_study(folder, benchmark=bench)) if text.startswith(told)]


def test_where_nobody_judged_the_official_scorer_stands_alone(tmp_path):
    class Official(Colours):
        judges = ()

    bench = Official(3)
    folder = compare(make_variants(["original"]), benchmark=bench, out=tmp_path / "study", image=Breaking("blue")).folder
    file = tmp_path / "result.json"
    file.write_text(json.dumps({"c00": 1.0, "c02": 0.5}))
    import_results(folder, file, benchmark=bench)
    study_result = load_study(folder, benchmark=bench)
    (result,) = study_result.results
    assert (result.judge, result.prompts, result.failed, result.missing) == ("official scorer", 3, 1, 0)
    assert result.metrics["share"].mean == pytest.approx(100 * (1 + 0 + 0.5) / 3)
    assert not [w for w in study_warnings(study_result) if "the judge" in w]
    assert build_report(study_result).results == [result]


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
    before = load_study(study, benchmark=BENCH).results
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    with pytest.raises(BenchmarkError, match=said):
        import_results(study, tmp_path / "result.json", "loop", benchmark=BENCH)
    assert load_study(study, benchmark=BENCH).results == before


def test_whose_images_were_scored_has_to_be_said(study, tmp_path):
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(GemsError, match="name the variant whose images were scored: --variant original or loop"):
        import_results(study, tmp_path / "result.json", benchmark=BENCH)
