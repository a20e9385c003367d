"""Perception of the shapes world: the things in an image, from its pixels alone.

Every pixel is taken for a blend of the background and one of the six colours, so that soft edges keep the colour of the
thing they belong to. Each colour's pixels are cut into connected pieces, a piece that holds two things is cut at its
waist, pieces that only make sense together are joined, and a shape is recognized by overlap with drawn templates.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from ...pixels import to_rgb
from .world import BACKGROUND, COLORS, SHAPES, SIZE, shape_polygon

Mask = NDArray[np.bool_]
Pixels = NDArray[np.float64]

MIN_THING_PIXELS = 40
"""Pieces of fewer pixels are noise, not things."""

_PAPER = np.array(BACKGROUND, dtype=np.float64)
_NAMES = tuple(COLORS)
_PALETTE = np.array([COLORS[name] for name in _NAMES], dtype=np.float64)
_INKS = _PALETTE - _PAPER
_STRANGE = 90.0
"""A pixel so far from the background shows something, even where no blend with the palette explains it."""
_FAINTEST = 0.4
"""The least share of ink that makes a pixel part of a thing."""
_WIDEST = 38
"""No single thing is wider or taller, in pixels: whatever is holds several."""
_SMALLEST = 160
"""No whole thing covers fewer pixels: what does is a patch or a scrap."""
_LARGEST = 900
"""No single thing covers more pixels."""
_GRID = 48
"""Side of the square on which a piece is compared with the templates."""
_SPREAD = 9.0
"""Standard deviation in x and in y, in grid pixels, to which pieces and templates are scaled."""
_SQUEEZE = 1.12
"""How much more a piece may be stretched along one axis than along the other for the comparison."""
_TOUCHING = np.ones((3, 3), dtype=np.bool_)


class PerceivedThing(NamedTuple):
    """A thing in an image: centroid (x, y) and box in pixels of a 128x128 image; `certainty` from 0 (a guess) to 1."""

    shape: str
    color: str
    x: float
    y: float
    width: int
    height: int
    area: int
    certainty: float


def perceive(image: Image.Image) -> list[PerceivedThing]:
    """Return the things in an image, row by row from the top left.

    Args:
        image: of any size and mode; another size than 128x128 is scaled to it.
    """
    rgb = to_rgb(image)
    if rgb.size != (SIZE, SIZE):
        rgb = rgb.resize((SIZE, SIZE), Image.Resampling.BOX if min(rgb.size) > SIZE else Image.Resampling.BICUBIC)
    return list(_perceive_pixels(rgb.tobytes()))


@lru_cache(maxsize=64)
def _perceive_pixels(data: bytes) -> tuple[PerceivedThing, ...]:
    """Perceive raw pixels; cached, since each check asks about the same image."""
    pixels = np.frombuffer(data, dtype=np.uint8).reshape(SIZE, SIZE, 3).astype(np.float64)
    things = [_describe_piece(pixels, piece) for piece in _segment(pixels)]
    return tuple(sorted(things, key=lambda s: (int(s.y * 3 / SIZE), s.x, s.y)))


def _segment(pixels: Pixels) -> list[Mask]:
    """Cut an image into pieces, each the pixels of one thing."""
    foreground, classes = _classify(pixels)
    pieces = []
    for index in range(len(_NAMES)):
        labels, count = ndimage.label(foreground & (classes == index))
        pieces += [piece for k in range(count) for piece in _split_at_waist(labels == k + 1)]
    return _join_two_colored(_merge_specks([p for p in pieces if p.any()]))


def _classify(pixels: Pixels) -> tuple[Mask, NDArray[np.intp]]:
    """Tell foreground from background, and give each pixel the colour whose blend with the background explains it best.

    The raw classes are smoothed over the neighbourhood: a blend of two things that touch may look like a third colour.
    """
    offset = pixels - _PAPER
    norms = (_INKS**2).sum(axis=1)
    alpha = np.clip(offset @ _INKS.T / norms, 0.0, 1.15)
    residual = np.linalg.norm(offset[:, :, None, :] - alpha[..., None] * _INKS, axis=-1)
    raw = residual.argmin(axis=-1)
    explained = np.take_along_axis(alpha, raw[..., None], axis=-1)[..., 0]
    strange = (residual.min(axis=-1) > 0.5 * _STRANGE) & (np.linalg.norm(offset, axis=-1) > _STRANGE)
    foreground = (explained > _FAINTEST) | strange
    votes = [ndimage.gaussian_filter((foreground & (raw == k)).astype(np.float64), 1.2) for k in range(len(_NAMES))]
    return foreground, np.asarray(np.argmax(votes, axis=0))


def _box_size(piece: Mask) -> tuple[int, int]:
    ys, xs = np.nonzero(piece)
    return int(xs.max() - xs.min() + 1), int(ys.max() - ys.min() + 1)


def _split_at_waist(piece: Mask) -> list[Mask]:
    """Cut a piece that is too large for one thing at its waist; any other is returned whole."""
    if max(_box_size(piece)) <= _WIDEST and piece.sum() <= _LARGEST:
        return [piece]
    depth = ndimage.distance_transform_edt(piece)
    for level in np.arange(1.0, depth.max(), 0.5):
        cores, count = ndimage.label(depth > level, structure=_TOUCHING)
        sizes = ndimage.sum_labels(np.ones_like(depth), cores, np.arange(1, count + 1))
        large = [k + 1 for k, size in enumerate(sizes) if size >= 9]
        if len(large) > 1:
            nearest = ndimage.distance_transform_edt(~np.isin(cores, large), return_distances=False, return_indices=True)
            owner = cores[tuple(nearest)]
            return [part for k in large for part in _split_at_waist(piece & (owner == k))]
    return [piece]


def _merge_specks(pieces: list[Mask]) -> list[Mask]:
    """Give specks to the thing they touch most, as a patch of it; drop those that touch none."""
    things = [p for p in pieces if p.sum() >= MIN_THING_PIXELS]
    owners = np.zeros((SIZE, SIZE), dtype=np.intp)
    for index, thing in enumerate(things):
        owners[thing] = index + 1
    for speck in (p for p in pieces if p.sum() < MIN_THING_PIXELS):
        contact = np.bincount(owners[ndimage.binary_dilation(speck, structure=_TOUCHING)], minlength=len(things) + 1)[1:]
        # A patch shares a good part of its rim with its thing; noise beside a thing shares a pixel or two.
        if contact.size and contact.max() >= 4:
            things[contact.argmax()] |= speck
    return things


def _join_two_colored(pieces: list[Mask]) -> list[Mask]:
    """Join touching pieces of different colours that are one thing of two colours.

    That is so where they make a far better shape together than apart, or where one is too small to be a thing and only
    completes the other.
    """
    reaches = [ndimage.binary_dilation(piece, structure=_TOUCHING) for piece in pieces]
    overlaps = [_best_shape(piece)[1] for piece in pieces]
    for a, b in combinations(range(len(pieces)), 2):
        if not (reaches[a] & pieces[b]).any():
            continue
        union = pieces[a] | pieces[b]
        if union.sum() > _LARGEST or max(_box_size(union)) > _WIDEST:
            continue
        alone = max((int(pieces[k].sum()), overlaps[k]) for k in (a, b))[1]
        patch = min(pieces[a].sum(), pieces[b].sum()) < _SMALLEST
        if _best_shape(union)[1] > (alone - 0.03 if patch else max(overlaps[a], overlaps[b]) + 0.05):
            return _join_two_colored([union, *(p for k, p in enumerate(pieces) if k not in (a, b))])
    return pieces


def _describe_piece(pixels: Pixels, piece: Mask) -> PerceivedThing:
    color, purity = _color_of(pixels, piece)
    shape, overlap, lead = _best_shape(piece)
    # Drawn things overlap their template by 0.9 and lead the second best shape by 0.1 and more.
    form = float(np.clip((overlap - 0.6) / 0.25, 0.0, 1.0) * np.clip(0.4 + lead / 0.1, 0.0, 1.0))
    ys, xs = np.nonzero(piece)
    width, height = _box_size(piece)
    area = int(piece.sum())
    sized = float(np.clip(area / _SMALLEST, 0.0, 1.0) * np.clip(2.0 - area / _LARGEST, 0.0, 1.0))
    x, y = round(float(xs.mean()) + 0.5, 2), round(float(ys.mean()) + 0.5, 2)
    return PerceivedThing(shape, color, x, y, width, height, area, round(purity * form * sized, 3))


def _color_of(pixels: Pixels, piece: Mask) -> tuple[str, float]:
    """Return the colour of a piece and how clear it is, 0 to 1: near one colour of the palette, and all over."""
    inner = ndimage.binary_erosion(piece, structure=_TOUCHING)
    values = pixels[inner if inner.sum() >= 12 else piece]
    distances = np.linalg.norm(_PALETTE - np.median(values, axis=0), axis=1)
    best, second = np.argsort(distances)[:2]
    each = np.linalg.norm(values[:, None, :] - _PALETTE, axis=-1).argmin(axis=1)
    pure = float(np.mean(each == best))
    near = float(
        np.clip(2.0 * (1.0 - distances[best] / distances[second]), 0.0, 1.0) * np.clip(1.6 - distances[best] / 75, 0.0, 1.0)
    )
    return _NAMES[int(best)], near * float(np.clip((pure - 0.5) / 0.35, 0.0, 1.0))


def _best_shape(piece: Mask) -> tuple[str, float, float]:
    """Return the shape whose template overlaps the piece best, the overlap (IoU), and its lead over the second shape."""
    view = _normalise(piece)
    overlaps = [max(_overlap(view, template) for template in _templates(shape)) for shape in SHAPES]
    best, second = sorted(range(len(SHAPES)), key=lambda k: -overlaps[k])[:2]
    return SHAPES[best], overlaps[best], overlaps[best] - overlaps[second]


def _overlap(view: Pixels, template: Pixels) -> float:
    return float(np.minimum(view, template).sum() / np.maximum(view, template).sum())


def _normalise(piece: NDArray[Any]) -> Pixels:
    """Move the centroid to the middle of the grid and scale to the same spread in x and y.

    All four shapes spread equally in x and y, so a squashed one is pulled straight; a sliver is not.
    """
    weights = piece.astype(np.float64)
    ys, xs = np.nonzero(piece)
    spread = np.maximum([ys.std(), xs.std()], 1.0)
    middle = float(np.sqrt(spread.prod()))
    spread = np.clip(spread, middle / _SQUEEZE, middle * _SQUEEZE)
    scale = spread / _SPREAD
    offset = np.array([ys.mean(), xs.mean()]) - scale * (_GRID - 1) / 2
    view = ndimage.affine_transform(weights, scale, offset=offset, output_shape=(_GRID, _GRID), order=1)
    return np.asarray(view, dtype=np.float64)


@cache
def _templates(shape: str) -> tuple[Pixels, ...]:
    """Draw a shape at the size of a thing, plain, worn at its corners, and leaning a little either way."""
    plain = Image.new("L", (SIZE, SIZE), 0)
    points = shape_polygon(shape, SIZE * 2, SIZE * 2, 13.5 * 4)
    big = plain.resize((SIZE * 4, SIZE * 4))
    ImageDraw.Draw(big).polygon(points, fill=255)
    plain = big.resize((SIZE, SIZE), Image.Resampling.BOX)
    views = [plain.rotate(angle, Image.Resampling.BICUBIC) for angle in (0, -8, 8)]
    masks = [np.asarray(view, dtype=np.float64) / 255 for view in views]
    masks += [ndimage.gaussian_filter(masks[0], wear) for wear in (1.5, 2.5)]
    return tuple(_normalise(mask > 0.5) for mask in masks)
