"""Results of variants: scores and costs with intervals, and differences to the base variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from ..frozen_model import Frozen
from .benchmarks.base import Benchmark, BootstrapSample, Metric, Sample
from .bootstrap import Estimate, estimate, estimate_metric
from .image_scores import OFFICIAL, ImageScore
from .run_records import RecordKey, SampleRecord
from .variants import Variant

MEASURED = "measured"
BOTH = f"{MEASURED}, {OFFICIAL}"

COST_FIELDS = ("images", "calls", "rounds", "tokens", "seconds", "accepted")
"""Costs of a run, and whether its image was accepted."""


class VariantResult(Frozen):
    """Scores and costs of a variant.

    Scores are over the prompts, a prompt's images averaged first; costs are means of a run, of which each image has one.
    """

    name: str
    judge: str
    line: str
    at: float | None
    prompts: int
    """Prompts judged, those with failed runs included."""
    pictures: int
    """Images judged."""
    failed: int
    """Failed runs: each counts as an image that shows nothing of its prompt."""
    missing: int
    """Images that are not generated or not judged yet: they do not count."""
    unanswered: int
    """Answers of the judge that are missing or cannot be parsed: they count as wrong."""
    metrics: dict[str, Estimate]
    """By name; metrics that are not defined for the scores are left out."""
    sources: dict[str, str] = {}
    """Of each metric: `measured`, by the judge; `official scorer`, imported; or both."""
    leading: str
    """Name of the metric of `gain`, the same for all variants of a judge; see `choose_leading_metric`."""
    against: str | None
    """The base of `gain`, None for the base itself."""
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
    """In the currency of the models' prices; None without prices."""
    refiner_input_tokens: tuple[float, ...]
    """Mean over the runs that came so far, by refinement: the first is the one after round 1."""
    refiner_pictures: tuple[float, ...]
    """Likewise the images that it was shown."""


def summarize_variants(
    benchmark: Benchmark,
    variants: Sequence[Variant],
    samples: Sequence[Sample],
    records: Mapping[RecordKey, SampleRecord],
    scored: Mapping[RecordKey, ImageScore],
    against: str,
    *,
    judge: str = "",
    images: int = 1,
) -> list[VariantResult]:
    """Compute the results of variants; one without any judged image is left out.

    Args:
        benchmark: defines the metrics.
        variants: in the order of the table.
        samples: the prompts of the study.
        records: of the runs.
        scored: the scores of images.
        against: the base variant.
        judge: of the scores.
        images: of each prompt, when the study is complete.
    """
    rows = {v.name: prompt_rows(v.name, samples, scored) for v in variants}
    judged = [v for v in variants if rows[v.name]]
    metrics = benchmark.metrics(samples)
    leading = choose_leading_metric(metrics, samples, [rows[v.name] for v in judged])
    groups = _groups_by_id(samples)
    base = rows.get(against, {})
    results = []
    for variant in judged:
        own = rows[variant.name]
        estimates = {m.name: estimate_metric(m, list(own.values()), [groups[id] for id in own]) for m in metrics}
        shared = [id for id in own if id in base]
        gain = estimate_metric(leading, [own[i] for i in shared], [groups[i] for i in shared], [base[i] for i in shared])
        scores = [score for (name, _, _), score in scored.items() if name == variant.name]
        found = {name: value for name, value in estimates.items() if value is not None}
        results.append(
            VariantResult(
                name=variant.name,
                judge=judge,
                line=variant.line,
                at=variant.at,
                prompts=len(own),
                missing=len(samples) * images - len(scores),
                unanswered=sum(score.unanswered for score in scores),
                metrics=found,
                sources=_metric_sources(benchmark, samples, [m for m in metrics if m.name in found], own, judge),
                leading=leading.name,
                against=None if variant.name == against else against,
                gain=None if variant.name == against else gain,
                **_costs(variant.name, samples, records, scored),
            )
        )
    return results


def _costs(
    variant: str, samples: Sequence[Sample], records: Mapping[RecordKey, SampleRecord], scored: Mapping[RecordKey, ImageScore]
) -> dict[str, Any]:
    """Return the fields of a result that come from the records of the runs."""
    own = [record for (name, _, _), record in sorted(records.items()) if name == variant]
    priced = bool(own) and all(record.cost is not None for record in own)
    return {
        "pictures": sum(record.image is not None and record.key in scored for record in own),
        "failed": sum(bool(record.error) for record in own),
        "cost": estimate(prompt_costs(variant, samples, records, "cost")) if priced else None,
        "refiner_input_tokens": _mean_by_round([r.refiner_input_tokens for r in own]),
        "refiner_pictures": _mean_by_round([r.refiner_pictures for r in own]),
        **{what: estimate(prompt_costs(variant, samples, records, what)) for what in COST_FIELDS},
    }


def choose_leading_metric(
    metrics: Sequence[Metric], samples: Sequence[Sample], tables: Sequence[Mapping[str, Mapping[str, float]]]
) -> Metric:
    """Return the metric by which variants are compared: the first of the main table for which all have a value.

    The benchmark's first may need official scores that are not imported yet. If no metric has values, it is the first.

    Args:
        metrics: of the benchmark.
        samples: the prompts of the study.
        tables: of each variant, the scores of each prompt by its id.
    """
    main = [metric for metric in metrics if not metric.part]
    return next((metric for metric in main if all(_has_value(metric, samples, rows) for rows in tables)), metrics[0])


