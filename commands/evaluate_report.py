"""What is shown of a study, and the files with its tables and plots."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from rich.markup import escape

from ..errors import PlotError
from ..evaluation.page import write_page
from ..evaluation.plots import plot_memory, plot_scores
from ..evaluation.results import to_json
from ..evaluation.runner import StudyPlan
from ..evaluation.study import StudyResult, imports_of, report_of
from ..evaluation.tables import StudyReport, costs, judge_title, leading_metric, markdown, new_table, parts, table, to_csv
from ..storage.files import replace_file
from .evaluate_options import console, note


def show(outcome: StudyResult, *, paper: bool = False, json_file: Path | None = None) -> None:
    """Print the tables of a study and write its files.

    Args:
        outcome: the study.
        paper: add the paper's published rows.
        json_file: where the results are written as JSON too.
    """
    report = report_of(outcome, paper=paper)
    screen = console()
    if report.results:
        screen.print(table(report))
        screen.print(costs(report))
        for one in parts(report):
            screen.print(one)
    else:
        screen.print(f"{report.title}: nothing is judged yet. {escape(_advice(outcome))}", highlight=False, soft_wrap=True)
    for warning in report.warnings:
        screen.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    if outcome.found:
        screen.print(f"{outcome.found} images were found in the records and not made again.", highlight=False)
    write(outcome, report)
    screen.print(f"records, tables, plots and gallery.html: {escape(str(outcome.folder))}", highlight=False, soft_wrap=True)
    if json_file is not None:
        replace_file(json_file, as_json(to_json(report.results)))


def _advice(outcome: StudyResult) -> str:
    """Say how images that nobody has judged come to a score."""
    folder = shlex.quote(str(outcome.folder))
    if outcome.benchmark.judges:
        return f"Score it: gems eval score {folder} --judge ..."
    official = f"It is judged by its official scorer ({outcome.benchmark.official_judge}) only"
    return f"{official}: gems eval export {folder}, run that, then gems eval import {folder} RESULTS"


def show_costs(planned: StudyPlan, checks: int) -> None:
    """Print what a study may take, if every first image is accepted and at worst; nothing is asked, drawn or written.

    Args:
        planned: the study.
        checks: how many each prompt is split into.
    """
    from ..graph.costs import estimate, image_cost

    cells = len(planned.cells)
    asked = sum(question.rollouts for sample in planned.samples for question in planned.benchmark.questions(sample))
    made = new_table(
        f"{planned.benchmark.title}: {len(planned.samples)} prompts, {cells} images of each variant, {checks} checks each"
    )
    made.add_column("", overflow="fold")
    for heading in ("runs", "images", "chat calls", "money for images"):
        made.add_column(heading, justify="right")
    for variant in planned.variants:
        cost = estimate(variant.context, checks)
        money = image_cost(cost, planned.models.options)
        ranges = [f"{cells * low:,} to {cells * high:,}" for low, high in (cost.images, cost.total)]
        price = "" if money is None else f"{cells * money[0]:.4g} to {cells * money[1]:.4g}"
        made.add_row(escape(variant.name), f"{cells:,}", *ranges, price)
    console().print(made)
    each = asked * (cells // max(len(planned.samples), 1)) * len(planned.variants)
    console().print(f"The judge answers {each:,} questions. Nothing was asked, drawn or written.", highlight=False)


def write(outcome: StudyResult, report: StudyReport) -> None:
    """Write a study's tables, results, plots and page into its folder."""
    folder, results = outcome.folder, report.results
    if not results:
        return
    replace_file(folder / "table.md", markdown(report).encode())
    replace_file(folder / "table.csv", to_csv(report).encode())
    told = {"study": outcome.study.model_dump(), "warnings": list(report.warnings), **to_json(results)}
    told["imported"] = imports_of(outcome)
    told["published"] = [one._asdict() for one in report.published]
    replace_file(folder / "result.json", as_json(told))
    shown = [r for r in results if r.judge == results[0].judge]
    judges = dict.fromkeys(judge_title(r.judge, report.official_judge) for r in results if r.judge)
    judge = f", judged by {' and by '.join(judges)}" if judges else ""
    title = f"{report.title}{judge}, 95 % bootstrap intervals over prompts"
    try:
        plot_scores(results, leading_metric(report), folder / "plot.png", title)
        plot_memory(shown, folder / "memory.png", f"{report.title}: the refiner's input by round")
    except PlotError as error:
        note(error)
    write_page(outcome, report)


def as_json(told: object) -> bytes:
    """Write JSON as people and programs read it."""
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()
