"""Plots of a study by matplotlib, which the extra `plots` installs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PlotError
from .benchmarks.base import Metric
from .bootstrap import Estimate
from .variant_results import VariantResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""The palette of Okabe and Ito, fit for colour-blind readers, in an order that keeps neighbours distinct."""
LINE_MARKERS = "osD^vPX"

LABEL_OFFSETS = [
    (8, 0),
    (-8, 0),
    (0, 9),
    (0, -9),
    (8, 9),
    (-8, 9),
    (8, -9),
    (-8, -9),
    (0, 20),
    (0, -20),
    (12, 20),
    (-12, 20),
    (12, -20),
    (-12, -20),
]
"""Places of a label around its point, in points, the best first."""


def require_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises:
        PlotError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise PlotError('no plots without matplotlib: pip install -c constraints.txt -e ".[plots]"') from error


def plot_scores(results: Sequence[VariantResult], metric: Metric, path: Path, title: str) -> bool:
    """Draw a metric against images and against chat calls of a run, a point a variant; those of one line are joined.

    Each judge has panels of its own, with a scale of its own.

    Returns whether there was anything to be drawn.

    Raises:
        PlotError: matplotlib is not installed.
    """
    results = [result for result in results if metric.name in result.metrics]
    if not results:
        return False
    judges = list(dict.fromkeys(result.judge for result in results))
    figure = new_figure(11, 4.8 * len(judges))
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    for judge, (left, right) in zip(judges, figure.subplots(len(judges), 2, sharey="row", squeeze=False), strict=True):
        mine = [result for result in results if result.judge == judge]
        scores = {result.name: result.metrics[metric.name] for result in mine}
        _set_limits(left, list(scores.values()))
        _draw_points(left, mine, scores, "images", "images per run")
        _draw_points(right, mine, scores, "calls", "chat calls per run")
        left.set_ylabel(f"{metric.title}, by {judge}" if len(judges) > 1 else metric.title)
    save_figure(figure, path)
    return True


def _set_limits(axes: Axes, scores: Sequence[Estimate]) -> None:
    """Leave room around the scores, and for labels above them; no tick stands where no score can be."""
    low = min(score.mean if score.low is None else score.low for score in scores)
    high = max(score.mean if score.high is None else score.high for score in scores)
    whole = next(scale for scale in (1.0, 30.0, 100.0, math.inf) if high <= scale)  # of the benchmarks' scales
    whole = high if math.isinf(whole) else whole
    room = max(high - low, 0.1 * whole)
    axes.set_ylim(low - 0.3 * room, high + 0.45 * room)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= whole])


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches.

    Raises:
        PlotError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window and no global state, whatever the user's own settings are
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def line_style(number: int) -> dict[str, Any]:
    """Return the colour and marker of a line by its number."""
    return {"color": LINE_COLORS[number % len(LINE_COLORS)], "marker": LINE_MARKERS[number % len(LINE_MARKERS)], "markersize": 6}


