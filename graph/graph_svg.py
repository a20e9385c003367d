"""The graph as a picture: drawn from the compiled graph itself, without a network or a program outside Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from langgraph.graph import END, START
from langgraph.graph.state import CompiledStateGraph

BOX, HIGH, BESIDE, BELOW, LANE, PORT = 98, 30, 22, 36, 15, 9
"""Pixels: width and height of a box, room beside and below it, between two lanes, between two ends at a box."""
LOOP = 16
"""Pixels that a way from a box to itself reaches out: less than there is between two boxes."""
LEGEND = 230
"""Pixels that the words below the graph need."""

WIDTHS = {**dict.fromkeys("MW@%…", 12.5), **dict.fromkeys("mw", 11.0), **dict.fromkeys("fijlrtI .,:;'|!()[]-", 4.5)}
"""Pixels of letters that are wider or narrower than most."""

STYLE = """
.gems-graph { --ink: var(--gems-ink, #24292f); --paper: var(--gems-paper, #f6f8fa); --mark: var(--gems-mark, #8250df);
  font: 12.5px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  .gems-graph { --ink: var(--gems-ink, #d5dbe1); --paper: var(--gems-paper, #1c2229); --mark: var(--gems-mark, #b394f4); } }
.gems-graph path { fill: none; stroke: var(--ink); stroke-width: 1.3; stroke-opacity: .75; }
.gems-graph .maybe { stroke-dasharray: 5 3.5; }
.gems-graph marker path { fill: var(--ink); stroke: none; }
.gems-graph rect { fill: var(--paper); stroke: var(--ink); stroke-width: 1.3; }
.gems-graph .yours rect { stroke: var(--mark); stroke-width: 2.4; }
.gems-graph text { fill: var(--ink); text-anchor: middle; }
.gems-graph .note { font-size: 11px; font-style: italic; text-anchor: start; }
.gems-graph .note.before { text-anchor: end; }
.gems-graph .yours .note { fill: var(--mark); text-anchor: middle; }
"""


class _Way(NamedTuple):
    source: str
    target: str
    maybe: bool
    label: str


class _Lane(NamedTuple):
    way: _Way
    side: int  # -1: left of the boxes, 1: right of them
    rank: int  # 0: the innermost


def draw(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """Draw a compiled graph from top to bottom, as SVG that is dark where its reader's screen is.

    Solid lines are always followed, dashed ones where the node before them decides so; what leads back runs beside the boxes.
    Nodes that were swapped in the graph of GEMS are marked. Colours follow the CSS variables `--gems-ink`, `--gems-paper` and
    `--gems-mark` where a page sets them.

    Args:
        graph: what `build_graph` returns, or any compiled graph of LangGraph.
    """
    names = list(graph.get_graph().nodes)
    found = list(_ways(graph))
    loops = [way for way in found if way.source == way.target]
    ways = [way for way in found if way.source != way.target]
    rows = _rows(names, ways)
    places = _places(rows, ways)
    lanes = _lanes([w for w in ways if not _near(w, rows)], rows)
    ends = _ends(lanes, places)
    edges = [
        _beside(w, places) if _row(w.source, rows) == _row(w.target, rows) else _down(w, places) for w in ways if _near(w, rows)
    ]
    edges += [_around(lane, lanes, places, ends) for lane in lanes]
    circles = [_circle(way, rows, lanes) for way in loops]
    edges += [_loop(circle, places) for circle in circles]
    boxes = [_box(name, places[name], _is_swapped(graph, name)) for name in names]
    return _page(graph.get_name(), edges + boxes, _frame(places, lanes, circles), ways + loops)


def _ways(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Iterator[_Way]:
    """Give the edges. What they are called is asked of the branches: `get_graph` keeps one name of several to the same node."""
    for edge in graph.get_graph().edges:
        branches = graph.builder.branches.get(edge.source, {}).values()
        named = [str(k) for b in branches for k, target in (b.ends or {}).items() if target == edge.target and k != target]
        yield _Way(edge.source, edge.target, edge.conditional, ", ".join(named))


def _rows(names: list[str], ways: list[_Way]) -> list[list[str]]:
    """Sort nodes into rows, each below all that lead to it; what leads back to where the way came from does not count."""
    after = {name: [w.target for w in ways if w.source == name] for name in names}
    before = {name: [w.source for w in ways if w.target == name] for name in names}
    hosts = {n: after[n][0] for n in names if len(set(after[n] + before[n])) == 1 and after[n] and before[n]}  # called and back
    order: list[str] = []
    back: set[tuple[str, str]] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for target in after[name]:
            if target in (*path, name):
                back.add((name, target))
            elif target not in order:
                visit(target, (*path, name))
        order.insert(0, name)

    for name in (START, *names):  # a node that nothing leads to may lead on
        if name not in order:
            visit(name, ())
    level = {name: int(name != START) for name in order}
    for name in order:
        for target in after[name]:
            if (name, target) not in back:
                level[target] = max(level[target], level[name] + 1)
    level.update((name, level[host]) for name, host in hosts.items())
    rows = [[n for n in names if level.get(n) == i and n not in hosts] for i in range(max(level.values()) + 1)]
    for name, host in hosts.items():
        row = rows[level[host]]
        row.insert(row.index(host) + (2 * row.index(host) >= len(row)), name)
    return rows


def _row(name: str, rows: list[list[str]]) -> int:
    return next(i for i, row in enumerate(rows) if name in row)


def _near(way: _Way, rows: list[list[str]]) -> bool:
    """Tell whether an edge leads to the row below, or to the box beside."""
    start, end = _row(way.source, rows), _row(way.target, rows)
    beside = start == end and abs(rows[start].index(way.source) - rows[end].index(way.target)) == 1
    return end == start + 1 or beside


def _places(rows: list[list[str]], ways: list[_Way]) -> dict[str, tuple[float, float]]:
    """Give each box its middle: below those that lead to it, with room between."""
    places: dict[str, tuple[float, float]] = {}
    for i, row in enumerate(rows):
        above = {n: [places[w.source][0] for w in ways if w.target == n and i and w.source in rows[i - 1]] for n in row}
        anchored = [n for n in row if above[n]] or row
        wanted = [sum(above[n]) / len(above[n]) if above[n] else 0.0 for n in anchored]
        middle = sum(wanted) / len(wanted)
        first = row.index(anchored[0]) + (len(anchored) - 1) / 2
        for k, name in enumerate(row):
            places[name] = (middle + (k - first) * (BOX + BESIDE), i * (HIGH + BELOW))
    return places


def _lanes(far: list[_Way], rows: list[list[str]]) -> list[_Lane]:
    """Lead far edges around: back on the left and on to lower rows on the right, if no other box is in the way there."""
    lanes: list[_Lane] = []
    for way in sorted(far, key=lambda w: abs(_row(w.source, rows) - _row(w.target, rows))):
        start, end = _row(way.source, rows), _row(way.target, rows)
        free = {
            -1: rows[start][0] == way.source and rows[end][0] == way.target,
            1: rows[start][-1] == way.source and rows[end][-1] == way.target,
        }
        side = -1 if end <= start else 1
        side = side if free[side] or not free[-side] else -side
        lanes.append(_Lane(way, side, sum(lane.side == side for lane in lanes)))
    return lanes


def _ends(lanes: list[_Lane], places: dict[str, tuple[float, float]]) -> dict[tuple[str, _Lane], float]:
    """Give the ends at the same side of a box a height each, in the order in which their lines do not cross."""
    ends: dict[tuple[str, _Lane], float] = {}
    for name, (_, y) in places.items():
        for side in (-1, 1):
            here = [lane for lane in lanes if lane.side == side and name in lane.way[:2]]

            def turn(lane: _Lane, name: str = name, y: float = y) -> tuple[bool, int]:
                other = lane.way.target if lane.way.source == name else lane.way.source
                down = places[other][1] > y
                return (down, -lane.rank if down else lane.rank)

            for k, lane in enumerate(sorted(here, key=turn)):
                ends[name, lane] = y + (k - (len(here) - 1) / 2) * PORT
    return ends


def _down(way: _Way, places: dict[str, tuple[float, float]]) -> str:
    (x, y), (to_x, to_y) = places[way.source], places[way.target]
    y, to_y = y + HIGH / 2, to_y - HIGH / 2
    bend = (to_y - y) / 2
    line = f"M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y - 2:g}"
    return _path(line, way) + _label(way, to_x + (-8 if to_x < x else 8), to_y - 9, to_x < x)


def _circle(way: _Way, rows: list[list[str]], lanes: list[_Lane]) -> _Lane:
    """Lead a way from a box to itself around its end: on the right, if no line ends there and one does not on the left."""
    row = rows[_row(way.source, rows)]
    taken = {side: any(lane.side == side and way.source in lane.way[:2] for lane in lanes) for side in (-1, 1)}
    free = {-1: row[0] == way.source, 1: row[-1] == way.source}
    side = min((1, -1), key=lambda side: (not free[side], taken[side]))
    return _Lane(way, side, 0)


def _loop(circle: _Lane, places: dict[str, tuple[float, float]]) -> str:
    way, side = circle.way, circle.side
    x, y = places[way.source]
    x += side * BOX / 2
    out = x + 4 / 3 * LOOP * side  # a curve reaches three quarters of the way to its handles
    line = f"M{x:g} {y - 9:g} C{out:g} {y - 13:g} {out:g} {y + 13:g} {x + 2 * side:g} {y + 9:g}"
    return _path(line, way) + _label(way, x + (LOOP + 5) * side, y + 4, side < 0)


def _beside(way: _Way, places: dict[str, tuple[float, float]]) -> str:
    (x, y), (to_x, _) = places[way.source], places[way.target]
    side = 1 if to_x > x else -1
    y += 6 * side
    return _path(f"M{x + side * BOX / 2:g} {y:g} H{to_x - side * (BOX / 2 + 2):g}", way)


def _around(lane: _Lane, lanes: list[_Lane], places: dict[str, tuple[float, float]], ends: dict[tuple[str, _Lane], float]) -> str:
    way, side = lane.way, lane.side
    x, to_x = (places[name][0] + side * BOX / 2 for name in way[:2])
    y, to_y = ends[way.source, lane], ends[way.target, lane]
    out, bend = _lane_x(lane, places), 6 if to_y > y else -6
    line = f"M{x:g} {y:g} H{out - 6 * side:g} Q{out:g} {y:g} {out:g} {y + bend:g} V{to_y - bend:g} "
    line += f"Q{out:g} {to_y:g} {out - 6 * side:g} {to_y:g} H{to_x + 2 * side:g}"
    below = to_y > places[way.target][1]
    return _path(line, way) + _label(way, to_x + 13 * side, to_y + (12 if below else -4), side < 0)


def _lane_x(lane: _Lane, places: dict[str, tuple[float, float]]) -> float:
    """Place a lane outside of all boxes in the rows that it passes, and of the lanes within it."""
    top, bottom = sorted(places[name][1] for name in lane.way[:2])
    passed = [x * lane.side for x, y in places.values() if top <= y <= bottom]
    return (max(passed) + BOX / 2 + BESIDE + 14 + lane.rank * LANE) * lane.side


def _path(line: str, way: _Way) -> str:
    style = ' class="maybe"' if way.maybe else ""
    return f'<path d="{line}" marker-end="url(#gems-arrow)"{style}/>'


def _label(way: _Way, x: float, y: float, before: bool) -> str:
    return f'<text class="note{" before" if before else ""}" x="{x:g}" y="{y:g}">{escape(way.label)}</text>' if way.label else ""


def _box(name: str, place: tuple[float, float], swapped: bool) -> str:
    x, y = place
    end = name in (START, END)
    wide, shown = (62, name.strip("_").upper()) if end else (BOX, _cut(name, BOX - 8))
    mark = f'<text class="note" x="{x - BOX / 4 - 4:g}" y="{y - HIGH / 2 - 4:g}">yours</text>' if swapped else ""
    style = ' class="yours"' if swapped else ""
    size = f'width="{wide}" height="{HIGH}" rx="{HIGH / 2 if end else 7:g}"'
    rect = f'<rect x="{x - wide / 2:g}" y="{y - HIGH / 2:g}" {size}/>'
    whole = f"<title>{escape(name)}</title>" if shown != name and not end else ""
    return f'<g{style}>{whole}{rect}<text x="{x:g}" y="{y + 4.5:g}">{escape(shown)}</text>{mark}</g>'


def _cut(name: str, room: float) -> str:
    """Return a name, with dots in its middle where it is wider than so many pixels: long names often differ at their ends."""
    shown, kept = name, len(name)
    while _width(shown) > room:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2].rstrip()}…{name[len(name) - kept // 2 :].lstrip()}"
    return shown


def _width(text: str) -> float:
    """Estimate how wide a text is in the picture's letters: which font draws it is not known here."""
    return sum(12.5 if unicodedata.east_asian_width(c) in "WF" else WIDTHS.get(c, 9.2 if c.isupper() else 7.4) for c in text)


def _is_swapped(graph: CompiledStateGraph[Any, Any, Any, Any], name: str) -> bool:
    """Tell whether a node of the graph of GEMS is not one of ours: what we build is defined below this package."""
    if graph.get_name() != "gems" or name in (START, END):
        return False
    bound = graph.nodes[name].bound
    made = getattr(bound, "func", None) or getattr(bound, "afunc", None) or bound
    module = getattr(made, "__module__", "") or ""
    return not module.startswith(f"{__package__.rpartition('.')[0]}.nodes.")


def _frame(places: dict[str, tuple[float, float]], lanes: list[_Lane], circles: list[_Lane]) -> tuple[float, float, float, float]:
    across = [x + side * BOX / 2 for x, _ in places.values() for side in (-1, 1)] + [_lane_x(lane, places) for lane in lanes]
    across += [places[c.way.source][0] + c.side * (BOX / 2 + LOOP + 8 + _width(c.way.label)) for c in circles]
    left, bottom = min(across) - 8, max(y for _, y in places.values()) + HIGH / 2
    return left, -HIGH / 2 - 8, max(max(across) + 8 - left, LEGEND), bottom + HIGH / 2 + 44


def _page(name: str, parts: list[str], frame: tuple[float, float, float, float], ways: list[_Way]) -> str:
    left, top, wide, high = frame
    said = ". ".join(f"{w.source.strip('_')} to {w.target.strip('_')}" + (f" ({w.label})" if w.label else "") for w in ways)
    y = top + high - 14
    legend = [f'<path d="M{left + 12:g} {y - 4:g} h26"/>', f'<path class="maybe" d="M{left + 100:g} {y - 4:g} h26"/>']
    legend += [f'<text class="note" x="{left + 44:g}" y="{y:g}">always</text>']
    legend += [f'<text class="note" x="{left + 132:g}" y="{y:g}">where so decided</text>']
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gems-graph" role="img" width="{wide:g}" height="{high:g}" '
        f'viewBox="{left:g} {top:g} {wide:g} {high:g}">\n<title>The graph {escape(name)}</title>\n<desc>{escape(said)}</desc>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="gems-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>\n' + "\n".join(parts + legend) + "\n</svg>\n"
    )