def _has_value(metric: Metric, samples: Sequence[Sample], rows: Mapping[str, Mapping[str, float]]) -> bool:
    groups = _groups_by_id(samples)
    draws = BootstrapSample(list(rows.values()), [groups[id] for id in rows], np.arange(len(rows), dtype=np.int64)[None])
    return not np.isnan(metric.of(draws)[0])


def _metric_sources(
    benchmark: Benchmark, samples: Sequence[Sample], metrics: Sequence[Metric], rows: Mapping[str, Mapping[str, float]], judge: str
) -> dict[str, str]:
    """Return the source of each metric: the judge's scores, imported ones, or both."""
    if judge == OFFICIAL:
        return {metric.name: OFFICIAL for metric in metrics}
    official = {id: {name: row[name] for name in row if name in benchmark.official_only} for id, row in rows.items()}
    own = {id: {name: row[name] for name in row if name not in benchmark.official_only} for id, row in rows.items()}

    def source(metric: Metric) -> str:
        if not any(official.values()) or _has_value(metric, samples, own):
            return MEASURED
        return OFFICIAL if _has_value(metric, samples, official) else BOTH

    return {metric.name: source(metric) for metric in metrics}


def prompt_rows(variant: str, samples: Sequence[Sample], scored: Mapping[RecordKey, ImageScore]) -> dict[str, dict[str, float]]:
    """Return the scores of each prompt by its id, means over its images; prompts without any are left out."""
    by_prompt: dict[str, list[Mapping[str, float]]] = {sample.id: [] for sample in samples}
    for (name, prompt, _), score in sorted(scored.items()):
        if name == variant and prompt in by_prompt:
            by_prompt[prompt].append(score.values)
    return {prompt: _mean_values(values) for prompt, values in by_prompt.items() if values}


def prompt_costs(variant: str, samples: Sequence[Sample], records: Mapping[RecordKey, SampleRecord], what: str) -> list[float]:
    """Return a variant's mean cost for each prompt: a field of `COST_FIELDS` or of a record; prompts without any are left out."""
    grouped: dict[str, list[float]] = {s.id: [] for s in samples}
    for (name, prompt, _), record in sorted(records.items()):
        if name == variant and prompt in grouped:
            grouped[prompt].append(_record_value(record, what))
    return [fmean(values) for values in grouped.values() if values]


def _record_value(record: SampleRecord, what: str) -> float:
    if what == "tokens":
        return record.input_tokens + record.output_tokens
    return 100.0 * (record.decision == "accept") if what == "accepted" else float(getattr(record, what) or 0)


def _mean_values(images: Sequence[Mapping[str, float]]) -> dict[str, float]:
    keys = dict.fromkeys(key for values in images for key in values)
    return {key: fmean([values[key] for values in images if key in values]) for key in keys}


def _groups_by_id(samples: Sequence[Sample]) -> dict[str, str]:
    return {sample.id: sample.group for sample in samples}


def _mean_by_round(lists: Sequence[Sequence[int]]) -> tuple[float, ...]:
    longest = max(map(len, lists), default=0)
    columns = ([tokens[i] for tokens in lists if len(tokens) > i] for i in range(longest))
    return tuple(fmean(column) for column in columns)


def results_to_json(results: Sequence[VariantResult]) -> dict[str, Any]:
    """Return the results as JSON: {"judges": {judge: {variant: {"gm": ..., "intervals": {"gm": [low, high]}, ...}}}}."""
    judges: dict[str, dict[str, Any]] = {}
    for result in results:
        judges.setdefault(result.judge, {})[result.name] = result_fields(result)
    return {"judges": judges}


def result_fields(result: VariantResult) -> dict[str, Any]:
    """Return a variant's results as JSON."""
    known = {**result.metrics, **cost_estimates(result)}
    fields: dict[str, Any] = {name: value.mean for name, value in known.items()}
    fields["intervals"] = {name: interval_bounds(value) for name, value in known.items()}
    if result.gain is not None:
        fields["difference"] = {
            "metric": result.leading,
            "against": result.against,
            "mean": result.gain.mean,
            "interval": interval_bounds(result.gain),
        }
    counts = ("prompts", "pictures", "failed", "missing", "unanswered")
    by_round = {"tokens": result.refiner_input_tokens, "pictures": result.refiner_pictures}
    fields |= {count: getattr(result, count) for count in counts}
    fields["sources"] = result.sources
    return {**fields, "refiner_input_by_round": {what: list(values) for what, values in by_round.items()}}


def cost_estimates(result: VariantResult) -> dict[str, Estimate]:
    """Return the costs of a run by their names in JSON; `accepted` is a share from 0 to 1."""
    names = {what: f"{what.replace('calls', 'chat_calls')}_per_run" for what in (*COST_FIELDS[:-1], "cost")}
    known = {key: value for what, key in names.items() if (value := getattr(result, what)) is not None}
    share = {k: None if v is None else v / 100 for k, v in result.accepted.model_dump().items()}
    return {**known, "accepted": Estimate(**share)}


def interval_bounds(value: Estimate) -> list[float] | None:
    """Return the bounds of an estimate, None if it has none."""
    return None if value.low is None or value.high is None else [value.low, value.high]
