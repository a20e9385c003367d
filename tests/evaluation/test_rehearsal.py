"""Every benchmark is rehearsed without a model: cards for images, answers at random, out to its official scorer and back."""

import csv
import json
import math
from pathlib import Path

import pytest

from gems import GemsError
from gems.errors import ImageModelError
from gems.evaluation.benchmarks.registry import REGISTRY, find_benchmark
from gems.evaluation.downloads import fetch
from gems.evaluation.judges.chat import ChatJudge
from gems.evaluation.judges.registry import judge_of
from gems.evaluation.official_scorers import export_images, import_results
from gems.evaluation.study import build_report, load_study, score_study, study_warnings
from gems.evaluation.variants import make_variants
from gems.models.image.prompt_card import CardImage

from .colours import WITH_EXPORT, Says
from .small_studies import compare

DATA = Path(__file__).parent / "benchmarks" / "data"
FOLDERS = {"artimuse": "geneval", "longtext-en": "longtext", "longtext-zh": "longtext"}
MEANS_NOTHING = "this is a rehearsal: card writes the prompt on a card, random answers at random. The figures mean nothing."


def lines(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def scored(name, place, samples):
    """Write what the official scorer of a benchmark would have written of an exported folder."""
    images = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.suffix in (".png", ".webp"))
    assert len(images) == len(samples)
    if name == "geneval":
        told = [{"filename": f"x/{i}", "prompt": s.prompt, "correct": True} for i, s in zip(images, samples, strict=True)]
        return lines(place / "results.jsonl", told)
    if name == "geneval2":
        (place / "scores.json").write_text(json.dumps([[0.5] * len(s.truth["vqa_list"]) for s in samples]))
        return place / "scores.json"
    if name == "dpg":
        (place / "x_results.txt").write_text("".join(f"{i}, 0.5, 0.5\n" for i in images))
        return place / "x_results.txt"
    if name.startswith("oneig"):
        path = place / f"diversity_prompt_score_{name[-2:].upper()}_2026.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["", "gems"], ["nobody_000", ""], *([s.id, 0.5] for s in samples)])
        return path
    if name.startswith("wise"):
        marks = {"score": 1, "consistency": 2, "realism": 1, "aesthetic_quality": 1}
        return lines(place / "scores_results.jsonl", [{"prompt_id": int(s.id), **marks} for s in samples])
    if name.startswith("longtext"):
        told = [{"image": i, "prompt": s.prompt, "ocr_results": s.truth["text"][0]} for i, s in zip(images, samples, strict=True)]
        return lines(place / "results.jsonl", told)
    if name == "spatialgeneval":
        return lines(place / "out.jsonl", [{"id": s.id, "true-or-false": [True] * 10} for s in samples])
    path = place / "results.json"
    if name == "crea":
        told = [{"prompt": s.prompt, "image_path": i, "scores": [3] * 6} for i, s in zip(images, samples, strict=True)]
        path.write_text(json.dumps(told))
    else:
        path.write_text(json.dumps(dict.fromkeys(images, 50)))
    return path


class Fails(CardImage):
    """Has no card for one prompt."""

    def __init__(self, prompt):
        self.prompt = prompt

    def generate(self, requests):
        if any(self.prompt in request.prompt for request in requests):
            raise ImageModelError("there is no card left")
        return super().generate(requests)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_benchmark_is_rehearsed_from_its_file_to_the_import(name, tmp_path):
    bench = find_benchmark(name)
    data = fetch(bench, DATA / FOLDERS.get(name, name), say=print) if name in WITH_EXPORT else None
    judge = judge_of("random") if "chat" in bench.judges else None  # the others: by perception, or by an official scorer only
    out = tmp_path / "study"
    study_result = compare(
        make_variants(["original"]),
        benchmark=name,
        data=data,
        out=out,
        limit=4,
        per_prompt=1,
        chat="random",
        image="card",
        judge=judge,
    )
    assert [r.error for r in study_result.records.values()] == [""] * 4
    assert any("card writes the prompt on a card" in warning for warning in study_warnings(study_result))
    if judge is not None:
        (result,) = study_result.results
        assert (result.judge, result.prompts, result.failed, result.unanswered) == ("random", 4, 0, 0)
        assert result.metrics[result.leading].mean >= 0
        assert MEANS_NOTHING in study_warnings(study_result)
    if name not in WITH_EXPORT:
        return
    ((place, _),) = export_images(out, tmp_path / "export").values()
    if name == "dsg":
        assert len(list(place.iterdir())) == 4
        with pytest.raises(GemsError, match="there is no official result file"):
            import_results(out, place)
        return
    assert import_results(out, scored(name, place, study_result.samples)) == 4
    official = load_study(out)
    assert all(math.isfinite(value.mean) for result in official.results for value in result.metrics.values())
    assert official.results != study_result.results


