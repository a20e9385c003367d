"""The tables of a study: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from .bootstrap import LEVEL, Estimate
from .results import VariantResult

COLUMNS = (("GM", "gm", 1), ("AM", "am", 1), ("images", "images", 2), ("chat calls", "calls", 2), ("rounds", "rounds", 2),
           ("tokens", "tokens", 0), ("seconds", "seconds", 2), ("accepted, %", "accepted", 0))  # fmt: skip
"""Heading, field and digits."""


SECONDS = " Seconds are of a run from begin to end; a picture that was drawn before, by another variant too, took it none."


def title(results: Sequence[VariantResult]) -> str:
    """Return what the tables show, in a line."""
    return f"Shapes benchmark, {results[0].scores.prompts} prompts: Soft-TIFA, judged with the perception the verifier uses"


def table(results: Sequence[VariantResult]) -> Table:
    """Return scores and costs, a row a variant, with the intervals below the means."""
    made = new_table(title(results), _caption(results))
    made.add_column("", overflow="fold")
    for heading in _headings(results):
        made.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        cells = ["\n".join(filter(None, (mean, interval and f"[dim]{interval}[/]"))) for mean, interval in _cells(result, results)]
        made.add_row(escape(result.name), *cells)
    return made


def breakdown(results: Sequence[VariantResult]) -> Table:
    """Return AM by skill and GM by atomicity, a row a variant."""
    made = new_table("AM by skill, GM by atomicity")
    made.add_column("", overflow="fold")
    headings, rows = _breakdown(results)
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    for result, row in zip(results, rows, strict=True):
        made.add_row(escape(result.name), *row)
    return made


def new_table(title: str, caption: str | None = None) -> Table:
    """Return an empty table in the studies' style."""
    style: dict[str, Any] = {
        "box": SIMPLE_HEAD,
        "pad_edge": False,
        "collapse_padding": True,
        "title_justify": "left",
        "caption_justify": "left",
    }
    return Table(title=title, caption=caption, **style)


def markdown(results: Sequence[VariantResult], facts: Sequence[str] = ()) -> str:
    """Return both tables as Markdown, with what else is to be said of the study."""
    rows = [
        [result.name, *(f"{mean} ({interval})" if interval else mean for mean, interval in _cells(result, results))]
        for result in results
    ]
    headings, parts = _breakdown(results)
    more = [[result.name, *row] for result, row in zip(results, parts, strict=True)]
    lines = [title(results) + ".", _caption(results), *facts]
    return "\n\n".join([*lines, _pipes(["", *_headings(results)], rows), _pipes(["", *headings], more)]) + "\n"


def _pipes(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _caption(results: Sequence[VariantResult]) -> str:
    compared = next((r.against for r in results if r.against), None)
    gain = f" ΔGM is the paired difference to {compared}." if compared else ""
    if results[0].gm.low is None:
        return "Means, without intervals: there is one prompt only." + gain + SECONDS
    return f"Means per prompt with {LEVEL} % bootstrap intervals over the prompts." + gain + SECONDS


def _headings(results: Sequence[VariantResult]) -> list[str]:
    headings = [heading for heading, _, _ in COLUMNS]
    return [headings[0], "ΔGM", *headings[1:]] if len(results) > 1 else headings


def _cells(result: VariantResult, results: Sequence[VariantResult]) -> list[tuple[str, str]]:
    cells = [_cell(getattr(result, field), digits) for _, field, digits in COLUMNS]
    gain = ("-", "") if result.gain is None else _cell(result.gain, 1, sign="+")
    return [cells[0], gain, *cells[1:]] if len(results) > 1 else cells


def _cell(value: Estimate, digits: int, sign: str = "") -> tuple[str, str]:
    def say(number: float) -> str:
        return f"{number + 0.0:{sign}.{digits}f}"

    if value.low is None or value.high is None:
        return say(value.mean), ""
    return say(value.mean), f"{say(value.low)}{' to ' if sign else '–'}{say(value.high)}"


def _breakdown(results: Sequence[VariantResult]) -> tuple[list[str], list[list[str]]]:
    skills = sorted({skill for r in results for skill in r.scores.by_skill})
    atoms = sorted({n for r in results for n in r.scores.by_atomicity})

    def say(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    rows = [
        [*(say(r.scores.by_skill.get(s)) for s in skills), *(say(r.scores.by_atomicity.get(n)) for n in atoms)] for r in results
    ]
    return [*skills, *map(str, atoms)], rows
