"""Compare presets on the shapes benchmark: run each on every prompt, judge the images, and put the scores side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..context import PRESETS, RunContext, SettingError, preset
from ..graph.build import Graph, build_graph
from ..memory.images import ImageStore
from ..memory.state import GemsState
from ..models.image import ImageModel
from ..models.registry import chat_model, image_model
from .scores import Judged, Scores, summarize
from .shapes import Sample, benchmark, judge, samples_from_file

SEED_STEP = 1000
"""Distance of the seeds of two prompts' runs: more than the images of one run, so that no two share their noise."""


class PresetResult(BaseModel):
    """What a preset reached and what it took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    scores: Scores
    images_per_prompt: float
    chat_calls_per_prompt: float
    rounds_per_prompt: float
    accepted: float


def compare(
    presets: Sequence[str],
    *,
    limit: int | None = None,
    prompts: Path | None = None,
    seed: int = 0,
    runs: Path = Path("runs"),
    image: ImageModel | None = None,
    console: Console | None = None,
) -> list[PresetResult]:
    """Run presets on the benchmark's prompts and judge their best images.

    All presets draw from the same seeds, and share an image store: a picture that two of them ask for is drawn once,
    and counted for both.

    Args:
        presets: names of presets.
        limit: only so many prompts, spread evenly over the benchmark.
        prompts: a file of requests to use instead of the benchmark's.
        seed: seed of the first prompt's first image.
        runs: images are kept in its folder `eval`.
        image: the image model; the embedded one by default. Its pictures are found again by its name and settings.
        console: where progress is shown; nowhere by default.

    Raises:
        GemsError: a preset is unknown, or the file cannot be used.
    """
    contexts = [(name, preset(name)) for name in presets]
    if not contexts:
        raise SettingError(f"no preset to measure: name some of {', '.join(PRESETS)}")
    samples = _spread(benchmark() if prompts is None else samples_from_file(prompts), limit)
    store = ImageStore(runs / "eval" / "images")
    graph = build_graph(chat_model("shapes"), image or image_model("shapes"), store=store)
    results = []
    with _progress(console) as bar:
        for name, context in contexts:
            task = bar.add_task(name, total=len(samples))
            states = []
            for number, sample in enumerate(samples):
                states.append(_draw(graph, sample, context, (seed + number * SEED_STEP) % 2**31))
                bar.advance(task)
            results.append(_result(name, samples, states, store))
    return results


def _draw(graph: Graph, sample: Sample, context: RunContext, seed: int) -> GemsState:
    out = graph.invoke({"prompt": sample.prompt}, context=context.model_copy(update={"seed": seed}))
    return GemsState.model_validate(out)


def _result(name: str, samples: Sequence[Sample], states: Sequence[GemsState], store: ImageStore) -> PresetResult:
    judged = []
    for sample, state in zip(samples, states, strict=True):
        assert state.best is not None
        scores = judge(sample, store.open(state.best.image))
        skills = tuple(probe.skill for probe in sample.questions)
        judged.append(Judged(id=sample.id, atomicity=sample.atomicity, skills=skills, scores=tuple(scores)))

    def mean(values: Iterator[float]) -> float:
        return sum(values) / len(states)

    return PresetResult(
        preset=name,
        scores=summarize(judged),
        images_per_prompt=mean(s.usage.images for s in states),
        chat_calls_per_prompt=mean(s.usage.chat_calls for s in states),
        rounds_per_prompt=mean(s.round for s in states),
        accepted=mean(s.result is not None and s.result.decision == "accept" for s in states),
    )


def _spread(samples: list[Sample], limit: int | None) -> list[Sample]:
    """Take `limit` samples at even distances, so that a short run still sees every atomicity."""
    if limit is None or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _progress(console: Console | None) -> Progress:
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console or Console(quiet=True))


def table(results: Sequence[PresetResult]) -> Table:
    """Return the results as a table, a column a preset."""
    prompts = results[0].scores.prompts
    out = Table(title=f"Shapes benchmark, {prompts} prompts: Soft-TIFA, judged with the perception the verifier uses")
    out.add_column("")
    for result in results:
        out.add_column(result.preset, justify="right")

    def row(label: str, values: Sequence[float | None], digits: int = 1, last: bool = False) -> None:
        out.add_row(label, *("-" if v is None else f"{v:.{digits}f}" for v in values), end_section=last)

    row("GM", [r.scores.soft_tifa_gm for r in results])
    row("AM", [r.scores.soft_tifa_am for r in results], last=True)
    row("images per prompt", [r.images_per_prompt for r in results], 2)
    row("chat calls per prompt", [r.chat_calls_per_prompt for r in results], 2)
    row("accepted, %", [100 * r.accepted for r in results], last=True)
    skills = sorted({skill for r in results for skill in r.scores.by_skill})
    for skill in skills:
        row(f"AM, {skill}", [r.scores.by_skill.get(skill) for r in results], last=skill == skills[-1])
    for atoms in sorted({atoms for r in results for atoms in r.scores.by_atomicity}):
        row(f"GM, atomicity {atoms}", [r.scores.by_atomicity.get(atoms) for r in results])
    return out


def to_json(results: Sequence[PresetResult]) -> dict[str, Any]:
    """Return the results for programs: {"presets": {name: {"gm": ..., "am": ..., ...}}}."""
    return {
        "presets": {
            r.preset: {
                "gm": r.scores.soft_tifa_gm,
                "am": r.scores.soft_tifa_am,
                "images_per_prompt": r.images_per_prompt,
                "chat_calls_per_prompt": r.chat_calls_per_prompt,
                "rounds_per_prompt": r.rounds_per_prompt,
                "accepted": r.accepted,
                "prompts": r.scores.prompts,
                "by_skill": r.scores.by_skill,
                "by_atomicity": r.scores.by_atomicity,
            }
            for r in results
        }
    }
