"""Attempts with their checks, ready for the templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..memory.state import Attempt, Check, Verdict
from ..privacy import without_paths
from .diff import DiffSegment, similar, word_diff
from .history import RunHistory

Tone = Literal["pass", "fail", "unknown", "skipped", "blank"]
"""Name of a colour, and class in the style sheet."""


_TONES: dict[bool | None, Tone] = {True: "pass", False: "fail", None: "unknown"}


_TONE_ORDER: tuple[Tone, ...] = ("pass", "unknown", "fail", "skipped")


_TONE_WORDS = {"pass": "passed", "fail": "failed", "unknown": "unknown", "skipped": "skipped", "blank": "not checked"}


@dataclass(frozen=True)
class CheckResult:
    """A check in an attempt: `verdict` is None if it was not answered, `check` if it is not in the list of checks."""

    check: Check | None
    verdict: Verdict | None
    by_person: bool = False
    """Whether a person gave the verdict."""

    @property
    def tone(self) -> Tone:
        """Name of the colour."""
        if self.verdict is None:
            return "blank"
        return "skipped" if self.verdict.skipped else _TONES[self.verdict.passed]

    @property
    def mark(self) -> str:
        """The sign: ✓, ✗, ? or –, a dot where nothing was answered."""
        return self.verdict.mark if self.verdict else "·"

    @property
    def label(self) -> str:
        """The sign as text, and whose verdict it is if it is a person's."""
        return _TONE_WORDS[self.tone] + (", said by a person" if self.by_person else "")

    @property
    def reason(self) -> str:
        """The verifier's reason."""
        return without_paths(self.verdict.reason) if self.verdict else ""


@dataclass(frozen=True)
class AttemptCard:
    """An attempt with its title, prompt and check results."""

    attempt: Attempt
    title: str
    best: bool
    prompt: list[DiffSegment]
    change: str
    """How its prompt differs from that of the attempt before."""
    repeats_prompt: bool
    """Whether its prompt is that of the attempt before, in the same round."""
    source: AttemptCard | None
    """The attempt whose image was edited; None where it is not known."""
    not_passed: list[CheckResult]
    passed: list[CheckResult]

    @property
    def anchor(self) -> str:
        """Id of its element on the page."""
        return f"attempt-{self.attempt.round}-{self.attempt.candidate}"

    @property
    def tally(self) -> dict[Tone, int]:
        """Number of verdicts of each tone."""
        return {tone: sum(f.tone == tone for f in (*self.not_passed, *self.passed)) for tone in _TONE_ORDER}


def attempt_cards(run: RunHistory) -> list[AttemptCard]:
    """Return a card for each attempt, oldest first."""
    checks = {check.id: check for check in run.state.checks}
    cards: list[AttemptCard] = []
    by_image: dict[str, AttemptCard] = {}
    for attempt in run.state.attempts:
        before = cards[-1].attempt if cards else None
        siblings = sum(a.round == attempt.round for a in run.state.attempts)
        image = f", image {attempt.candidate + 1} of {siblings}" if siblings > 1 else ""
        segments, change = prompt_changes(before.prompt if before else run.state.prompt, attempt.prompt)
        results = [CheckResult(checks.get(verdict.check), verdict, verdict in attempt.said) for verdict in attempt.verdicts]
        card = AttemptCard(
            attempt=attempt,
            title=f"Round {attempt.round}{image}",
            best=attempt is run.best,
            prompt=segments,
            change=change.format("the attempt before" if before else "the request"),
            repeats_prompt=before is not None and _prompt_key(before) == _prompt_key(attempt),
            source=by_image.get(attempt.source.sha256) if attempt.source else None,
            not_passed=sorted((r for r in results if r.tone != "pass"), key=lambda r: ("fail", "unknown", "skipped").index(r.tone)),
            passed=[r for r in results if r.tone == "pass"],
        )
        cards.append(card)
        by_image[attempt.image.sha256] = card
    return cards


def _prompt_key(attempt: Attempt) -> tuple[int, str, str]:
    return attempt.round, attempt.prompt, attempt.thought


def check_matrix(run: RunHistory) -> list[tuple[Check, list[CheckResult]]]:
    """Return each check with its results, one for each attempt."""
    by_check = [(attempt, {verdict.check: verdict for verdict in reversed(attempt.verdicts)}) for attempt in run.state.attempts]
    return [
        (check, [CheckResult(check, verdict := verdicts.get(check.id), verdict in attempt.said) for attempt, verdicts in by_check])
        for check in run.state.checks
    ]


def next_prompt(run: RunHistory) -> list[DiffSegment]:
    """Return the changes of a prompt of which there is no image yet; none if there is no such prompt."""
    state = run.state
    if run.is_over or any(a.prompt == state.draft for a in state.latest):
        return []
    return prompt_changes(state.attempts[-1].prompt if state.attempts else state.prompt, state.draft)[0]


def prompt_changes(before: str, prompt: str) -> tuple[list[DiffSegment], str]:
    """Return a prompt as segments of a diff, and how it changed, with {} for the name of what it is compared to."""
    if not prompt:
        return [], ""
    if before == prompt:
        return [DiffSegment("equal", prompt)], "Same as {}"
    if not similar(before, prompt):
        return [DiffSegment("equal", prompt)], "Written anew"
    return word_diff(before, prompt), "Changes from {}"


def alt_text(attempt: Attempt) -> str:
    """Return the alternative text of an attempt's image."""
    prompt = attempt.prompt if len(attempt.prompt) <= 160 else f"{attempt.prompt[:159]}…"
    return f"Image of round {attempt.round}, drawn from the prompt: {prompt}"
