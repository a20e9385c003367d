"""The tables: for the terminal, as Markdown, as CSV and as JSON, all of the same numbers."""

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from gems.evaluation.benchmarks.base import Sample
from gems.evaluation.benchmarks.geneval2 import GenEval2
from gems.evaluation.image_scores import ImageScore
from gems.evaluation.judges.chat import ChatJudge
from gems.evaluation.published_scores import PublishedFigure, published_figures
from gems.evaluation.study import build_report, load_study, score_study
from gems.evaluation.study_tables import StudyReport, costs_table, part_tables, scores_table, to_csv, to_markdown
from gems.evaluation.variant_results import results_to_json, summarize_variants
from gems.evaluation.variants import make_variants

from .colours import Breaking, Colours, Says, record
from .small_studies import compare


def shown(report, width=160):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(scores_table(report))
    console.print(costs_table(report))
    for one in part_tables(report):
        console.print(one)
    return console.export_text()


def rows_of_csv(report):
    return list(csv.DictReader(io.StringIO(to_csv(report))))


def test_all_say_the_same(tmp_path, make_sketcher):
    report = build_report(compare(make_variants(["original", "default"]), limit=8, runs=tmp_path, image=make_sketcher(0.6)))
    seen, text = shown(report), to_markdown(report)
    told = json.loads(json.dumps(results_to_json(report.results)))["judges"]["shapes-perception"]
    numbers = {(r["variant"], r["metric"]): r for r in rows_of_csv(report)}
    assert list(told) == ["original", "default"]
    assert told["original"]["prompts"] == 8
    for name, values in told.items():
        low, high = values["intervals"]["gm"]
        assert low <= values["gm"] <= high
        assert f"{values['gm']:.1f} ({low:.1f}–{high:.1f})" in text
        for said in (f"{values['gm']:.1f}", f"{low:.1f}–{high:.1f}", f"{values['images_per_run']:.2f}"):
            assert said in seen
            assert said in text
        for metric, (lowest, highest) in ((m, i) for m, i in values["intervals"].items() if i):
            row = numbers.pop((name, metric))
            assert [float(row[k]) for k in ("value", "low", "high")] == pytest.approx([values[metric], lowest, highest])
            assert (row["judge"], row["n"], row["source"]) == ("shapes-perception", "8", "measured")
        for count in ("pictures", "failed", "missing", "unanswered"):
            assert float(numbers.pop((name, count))["value"]) == values[count]
    difference = told["default"]["difference"]
    assert difference["against"] == "original"
    assert f"{difference['mean']:+.1f}" in seen
    assert f"{difference['mean']:+.1f}" in text
    row = numbers.pop(("default", "gm minus original"))
    assert [float(row[k]) for k in ("value", "low", "high")] == pytest.approx([difference["mean"], *difference["interval"]])
    assert numbers == {}


def test_parts_stand_in_tables_of_their_own(tmp_path, make_sketcher):
    report = build_report(compare(make_variants(["original"]), limit=8, runs=tmp_path, image=make_sketcher(0.6)))
    text, seen = to_markdown(report), shown(report)
    for heading in ("AM by skill", "GM by atomicity"):
        assert heading in seen
        assert f"{heading}:\n\n" in text
    (result,) = report.results
    line = next(line for line in text.split("GM by atomicity")[1].splitlines() if line.startswith("| original"))
    assert line.count("|") - 2 == 8
    assert f" {result.metrics['atomicity 3'].mean:.1f} |" in line


def test_one_prompt_has_no_interval(tmp_path, sketcher):
    report = build_report(compare(make_variants(["original"]), limit=1, runs=tmp_path, image=sketcher))
    assert report.results[0].metrics["gm"].low is None
    assert "without intervals" in to_markdown(report)
    assert {(r["low"], r["high"]) for r in rows_of_csv(report)} == {("", "")}


def test_failures_have_a_column_and_costs_without_prices_have_none(tmp_path):
    report = build_report(compare(make_variants(["original"]), benchmark=Colours(4), runs=tmp_path, image=Breaking("blue")))
    heads, line = (
        [cell.strip() for cell in next(li for li in to_markdown(report).splitlines() if li.startswith(start)).split("|")][1:-1]
        for start in ("|  |", "| original")
    )
    said = dict(zip(heads, line, strict=True))
    assert (said["n"], said["failed"]) == ("4", "1")
    assert said["Share right"].startswith("75.0 (")
    assert "cost" not in said
    assert "Δ Share right" not in said


