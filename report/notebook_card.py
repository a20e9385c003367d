"""Render the card of a run: what a notebook shows for a cell that ends with a result."""

from __future__ import annotations

from .attempts import AttemptCard, alt_text
from .history import RunHistory
from .inline_images import InlineImage, inline_image, read_once
from .page import environment, shared_sections
from .text import count_of

HERO, THUMBNAIL = 256, 64
"""Largest width and height of the best image and of the thumbnails above the checks, in CSS pixels."""


def render_card(run: RunHistory) -> str:
    """Return a run as an HTML fragment for a notebook: best image, decision, checks by round, prompts and usage.

    It has no script and no style sheet, and fits the light and the dark colours of the notebook. Its images are small copies, so
    that a notebook with many cards stays small. It shows no durations: the card of a run that is repeated with the same seed is
    the same.
    """
    read, sections, total = read_once(run.read_image), shared_sections(run), run.state.usage.total

    def small(card: AttemptCard, alt: str, edge: int) -> InlineImage:
        return inline_image(card.attempt.image, read, alt=alt, edge=edge, light=0)

    hero_card = sections["hero_card"]
    sections |= {
        "hero": hero_card and small(hero_card, alt_text(hero_card.attempt), HERO),
        "thumbs": [small(card, f"Image of {card.title.lower()}", THUMBNAIL) for card in sections["cards"] if sections["matrix"]],
        "used": [
            count_of(total.images, "image"),
            count_of(total.calls, "chat call"),
            f"{total.input_tokens:,} tokens in, {total.output_tokens:,} out",
            *filter(None, [run.cost]),
        ],
    }
    return environment().get_template("card.html").render(sections)
