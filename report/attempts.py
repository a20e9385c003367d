"""Attempts, their checks and their rounds, ready for the templates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ..memory.state import Attempt, Check, GemsState, Score, ShownLesson, Verdict
from ..privacy import without_paths
from .diff import DiffSegment, similar, word_diff
from .history import RefinerInput
from .inline_images import InlineImage, ReadImage, inline_image

CARD = 320
"""Largest width and height of an attempt's image, in CSS pixels."""


SHARP_UP_TO = 24
"""Number of attempts up to which their images have twice the pixels, for dense screens; with more the page would be heavy."""


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
class MatrixRow:
    """A check of the matrix and its results, one for each attempt."""

    check: Check
    results: list[CheckResult]


@dataclass(frozen=True)
class AttemptCard:
    """An attempt with its image, prompt and check results."""

    attempt: Attempt
    title: str
    best: bool
    image: InlineImage
    score: Score | None
    prompt: list[DiffSegment]
    change: str
    repeats_prompt: bool
    """Whether its prompt is that of the attempt before, in the same round."""
    edited: bool
    """Whether it was made by editing an earlier image."""
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


@dataclass(frozen=True)
class RoundSection:
    """A round with its attempts, experiences and reviews; round 0 is the plan."""

    number: int
    cards: list[AttemptCard]
    experiences: list[str]
    reviews: list[str]
    """Answers of a person."""
    lessons: list[ShownLesson]
    """Lessons of earlier runs that the writer of its prompt was shown."""
    refiner_inputs: list[RefinerInput]
    """What the refiner was shown, once for each time it wrote a prompt of this round."""

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Round {self.number}" if self.number else "Plan"


def attempt_cards(state: GemsState, best: Attempt | None, read_image: ReadImage | None) -> Iterator[AttemptCard]:
    """Yield a card for each attempt, oldest first; without `read_image` their images have no pixels."""
    checks = {check.id: check for check in state.checks}
    before: Attempt | None = None
    by_image: dict[str, AttemptCard] = {}
    density = 2 if len(state.attempts) <= SHARP_UP_TO else 1
    for attempt in state.attempts:
        siblings = sum(a.round == attempt.round for a in state.attempts)
        image = f", image {attempt.candidate + 1} of {siblings}" if siblings > 1 else ""
        segments, change = prompt_changes(before.prompt if before else state.prompt, attempt.prompt)
        results = [CheckResult(checks.get(verdict.check), verdict, verdict in attempt.said) for verdict in attempt.verdicts]
        card = AttemptCard(
            attempt=attempt,
            title=f"Round {attempt.round}{image}",
            best=attempt is best,
            image=inline_image(attempt.image, read_image, alt=alt_text(attempt), edge=CARD, density=density),
            score=attempt.score,
            prompt=segments,
            change=change.format("the attempt before" if before else "the request"),
            repeats_prompt=before is not None and _prompt_key(before) == _prompt_key(attempt),
            edited=attempt.source is not None,
            source=by_image.get(attempt.source.sha256) if attempt.source else None,
            not_passed=sorted((r for r in results if r.tone != "pass"), key=lambda r: ("fail", "unknown", "skipped").index(r.tone)),
            passed=[r for r in results if r.tone == "pass"],
        )
        yield card
        before, by_image[attempt.image.sha256] = attempt, card


def _prompt_key(attempt: Attempt) -> tuple[int, str, str]:
    return attempt.round, attempt.prompt, attempt.thought


def round_sections(state: GemsState, cards: Sequence[AttemptCard], inputs: Sequence[RefinerInput]) -> Iterator[RoundSection]:
    """Yield the rounds that have attempts, experiences or reviews, in order."""
    by_round = {number: list(group) for number, group in groupby(cards, key=lambda card: card.attempt.round)}
    for number in sorted({*by_round, *(e.round for e in state.experiences), *(r.round for r in state.reviews)}):
        yield RoundSection(
            number=number,
            cards=by_round.get(number, []),
            experiences=[e.text for e in state.experiences if e.round == number],
            reviews=[without_paths(str(r)) for r in state.reviews if r.round == number],
            lessons=[lesson for lesson in state.lessons if lesson.round == number],
            refiner_inputs=[shown for shown in inputs if shown.round == number],
        )


def prompt_changes(before: str, prompt: str) -> tuple[list[DiffSegment], str]:
    """Return a prompt as segments of a diff, and how it changed, with {} for the name of what it is compared to."""
    if not prompt:
        return [], ""
    if before == prompt:
        return [DiffSegment("equal", prompt)], "Same as {}"
    if not similar(before, prompt):
        return [DiffSegment("equal", prompt)], "Written anew"
    return word_diff(before, prompt), "Changes from {}"


def check_result(check: Check, attempt: Attempt) -> CheckResult:
    """Return the result of a check in an attempt."""
    verdict = next((v for v in attempt.verdicts if v.check == check.id), None)
    return CheckResult(check, verdict, verdict in attempt.said)


def alt_text(attempt: Attempt) -> str:
    """Return the alternative text of an attempt's image."""
    prompt = attempt.prompt if len(attempt.prompt) <= 160 else f"{attempt.prompt[:159]}…"
    return f"Image of round {attempt.round}, drawn from the prompt: {prompt}"
