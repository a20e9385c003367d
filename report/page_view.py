"""The page of a run as plain data, which its template lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..context import RunContext
from ..memory.state import GemsState, ImageRef, RoleUsage, best_of
from ..privacy import folder_name, without_paths
from .attempts import (
    CARD,
    AttemptCard,
    MatrixRow,
    RoundSection,
    alt_text,
    attempt_cards,
    check_result,
    prompt_changes,
    round_sections,
)
from .compare import ImagePair, compare_first_and_best
from .diff import DiffSegment
from .history import ForkNode, RefinerInput, RunHistory
from .inline_images import HEAVY, InlineImage, ReadImage, inline_image
from .setting_rows import SettingRow, preset_line, setting_rows
from .summary import RoleCost, RunOutcome, Tile, best_label, costs_by_role, outcome_of, outcome_of_waiting, summary_tiles
from .timeline import Timeline, build_timeline

HERO, THUMBNAIL = 480, 128
"""Largest width and height of the best image and of a thumbnail, in CSS pixels."""


@dataclass(frozen=True)
class PageView:
    """What the templates of the page and of the card show."""

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
    thumbnails: dict[str, InlineImage]
    """By the image's SHA-256: each is embedded once, however often the page shows it."""
    card_width: int
    """Width of the widest image of an attempt, in CSS pixels."""
    pair: ImagePair | None
    timeline: Timeline | None
    forks: Sequence[ForkNode]
    parent: tuple[str, int] | None
    began: str
    preset: str
    rounds: list[RoundSection]
    next_refiner_inputs: list[RefinerInput]
    """What the refiner was shown when it wrote the prompt of which there is no image yet."""
    next_prompt: list[DiffSegment]
    next_thought: str
    notes: list[str]
    costs: list[RoleCost]
    total: RoleUsage
    money: str
    settings: list[SettingRow]
    models: dict[str, str]


def build_view(
    state: GemsState,
    context: RunContext,
    thread: str,
    models: Mapping[str, str],
    read_image: ReadImage | None,
    money: str = "",
    waiting: bool = False,
    history: RunHistory | None = None,
) -> PageView:
    """Return a run as its page shows it; without `read_image` its images have a size and a text, and no pixels."""
    history = history or RunHistory()
    best = state.best or best_of(state.attempts)
    cards = list(attempt_cards(state, best, read_image))
    hero = best or (state.attempts[-1] if state.attempts else None)
    pending = state.draft if _has_unused_prompt(state) else ""
    return PageView(
        thread=without_paths(thread),
        request=state.prompt,
        outcome=outcome_of_waiting(state) if waiting else outcome_of(state, context, best, history.failed),
        hero=inline_image(hero.image, read_image, alt=alt_text(hero), edge=HERO, light=HEAVY) if hero else None,
        hero_card=next((card for card in cards if card.attempt is hero), None),
        hero_label=best_label(state, best),
        tiles=summary_tiles(state, context, best),
        skills=state.skills,
        rows=[MatrixRow(check, [check_result(check, a) for a in state.attempts]) for check in state.checks],
        by_person=any(a.said for a in state.attempts),
        cards=cards,
        thumbnails=_thumbnails(state, history, read_image),
        card_width=max((card.image.width for card in cards), default=CARD),
        pair=compare_first_and_best(state, best, read_image),
        timeline=build_timeline(history, state, best),
        forks=history.forks,
        parent=history.parent,
        began=f"{history.began:%d %B %Y, %H:%M} UTC" if history.began else "",
        preset=preset_line(context),
        rounds=list(round_sections(state, cards, history.refiner_inputs)),
        next_refiner_inputs=[s for s in history.refiner_inputs if s.round > state.round] if pending else [],
        next_prompt=prompt_changes(state.attempts[-1].prompt if state.attempts else state.prompt, pending)[0],
        next_thought=state.thought if pending else "",
        notes=[without_paths(note) for note in state.notes],
        costs=costs_by_role(state),
        total=state.usage.total,
        money=money,
        settings=setting_rows(context),
        models={role: without_paths(folder_name(name)) for role, name in models.items()},
    )


def _thumbnails(state: GemsState, history: RunHistory, read_image: ReadImage | None) -> dict[str, InlineImage]:
    of_matrix = [a.image for a in state.attempts if state.checks]
    of_inputs = [part for shown in history.refiner_inputs for part in shown.parts if isinstance(part, ImageRef)]
    refs = {ref.sha256: ref for ref in (*of_matrix, *of_inputs)}
    return {name: inline_image(ref, read_image, alt="", edge=THUMBNAIL, light=0) for name, ref in refs.items()}


def _has_unused_prompt(state: GemsState) -> bool:
    over = state.result is not None and state.result.decision != "refine"
    return bool(state.draft) and not over and all(a.prompt != state.draft for a in state.latest)
