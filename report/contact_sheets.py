"""Contact sheet: images side by side, with a caption below each, for a notebook or a file."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..errors import ContactSheetError

GAP = 12
"""Pixels between images."""

INK = (112, 118, 128, 255)
"""Grey that is legible on white and on black: the sheet has no background."""


def contact_sheet(pictures: Iterable[tuple[str, Image.Image | None]], *, edge: int = 160, columns: int = 5) -> Image.Image:
    """Return one image with all images side by side, each with its caption.

    Args:
        pictures: captions and images, in order; None for a lost image, which is blank. A caption wider than its image is truncated.
        edge: pixels of the square that each image is fitted into.
        columns: most images in a row.

    Raises:
        ContactSheetError: there is no image, or `edge` or `columns` is less than 1.

    Example:
        ```python
        results = [gems.run("a red circle", seed=seed) for seed in range(4)]
        sheet = gems.contact_sheet([(f"seed {n}", result.image) for n, result in enumerate(results)], columns=2)
        sheet.save("seeds.png")
        ```
    """
    if edge < 1 or columns < 1:
        raise ContactSheetError(
            f"a contact sheet of {columns} columns with images of {edge} pixels has no room: take at least 1 of each"
        )
    shown = list(pictures)
    if not shown:
        raise ContactSheetError("a contact sheet needs at least one image")
    font = ImageFont.load_default(size=max(11, edge // 12))
    line = edge // 12 + 14
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGBA", (columns * (edge + GAP) - GAP, rows * (edge + line + GAP) - GAP), (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    for number, (caption, picture) in enumerate(shown):
        x, y = number % columns * (edge + GAP), number // columns * (edge + line + GAP)
        if picture is None:
            pen.rectangle((x, y, x + edge - 1, y + edge - 1), outline=INK)
            pen.text((x + edge / 2, y + edge / 2), _shorten("lost", font, edge), INK, font, anchor="mm")
        else:
            fitted = ImageOps.contain(picture.convert("RGBA"), (edge, edge), Image.Resampling.LANCZOS)
            sheet.paste(fitted, (x + (edge - fitted.width) // 2, y + (edge - fitted.height) // 2))
        pen.text((x + edge / 2, y + edge + 4), _shorten(caption, font, edge), INK, font, anchor="ma")
    return sheet


def _shorten(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return a caption on one line, with dots at its end if it is too wide."""
    text = " ".join(caption.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
