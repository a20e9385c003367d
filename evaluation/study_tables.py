"""The tables of a study: for the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from .benchmarks.base import Metric
from .bootstrap import LEVEL, Estimate
from .image_scores import OFFICIAL
from .published_scores import PublishedFigure
from .variant_results import BOTH, MEASURED, VariantResult, cost_estimates

COST_COLUMNS = (("images", "images", 2), ("chat calls", "calls", 2), ("rounds", "rounds", 2), ("tokens", "tokens", 0),
         ("seconds", "seconds", 2), ("cost", "cost", 4), ("accepted, %", "accepted", 0))  # fmt: skip
"""Heading, field and digits."""

COUNT_COLUMNS = (("n", "prompts"), ("failed", "failed"))

SOURCE_SIGNS = {MEASURED: "", OFFICIAL: " †", BOTH: " ‡"}
"""Marks behind a value in a judge's row: imported, or computed from imported scores and the judge's own."""

SECONDS_NOTE = " Seconds are of a run from beginning to end; an image that exists already, also from another variant, takes none."


class StudyReport(NamedTuple):
    """The content of a study's tables."""

    title: str
    metrics: Sequence[Metric]
    results: Sequence[VariantResult]
    """By judge, and then by variant."""
    per_prompt: int = 1
    """Images of each prompt."""
    warnings: Sequence[str] = ()
    """Why the figures cannot be compared with others, a sentence each."""
    facts: Sequence[str] = ()
    published: Sequence[PublishedFigure] = ()
    official_judge: str = ""
    """The model that the official scorer asks."""


class TableCell(NamedTuple):
    """A value, and its interval to be shown below it."""

    value: str
    interval: str = ""


def scores_table(report: StudyReport) -> Table:
    """Return the table of scores, a row a variant, with intervals below the means."""
    headings, rows = main_table(report)
    keep = len(headings) - len(_cost_columns(report))
    return _fill_table(new_table(report.title, caption(report)), headings[:keep], [row[:keep] for row in rows])


def costs_table(report: StudyReport) -> Table:
    """Return the table of costs, a row a variant, with intervals below the means."""
    headings, rows = main_table(report)
    judges = "judge" in headings
    drop = len(headings) - len(_cost_columns(report))
    names = [0, 1] if judges else [0]
    chosen = [*names, *range(drop, len(headings))]
    picked = [[row[i] for i in chosen] for row in rows]
    return _fill_table(new_table("Costs of a run", SECONDS_NOTE.strip()), [headings[i] for i in chosen], picked)


def _fill_table(table: Table, headings: Sequence[str], rows: Sequence[Sequence[TableCell]]) -> Table:
    table.add_column("", overflow="fold", min_width=min(24, max((len(row[0].value) for row in rows), default=0)))
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=heading != "judge")
    for name, *cells in rows:
        table.add_row(
            escape(name.value), *("\n".join(filter(None, (escape(c.value), c.interval and f"[dim]{c.interval}[/]"))) for c in cells)
        )
    return table


def _cost_columns(report: StudyReport) -> list[tuple[str, str, int]]:
    return [cost for cost in COST_COLUMNS if any(getattr(r, cost[1]) is not None for r in report.results)]


def part_tables(report: StudyReport) -> list[Table]:
    """Return the tables of parts, such as AM by skill, a row a variant, and the published figures of the report."""
    tables = []
    for heading, headings, rows in _part_rows(report):
        table = new_table(heading)
        table.add_column("", overflow="fold")
        for name in headings:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, row))
        tables.append(table)
    return tables


def new_table(title: str, below: str | None = None) -> Table:
    """Return an empty table in the style of studies."""
    style: dict[str, Any] = {
        "box": SIMPLE_HEAD,
        "pad_edge": False,
        "collapse_padding": True,
        "title_justify": "left",
        "caption_justify": "left",
    }
    return Table(title=title, caption=below, **style)


def to_markdown(report: StudyReport) -> str:
    """Return all tables as Markdown, with the warnings and facts of the study."""
    headings, rows = main_table(report)
    cells = [[f"{c.value} ({c.interval})" if c.interval else c.value for c in row] for row in rows]
    blocks = [
        f"{report.title}.",
        *(f"**Warning:** {warning}" for warning in report.warnings),
        caption(report) + SECONDS_NOTE,
        *report.facts,
    ]
    blocks.append(_markdown_table(headings, cells))
    blocks += [f"{heading}:\n\n{_markdown_table(['', *names], more)}" for heading, names, more in _part_rows(report)]
    return "\n\n".join(blocks) + "\n"


