"""Draw a compiled graph as SVG, without a network or a program outside Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from langgraph.graph import END, START
from langgraph.graph.state import CompiledStateGraph

BOX, HIGH, BESIDE, BELOW, LANE, PORT = 98, 30, 22, 36, 15, 9
"""Pixels: width and height of a box, space beside and below it, between two lanes, between two edges at a side of a box."""
LOOP = 16
"""Pixels by which an edge from a box to itself reaches out: less than the space between two boxes."""
CHECKPOINTED = "the checkpointer saves the state after each step"
"""The note of a graph with a checkpointer."""
LEGEND = 230
"""Width of the legend in pixels."""

WIDTHS = {**dict.fromkeys("MW@%…", 12.5), **dict.fromkeys("mw", 11.0), **dict.fromkeys("fijlrtI .,:;'|!()[]-", 4.5)}
"""Widths in pixels of letters that are wider or narrower than most."""

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


class _Edge(NamedTuple):
    source: str
    target: str
    conditional: bool
    label: str


class _Lane(NamedTuple):
    edge: _Edge
    side: int  # -1: left of the boxes, 1: right of them
    rank: int  # 0: the innermost


def draw(graph: CompiledStateGraph[Any, Any, Any, Any]) -> str:
    """Draw a compiled graph from top to bottom as SVG, dark if the reader's colour scheme is.

    Solid edges are always taken, dashed ones if the node before them decides so; edges that lead back run beside the boxes.
    Swapped nodes of the graph of GEMS are marked. A page may set the colours by the CSS variables `--gems-ink`, `--gems-paper`
    and `--gems-mark`.

    Args:
        graph: what `build_graph` returns, or any compiled graph of LangGraph.
    """
    names = list(graph.get_graph().nodes)
    all_edges = list(_edges(graph))
    loops = [edge for edge in all_edges if edge.source == edge.target]
    edges = [edge for edge in all_edges if edge.source != edge.target]
    rows = _rows(names, edges)
    positions = _positions(rows, edges)
    lanes = _lanes([w for w in edges if not _is_short(w, rows)], rows)
    ends = _port_heights(lanes, positions)
    paths = [
        _sideways_path(w, positions) if _row_of(w.source, rows) == _row_of(w.target, rows) else _straight_path(w, positions)
        for w in edges
        if _is_short(w, rows)
    ]
    paths += [_lane_path(lane, positions, ends) for lane in lanes]
    self_loops = [_self_loop(edge, rows, lanes) for edge in loops]
    paths += [_self_loop_path(self_loop, positions) for self_loop in self_loops]
    boxes = [_box(name, positions[name], _is_swapped(graph, name)) for name in names]
    note = CHECKPOINTED if graph.checkpointer else ""
    return _svg(graph.get_name(), paths + boxes, _frame(positions, lanes, self_loops, 20 if note else 0), edges + loops, note)


def _edges(graph: CompiledStateGraph[Any, Any, Any, Any]) -> Iterator[_Edge]:
    """Yield the edges. Their labels are read from the branches: of several to one node `get_graph` has only one."""
    for edge in graph.get_graph().edges:
        branches = graph.builder.branches.get(edge.source, {}).values()
        labels = [str(k) for b in branches for k, target in (b.ends or {}).items() if target == edge.target and k != target]
        yield _Edge(edge.source, edge.target, edge.conditional, ", ".join(labels))


def _rows(names: list[str], edges: list[_Edge]) -> list[list[str]]:
    """Sort nodes into rows, each node below all that lead to it, except by edges that close a cycle."""
    after = {name: [w.target for w in edges if w.source == name] for name in names}
    before = {name: [w.source for w in edges if w.target == name] for name in names}
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


def _row_of(name: str, rows: list[list[str]]) -> int:
    return next(i for i, row in enumerate(rows) if name in row)


def _is_short(edge: _Edge, rows: list[list[str]]) -> bool:
    """Return whether an edge leads to the row below or to the box beside."""
    start, end = _row_of(edge.source, rows), _row_of(edge.target, rows)
    beside = start == end and abs(rows[start].index(edge.source) - rows[end].index(edge.target)) == 1
    return end == start + 1 or beside


def _positions(rows: list[list[str]], edges: list[_Edge]) -> dict[str, tuple[float, float]]:
    """Return the centre of each box: below those that lead to it, with space between."""
    positions: dict[str, tuple[float, float]] = {}
    for i, row in enumerate(rows):
        above = {n: [positions[w.source][0] for w in edges if w.target == n and i and w.source in rows[i - 1]] for n in row}
        anchored = [n for n in row if above[n]] or row
        wanted = [sum(above[n]) / len(above[n]) if above[n] else 0.0 for n in anchored]
        middle = sum(wanted) / len(wanted)
        first = row.index(anchored[0]) + (len(anchored) - 1) / 2
        for k, name in enumerate(row):
            positions[name] = (middle + (k - first) * (BOX + BESIDE), i * (HIGH + BELOW))
    return positions


def _lanes(far: list[_Edge], rows: list[list[str]]) -> list[_Lane]:
    """Route long edges around the boxes: upwards on the left, downwards on the right, if no other box is in between."""
    lanes: list[_Lane] = []
    for edge in sorted(far, key=lambda w: abs(_row_of(w.source, rows) - _row_of(w.target, rows))):
        start, end = _row_of(edge.source, rows), _row_of(edge.target, rows)
        free = {
            -1: rows[start][0] == edge.source and rows[end][0] == edge.target,
            1: rows[start][-1] == edge.source and rows[end][-1] == edge.target,
        }
        side = -1 if end <= start else 1
        side = side if free[side] or not free[-side] else -side
        lanes.append(_Lane(edge, side, sum(lane.side == side for lane in lanes)))
    return lanes


def _port_heights(lanes: list[_Lane], positions: dict[str, tuple[float, float]]) -> dict[tuple[str, _Lane], float]:
    """Return a height for each end of an edge at a side of a box, ordered so that edges do not cross."""
    ends: dict[tuple[str, _Lane], float] = {}
    for name, (_, y) in positions.items():
        for side in (-1, 1):
            at_side = [lane for lane in lanes if lane.side == side and name in lane.edge[:2]]

            def turn(lane: _Lane, name: str = name, y: float = y) -> tuple[bool, int]:
                other = lane.edge.target if lane.edge.source == name else lane.edge.source
                down = positions[other][1] > y
                return (down, -lane.rank if down else lane.rank)

            for k, lane in enumerate(sorted(at_side, key=turn)):
                ends[name, lane] = y + (k - (len(at_side) - 1) / 2) * PORT
    return ends


def _straight_path(edge: _Edge, positions: dict[str, tuple[float, float]]) -> str:
    (x, y), (to_x, to_y) = positions[edge.source], positions[edge.target]
    y, to_y = y + HIGH / 2, to_y - HIGH / 2
    bend = (to_y - y) / 2
    line = f"M{x:g} {y:g} C{x:g} {y + bend:g} {to_x:g} {to_y - bend:g} {to_x:g} {to_y - 2:g}"
    return _path(line, edge) + _label(edge, to_x + (-8 if to_x < x else 8), to_y - 9, to_x < x)


def _self_loop(edge: _Edge, rows: list[list[str]], lanes: list[_Lane]) -> _Lane:
    """Choose the side of an edge from a box to itself: the right, unless that side is taken and the left is free."""
    row = rows[_row_of(edge.source, rows)]
    taken = {side: any(lane.side == side and edge.source in lane.edge[:2] for lane in lanes) for side in (-1, 1)}
    free = {-1: row[0] == edge.source, 1: row[-1] == edge.source}
    side = min((1, -1), key=lambda side: (not free[side], taken[side]))
    return _Lane(edge, side, 0)


def _self_loop_path(self_loop: _Lane, positions: dict[str, tuple[float, float]]) -> str:
    edge, side = self_loop.edge, self_loop.side
    x, y = positions[edge.source]
    x += side * BOX / 2
    out = x + 4 / 3 * LOOP * side  # a curve reaches three quarters of the distance to its handles
    line = f"M{x:g} {y - 9:g} C{out:g} {y - 13:g} {out:g} {y + 13:g} {x + 2 * side:g} {y + 9:g}"
    return _path(line, edge) + _label(edge, x + (LOOP + 5) * side, y + 4, side < 0)


def _sideways_path(edge: _Edge, positions: dict[str, tuple[float, float]]) -> str:
    (x, y), (to_x, _) = positions[edge.source], positions[edge.target]
    side = 1 if to_x > x else -1
    y += 6 * side
    return _path(f"M{x + side * BOX / 2:g} {y:g} H{to_x - side * (BOX / 2 + 2):g}", edge)


def _lane_path(lane: _Lane, positions: dict[str, tuple[float, float]], ends: dict[tuple[str, _Lane], float]) -> str:
    edge, side = lane.edge, lane.side
    x, to_x = (positions[name][0] + side * BOX / 2 for name in edge[:2])
    y, to_y = ends[edge.source, lane], ends[edge.target, lane]
    out, bend = _lane_x(lane, positions), 6 if to_y > y else -6
    line = f"M{x:g} {y:g} H{out - 6 * side:g} Q{out:g} {y:g} {out:g} {y + bend:g} V{to_y - bend:g} "
    line += f"Q{out:g} {to_y:g} {out - 6 * side:g} {to_y:g} H{to_x + 2 * side:g}"
    below = to_y > positions[edge.target][1]
    return _path(line, edge) + _label(edge, to_x + 13 * side, to_y + (12 if below else -4), side < 0)


def _lane_x(lane: _Lane, positions: dict[str, tuple[float, float]]) -> float:
    """Return the x of a lane: outside of all boxes in the rows that it passes, and of the inner lanes."""
    top, bottom = sorted(positions[name][1] for name in lane.edge[:2])
    passed = [x * lane.side for x, y in positions.values() if top <= y <= bottom]
    return (max(passed) + BOX / 2 + BESIDE + 14 + lane.rank * LANE) * lane.side


def _path(line: str, edge: _Edge) -> str:
    style = ' class="maybe"' if edge.conditional else ""
    return f'<path d="{line}" marker-end="url(#gems-arrow)"{style}/>'


def _label(edge: _Edge, x: float, y: float, before: bool) -> str:
    return f'<text class="note{" before" if before else ""}" x="{x:g}" y="{y:g}">{escape(edge.label)}</text>' if edge.label else ""


def _box(name: str, position: tuple[float, float], swapped: bool) -> str:
    x, y = position
    end = name in (START, END)
    wide, shown = (62, name.strip("_").upper()) if end else (BOX, _shorten(name, BOX - 8))
    mark = f'<text class="note" x="{x - BOX / 4 - 4:g}" y="{y - HIGH / 2 - 4:g}">yours</text>' if swapped else ""
    style = ' class="yours"' if swapped else ""
    size = f'width="{wide}" height="{HIGH}" rx="{HIGH / 2 if end else 7:g}"'
    rect = f'<rect x="{x - wide / 2:g}" y="{y - HIGH / 2:g}" {size}/>'
    whole = f"<title>{escape(name)}</title>" if shown != name and not end else ""
    return f'<g{style}>{whole}{rect}<text x="{x:g}" y="{y + 4.5:g}">{escape(shown)}</text>{mark}</g>'


def _shorten(name: str, room: float) -> str:
    """Return a name, with dots in its middle if it is wider than `room` pixels: long names often differ at their ends."""
    shown, kept = name, len(name)
    while _width(shown) > room:
        kept -= 1
        shown = f"{name[: (kept + 1) // 2].rstrip()}…{name[len(name) - kept // 2 :].lstrip()}"
    return shown


def _width(text: str) -> float:
    """Estimate the width of a text in pixels: the reader's font is not known."""
    return sum(12.5 if unicodedata.east_asian_width(c) in "WF" else WIDTHS.get(c, 9.2 if c.isupper() else 7.4) for c in text)


