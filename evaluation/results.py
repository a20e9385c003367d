"""What a study found: scores and costs of each variant with their intervals, and the differences to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from .bootstrap import Estimate, estimate
from .records import Record
from .scores import Judged, Scores, arithmetic_mean, summarize
from .shapes import Sample
from .studies import Variant


class VariantResult(BaseModel):
    """What a variant reached and what it took; all estimates are means over the prompts, a prompt's seeds averaged first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    line: str
    at: float | None
    scores: Scores
    gm: Estimate
    am: Estimate
    against: str | None
    """The variant that `gain` is the difference to, None for that one itself."""
    gain: Estimate | None
    """Difference in GM, prompt by prompt."""
    images: Estimate
    calls: Estimate
    rounds: Estimate
    tokens: Estimate
    seconds: Estimate
    accepted: Estimate
    refiner_input_tokens: tuple[float, ...]
    """Mean over the runs that came so far, by refinement: the first is the one after round 1."""
    refiner_pictures: tuple[float, ...]
    """Likewise the pictures that it was shown."""


def results_of(
    variants: Sequence[Variant], samples: Sequence[Sample], records: Mapping[tuple[str, str, int], Record], against: str
) -> list[VariantResult]:
    """Sum up the records of a study."""
    grouped: dict[str, dict[str, list[Record]]] = {v.name: {s.id: [] for s in samples} for v in variants}
    for (variant, prompt, _), record in sorted(records.items()):
        grouped[variant][prompt].append(record)
    base = _means(grouped[against], "gm")
    return [_result(v, samples, grouped[v.name], None if v.name == against else against, base) for v in variants]


def _value(record: Record, what: str) -> float:
    if what in ("gm", "am"):
        return 100 * float(getattr(record.scores, what))
    if what == "tokens":
        return record.input_tokens + record.output_tokens
    return 100.0 * (record.decision == "accept") if what == "accepted" else float(getattr(record, what))


def per_prompt(
    variant: Variant, samples: Sequence[Sample], records: Mapping[tuple[str, str, int], Record], what: str
) -> list[float]:
    """Return a variant's mean for each prompt: its `gm` or `am`, `accepted` in %, `tokens`, or any number of a record."""
    grouped: dict[str, list[Record]] = {s.id: [] for s in samples}
    for (name, prompt, _), record in sorted(records.items()):
        if name == variant.name:
            grouped[prompt].append(record)
    return _means(grouped, what)


def _means(runs: Mapping[str, Sequence[Record]], what: str) -> list[float]:
    return [arithmetic_mean([_value(r, what) for r in group]) for group in runs.values()]


def _result(
    variant: Variant, samples: Sequence[Sample], runs: Mapping[str, Sequence[Record]], against: str | None, base: Sequence[float]
) -> VariantResult:
    estimates = {
        what: estimate(_means(runs, what)) for what in ("gm", "am", "images", "calls", "rounds", "tokens", "seconds", "accepted")
    }
    gains = [mine - theirs for mine, theirs in zip(_means(runs, "gm"), base, strict=True)]
    return VariantResult(
        name=variant.name,
        line=variant.line,
        at=variant.at,
        scores=_scores(samples, runs),
        against=against,
        gain=estimate(gains) if against else None,
        refiner_input_tokens=_by_round([r.refiner_input_tokens for group in runs.values() for r in group]),
        refiner_pictures=_by_round([r.refiner_pictures for group in runs.values() for r in group]),
        **estimates,
    )


def _scores(samples: Sequence[Sample], runs: Mapping[str, Sequence[Record]]) -> Scores:
    """Score all runs as the benchmark does: every prompt has as many, so their mean is that of the prompts."""
    judged = [
        Judged(
            id=record.id,
            atomicity=sample.atomicity,
            skills=tuple(probe.skill for probe in sample.questions),
            scores=record.scores.questions,
        )
        for sample in samples
        for record in runs[sample.id]
    ]
    return summarize(judged).model_copy(update={"prompts": len(samples)})


def _by_round(lists: Sequence[Sequence[int]]) -> tuple[float, ...]:
    longest = max(map(len, lists), default=0)
    columns = ([tokens[i] for tokens in lists if len(tokens) > i] for i in range(longest))
    return tuple(arithmetic_mean(column) for column in columns)


def to_json(results: Sequence[VariantResult]) -> dict[str, Any]:
    """Return the results for programs: {"presets": {name: {"gm": ..., "am": ..., "intervals": {"gm": [low, high]}, ...}}}."""
    return {"presets": {r.name: told(r) for r in results}}


def told(result: VariantResult) -> dict[str, Any]:
    """Return a variant's results for programs."""
    per_prompt = ("images", "calls", "rounds", "tokens", "seconds")
    names = {"gm": "gm", "am": "am", **{what: f"{what.replace('calls', 'chat_calls')}_per_prompt" for what in per_prompt}}
    made: dict[str, Any] = {said: getattr(result, what).mean for what, said in names.items()}
    made["accepted"] = result.accepted.mean / 100
    made["intervals"] = {said: interval(getattr(result, what)) for what, said in names.items()}
    if result.gain is not None:
        made["gm_difference"] = {"against": result.against, "mean": result.gain.mean, "interval": interval(result.gain)}
    scores = result.scores
    made |= {"prompts": scores.prompts, "by_skill": scores.by_skill, "by_atomicity": scores.by_atomicity}
    by_round = {"tokens": result.refiner_input_tokens, "pictures": result.refiner_pictures}
    return {**made, "refiner_input_by_round": {what: list(values) for what, values in by_round.items()}}


def interval(value: Estimate) -> list[float] | None:
    """Return the bounds of an estimate, None where it has none."""
    return None if value.low is None or value.high is None else [value.low, value.high]
