"""Our DSG scorer beside the authors': `python -m studies.dsg_parity --answers DIR --data FILE [--official FILE]`.

The authors of DSG have released what three VQA models answered to the questions of DSG-1k about images of Stable Diffusion 2.1.
Here our scorer reads these answers, as it does by default and with `--exact-yes`; with `--official` the authors' own function
is run on the same answers beside it, prompt by prompt. Nothing is drawn, asked or fetched: of a clone of https://github.com/j-min/DSG
`vqa_answers_release` has the answers, `dsg/data/dsg-1k-anns.csv` the prompts, and `dsg/vqa_utils.py` the function.
Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib.util
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from gems.evaluation.benchmarks.base import Benchmark, JudgeAnswer, Sample
from gems.evaluation.benchmarks.dpg import Dsg
from gems.terminal import Console

IMAGES = "sd2dot1"
FUNCTION = "calc_vqa_score"
OFFICIAL_SCORE = "average_score_with_dependency"

ReleasedAnswers = Mapping[str, Mapping[str, str]]
"""The answers by item, and by the number of the question."""


class ScorerComparison(NamedTuple):
    """The mean scores of a model's answers, times 100."""

    model: str
    ours: float
    exact: float
    official: float
    """NaN where the authors' function was not run."""
    differ: int
    """Items of which our score and the authors' differ by more than rounding."""
    differ_exact: int


def read_released_answers(path: Path) -> dict[str, dict[str, str]]:
    """Read a file of released answers: those about the images of all prompts."""
    answers: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["t2i_model"] == IMAGES:
                answers.setdefault(row["item_id"], {})[row["question_id"]] = row["answer"]
    return answers


def our_scores(benchmark: Benchmark, samples: Sequence[Sample], given: ReleasedAnswers) -> list[float]:
    """Score the answers to each prompt by ours."""
    return [
        benchmark.score(sample, {key: [JudgeAnswer(text=text)] for key, text in given.get(sample.id, {}).items()})["score"]
        for sample in samples
    ]


def official_function(path: Path) -> Callable[..., dict[str, Any]]:
    """Return the authors' function, imported from a file of its own: theirs imports models that nobody needs here."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "official.py")
        file.write_text(f"from copy import deepcopy\nfrom typing import *\n\n{ast.unparse(found)}\n", encoding="utf-8")
        spec = importlib.util.spec_from_file_location("official", file)
        if spec is None or spec.loader is None:
            raise SystemExit(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    function: Callable[..., dict[str, Any]] = getattr(module, FUNCTION)
    return function


def official_graph_scores(
    function: Callable[..., dict[str, Any]], samples: Sequence[Sample], given: ReleasedAnswers
) -> list[float]:
    """Score the answers to each prompt by the authors' function, called as their script does."""
    scores = []
    for sample in samples:
        answers = {int(key): text for key, text in given.get(sample.id, {}).items()} or {1: ""}
        parents = {asked["id"]: asked["parents"] or [0] for asked in sample.truth["questions"]}
        scores.append(float(function(answers, parents)[OFFICIAL_SCORE]))
    return scores


def compare_scorers(path: Path, samples: Sequence[Sample], function: Callable[..., dict[str, Any]] | None) -> ScorerComparison:
    """Score a file of answers in every way."""
    given = read_released_answers(path)
    ours, exact = our_scores(Dsg(), samples, given), our_scores(Dsg().exact(), samples, given)
    official = official_graph_scores(function, samples, given) if function else [math.nan] * len(samples)

    def mean(scores: Sequence[float]) -> float:
        return 100 * math.fsum(scores) / len(scores)

    def differ(scores: Sequence[float]) -> int:
        return sum(abs(one - other) > 1e-9 for one, other in zip(scores, official, strict=True))

    model = path.name.removesuffix("_dsg.csv")
    return ScorerComparison(model, mean(ours), mean(exact), mean(official), differ(ours), differ(exact))


def main(arguments: Sequence[str] | None = None) -> list[ScorerComparison]:
    """Compare, print a table, and return it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, required=True, help="folder with the released answers, *_dsg.csv")
    parser.add_argument("--data", type=Path, required=True, help="dsg-1k-anns.csv")
    parser.add_argument("--official", type=Path, help="vqa_utils.py of the authors, whose function is run beside ours")
    options = parser.parse_args(arguments)
    samples = Dsg().read({Dsg.sources[0].file: options.data})
    function = official_function(options.official) if options.official else None
    compared = [compare_scorers(path, samples, function) for path in sorted(options.answers.glob("*_dsg.csv"))]
    table = Table(title=f"DSG-1k, {len(samples)} prompts, released answers")
    for heading in ("answers of", "ours", "ours, --exact-yes", "authors' function", "items that differ", "with --exact-yes"):
        table.add_column(heading, justify="left" if heading == "answers of" else "right")
    for one in compared:
        scores = (repr(one.ours), repr(one.exact), repr(one.official) if function else "-")
        table.add_row(one.model, *scores, *(str(n) if function else "-" for n in (one.differ, one.differ_exact)))
    Console(width=140).print(table)
    return compared


if __name__ == "__main__":
    main()
