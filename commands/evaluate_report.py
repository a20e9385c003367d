"""Show a study, and write the files with its tables and plots."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rich.markup import escape

from ..errors import PlotError
from ..evaluation.plots import plot_scores
from ..evaluation.runner import StudyPlan
from ..evaluation.study import StudyResult, build_report, imports_to_json
from ..evaluation.study_page import write_study_page
from ..evaluation.study_tables import (
    StudyReport,
    costs_table,
    judge_title,
    leading_metric,
    new_table,
    part_tables,
    scores_table,
    to_csv,
    to_markdown,
)
from ..evaluation.variant_results import results_to_json
from ..storage.files import replace_file
from .evaluate_options import print_note, table_console


def show_study(result: StudyResult, *, paper: bool = False, json_file: Path | None = None) -> None:
    """Print the tables of a study and write its files.

    Args:
        result: the study.
        paper: add the paper's published rows.
        json_file: where the results are written as JSON too.
    """
    report = build_report(result, paper=paper)
    screen = table_console()
    if report.results:
        screen.print(scores_table(report))
        screen.print(costs_table(report))
        for one in part_tables(report):
            screen.print(one)
    else:
        screen.print(f"{report.title}: nothing is judged yet. {escape(_scoring_advice(result))}", highlight=False, soft_wrap=True)
    for warning in report.warnings:
        screen.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    if result.reused:
        screen.print(f"{result.reused} recorded images were reused.", highlight=False)
    write_study_files(result, report)
    screen.print(f"records, tables, plots and gallery.html: {escape(str(result.folder))}", highlight=False, soft_wrap=True)
    if json_file is not None:
        replace_file(json_file, json_bytes(results_to_json(report.results)))


def _scoring_advice(result: StudyResult) -> str:
    """Return how to score images that are not judged yet."""
    folder = shlex.quote(str(result.folder))
    if result.benchmark.judges:
        return f"Score it: gems eval score {folder} --judge ..."
    official = f"It is judged by its official scorer ({result.benchmark.official_judge}) only"
    return f"{official}: gems eval export {folder}, run that, then gems eval import {folder} RESULTS"


def show_estimate(planned: StudyPlan, checks: int) -> None:
    """Print the least and the most that a study may cost, without running it.

    Args:
        planned: the study.
        checks: how many each prompt is split into.
    """
    from ..graph.costs import estimate, image_cost

    items = len(planned.items)
    questions = sum(question.rollouts for sample in planned.samples for question in planned.benchmark.questions(sample))
    table = new_table(
        f"{planned.benchmark.title}: {len(planned.samples)} prompts, {items} images of each variant, {checks} checks each"
    )
    table.add_column("", overflow="fold")
    for heading in ("runs", "images", "chat calls", "money for images"):
        table.add_column(heading, justify="right")
    for variant in planned.variants:
        cost = estimate(variant.context, checks)
        money = image_cost(cost, planned.models.options)
        ranges = [f"{items * low:,} to {items * high:,}" for low, high in (cost.images, cost.total)]
        price = "" if money is None else f"{items * money[0]:.4g} to {items * money[1]:.4g}"
        table.add_row(escape(variant.name), f"{items:,}", *ranges, price)
    table_console().print(table)
    each = questions * (items // max(len(planned.samples), 1)) * len(planned.variants)
    table_console().print(f"The judge answers {each:,} questions. Nothing was called or written.", highlight=False)


def write_study_files(result: StudyResult, report: StudyReport) -> None:
    """Write a study's tables, results, plots and page into its folder."""
    folder, results = result.folder, report.results
    if not results:
        return
    replace_file(folder / "table.md", to_markdown(report).encode())
    replace_file(folder / "table.csv", to_csv(report).encode())
    data = {"study": result.study.model_dump(), "warnings": list(report.warnings), **results_to_json(results)}
    data["imported"] = imports_to_json(result)
    data["published"] = [figure._asdict() for figure in report.published]
    replace_file(folder / "result.json", json_bytes(data))
    judges = dict.fromkeys(judge_title(r.judge, report.official_judge) for r in results if r.judge)
    judge = f", judged by {' and by '.join(judges)}" if judges else ""
    title = f"{report.title}{judge}, 95 % bootstrap intervals over prompts"
    try:
        plot_scores(results, leading_metric(report), folder / "plot.png", title)
    except PlotError as error:
        print_note(error)
    write_study_page(result, report)


def json_bytes(data: object) -> bytes:
    """Encode JSON with indentation."""
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
