"""What asking again is worth with a verifier that errs: a tenth of its readings is inverted.

python -m studies.verifier_noise verify      # batch, each, adaptive
python -m studies.verifier_noise confirm     # with --confirm, with --votes 3, with both
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gems.evaluation.noise import noisy
from gems.evaluation.plots import plot_scores
from gems.evaluation.prompts import Prompts
from gems.evaluation.runner import StudyExecution
from gems.evaluation.study import StudyFiles, build_report, compare
from gems.evaluation.study_tables import leading_metric, to_markdown
from gems.evaluation.variants import NodeParts, Variant
from gems.nodes.messages import Node
from gems.nodes.verifier import verifier
from gems.terminal import echo

STUDIES: dict[str, tuple[int, dict[str, dict[str, Any]]]] = {
    "verify": (2, {f"verify={mode}": {"verify": mode} for mode in ("batch", "each", "adaptive")}),
    "confirm": (
        1,
        {
            f"confirm={str(confirm).lower()} votes={votes}": {"confirm": confirm, "votes": votes}
            for confirm in (False, True)
            for votes in (1, 3)
        },
    ),
}
"""By study how often each prompt is run, and the settings of its variants."""


def err(parts: NodeParts) -> dict[str, Node]:
    """Return a verifier that inverts a tenth of its readings."""
    return {"verifier": noisy(verifier(parts.chats["verifier"], parts.images.read, parts.checkers), fp=0.1, fn=0.1)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a study, print its tables, and draw its plot."""
    parser = argparse.ArgumentParser(prog="python -m studies.verifier_noise", description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--limit", type=int, help="number of prompts")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--out", type=Path, help="folder of the study")
    options = parser.parse_args(arguments)
    seeds, settings = STUDIES[options.study]
    variants = [Variant(name, settings=changes, nodes=err) for name, changes in settings.items()]
    files = StudyFiles(out=options.out, name=f"noise-{options.study}")
    execution = StudyExecution(concurrency=options.concurrency)
    study = compare(variants, Prompts(limit=options.limit, seeds=seeds), files=files, execution=execution)
    report = build_report(study)
    echo(to_markdown(report))
    plot_scores(study.results, leading_metric(report), study.folder / "plot.png", f"{report.title}, with a verifier that errs")
    echo(f"records and plot: {study.folder}")


if __name__ == "__main__":
    main()
