"""What a study found: scores and costs of each variant with their intervals, and the differences to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..frozen import Frozen
from .benchmark import Benchmark, BootstrapSample, Metric, Sample
from .bootstrap import Estimate, estimate, estimate_metric
from .records import Key, SampleRecord
from .scores import arithmetic_mean
from .scoring import OFFICIAL, Scored
from .variants import Variant

MEASURED = "measured"
BOTH = f"{MEASURED}, {OFFICIAL}"

COSTS = ("images", "calls", "rounds", "tokens", "seconds", "accepted")
"""What a run took, and how it ended."""


class VariantResult(Frozen):
    """What a variant reached and what it took.

    Scores are over the prompts, a prompt's images averaged first; costs are means of a run, of which each image has one.
    """

    name: str
    judge: str
    line: str
    at: float | None
    prompts: int
    """How many have been judged, those that failed included."""
    pictures: int
    """Images judged."""
    failed: int
    """Runs that failed: each counts as an image that shows nothing of what was asked for."""
    missing: int
    """Images of the study that were not made yet, or not judged: they do not count."""
    unanswered: int
    """Answers that the judge did not give in a form that can be read: they count as wrong."""
    metrics: dict[str, Estimate]
    """By the metric's name; one that the numbers do not give is not there."""
    sources: dict[str, str] = {}
    """Of each metric: `measured`, by the judge; `official scorer`, imported; or both, where it is computed from both."""
    leading: str
    """Name of the metric that `gain` is of, the same for all variants of a judge; see `leading_of`."""
    against: str | None
    """The variant that `gain` is the difference to, None for that one itself."""
    gain: Estimate | None
    """Difference in the leading metric, prompt by prompt."""
    images: Estimate
    calls: Estimate
    rounds: Estimate
    tokens: Estimate
    seconds: Estimate
    accepted: Estimate
    """In %."""
    cost: Estimate | None
    """In the currency of the models' prices; None where they have none."""
    refiner_input_tokens: tuple[float, ...]
    """Mean over the runs that came so far, by refinement: the first is the one after round 1."""
    refiner_pictures: tuple[float, ...]
    """Likewise the pictures that it was shown."""


def results_of(
    benchmark: Benchmark,
    variants: Sequence[Variant],
    samples: Sequence[Sample],
    records: Mapping[Key, SampleRecord],
    scored: Mapping[Key, Scored],
    against: str,
    *,
    judge: str = "",
    images: int = 1,
) -> list[VariantResult]:
    """Sum up a study, as far as it has come; a variant without any judged image is left out.

    Args:
        benchmark: says what is computed.
        variants: in the order of the table.
        samples: the prompts of the study.
        records: what was made.
        scored: what it scored.
        against: the variant that the others are compared with.
        judge: whose scores these are.
        images: how many of each prompt the study wants.
    """
    rows = {v.name: rows_of(v.name, samples, scored) for v in variants}
    made = [v for v in variants if rows[v.name]]
    metrics = benchmark.metrics(samples)
    leading = leading_of(metrics, samples, [rows[v.name] for v in made])
    results = [
        _result(metrics, leading, v, samples, records, scored, rows[v.name], against, rows.get(against, {}), judge, images)
        for v in made
    ]
    if judge == OFFICIAL:
        return [r.model_copy(update={"sources": dict.fromkeys(r.metrics, OFFICIAL)}) for r in results]
    return [r.model_copy(update={"sources": _sources(benchmark, samples, metrics, r, rows[r.name])}) for r in results]


def leading_of(metrics: Sequence[Metric], samples: Sequence[Sample], tables: Sequence[Mapping[str, Mapping[str, float]]]) -> Metric:
    """Return the metric by which variants are compared: the first of the main table that each of them has a value for.

    What the benchmark has first may wait for numbers that only an official scorer gives. Without any such metric it is that one.

    Args:
        metrics: of the benchmark.
        samples: the prompts of the study.
        tables: of each variant the numbers of each prompt by its id.
    """
    main = [metric for metric in metrics if not metric.part]
    return next((metric for metric in main if all(_has_value(metric, samples, rows) for rows in tables)), metrics[0])


def _has_value(metric: Metric, samples: Sequence[Sample], rows: Mapping[str, Mapping[str, float]]) -> bool:
    groups = _groups(samples)
    draws = BootstrapSample(list(rows.values()), [groups[id] for id in rows], np.arange(len(rows), dtype=np.int64)[None])
    return not np.isnan(metric.of(draws)[0])


def _sources(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    metrics: Sequence[Metric],
    result: VariantResult,
    rows: Mapping[str, Mapping[str, float]],
) -> dict[str, str]:
    """Tell from which numbers each metric of a judge's has its value: the judge's own, imported ones, or both."""
    official = {id: {name: row[name] for name in row if name in benchmark.official_only} for id, row in rows.items()}
    own = {id: {name: row[name] for name in row if name not in benchmark.official_only} for id, row in rows.items()}

    def source(metric: Metric) -> str:
        if not any(official.values()) or _has_value(metric, samples, own):
            return MEASURED
        return OFFICIAL if _has_value(metric, samples, official) else BOTH

    return {metric.name: source(metric) for metric in metrics if metric.name in result.metrics}