def _is_swapped(graph: CompiledStateGraph[Any, Any, Any, Any], name: str) -> bool:
    """Return whether a node of the graph of GEMS was swapped: built-in ones are defined in gems.nodes."""
    if graph.get_name() != "gems" or name in (START, END):
        return False
    bound = graph.nodes[name].bound
    function = getattr(bound, "func", None) or getattr(bound, "afunc", None) or bound
    module = getattr(function, "__module__", "") or ""
    return not module.startswith(f"{__package__.rpartition('.')[0]}.nodes.")


def _frame(
    positions: dict[str, tuple[float, float]], lanes: list[_Lane], self_loops: list[_Lane], note: float
) -> tuple[float, float, float, float]:
    across = [x + side * BOX / 2 for x, _ in positions.values() for side in (-1, 1)] + [_lane_x(lane, positions) for lane in lanes]
    across += [positions[c.edge.source][0] + c.side * (BOX / 2 + LOOP + 8 + _width(c.edge.label)) for c in self_loops]
    left, bottom = min(across) - 8, max(y for _, y in positions.values()) + HIGH / 2
    return left, -HIGH / 2 - 8, max(max(across) + 8 - left, LEGEND), bottom + HIGH / 2 + 44 + note


def _svg(name: str, elements: list[str], frame: tuple[float, float, float, float], edges: list[_Edge], note: str) -> str:
    left, top, wide, high = frame
    description = ". ".join(f"{w.source.strip('_')} to {w.target.strip('_')}" + (f" ({w.label})" if w.label else "") for w in edges)
    y = top + high - (34 if note else 14)
    legend = [f'<path d="M{left + 12:g} {y - 4:g} h26"/>', f'<path class="maybe" d="M{left + 100:g} {y - 4:g} h26"/>']
    legend += [f'<text class="note" x="{left + 44:g}" y="{y:g}">always</text>']
    legend += [f'<text class="note" x="{left + 132:g}" y="{y:g}">conditional</text>']
    legend += [f'<text class="note" x="{left + 12:g}" y="{y + 20:g}">{note}</text>'] if note else []
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gems-graph" role="img" width="{wide:g}" height="{high:g}" '
        f'viewBox="{left:g} {top:g} {wide:g} {high:g}">\n'
        f"<title>The graph {escape(name)}</title>\n<desc>{escape(description)}</desc>\n"
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="gems-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>\n' + "\n".join(elements + legend) + "\n</svg>\n"
    )
