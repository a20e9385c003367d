"""Pictures side by side, with a line below each: to be looked at in a notebook, or saved."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..errors import ContactSheetError

GAP = 12
"""Pixels between pictures."""

INK = (112, 118, 128, 255)
"""Grey that can be read on white and on black: the sheet itself has no background."""


def contact_sheet(pictures: Iterable[tuple[str, Image.Image | None]], *, edge: int = 160, columns: int = 5) -> Image.Image:
    """Lay pictures out side by side on one, each with its caption.

    Args:
        pictures: captions and pictures, in order; None for one that is lost, which shows as a blank. A caption that is wider than
            its picture is cut.
        edge: pixels of the square that each picture is fitted into.
        columns: most pictures in a row.

    Raises:
        ContactSheetError: there is no picture, or `edge` or `columns` is less than 1.
    """
    if edge < 1 or columns < 1:
        raise ContactSheetError(
            f"a contact sheet of {columns} columns with pictures of {edge} pixels has no room: take at least 1 of each"
        )
    shown = list(pictures)
    if not shown:
        raise ContactSheetError("a contact sheet needs at least one picture")
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
            pen.text((x + edge / 2, y + edge / 2), _cut("lost", font, edge), INK, font, anchor="mm")
        else:
            fitted = ImageOps.contain(picture.convert("RGBA"), (edge, edge), Image.Resampling.LANCZOS)
            sheet.paste(fitted, (x + (edge - fitted.width) // 2, y + (edge - fitted.height) // 2))
        pen.text((x + edge / 2, y + edge + 4), _cut(caption, font, edge), INK, font, anchor="ma")
    return sheet


def _cut(caption: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return a caption on one line, with dots at its end where it is too wide."""
    text = " ".join(caption.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."