def rows_of(variant: str, samples: Sequence[Sample], scored: Mapping[Key, Scored]) -> dict[str, dict[str, float]]:
    """Return the numbers of each prompt by its id, means over its images; prompts without any are left out."""
    found: dict[str, list[Mapping[str, float]]] = {sample.id: [] for sample in samples}
    for (name, prompt, _), score in sorted(scored.items()):
        if name == variant and prompt in found:
            found[prompt].append(score.values)
    return {prompt: _mean(values) for prompt, values in found.items() if values}


def per_prompt(variant: str, samples: Sequence[Sample], records: Mapping[Key, SampleRecord], what: str) -> list[float]:
    """Return a variant's mean cost for each prompt: one of `COSTS`, or any number of a record; prompts without any are left out."""
    grouped: dict[str, list[float]] = {s.id: [] for s in samples}
    for (name, prompt, _), record in sorted(records.items()):
        if name == variant and prompt in grouped:
            grouped[prompt].append(_value(record, what))
    return [arithmetic_mean(values) for values in grouped.values() if values]


def _value(record: SampleRecord, what: str) -> float:
    if what == "tokens":
        return record.input_tokens + record.output_tokens
    return 100.0 * (record.decision == "accept") if what == "accepted" else float(getattr(record, what) or 0)


def _mean(images: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for values in images for key in values)
    return {key: arithmetic_mean([values[key] for values in images if key in values]) for key in keys}


def _groups(samples: Sequence[Sample]) -> dict[str, str]:
    return {sample.id: sample.group for sample in samples}


def _result(
    metrics: Sequence[Metric],
    leading: Metric,
    variant: Variant,
    samples: Sequence[Sample],
    records: Mapping[Key, SampleRecord],
    scored: Mapping[Key, Scored],
    rows: Mapping[str, Mapping[str, float]],
    against: str,
    base: Mapping[str, Mapping[str, float]],
    judge: str,
    images: int,
) -> VariantResult:
    groups = _groups(samples)
    mine = [record for (name, _, _), record in sorted(records.items()) if name == variant.name]
    judged = [score for (name, _, _), score in scored.items() if name == variant.name]
    estimates = {m.name: estimate_metric(m, list(rows.values()), [groups[id] for id in rows]) for m in metrics}
    shared = [id for id in rows if id in base]
    gain = estimate_metric(leading, [rows[i] for i in shared], [groups[i] for i in shared], [base[i] for i in shared])
    costs = {what: estimate(per_prompt(variant.name, samples, records, what)) for what in COSTS}
    priced = bool(mine) and all(record.cost is not None for record in mine)
    return VariantResult(
        name=variant.name,
        judge=judge,
        line=variant.line,
        at=variant.at,
        prompts=len(rows),
        pictures=sum(record.image is not None and record.key in scored for record in mine),
        failed=sum(bool(record.error) for record in mine),
        missing=len(samples) * images - len(judged),
        unanswered=sum(score.unanswered for score in judged),
        metrics={name: value for name, value in estimates.items() if value is not None},
        leading=leading.name,
        against=None if variant.name == against else against,
        gain=None if variant.name == against else gain,
        cost=estimate(per_prompt(variant.name, samples, records, "cost")) if priced else None,
        refiner_input_tokens=_by_round([r.refiner_input_tokens for r in mine]),
        refiner_pictures=_by_round([r.refiner_pictures for r in mine]),
        **costs,
    )


def _by_round(lists: Sequence[Sequence[int]]) -> tuple[float, ...]:
    longest = max(map(len, lists), default=0)
    columns = ([tokens[i] for tokens in lists if len(tokens) > i] for i in range(longest))
    return tuple(arithmetic_mean(column) for column in columns)


def to_json(results: Sequence[VariantResult]) -> dict[str, Any]:
    """Return the results for programs: {"judges": {judge: {variant: {"gm": ..., "intervals": {"gm": [low, high]}, ...}}}}."""
    judges: dict[str, dict[str, Any]] = {}
    for result in results:
        judges.setdefault(result.judge, {})[result.name] = told(result)
    return {"judges": judges}


def told(result: VariantResult) -> dict[str, Any]:
    """Return a variant's results for programs."""
    known = {**result.metrics, **costs_of(result)}
    made: dict[str, Any] = {name: value.mean for name, value in known.items()}
    made["intervals"] = {name: interval(value) for name, value in known.items()}
    if result.gain is not None:
        made["difference"] = {
            "metric": result.leading,
            "against": result.against,
            "mean": result.gain.mean,
            "interval": interval(result.gain),
        }
    counts = ("prompts", "pictures", "failed", "missing", "unanswered")
    by_round = {"tokens": result.refiner_input_tokens, "pictures": result.refiner_pictures}
    made |= {count: getattr(result, count) for count in counts}
    made["sources"] = result.sources
    return {**made, "refiner_input_by_round": {what: list(values) for what, values in by_round.items()}}


def costs_of(result: VariantResult) -> dict[str, Estimate]:
    """Return what a run took, by the names that programs are told; `accepted` is a share from 0 to 1."""
    names = {what: f"{what.replace('calls', 'chat_calls')}_per_run" for what in (*COSTS[:-1], "cost")}
    known = {said: value for what, said in names.items() if (value := getattr(result, what)) is not None}
    share = {k: None if v is None else v / 100 for k, v in result.accepted.model_dump().items()}
    return {**known, "accepted": Estimate(**share)}


def interval(value: Estimate) -> list[float] | None:
    """Return the bounds of an estimate, None where it has none."""
    return None if value.low is None or value.high is None else [value.low, value.high]
