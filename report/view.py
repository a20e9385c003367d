"""What the page shows: the state of a run turned into the few plain items that the template lays out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from ..context import PROMPTS, RunContext, nearest_preset
from ..memory.state import Attempt, Check, GemsState, ImageRef, RoleUsage, Score, ShownLesson, Verdict, best_of
from ..privacy import folder_name, without_paths
from .compare import ImagePair, pair
from .diff import DiffSegment, kindred, word_diff
from .history import ForkNode, RefinerInput, RunHistory
from .inline_images import HEAVY, InlineImage, ReadImage, picture
from .timeline import Timeline, timeline

HERO, CARD, THUMB = 480, 320, 128
"""Largest width and height of the best image, of an attempt's and of a small one, in CSS pixels."""

MANY = 24
"""Images up to which those of attempts are sharp on dense screens too; more of them would make the page heavy."""

Tone = Literal["pass", "fail", "unknown", "skipped", "blank"]

_TONES: dict[bool | None, Tone] = {True: "pass", False: "fail", None: "unknown"}
_ORDER: tuple[Tone, ...] = ("pass", "unknown", "fail", "skipped")
_SAID = {"pass": "passed", "fail": "failed", "unknown": "unknown", "skipped": "skipped", "blank": "not checked"}


@dataclass(frozen=True)
class RunOutcome:
    """How the run ended, in a word, a line and the selector's reason."""

    tone: Tone
    word: str
    line: str
    reason: str


@dataclass(frozen=True)
class Tile:
    """One number of the summary."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class CheckResult:
    """One check in one attempt: `verdict` is None where it was not answered, `check` where the list does not have it."""

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
    def said(self) -> str:
        """The sign in words, and whose it is where it is not the verifier's."""
        return _SAID[self.tone] + (", said by a person" if self.by_person else "")

    @property
    def reason(self) -> str:
        """The verifier's reason."""
        return without_paths(self.verdict.reason) if self.verdict else ""


@dataclass(frozen=True)
class MatrixRow:
    """A check of the matrix and its findings, one for each attempt."""

    check: Check
    findings: list[CheckResult]


@dataclass(frozen=True)
class AttemptCard:
    """One attempt, ready to be laid out; a `twin` repeats the words of the one before in the same round."""

    attempt: Attempt
    title: str
    best: bool
    picture: InlineImage
    score: Score | None
    prompt: list[DiffSegment]
    change: str
    twin: bool
    edited: bool
    """Whether it was made by editing an earlier image instead of drawing a new one."""
    source: AttemptCard | None
    """The attempt whose image was edited; None where it is not known."""
    open: list[CheckResult]
    passed: list[CheckResult]

    @property
    def anchor(self) -> str:
        """Where links to this attempt go."""
        return f"attempt-{self.attempt.round}-{self.attempt.candidate}"

    @property
    def tally(self) -> dict[Tone, int]:
        """How many verdicts there are of each tone."""
        return {tone: sum(f.tone == tone for f in (*self.open, *self.passed)) for tone in _ORDER}


@dataclass(frozen=True)
class RoundSection:
    """The attempts of a round, what it taught, and what a person said; round 0 is the plan."""

    number: int
    cards: list[AttemptCard]
    lessons: list[str]
    said: list[str]
    shown: list[ShownLesson]
    """Lessons of earlier runs with which its prompt was written."""
    memory: list[RefinerInput]
    """What the refiner was shown before it wrote the round's prompt, each time it was asked."""

    @property
    def title(self) -> str:
        """What it is called."""
        return f"Round {self.number}" if self.number else "Plan"


@dataclass(frozen=True)
class RoleCost:
    """What a role used, and its share of the seconds in per cent."""

    role: str
    usage: RoleUsage
    share: float


@dataclass(frozen=True)
class ChangedSetting:
    """A knob of the run."""

    name: str
    value: str
    description: str
    changed: bool


@dataclass(frozen=True)
class PageView:
    """Everything the template needs."""

    thread: str
    request: str
    outcome: RunOutcome
    hero: InlineImage | None
    hero_card: AttemptCard | None
    hero_label: str
    tiles: list[Tile]
    skills: list[str]
    rows: list[MatrixRow]
    by_person: bool
    """Whether a person gave some of the verdicts."""
    cards: list[AttemptCard]
    thumbs: dict[str, InlineImage]
    """Small images, by their hash: each is in the page once, however often it shows."""
    shot: int
    pair: ImagePair | None
    timeline: Timeline | None
    forks: Sequence[ForkNode]
    parent: tuple[str, int] | None
    began: str
    preset: str
    rounds: list[RoundSection]
    next_memory: list[RefinerInput]
    next_prompt: list[DiffSegment]
    next_thought: str
    notes: list[str]
    costs: list[RoleCost]
    total: RoleUsage
    money: str
    settings: list[ChangedSetting]
    models: dict[str, str]


