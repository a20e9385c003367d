"""Image files in the layouts of official scorers: one by one, or a prompt's images as a grid."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from .benchmarks.base import BenchmarkImage, Sample


def group_by_sample(pictures: Iterable[BenchmarkImage]) -> Iterator[tuple[Sample, list[bytes | None]]]:
    """Group images by sample, in order."""
    for _, group in groupby(pictures, key=lambda picture: picture.sample.id):
        mine = list(group)
        yield mine[0].sample, [picture.data for picture in sorted(mine, key=lambda picture: picture.index)]


def first_images(pictures: Iterable[BenchmarkImage], notes: list[str]) -> Iterator[tuple[Sample, bytes | None]]:
    """Yield the first image of each sample; at the end add a note to `notes` if there are more."""
    most = 1
    for sample, images in group_by_sample(pictures):
        most = max(most, len(images))
        yield sample, images[0]
    if most > 1:
        notes.append(f"only the first of {most} images a prompt are here: the official script takes one")


def write_first_images(folder: Path, pictures: Iterable[BenchmarkImage], notes: list[str]) -> tuple[list[Sample], int]:
    """Write the first image of each sample as `<id>.png`; return the samples that have one, and the number of those that have none.

    At the end a note is added to `notes` if there are more images.
    """
    written, missing = [], 0
    for sample, image in first_images(pictures, notes):
        if image is None:
            missing += 1
        else:
            write_file(folder / f"{sample.id}.png", image)
            written.append(sample)
    return written, missing


def grid_limit_note(most: int) -> str:
    """Return the note on prompts with more images than the four of a grid."""
    return f"only the first four of {most} images a prompt are in the grids"


def write_file(path: Path, data: bytes) -> None:
    """Write a file and its parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def encode_image(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image in a file format of Pillow."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def image_grid(images: Sequence[bytes | None], columns: int = 2, cells: int = 4) -> Image.Image | None:
    """Return images of one size as a grid, row by row; missing ones are black cells. None if all are missing.

    Args:
        images: PNG bytes; those after the first `cells` are left out.
        columns: images in a row.
        cells: number of cells.
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
