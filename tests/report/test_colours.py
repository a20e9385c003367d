"""The pages' colours: text stands out from what it is on, by day and by night, as WCAG AA asks."""

import re
from pathlib import Path

import pytest

import gems.report

STYLES = Path(gems.report.__file__).parent
COLOURS = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\)", (STYLES / "base_style.html").read_text()))

TEXT, SIGN = 4.5, 3.0
"""The least contrast of text, and of signs and edges that mean something."""

PAIRS = [
    *[(text, ground, TEXT) for text in ("ink", "soft", "sapphire") for ground in ("paper", "sheet", "sunk")],
    *[(text, "sapphire-tint", TEXT) for text in ("ink", "soft", "sapphire")],
    *[(text, f"{text}-tint", TEXT) for text in ("emerald", "ruby", "topaz")],
    *[("ink", f"{tint}-tint", TEXT) for tint in ("emerald", "ruby", "topaz")],
    ("paper", "sapphire", TEXT),  # the link that skips to the run
    ("soft", "line", TEXT),  # the mark of a skipped check
    ("ruby", "sheet", TEXT),
    *[(sign, ground, SIGN) for sign in ("edge",) for ground in ("paper", "sheet")],
    *[(f"work-{work}", "paper", SIGN) for work in ("plan", "draw", "check", "learn", "person")],
]


def luminance(colour):
    def linear(part):
        share = int(part, 16) / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[i : i + 2]) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_contrast(front, ground, least, scheme):
    colours = [COLOURS[name].split(", ")[scheme] for name in (front, ground)]
    assert contrast(*colours) >= least, f"{contrast(*colours):.2f}"


def test_every_colour_is_named_once_for_day_and_night():
    styles = "".join(path.read_text() for path in STYLES.glob("*style.html"))
    assert set(re.findall(r"var\(--((?!sans|serif|mono|shadow|thumb|gutter|shot|depth)[\w-]+)\)", styles)) <= set(COLOURS)
    assert len(re.findall(r"#[0-9a-fA-F]{6}\b", styles)) == 2 * len(COLOURS), "no colour is written anywhere else"