def test_a_partial_import_is_titled_by_what_it_holds(tmp_path):
    data, out = fetch(find_benchmark("wise"), DATA / "wise", say=print), tmp_path / "study"
    failing = Fails(next(s.prompt for s in find_benchmark("wise").read(data.files) if s.id == "2"))
    compare(make_variants(["original"]), benchmark="wise", data=data, out=out, chat="random", image=failing)
    assert build_report(load_study(out)).metrics[0].title == "WiScore"
    marks = {"consistency": 2, "realism": 1, "aesthetic_quality": 1}
    import_results(out, lines(tmp_path / "culture.jsonl", [{"prompt_id": id, **marks} for id in (1, 400)]))
    assert build_report(load_study(out)).metrics[0].title == "WiScore (culture only)"
    assert load_study(out).results[0].metrics["wiscore"].mean == pytest.approx(2 * 0.85 / 3)  # what failed counts 0
    import_results(out, lines(tmp_path / "space-time.jsonl", [{"prompt_id": id, **marks} for id in (701, 801, 901)]))
    title = "WiScore (culture, biology, physics, chemistry only)"
    assert build_report(load_study(out)).metrics[0].title == title
    score_study(out, judge_of("random"))  # of all prompts, in rows of its own
    report = build_report(load_study(out))
    assert report.metrics[0].title == "WiScore"
    assert f"official scorer: WiScore is {title}." in report.warnings


def test_a_run_that_failed_does_not_count_where_the_results_of_its_part_are_still_to_come(tmp_path):
    data, out = fetch(find_benchmark("wise"), DATA / "wise", say=print), tmp_path / "study"
    samples = find_benchmark("wise").read(data.files)
    failing = Fails(samples[0].prompt)  # of culture, where two were made
    compare(make_variants(["original"]), benchmark="wise", data=data, out=out, chat="random", image=failing)
    marks = {"consistency": 2, "realism": 2, "aesthetic_quality": 2}
    import_results(out, lines(tmp_path / "space-time.jsonl", [{"prompt_id": id, **marks} for id in (401, 568)]))
    assert build_report(load_study(out)).metrics[0].title == "WiScore (time, space only)"
    assert load_study(out).results[0].metrics["wiscore"].mean == pytest.approx(1)


def test_only_the_official_yes_counts_where_that_is_wanted_and_the_study_says_so(tmp_path):
    data, out = fetch(find_benchmark("dsg"), DATA / "dsg", say=print), tmp_path / "study"
    compare(make_variants(["original"]), benchmark="dsg", data=data, out=out, limit=2, chat="random", image="card")
    judge = ChatJudge(Says(says="Yes."), "mPLUG-large")
    for bench, share, said in (
        (find_benchmark("dsg"), 100, 0),
        (find_benchmark("dsg").exact(), 0, 1),
        (find_benchmark("dsg"), 100, 0),
    ):
        score_study(out, judge, benchmark=bench)
        study_result = load_study(out)
        assert study_result.results[0].metrics["score"].mean == share
        told = "mPLUG-large: an answer counts as yes only where it is `yes` and nothing else."
        assert study_warnings(study_result).count(told) == said
    with pytest.raises(GemsError, match="WISE has no questions for yes or no: leave --exact-yes out"):
        find_benchmark("wise").exact()


def test_the_command_says_what_it_was_and_the_loop_is_rehearsed_too(command, tmp_path):
    place = DATA / "wise-verified"
    code, out, _ = command("eval", "wise-verified", "--data", place, "--limit", 2, "--image", "card", "--judge", "random")
    assert code == 0
    assert MEANS_NOTHING in out
    assert "Judge: random." in out
    (table,) = tmp_path.glob("runs/eval/*/table.md")
    assert f"**Warning:** {MEANS_NOTHING}" in table.read_text()
    assert "chat default: random; image card" in table.read_text()
    records = [json.loads(line) for line in (table.parent / "samples.jsonl").read_text().splitlines()]
    assert [r["error"] for r in records] == [""] * 4
    assert {r["variant"] for r in records if r["calls"] > 2} == {"default"}
    code, _, err = command("eval", "score", table.parent, "--judge", "random", "--exact-yes")
    assert (code, "WISE_Verified has no questions for yes or no: leave --exact-yes out" in err) == (2, True)


@pytest.mark.parametrize("name", ["geneval", "artimuse"])
def test_where_only_an_official_scorer_judges_the_advice_is_to_export(command, name):
    asked = ("--presets", "original", "--images-per-prompt", 1, "--image", "card", "--out", "a study")
    code, out, _ = command("eval", name, "--data", DATA / "geneval", "--limit", 1, *asked)
    assert code == 0
    assert "nothing is judged yet. It is judged by its official scorer" in out
    assert "gems eval export 'a study', run that, then gems eval import 'a study' RESULTS" in out
    assert "gems eval score" not in out
