"""Recall policies: the part of the memory that the refiner is shown. Each is one of the paper's ablation, or our default.

| policy | rounds shown, each by its best candidate | of each: prompt and findings | image | thought | experiences |
|---|---|---|---|---|---|
| none | none, only the current prompt | | | | |
| last | the latest | yes | | | |
| feedback | all | yes | | | |
| images | all | yes | yes | | |
| thoughts | all | yes | yes | yes | |
| experiences | all | yes | yes | | all |
| default | all | yes | best and latest only | | all |
"""

from __future__ import annotations

from collections.abc import Sequence

from ..context import RecallPolicy
from .state import Attempt, Check, GemsState, ImageRef, Review, best_of

USES_EXPERIENCES: frozenset[RecallPolicy] = frozenset({"experiences", "default"})
"""Policies that show experiences, and so need the summarizer."""


FEEDBACK = """\
The person who made the request has looked at the work and said this, oldest first. It is the law as the request is; where \
the two differ, what was said last counts."""


def recall(state: GemsState, policy: RecallPolicy) -> list[str | ImageRef]:
    """Return the memory that the refiner is shown: texts and images in order, oldest round first."""
    best = best_of(state.attempts)
    latest = best_of(state.latest) or (state.attempts[-1] if state.attempts else None)
    if policy == "none" or latest is None:
        return [f"<current_prompt>\n{state.draft}\n</current_prompt>"]
    rounds = dict.fromkeys(a.round for a in state.attempts)
    of_rounds = [best_of([a for a in state.attempts if a.round == round]) for round in rounds]
    shown = [latest] if policy == "last" else [a for a in of_rounds if a is not None]
    with_all_images = {"images", "thoughts", "experiences"}
    lessons = {e.round: e.text for e in state.experiences} if policy in USES_EXPERIENCES else {}
    parts: list[str | ImageRef] = []
    for attempt in shown:
        mark = ' best="true"' if best and attempt.key == best.key and policy != "last" else ""
        if attempt.source is not None:
            source = next((a.round for a in state.attempts if a.image == attempt.source), "?")
            mark += f' edit_of_round="{source}"'
        lines = [f'<attempt round="{attempt.round}"{mark}>', f"<prompt>\n{attempt.prompt}\n</prompt>"]
        if policy == "thoughts" and attempt.thought:
            lines.append(f"<thought>\n{attempt.thought}\n</thought>")
        lines.append(f"<findings>\n{findings_text(attempt, state.checks)}\n</findings>")
        if attempt.round in lessons:
            lines.append(f"<experience>\n{lessons[attempt.round]}\n</experience>")
        with_image = policy in with_all_images or (policy == "default" and attempt in (best, latest))
        parts.append("\n".join(lines))
        parts += ["Its image:", attempt.image] if with_image else []
        parts.append("</attempt>")
    return parts


def feedback_text(reviews: Sequence[Review]) -> list[str]:
    """Return a person's comments in the run as one text, or nothing if there are none. Every policy shows it."""
    comments = [f"{'Of the image of round ' + str(r.about) if r.about else 'Of the plan'}: {r.words}" for r in reviews if r.words]
    return [f"{FEEDBACK}\n<feedback>\n" + "\n".join(comments) + "\n</feedback>"] if comments else []


def findings_text(attempt: Attempt, checks: Sequence[Check]) -> str:
    """Return the verdicts on an attempt, a line each: failed and unknown ones with what is seen instead, skipped ones with why."""
    by_id = {c.id: c for c in checks}
    lines = []
    for verdict in attempt.verdicts:
        check = by_id.get(verdict.check)
        if check is None:
            continue
        word = "SKIPPED" if verdict.skipped else {True: "PASSED", False: "FAILED", None: "UNKNOWN"}[verdict.passed]
        line = f"{word}: {check.question}"
        if verdict.skipped:
            line += f" ({verdict.reason})" if verdict.reason else ""
        elif verdict.passed is not True:
            line += f" Wanted: {check.expected}. Answer: {verdict.answer or 'none'}."
            line += f" Seen: {verdict.reason}" if verdict.reason else ""
        lines.append(line)
    return "\n".join(lines)
