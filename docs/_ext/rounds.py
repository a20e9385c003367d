"""First and last round of a real run, side by side: `python docs/_ext/rounds.py docs/rounds.png`."""

from __future__ import annotations

import sys
import tempfile

from PIL import Image, ImageDraw, ImageFont

from gems import run

PROMPT = "four blue stars below a red square"
"""Request of the run; the command is `gems run PROMPT --preset loop --seed 1`."""

EDGE, GAP, LINE = 360, 24, 52
"""Pixels: side of an image, space around it, height of a line of text."""

INK, FAILED, PASSED = "#1f2328", "#b3261e", "#1a7f37"


def rounds_image() -> Image.Image:
    """Return an RGB image of the first and last image of a run, each with its round and how many checks pass."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(PROMPT, preset="loop", seed=1, runs=folder)
        rounds = [(attempt, result.store.open(attempt.image)) for attempt in (result.attempts[0], result.attempts[-1])]
    font = ImageFont.load_default(size=29)
    canvas = Image.new("RGB", (2 * EDGE + 3 * GAP, EDGE + 2 * LINE + 2 * GAP), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((canvas.width / 2, GAP), f'"{PROMPT}"', INK, font, anchor="ma")
    for column, (attempt, image) in enumerate(rounds):
        x, y = GAP + column * (EDGE + GAP), GAP + LINE
        canvas.paste(image.convert("RGB").resize((EDGE, EDGE), Image.Resampling.LANCZOS), (x, y))
        total, passed = len(result.checks), sum(verdict.passed is True for verdict in attempt.verdicts)
        caption = f"Round {attempt.round}: {passed} of {total} checks pass"
        pen.text((x + EDGE / 2, y + EDGE + 16), caption, PASSED if passed == total else FAILED, font, anchor="ma")
    return canvas


if __name__ == "__main__":
    rounds_image().quantize(64, kmeans=3, dither=Image.Dither.NONE).save(sys.argv[1], optimize=True)