def style_axes(axes: Axes) -> None:
    """Draw a light grid, and no frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_points(axes: Axes, results: Sequence[VariantResult], scores: Mapping[str, Estimate], field: str, label: str) -> None:
    lines = list(dict.fromkeys(r.line or r.name for r in results))
    for result in results:
        style = line_style(lines.index(result.line or result.name))
        x, y = getattr(result, field), scores[result.name]
        axes.errorbar(x.mean, y.mean, xerr=_error_bar(x), yerr=_error_bar(y), elinewidth=0.9, alpha=0.9, linestyle="none", **style)
    joined = [line for line in lines if any(r.line == line for r in results)]
    for line in joined:
        mine = sorted((r for r in results if r.line == line), key=_axis_value)
        style = line_style(lines.index(line))
        axes.plot([getattr(r, field).mean for r in mine], [scores[r.name].mean for r in mine], linewidth=1.2, label=line, **style)
    axes.set_xlabel(label)
    axes.margins(x=0.12)
    style_axes(axes)
    if len(joined) > 1:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    paths = [
        [(getattr(r, field).mean, scores[r.name].mean) for r in sorted(results, key=_axis_value) if r.line == line]
        for line in joined
    ]
    names = _short_names([r.name for r in results])
    labels = [f"{r.at:g}" if len(joined) > 1 and r.at is not None else name for r, name in zip(results, names, strict=True)]
    _draw_labels(axes, [(getattr(r, field), scores[r.name], label) for r, label in zip(results, labels, strict=True)], paths)


def _axis_value(result: VariantResult) -> float:
    return result.at or 0.0


def _short_names(names: Sequence[str]) -> list[str]:
    """Return names as they are, or without the "setting=" of a study of one setting, which is in the title."""
    settings = {name.partition("=")[0] for name in names}
    one = len(settings) == 1 and all(name.count("=") == 1 for name in names)
    return [name.partition("=")[2] for name in names] if one else list(names)


def _error_bar(value: Estimate) -> list[list[float]] | None:
    if value.low is None or value.high is None:
        return None
    return [[max(0.0, value.mean - value.low)], [max(0.0, value.high - value.mean)]]


Point = tuple[float, float]


def _draw_labels(axes: Axes, points: Sequence[tuple[Estimate, Estimate, str]], paths: Sequence[Sequence[Point]]) -> None:
    """Write labels beside points, each where it covers no other, no point, error bar or line; equal points share one."""
    names: dict[tuple[float, float], list[str]] = {}
    for x, y, name in points:
        names.setdefault((round(x.mean, 6), round(y.mean, 6)), []).append(name)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # so that the axes have their place
    taken = [box for x, y, _ in points for box in _point_boxes(axes, x, y)]
    taken += [_pixel_box(axes, *step, *step, 1) for path in paths for a, b in pairwise(path) for step in _line_points(a, b)]
    for (px, py), shared in names.items():
        taken.append(_place_label(axes, (px, py), _join_names(shared), taken))


def _join_names(names: Sequence[str]) -> str:
    """Write the names of equal points: beside each other, or below where that would be long."""
    different = list(dict.fromkeys(names))
    beside = ", ".join(different)
    return beside if len(beside) <= 20 else "\n".join(different)


def _line_points(a: Point, b: Point, count: int = 40) -> list[Point]:
    """Return points along a line."""
    return [(a[0] + (b[0] - a[0]) * i / count, a[1] + (b[1] - a[1]) * i / count) for i in range(count + 1)]


def _pixel_box(axes: Axes, x0: float, y0: float, x1: float, y1: float, margin: float) -> Any:
    """Return a box of the data in pixels, with a margin around it."""
    from matplotlib.transforms import Bbox

    (left, bottom), (right, top) = axes.transData.transform([(x0, y0), (x1, y1)])
    return Bbox.from_extents(left - margin, bottom - margin, right + margin, top + margin)


def _point_boxes(axes: Axes, x: Estimate, y: Estimate) -> list[Any]:
    """Return the boxes of a point and its error bars, in pixels."""
    boxes = [_pixel_box(axes, x.mean, y.mean, x.mean, y.mean, 7)]
    if x.low is not None and x.high is not None:
        boxes.append(_pixel_box(axes, x.low, y.mean, x.high, y.mean, 1))
    if y.low is not None and y.high is not None:
        boxes.append(_pixel_box(axes, x.mean, y.low, x.mean, y.high, 1))
    return boxes


def _place_label(axes: Axes, point: Point, name: str, taken: Sequence[Any]) -> Any:
    """Put a label at the offset from its point where it covers the fewest boxes within the axes; return its box."""
    label = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=8)
    label.set_in_layout(False)

    def box_at(offset: tuple[int, int]) -> Any:
        across = "left" if offset[0] > 0 else "right" if offset[0] < 0 else "center"
        above = "bottom" if offset[1] > 0 else "top" if offset[1] < 0 else "center"
        label.set(position=offset, horizontalalignment=across, verticalalignment=above)
        return label.get_window_extent()

    def covered(offset: tuple[int, int]) -> int:
        box, frame = box_at(offset), axes.bbox
        inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
        return int(box.count_overlaps(taken)) + (0 if inside else len(taken) + 1)

    return box_at(min(LABEL_OFFSETS, key=covered))