def view(
    state: GemsState,
    context: RunContext,
    thread: str,
    models: Mapping[str, str],
    read_image: ReadImage | None,
    money: str = "",
    waiting: bool = False,
    history: RunHistory | None = None,
) -> PageView:
    """Turn a run into what the page shows; without `read_image` there are no pictures in it, only their sizes and words."""
    history = history or RunHistory()
    best = state.best or best_of(state.attempts)
    cards = list(_cards(state, best, read_image))
    hero = best or (state.attempts[-1] if state.attempts else None)
    pending = state.draft if _awaits_drawing(state) else ""
    return PageView(
        thread=without_paths(thread),
        request=state.prompt,
        outcome=_waiting(state) if waiting else _outcome(state, context, best, history.failed),
        hero=picture(hero.image, read_image, alt=_alt(hero), edge=HERO, light=HEAVY) if hero else None,
        hero_card=next((card for card in cards if card.attempt is hero), None),
        hero_label=_hero_label(state, best),
        tiles=_tiles(state, context, best),
        skills=state.skills,
        rows=[MatrixRow(check, [_finding(check, a) for a in state.attempts]) for check in state.checks],
        by_person=any(a.said for a in state.attempts),
        cards=cards,
        thumbs=_thumbs(state, history, read_image),
        shot=max((card.picture.width for card in cards), default=CARD),
        pair=pair(state, best, read_image),
        timeline=timeline(history, state, best),
        forks=history.forks,
        parent=history.parent,
        began=f"{history.began:%d %B %Y, %H:%M} UTC" if history.began else "",
        preset=_preset(context),
        rounds=list(_rounds(state, cards, history.refiner_inputs)),
        next_memory=[s for s in history.refiner_inputs if s.round > state.round] if pending else [],
        next_prompt=_changes(state.attempts[-1].prompt if state.attempts else state.prompt, pending)[0],
        next_thought=state.thought if pending else "",
        notes=[without_paths(note) for note in state.notes],
        costs=_costs(state),
        total=state.usage.total,
        money=money,
        settings=_settings(context),
        models={role: without_paths(folder_name(name)) for role, name in models.items()},
    )


def _thumbs(state: GemsState, history: RunHistory, read_image: ReadImage | None) -> dict[str, InlineImage]:
    remembered = [part for shown in history.refiner_inputs for part in shown.parts if isinstance(part, ImageRef)]
    heads = [a.image for a in state.attempts if state.checks]  # of the matrix, which there is with checks only
    refs = {ref.sha256: ref for ref in (*heads, *remembered)}
    return {name: picture(ref, read_image, alt="", edge=THUMB, light=0) for name, ref in refs.items()}


def _preset(context: RunContext) -> str:
    name, others = preset_told(context)
    return name + (f", with other {others}" if others else "")


def preset_told(context: RunContext) -> tuple[str, str]:
    """Return the preset that a context is most like, and in words the settings in which it differs, but for the seed."""
    name, changed = nearest_preset(context)
    return name, ", ".join(setting.replace("_", " ") for setting in changed if setting != "seed")


def _cards(state: GemsState, best: Attempt | None, read_image: ReadImage | None) -> Iterator[AttemptCard]:
    checks = {check.id: check for check in state.checks}
    before: Attempt | None = None
    drawn: dict[str, AttemptCard] = {}
    density = 2 if len(state.attempts) <= MANY else 1
    for attempt in state.attempts:
        siblings = sum(a.round == attempt.round for a in state.attempts)
        image = f", image {attempt.candidate + 1} of {siblings}" if siblings > 1 else ""
        segments, change = _changes(before.prompt if before else state.prompt, attempt.prompt)
        findings = [CheckResult(checks.get(verdict.check), verdict, verdict in attempt.said) for verdict in attempt.verdicts]
        card = AttemptCard(
            attempt=attempt,
            title=f"Round {attempt.round}{image}",
            best=attempt is best,
            picture=picture(attempt.image, read_image, alt=_alt(attempt), edge=CARD, density=density),
            score=attempt.score,
            prompt=segments,
            change=change.format("the attempt before" if before else "the request"),
            twin=before is not None and _words(before) == _words(attempt),
            edited=attempt.source is not None,
            source=drawn.get(attempt.source.sha256) if attempt.source else None,
            open=sorted((f for f in findings if f.tone != "pass"), key=lambda f: ("fail", "unknown", "skipped").index(f.tone)),
            passed=[f for f in findings if f.tone == "pass"],
        )
        yield card
        before, drawn[attempt.image.sha256] = attempt, card


def _words(attempt: Attempt) -> tuple[int, str, str]:
    return attempt.round, attempt.prompt, attempt.thought


def _rounds(state: GemsState, cards: Sequence[AttemptCard], shown: Sequence[RefinerInput]) -> Iterator[RoundSection]:
    drawn = {number: list(group) for number, group in groupby(cards, key=lambda card: card.attempt.round)}
    for number in sorted({*drawn, *(e.round for e in state.experiences), *(r.round for r in state.reviews)}):
        learned = [e.text for e in state.experiences if e.round == number]
        said = [without_paths(str(r)) for r in state.reviews if r.round == number]
        lessons = [s for s in state.lessons if s.round == number]
        yield RoundSection(number, drawn.get(number, []), learned, said, lessons, [s for s in shown if s.round == number])


