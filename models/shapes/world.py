"""The shapes world: what a scene is, how one is sampled, and how it is drawn.

A scene holds one to six things on a plain background. A thing is a shape in a colour; it stands in one of nine
cells of a 3x3 grid, a little off its centre. Everything here is deterministic given the random generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

SIZE = 128
"""Width and height of an image, in pixels."""

SHAPES = ("circle", "square", "triangle", "star")
COLORS = {
    "red": (220, 38, 38),
    "orange": (249, 138, 22),
    "yellow": (250, 215, 40),
    "green": (34, 160, 70),
    "blue": (40, 90, 225),
    "purple": (150, 55, 190),
}
BACKGROUND = (244, 242, 236)
MAX_THINGS = 6

CELLS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
"""Names of the nine cells, row by row."""

CELL_DISTANCE = 40
"""Distance between the centres of two neighbouring cells, in pixels."""

JITTER = 3
RADII = (12, 15)

RELATIONS = ("above", "below", "left of", "right of")


class ThingGroup(NamedTuple):
    """`count` things of one shape; `color` is None where the words leave it open."""

    count: int  # type: ignore[assignment]  # a tuple's own count() is of no use here
    color: str | None
    shape: str


class Relation(NamedTuple):
    """Every thing of group `a` lies `side` every thing of group `b` (indices into the groups)."""

    a: int
    side: str
    b: int


class SceneSpec(NamedTuple):
    """What a short request says: groups of things and how they lie to one another."""

    groups: tuple[ThingGroup, ...]
    relations: tuple[Relation, ...] = ()


class DrawnThing(NamedTuple):
    """One drawn thing: its cell (index into `CELLS`), centre and radius in pixels, and the group it belongs to."""

    shape: str
    color: str
    cell: int
    x: float
    y: float
    radius: float
    group: int = 0


class Scene(NamedTuple):
    """A spec and one way of laying it out."""

    spec: SceneSpec
    things: tuple[DrawnThing, ...]


def row_and_column(cell: int) -> tuple[int, int]:
    """Return (row, column) of a cell, each 0 to 2 from the top left."""
    return divmod(cell, 3)


def center_of(cell: int) -> tuple[int, int]:
    """Return the centre (x, y) of a cell in pixels."""
    row, column = row_and_column(cell)
    return SIZE // 2 + (column - 1) * CELL_DISTANCE, SIZE // 2 + (row - 1) * CELL_DISTANCE


def is_on_side(side: str, a: tuple[float, float], b: tuple[float, float], margin: float = 0.0) -> bool:
    """Return whether point `a` (x, y) lies `side` point `b`, by more than `margin` (y grows downwards)."""
    dx, dy = a[0] - b[0], a[1] - b[1]
    return {"above": -dy, "below": dy, "left of": -dx, "right of": dx}[side] > margin


def _relations_hold(spec: SceneSpec, owners: Sequence[int], cells: Sequence[int]) -> bool:
    for relation in spec.relations:
        for i, owner in enumerate(owners):
            for j, other in enumerate(owners):
                if owner == relation.a and other == relation.b:
                    (r1, c1), (r2, c2) = row_and_column(cells[i]), row_and_column(cells[j])
                    if not is_on_side(relation.side, (c1, r1), (c2, r2)):
                        return False
    return True


def choose_cells(spec: SceneSpec, rng: random.Random, tries: int = 400) -> tuple[int, ...] | None:
    """Choose a distinct cell for each thing of the spec, group after group; None where no layout was found."""
    owners = [i for i, group in enumerate(spec.groups) for _ in range(group.count)]
    if len(owners) > len(CELLS):
        return None
    for _ in range(tries):
        cells = rng.sample(range(len(CELLS)), len(owners))
        if _relations_hold(spec, owners, cells):
            return tuple(cells)
    return None


def sample_spec(rng: random.Random, distinct_shapes: bool = False) -> SceneSpec:
    """Sample groups and relations: one to three groups, at most six things in all.

    Args:
        rng: the source of chance.
        distinct_shapes: give every group a shape of its own, as the benchmark does.
    """
    n = rng.choices((1, 2, 3), weights=(2, 5, 4))[0]
    while True:
        counts = [rng.choices((1, 2, 3, 4, 5), weights=(10, 6, 5, 2, 1))[0] for _ in range(n)]
        if sum(counts) <= MAX_THINGS:
            break
    shapes = rng.sample(SHAPES, n) if distinct_shapes or rng.random() < 0.7 else [rng.choice(SHAPES) for _ in range(n)]
    palette = rng.sample(sorted(COLORS), n) if rng.random() < 0.7 else [rng.choice(sorted(COLORS)) for _ in range(n)]
    groups: list[ThingGroup] = []
    for count, color, shape in zip(counts, palette, shapes, strict=True):
        named = rng.random() < 0.85 or shapes.count(shape) > 1
        group = ThingGroup(count, color if named else None, shape)
        if any(g.shape == shape and g.color == group.color for g in groups):
            return sample_spec(rng, distinct_shapes)
        groups.append(group)
    relations: list[Relation] = []
    if n >= 2 and rng.random() < 0.65:
        relations.append(Relation(0, rng.choice(RELATIONS), 1))
        if n == 3 and rng.random() < 0.5:
            relations.append(Relation(0, rng.choice(RELATIONS), 2))
    return SceneSpec(tuple(groups), tuple(relations))


def lay_out_scene(spec: SceneSpec, rng: random.Random) -> Scene | None:
    """Lay a spec out as a scene; None where it cannot be laid out on the grid."""
    cells = choose_cells(spec, rng)
    if cells is None:
        return None
    things, at = [], iter(cells)
    for index, group in enumerate(spec.groups):
        for _ in range(group.count):
            cell = next(at)
            x, y = center_of(cell)
            color = group.color or rng.choice(sorted(COLORS))
            dx, dy = rng.uniform(-JITTER, JITTER), rng.uniform(-JITTER, JITTER)
            things.append(DrawnThing(group.shape, color, cell, x + dx, y + dy, rng.uniform(*RADII), index))
    return Scene(spec, tuple(things))


def sample_scene(rng: random.Random) -> Scene:
    """Sample a spec and one layout of it."""
    while True:
        scene = lay_out_scene(sample_spec(rng), rng)
        if scene is not None:
            return scene


def shape_polygon(shape: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Return the polygon of a shape, as (x, y) points.

    Raises:
        ValueError: the shape is not one of `SHAPES`.
    """
    if shape == "square":
        side = radius * 0.9
        return [(x - side, y - side), (x + side, y - side), (x + side, y + side), (x - side, y + side)]
    if shape == "circle":
        return [(x + radius * math.cos(a / 24 * math.pi), y + radius * math.sin(a / 24 * math.pi)) for a in range(48)]
    if shape == "triangle":
        r, drop = radius * 1.15, radius * 0.2
        turns = [(-math.pi / 2) + k * 2 * math.pi / 3 for k in range(3)]
        return [(x + r * math.cos(a), y + drop + r * math.sin(a)) for a in turns]
    if shape == "star":
        radii = [radius * 1.2, radius * 0.5]
        return [
            (x + radii[k % 2] * math.cos(k * math.pi / 5 - math.pi / 2), y + radii[k % 2] * math.sin(k * math.pi / 5 - math.pi / 2))
            for k in range(10)
        ]
    raise ValueError(f"shapes world draws {', '.join(SHAPES)}; it has no {shape!r}")


def draw(things: Sequence[DrawnThing], supersample: int = 4) -> Image.Image:
    """Draw things on the plain background, smoothed by drawing larger and scaling down."""
    big = Image.new("RGB", (SIZE * supersample,) * 2, BACKGROUND)
    pen = ImageDraw.Draw(big)
    for thing in things:
        points = shape_polygon(thing.shape, thing.x, thing.y, thing.radius)
        pen.polygon([(px * supersample, py * supersample) for px, py in points], fill=COLORS[thing.color])
    return big.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