def test_two_judges_stand_below_each_other(tmp_path, sketcher):
    bench = Colours(3)
    study_result = compare(make_variants(["original"]), benchmark=bench, runs=tmp_path, image=sketcher)
    score_study(study_result.folder, ChatJudge(Says(says="no"), "Eyes-8B"), benchmark=bench)
    report = build_report(load_study(study_result.folder, benchmark=bench))
    text = to_markdown(report)
    assert "| original | Eyes-8B | 0.0 " in text
    assert "| original | shapes-perception | " in text
    assert "| original, Eyes-8B |" in text  # in the tables of parts
    assert "Judge:" not in text


def test_published_rows_are_marked_with_their_source():
    bench = GenEval2()
    samples = [Sample(id="c00", prompt="a cat", group="03", truth={"skills": ["object"]})]
    scores = {("original", "c00", 0): ImageScore({"gm": 0.5, "am": 0.5})}
    results = summarize_variants(
        bench, make_variants(["original"]), samples, {("original", "c00", 0): record()}, scores, "original"
    )
    metrics = bench.metrics(samples)
    report = StudyReport("GenEval2", metrics, results, published=published_figures("geneval2"))
    text = to_markdown(report)
    assert "| original | 50.0 |" in text
    measured, _, told = text.partition(
        "Published, arXiv 2603.28088v1, Table 1, with the models, judges and settings of its authors:"
    )
    assert "Z-Image-Turbo" not in measured
    assert "| Z-Image-Turbo, GEMS | 63.5 |" in told
    assert "| Nano Banana | 44.6 |" in told
    assert "GPT-Image 1" not in text  # the paper has no figure of it
    rows = [r for r in rows_of_csv(report) if r["source"] != "measured"]
    (gems,) = (r for r in rows if r["variant"] == "Z-Image-Turbo, GEMS")
    assert [gems[k] for k in ("metric", "value", "low", "high", "n")] == ["gm", "63.5", "", "", ""]
    assert gems["source"] == "arXiv 2603.28088v1, Table 1"
    assert len(rows) == len(published_figures("geneval2"))
    assert "63.5" in shown(report)


def test_hostile_names_stay_in_their_cells(tmp_path, sketcher):
    made = [replace(v, name="a|b [red]c[/red]") for v in make_variants(["original"])]
    report = build_report(compare(made, benchmark=Colours(2), runs=tmp_path, image=sketcher))
    report = report._replace(published=[PublishedFigure("colours", "share", "M|1", "x", 50.0, "a book")])
    text = to_markdown(report)
    assert "| a\\|b [red]c[/red] |" in text
    assert "| M\\|1, x | 50" in text
    assert "a|b [red]c[/red]" in shown(report)
    assert rows_of_csv(report)[0]["variant"] == "a|b [red]c[/red]"


def test_the_difference_is_of_the_metric_that_has_values(tmp_path):
    from gems.evaluation.benchmarks.base import Metric

    bench = GenEval2()
    samples = [Sample(id=f"c{n}", prompt="a cat", group="03", truth={"skills": ["object"]}) for n in range(2)]
    made = {(v, s.id, 0): record(variant=v, id=s.id) for v in ("original", "default") for s in samples}
    scores = {key: ImageScore({"am": 0.5 if key[0] == "original" else 0.75}) for key in made}  # no GM, as before an import

    class OnlyAm(GenEval2):
        def metrics(self, samples):
            return [
                Metric("overall", "Overall", lambda d: d.mean("overall")),
                *(m for m in bench.metrics(samples) if m.name == "am"),
            ]

    results = summarize_variants(OnlyAm(), make_variants(["original", "default"]), samples, made, scores, "original")
    report = StudyReport("x", OnlyAm().metrics(samples), results)
    text = to_markdown(report)
    assert "|  | Soft-TIFA AM | Δ Soft-TIFA AM |" in text
    assert "+25.0" in text
    assert [row["value"] for row in rows_of_csv(report) if row["metric"] == "am minus original"] == ["25.0"]
