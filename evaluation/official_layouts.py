"""Image files as official scorers want them: one by one, or a prompt's images as a grid."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from .benchmark import BenchmarkImage, Sample


def group_by_sample(pictures: Iterable[BenchmarkImage]) -> Iterator[tuple[Sample, list[bytes | None]]]:
    """Gather the pictures of each sample, in order."""
    for _, group in groupby(pictures, key=lambda picture: picture.sample.id):
        mine = list(group)
        yield mine[0].sample, [picture.data for picture in sorted(mine, key=lambda picture: picture.index)]


def first_images(pictures: Iterable[BenchmarkImage], notes: list[str]) -> Iterator[tuple[Sample, bytes | None]]:
    """Give the first picture of each sample; at the end add to `told` what is to be said where there are more."""
    most = 1
    for sample, images in group_by_sample(pictures):
        most = max(most, len(images))
        yield sample, images[0]
    if most > 1:
        notes.append(f"only the first of {most} images a prompt are here: the official script takes one")


def grid_limit_note(most: int) -> str:
    """Return what is to be said where a grid has room for four images of a prompt, and there are more."""
    return f"only the first four of {most} images a prompt are in the grids"


def write_file(path: Path, data: bytes) -> None:
    """Write a file, and the folders it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encode_image(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the file of an image, of a kind that Pillow knows."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def image_grid(images: Sequence[bytes | None], columns: int = 2, cells: int = 4) -> Image.Image | None:
    """Put images of one size into a grid, row by row; a cell without an image stays black. None where there is no image at all.

    Args:
        images: PNG bytes; those after the first `cells` are left out.
        columns: cells in a row.
        cells: cells of the grid.
    """
    opened = [None if data is None else Image.open(io.BytesIO(data)).convert("RGB") for data in images[:cells]]
    size = next((image.size for image in opened if image is not None), None)
    if size is None:
        return None
    rows = -(-cells // columns)
    whole = Image.new("RGB", (size[0] * columns, size[1] * rows))
    for number, image in enumerate(opened):
        if image is not None:
            cell = image if image.size == size else image.resize(size)
            whole.paste(cell, (number % columns * size[0], number // columns * size[1]))
    return whole