def _changes(before: str, prompt: str) -> tuple[list[DiffSegment], str]:
    """Return the prompt in segments and, with {} for what it is compared to, how it changed."""
    if not prompt:
        return [], ""
    if before == prompt:
        return [DiffSegment("equal", prompt)], "Same as {}"
    if not kindred(before, prompt):
        return [DiffSegment("equal", prompt)], "Written anew"
    return word_diff(before, prompt), "Changes from {}"


def _finding(check: Check, attempt: Attempt) -> CheckResult:
    verdict = next((v for v in attempt.verdicts if v.check == check.id), None)
    return CheckResult(check, verdict, verdict in attempt.said)


def _awaits_drawing(state: GemsState) -> bool:
    over = state.result is not None and state.result.decision != "refine"
    return bool(state.draft) and not over and all(a.prompt != state.draft for a in state.latest)


def _outcome(state: GemsState, context: RunContext, best: Attempt | None, failed: str) -> RunOutcome:
    rounds = count_of(state.round, "round")
    if failed and (state.result is None or state.result.decision == "refine"):
        line = f"after {rounds}" if state.attempts else "before an image was drawn"
        return RunOutcome("fail", "Failed", line, without_paths(failed))
    if state.result is None:
        line = f"{rounds} so far, and no decision yet" if state.attempts else "no image has been drawn yet"
        return RunOutcome("unknown", "Unfinished", line, "")
    reason = without_paths(state.result.reason)
    shown = f"best attempt: round {best.round}" if best else "no attempt to show"
    if state.result.decision == "accept":
        return RunOutcome("pass", "Accepted", f"in round {state.result.best_round} of at most {context.max_rounds}", reason)
    if state.result.decision == "give up":
        return RunOutcome("fail", "Gave up", f"after {rounds}; {shown}", reason)
    return RunOutcome("unknown", "Still refining", f"{rounds} so far; {shown}", reason)


def _waiting(state: GemsState) -> RunOutcome:
    line = f"for a person's word on {f'round {state.round}' if state.attempts else 'the plan'}"
    decided = f"{state.result.decision}: {without_paths(state.result.reason)}" if state.result else ""
    return RunOutcome("unknown", "Waiting", line, decided)


def _hero_label(state: GemsState, best: Attempt | None) -> str:
    if best is None:
        return "Latest attempt"
    over = state.result is not None and state.result.decision != "refine"
    return "Best attempt" if over else "Best so far"


def _tiles(state: GemsState, context: RunContext, best: Attempt | None) -> list[Tile]:
    total = state.usage.total
    passed = f"{best.score.passed}/{best.score.total}" if best and best.score else f"0/{len(state.checks)}" if state.checks else "–"
    tokens = total.input_tokens + total.output_tokens
    return [
        Tile("Checks passed", passed, "by the best attempt" if best else "not scored yet"),
        Tile("Rounds", str(state.round), f"of at most {context.max_rounds}"),
        Tile("Images", f"{total.images:,}", f"{count_of(len(state.attempts), 'attempt')}"),
        Tile("Chat calls", f"{total.calls:,}", f"{count_of(len(state.usage.roles), 'role')}"),
        Tile("Tokens", _short(tokens), f"{total.input_tokens:,} in, {total.output_tokens:,} out"),
        Tile("Model time", duration(total.seconds), "all roles added up"),
    ]


def _costs(state: GemsState) -> list[RoleCost]:
    seconds = state.usage.total.seconds
    return [RoleCost(role, used, 100 * used.seconds / seconds if seconds else 0.0) for role, used in state.usage.roles.items()]


def _settings(context: RunContext) -> list[ChangedSetting]:
    return [
        ChangedSetting(
            name.replace("_", " "), _brief(name, value), (field.description or "").replace("`", ""), value != field.default
        )
        for name, field in RunContext.model_fields.items()
        for value in [getattr(context, name)]
    ]


def _brief(name: str, value: Any) -> str:
    """Return a setting as the list shows it: of a role's own text only that there is one."""
    if name not in PROMPTS:
        return _plain(value)
    return f"changed, {count_of(len(value.split()), 'word')}" if value else "built in"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else str(value)


def _alt(attempt: Attempt) -> str:
    prompt = attempt.prompt if len(attempt.prompt) <= 160 else f"{attempt.prompt[:159]}…"
    return f"Image of round {attempt.round}, drawn from the prompt: {prompt}"


def count_of(number: int, noun: str) -> str:
    """Say a number of things."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _short(number: int) -> str:
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def duration(seconds: float, digits: int = 1) -> str:
    """Return a length of time as people say it; `digits` after the point where it is less than a minute."""
    if seconds < 59.95:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
