"""The roles of the embedded chat model: functions from the text and images of a prompt to an answer.

They know the scene that was drawn only from the image.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from ...errors import OutsideWorldError
from .answers import answer
from .grammar import ParsedRequest, choose_colors, choose_layout, describe_layout, parse_request
from .language import NUMBERS, describe_spec, name_cell, plural
from .layout_preferences import LayoutPreference, describe_change, gives_places, preferences_in
from .perception import PerceivedThing, perceive
from .questions import questions_about
from .world import CELLS, ThingGroup, center_of

LAYOUT_SKILLS = ("counting", "spatial-layout")
"""Skills whose advice this model can follow: give every thing a place of its own."""


class ShownAttempt(NamedTuple):
    """An attempt in the prompt of the refiner."""

    prompt: str
    best: bool
    experience: str
    image: Image.Image | None


def wanted_skills(request: str, offered: Collection[str]) -> list[str]:
    """Choose the skills to load: one for numbers, one for relations, none for a plain request."""
    parsed = parse_request(request)
    calls_for = {"counting": any(g.count > 1 for g in parsed.groups), "spatial-layout": bool(parsed.relations)}
    return [name for name in LAYOUT_SKILLS if calls_for[name] and name in offered]


def plan(request: str, loaded: Collection[str], lessons: Sequence[str] = ()) -> dict[str, Any]:
    """Write the first prompt: laid out if a skill or a lesson says how, else the request in plain words."""
    parsed = parse_request(request)
    if not set(LAYOUT_SKILLS) & set(loaded) and not any(map(gives_places, lessons)):
        plain = all(r.a == 0 for r in parsed.relations) and not any(p is not None for p in parsed.places)
        return {"prompt": describe_spec(parsed.spec) if plain else request}
    return {"prompt": _lay_out(request, parsed, random.Random(request), preferences=preferences_in(lessons)) or request}


def checks(request: str) -> dict[str, Any]:
    """Write the checks of a request."""
    return {
        "checks": [
            {"kind": q.kind, "question": q.text, "expected": q.expected, "depends_on": [p + 1 for p in q.parents]}
            for q in questions_about(parse_request(request))
        ]
    }


def findings(questions: Sequence[tuple[str, str]], image: Image.Image) -> dict[str, Any]:
    """Answer questions, given as (id, text), from the image."""
    seen = perceive(image)
    out = []
    for id, text in questions:
        result = answer(text, seen)
        out.append({"id": id, "answer": result.text if result.known else "unknown", "reason": result.reason})
    return {"findings": out}


def lesson(request: str, prompt: str, failures: Sequence[str], image: Image.Image) -> dict[str, Any]:
    """Summarize a round: which places are right and wrong in the image."""
    placed = placed_in(prompt)
    seen = perceive(image)
    if not placed:
        failed = "; ".join(failures[:3]) or "nothing failed"
        text = f"The prompt gave no places, and the picture shows {_list_perceived(seen)}. Failed: {failed}."
        return {"experience": f"{text} Next: give every thing a place of its own."}
    wrong = wrong_cells(placed, seen)
    right = [name_cell(c) for c in placed if c not in wrong]
    wrong_places = [f"{name_cell(c)} (wanted {_name_group(placed.get(c))}, seen {_name_things_in_cell(seen, c)})" for c in wrong]
    text = f"Laid out in {len(placed)} places. Wrong places: {'; '.join(wrong_places) or 'none'}."
    text += f" Right places: {'; '.join(right) or 'none'}."
    return {"experience": text + (" Next: keep the right places and move the others." if wrong else " Next: draw it again.")}


def refinement(request: str, memory: Sequence[ShownAttempt], lessons: Sequence[str] = ()) -> dict[str, Any]:
    """Write the next prompt: a layout that was not tried, with the right places of the best attempt.

    Of the remaining layouts it takes the one that the lessons prefer.
    """
    parsed = parse_request(request)
    rng = random.Random(f"{request}/{len(memory)}/{memory[-1].prompt if memory else ''}")
    tried = {cells for m in memory if (cells := cells_of(parsed, m.prompt)) is not None}
    best = next((m for m in memory if m.best), memory[-1] if memory else None)
    wrong = _wrong_places(best) if best else None
    keep: dict[int, set[int]] = {}
    if best is not None and wrong is not None and (cells := cells_of(parsed, best.prompt)) is not None:
        owners = [i for i, group in enumerate(parsed.groups) for _ in range(group.count)]
        for owner, cell in zip(owners, cells, strict=True):
            if cell not in wrong:
                keep.setdefault(owner, set()).add(cell)
    prompt = _lay_out(request, parsed, rng, keep, wrong or (), tried, preferences_in(lessons))
    if prompt is None:
        return {"strategy": "There is no other layout: draw the request as it stands with a new seed.", "prompt": request}
    kept = sum(map(len, keep.values()))
    new = "Give every thing a place of its own, in a layout not tried yet."
    return {"strategy": f"Keep {kept} places that came out right and move the rest." if kept else new, "prompt": prompt}


def lessons_from_changes(changes: Sequence[tuple[str, str, str]], skills: Collection[str]) -> dict[str, Any]:
    """Write a lesson for each change, given as (kind of check, prompt before, prompt after), where the places explain it."""
    lessons = []
    for kind, before, after in changes:
        text = describe_change(tuple(placed_in(before)), tuple(placed_in(after)))
        skill = LAYOUT_SKILLS[kind != "count"]
        if text:
            lessons.append({"kind": kind, "skill": skill if skill in skills else "", "text": text})
    return {"lessons": lessons}


def cells_of(parsed: ParsedRequest, prompt: str) -> tuple[int, ...] | None:
    """Return the cells that a prompt gives the things of a request, in its order; None where it is not a layout of it."""
    placed = dict(placed_in(prompt))
    colors = choose_colors(parsed, random.Random(describe_spec(parsed.spec)))
    cells: list[int] = []
    for group, color in zip(parsed.groups, colors, strict=True):
        mine = sorted(c for c, thing in placed.items() if (thing.shape, thing.color) == (group.shape, color))[: group.count]
        if len(mine) < group.count:
            return None
        cells += mine
        for cell in mine:
            del placed[cell]
    return tuple(cells) if not placed else None


def wrong_cells(placed: Mapping[int, ThingGroup], seen: Sequence[PerceivedThing]) -> list[int]:
    """Return the cells whose content differs from the layout, including cells that should be empty."""
    shown: dict[int, list[PerceivedThing]] = {}
    for thing in seen:
        shown.setdefault(cell_at(thing.x, thing.y), []).append(thing)
    right = {
        cell for cell, group in placed.items()
        if [(s.shape, s.color) for s in shown.get(cell, ())] == [(group.shape, group.color)]
    }  # fmt: skip
    return sorted((set(placed) | set(shown)) - right)


def cell_at(x: float, y: float) -> int:
    """Return the cell whose centre is nearest to a point."""
    return min(range(len(CELLS)), key=lambda cell: (center_of(cell)[0] - x) ** 2 + (center_of(cell)[1] - y) ** 2)


def _lay_out(
    request: str,
    parsed: ParsedRequest,
    rng: random.Random,
    keep: Mapping[int, Collection[int]] | None = None,
    wrong: Collection[int] = (),
    tried: Collection[tuple[int, ...]] = (),
    preferences: Sequence[LayoutPreference] = (),
) -> str | None:
    rank = (lambda cells: [preference.cost(cells) for preference in preferences]) if preferences else None
    colors = choose_colors(parsed, random.Random(describe_spec(parsed.spec)))
    for options in ({"keep": keep, "forbidden": wrong}, {"keep": keep}, {}):
        cells = choose_layout(parsed, rng, avoid=tried, rank=rank, **options)
        if cells is not None:
            return describe_layout(parsed, cells, colors)
    return None


def placed_in(prompt: str) -> dict[int, ThingGroup]:
    """Return the thing of each cell in a layout; empty where the prompt is not a layout of single things."""
    try:
        parsed = parse_request(prompt)
    except OutsideWorldError:
        return {}
    placed = {cell: g for g, cell in zip(parsed.groups, parsed.places, strict=True) if cell is not None and g.count == 1}
    return placed if len(placed) == len(parsed.groups) else {}


def _wrong_places(attempt: ShownAttempt) -> set[int] | None:
    """Return the wrong cells of an attempt, from its image or else from its experience; None if neither shows them."""
    if attempt.image is not None and (placed := placed_in(attempt.prompt)):
        return set(wrong_cells(placed, perceive(attempt.image)))
    match = re.search(r"Wrong places: (.*?)\. Right places:", attempt.experience)
    if match is None:
        return None
    names = [name_cell(c) for c in range(len(CELLS))]
    return {names.index(m.split(" (")[0]) for m in match.group(1).split("; ") if m.split(" (")[0] in names}


def _name_group(group: ThingGroup | None) -> str:
    return f"{group.color or 'any'} {group.shape}" if group else "nothing"


def _name_things_in_cell(seen: Sequence[PerceivedThing], cell: int) -> str:
    here = [f"{s.color} {s.shape}" for s in seen if cell_at(s.x, s.y) == cell]
    return " and ".join(here) or "nothing"


def _list_perceived(seen: Sequence[PerceivedThing]) -> str:
    counts = sorted(Counter((s.color, s.shape) for s in seen).items())
    return ", ".join(f"{NUMBERS[min(n, 10)]} {color} {plural(shape, n)}" for (color, shape), n in counts) or "nothing"