def to_csv(report: StudyReport) -> str:
    """Return all figures as CSV, a row each: variant, judge, metric, value, low, high, n, source.

    Numbers have the names that they have in the JSON.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", "judge", "metric", "value", "low", "high", "n", "source"])

    def row(result: VariantResult, metric: str, value: Estimate | None, source: str = MEASURED) -> None:
        if value is not None:
            bounds = ["" if bound is None else bound for bound in (value.low, value.high)]
            writer.writerow([result.name, result.judge, metric, value.mean, *bounds, result.prompts, source])

    for result in report.results:
        for metric in report.metrics:
            row(result, metric.name, result.metrics.get(metric.name), result.sources.get(metric.name, MEASURED))
        if result.gain is not None:
            source = result.sources.get(result.leading, MEASURED)
            row(result, f"{result.leading} minus {result.against}", result.gain, source)
        for name, value in cost_estimates(result).items():
            row(result, name, value)
        for name in ("pictures", "failed", "missing", "unanswered"):
            writer.writerow([result.name, result.judge, name, getattr(result, name), "", "", result.prompts, MEASURED])
    for published in report.published:
        writer.writerow(
            [_method_name(published.model, published.method), "", published.metric, published.value, "", "", "", published.source]
        )
    return out.getvalue()


def main_table(report: StudyReport) -> tuple[list[str], list[list[TableCell]]]:
    """Return the headings and rows of the main table; empty columns are left out."""
    results = report.results
    metrics = [m for m in report.metrics if not m.part and any(m.name in r.metrics for r in results)]
    judges = len({r.judge for r in results}) > 1
    compared = {r.leading for r in results if r.gain is not None}
    costs = _cost_columns(report)
    headings = ["", *(["judge"] if judges else [])]
    for metric in metrics:
        headings += [metric.title, *([f"Δ {metric.title}"] if metric.name in compared else [])]
    headings += [*(heading for heading, _ in COUNT_COLUMNS), *(heading for heading, _, _ in costs)]
    rows = []
    for result in results:
        row = [TableCell(result.name), *([TableCell(judge_title(result.judge, report.official_judge))] if judges else [])]
        for metric in metrics:
            row.append(_metric_cell(result, metric))
            if metric.name in compared:
                row.append(estimate_cell(result.gain if metric.name == result.leading else None, metric.digits, sign="+"))
        row += [TableCell(str(getattr(result, field))) for _, field in COUNT_COLUMNS]
        rows.append(row + [estimate_cell(getattr(result, field), digits) for _, field, digits in costs])
    return headings, rows


def _metric_cell(result: VariantResult, metric: Metric) -> TableCell:
    """Format a metric of a variant, with a mark if it is not, or not only, from the row's judge."""
    cell = estimate_cell(result.metrics.get(metric.name), metric.digits)
    sign = "" if result.judge == OFFICIAL else SOURCE_SIGNS[result.sources.get(metric.name, MEASURED)]
    return cell._replace(value=cell.value + sign)


def judge_title(judge: str, official_judge: str) -> str:
    """Return a judge's display name; for the official scorer with the model that it asks."""
    return f"{judge} ({official_judge})" if judge == OFFICIAL and official_judge else judge


def leading_metric(report: StudyReport) -> Metric:
    """Return the metric by which variants are compared: that of the first judge."""
    names = [result.leading for result in report.results]
    return next((m for m in report.metrics if m.name in names[:1]), report.metrics[0])


def published_table(report: StudyReport) -> tuple[str, list[str], list[list[str]]] | None:
    """Return the heading, columns and rows of the published figures; None without any."""
    figures: dict[tuple[str, str], dict[str, float]] = {}
    for figure in report.published:
        figures.setdefault((figure.model, figure.method), {})[figure.metric] = figure.value
    metrics = [m for m in report.metrics if any(m.name in values for values in figures.values())]
    if not metrics:
        return None
    sources = ", ".join(dict.fromkeys(figure.source for figure in report.published))
    rows = [
        [_method_name(*who), *(f"{values[m.name]:.{m.digits}f}" if m.name in values else "-" for m in metrics)]
        for who, values in figures.items()
    ]
    return f"Published, {sources}, with the models, judges and settings of its authors", [m.title for m in metrics], rows


def _method_name(model: str, method: str) -> str:
    return ", ".join(filter(None, (model, method)))


def _part_rows(report: StudyReport) -> list[tuple[str, list[str], list[list[str]]]]:
    tables = []
    judges = len({r.judge for r in report.results}) > 1
    for part in dict.fromkeys(m.part for m in report.metrics if m.part):
        metrics = [m for m in report.metrics if m.part == part and any(m.name in r.metrics for r in report.results)]
        rows = [
            [
                f"{r.name}, {judge_title(r.judge, report.official_judge)}" if judges else r.name,
                *(_metric_cell(r, m).value for m in metrics),
            ]
            for r in report.results
        ]
        if metrics:
            tables.append((part, [m.title for m in metrics], rows))
    return [*tables, *filter(None, [published_table(report)])]


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def caption(report: StudyReport) -> str:
    """Return the caption of the main table: means, intervals and judges."""
    results = report.results
    compared = next((r.against for r in results if r.gain is not None), None)
    gain = f" Δ is the paired difference to {compared}." if compared else ""
    runs = f" Costs are of one run; each prompt has {report.per_prompt}, for an image each." if report.per_prompt > 1 else ""
    judges = sorted({r.judge for r in results})
    judged = f" Judge: {judge_title(judges[0], report.official_judge)}." if len(judges) == 1 and judges[0] else ""
    if len(judges) > 1 and gain:
        gain = f" Δ is the paired difference to {compared} by the same judge: two judges are two scales."
    sources = {source for r in results if r.judge != OFFICIAL for source in r.sources.values()}
    official = judge_title(OFFICIAL, report.official_judge)
    judged += f" † By the {official}, imported." if OFFICIAL in sources else ""
    judged += f" ‡ From the judge's numbers and those of the {official} together." if BOTH in sources else ""
    if any(r.prompts > 1 for r in results):
        return f"Means with {LEVEL} % bootstrap intervals over the prompts.{judged}{gain}{runs}"
    return f"Means, without intervals: there is one prompt only.{judged}{gain}{runs}"


def estimate_cell(value: Estimate | None, digits: int, sign: str = "") -> TableCell:
    """Format an estimate as a table cell."""
    if value is None:
        return TableCell("-")

    def number(of: float) -> str:
        return f"{of + 0.0:{sign}.{digits}f}"

    if value.low is None or value.high is None:
        return TableCell(number(value.mean))
    return TableCell(number(value.mean), f"{number(value.low)}{' to ' if sign else '–'}{number(value.high)}")
