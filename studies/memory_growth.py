"""How the refiner's input grows with the memory: no check ever passes, so every run takes all its rounds.

    python -m studies.memory_growth

What it measures is memory.png; its scores mean nothing, as the verifier passes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gems.evaluation.noise import noisy
from gems.evaluation.plots import line_style, new_figure, save_figure, style_axes
from gems.evaluation.prompts import Prompts
from gems.evaluation.runner import StudyExecution
from gems.evaluation.study import StudyFiles, compare
from gems.evaluation.variant_results import VariantResult
from gems.evaluation.variants import NodeParts, Variant
from gems.models.shapes.chat import IMAGE_TOKENS
from gems.nodes.messages import Node
from gems.nodes.verifier import verifier
from gems.terminal import echo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGE_IMAGE_TOKENS = 1024 * 1024 / 750
"""Tokens of an image of 1024x1024 pixels with Claude, by Anthropic's rule width * height / 750; other models are close."""


def pass_nothing(parts: NodeParts) -> dict[str, Node]:
    """Return a verifier that turns all its passes into failures."""
    return {"verifier": noisy(verifier(parts.chats["verifier"], parts.images.read, parts.checkers), fn=1.0)}


def plot_memory(results: Sequence[VariantResult], path: Path, title: str) -> bool:
    """Draw the refiner's input tokens by round, a line a variant; return False, without a file, if no run was refined.

    Left as counted with the embedded model's small images, right with every image counted as one of 1024x1024 pixels.

    Raises:
        PlotError: matplotlib is not installed.
    """
    shown = [r for r in results if r.refiner_input_tokens]
    if not shown:
        return False
    figure = new_figure(11, 4.6)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    left, right = figure.subplots(1, 2)
    _draw_growth(left, shown, 0, f"as counted: {IMAGE_TOKENS} a picture of 128x128")
    _draw_growth(right, shown, LARGE_IMAGE_TOKENS - IMAGE_TOKENS, f"with {LARGE_IMAGE_TOKENS:,.0f} a picture, as of 1024x1024")
    left.set_ylabel("input tokens of the refiner, mean over runs")
    save_figure(figure, path)
    return True


def _draw_growth(axes: Axes, results: Sequence[VariantResult], more: float, title: str) -> None:
    """Draw tokens by round, with additional tokens for each image."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    for number, result in enumerate(results):
        pairs = zip(result.refiner_input_tokens, result.refiner_pictures, strict=True)
        tokens = [text + more * pictures for text, pictures in pairs]
        axes.plot(range(1, len(tokens) + 1), tokens, **line_style(number), linewidth=1.5, label=result.name)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("rounds so far, when the refiner is asked")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    style_axes(axes)
    axes.legend(frameon=False, fontsize=8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, and draw its plot."""
    parser = argparse.ArgumentParser(prog="python -m studies.memory_growth", description=__doc__.split("\n")[0])
    parser.add_argument("--presets", default="paper,default", help="presets to compare, separated by commas")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of every run")
    parser.add_argument("--limit", type=int, default=8, help="number of prompts")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/memory-growth"), help="folder of the study")
    options = parser.parse_args(arguments)
    settings = {"max_rounds": options.rounds, "patience": None}
    variants = [Variant(name, preset=name, settings=settings, nodes=pass_nothing) for name in options.presets.split(",")]
    execution = StudyExecution(concurrency=options.concurrency)
    study = compare(variants, Prompts(limit=options.limit), files=StudyFiles(out=options.out), execution=execution)
    for result in study.results:
        echo(f"{result.name}: {', '.join(f'{tokens:,.0f}' for tokens in result.refiner_input_tokens)} input tokens by round")
    plot_memory(study.results, options.out / "memory.png", "Shapes benchmark: the refiner's input by round")
    echo(f"{options.out / 'memory.png'}")


if __name__ == "__main__":
    main()
