"""Figures published in the GEMS paper, for comparison: Tables 1 and 2 of arXiv 2603.28088v1.

A column of the paper is a metric of a benchmark here, on the same scale. WISE_Verified has no figures: the paper's are of the
first release, which another judge marks on another scale.
"""

from __future__ import annotations

from typing import NamedTuple

PAPER = "arXiv 2603.28088v1"
MAINSTREAM = "Table 1"
DOWNSTREAM = "Table 2"


class PublishedFigure(NamedTuple):
    """A figure of the paper."""

    benchmark: str
    metric: str
    """Name of the metric in the benchmark here."""
    model: str
    method: str
    """Empty where the paper names a model alone."""
    value: float
    """On the scale of the metric here."""
    source: str
    """`arXiv 2603.28088v1, Table 1`."""


class PublishedRow(NamedTuple):
    """A row of a table of the paper; None for a missing figure."""

    model: str
    method: str
    values: tuple[float | None, ...]
    average: float | None


PAPER_COLUMNS = {
    MAINSTREAM: (
        ("geneval", "overall"),
        ("geneval2", "gm"),
        ("dpg", "score"),
        ("oneig-en", "overall"),
        ("oneig-zh", "overall"),
        ("wise", "wiscore"),
    ),
    DOWNSTREAM: (
        ("longtext-en", "score"),
        ("longtext-zh", "score"),
        ("spatialgeneval", "accuracy"),
        ("crea", "total"),
        ("artimuse", "score"),
    ),
}
"""The columns of each table: a benchmark and its metric."""

PAPER_ROWS = {
    MAINSTREAM: (
        PublishedRow("Nano Banana", "", (0.75, 44.6, 85.23, 0.550, 0.405, None), None),
        PublishedRow("GPT-Image 1", "", (0.84, None, 85.15, 0.533, 0.474, 0.80), None),
        PublishedRow("Seedream 4", "", (0.84, None, 88.25, 0.576, 0.553, 0.78), None),
        PublishedRow("Bagel", "", (0.82, 23.1, 85.10, 0.361, 0.370, 0.70), 59.35),
        PublishedRow("Z-Image", "", (0.84, None, 88.14, 0.546, 0.535, None), None),
        PublishedRow("Qwen-Image", "", (0.87, 33.8, 88.32, 0.539, 0.548, 0.62), 65.09),
        PublishedRow("Z-Image-Turbo", "Original", (0.77, 31.0, 85.08, 0.526, 0.501, 0.57), 60.29),
        PublishedRow("Z-Image-Turbo", "Rewrite", (0.77, 39.7, 84.48, 0.520, 0.469, 0.84), 66.93),
        PublishedRow("Z-Image-Turbo", "Promptist", (0.76, 32.3, 65.69, 0.333, 0.327, 0.54), 52.20),
        PublishedRow("Z-Image-Turbo", "Search", (0.81, 43.5, 85.47, 0.530, 0.506, 0.61), 64.55),
        PublishedRow("Z-Image-Turbo", "Maestro", (0.82, 44.6, 85.29, 0.548, 0.519, 0.85), 70.05),
        PublishedRow("Z-Image-Turbo", "CRAFT", (0.80, 62.4, 85.29, 0.582, 0.542, 0.78), 72.38),
        PublishedRow("Z-Image-Turbo", "GEMS", (0.86, 63.5, 86.01, 0.569, 0.552, 0.81), 74.51),
        PublishedRow("Qwen-Image-2512", "Original", (0.66, 29.0, 84.69, 0.487, 0.489, 0.59), 57.50),
        PublishedRow("Qwen-Image-2512", "Rewrite", (0.68, 39.8, 83.49, 0.465, 0.435, 0.81), 63.46),
        PublishedRow("Qwen-Image-2512", "Promptist", (0.66, 27.4, 64.02, 0.288, 0.307, 0.57), 48.83),
        PublishedRow("Qwen-Image-2512", "Search", (0.74, 42.1, 86.17, 0.502, 0.497, 0.67), 63.84),
        PublishedRow("Qwen-Image-2512", "Maestro", (0.76, 48.0, 84.07, 0.494, 0.489, 0.84), 68.24),
        PublishedRow("Qwen-Image-2512", "CRAFT", (0.79, 66.3, 85.87, 0.533, 0.518, 0.79), 72.54),
        PublishedRow("Qwen-Image-2512", "GEMS", (0.79, 70.4, 85.59, 0.542, 0.532, 0.80), 73.74),
    ),
    DOWNSTREAM: (
        PublishedRow("Nano Banana", "", (None, None, 61.7, None, None), None),
        PublishedRow("GPT-Image 1", "", (0.956, 0.619, 60.5, None, None), None),
        PublishedRow("Seedream 4", "", (None, None, 62.7, None, None), None),
        PublishedRow("Bagel", "", (0.373, 0.310, 57.0, None, None), None),
        PublishedRow("Z-Image", "", (0.935, 0.936, None, None, None), None),
        PublishedRow("Qwen-Image", "", (0.943, 0.946, 60.6, None, None), None),
        PublishedRow("Z-Image-Turbo", "Original", (0.912, 0.932, 58.7, 11.84, 43.27), 58.41),
        PublishedRow("Z-Image-Turbo", "Rewrite", (0.571, 0.495, 59.6, 16.75, 57.86), 56.65),
        PublishedRow("Z-Image-Turbo", "Promptist", (0.034, 0.070, 48.3, 14.00, 43.74), 35.98),
        PublishedRow("Z-Image-Turbo", "Search", (0.918, 0.937, 59.3, 12.98, 44.21), 59.88),
        PublishedRow("Z-Image-Turbo", "Maestro", (0.877, 0.807, 60.3, 15.81, 56.86), 63.52),
        PublishedRow("Z-Image-Turbo", "CRAFT", (0.951, 0.760, 60.6, 13.63, 54.95), 61.63),
        PublishedRow("Z-Image-Turbo", "GEMS", (0.952, 0.940, 61.4, 22.55, 58.58), 72.44),
        PublishedRow("Qwen-Image-2512", "Original", (0.854, 0.892, 60.0, 17.45, 59.94), 66.35),
        PublishedRow("Qwen-Image-2512", "Rewrite", (0.563, 0.468, 60.3, 18.12, 62.23), 58.62),
        PublishedRow("Qwen-Image-2512", "Promptist", (0.030, 0.058, 48.7, 18.35, 60.65), 43.73),
        PublishedRow("Qwen-Image-2512", "Search", (0.883, 0.907, 60.6, 18.71, 59.96), 68.11),
        PublishedRow("Qwen-Image-2512", "Maestro", (0.833, 0.792, 61.0, 17.78, 61.62), 65.78),
        PublishedRow("Qwen-Image-2512", "CRAFT", (0.897, 0.787, 61.6, 15.61, 59.78), 64.40),
        PublishedRow("Qwen-Image-2512", "GEMS", (0.913, 0.931, 62.1, 24.01, 62.89), 74.31),
    ),
}
"""The rows as they are printed, with the paper's own average, which `tests/evaluation/test_published_scores.py` recomputes."""


def published_figures(benchmark: str) -> list[PublishedFigure]:
    """Return the paper's figures of a benchmark, in the order of its table; empty if the paper has none."""
    return [
        PublishedFigure(benchmark, metric, row.model, row.method, value, f"{PAPER}, {table}")
        for table, columns in PAPER_COLUMNS.items()
        for place, (name, metric) in enumerate(columns)
        for row in PAPER_ROWS[table]
        if name == benchmark and (value := row.values[place]) is not None
    ]
