"""Render the card of a run: what a notebook shows for a cell that ends with a result."""

from __future__ import annotations

from ..context import RunContext
from ..memory.state import GemsState
from .attempts import AttemptCard
from .inline_images import InlineImage, ReadImage, inline_image, read_once
from .page import environment
from .page_view import PageView, build_view
from .text import count_of

HERO, THUMBNAIL = 256, 64
"""Largest width and height of the best image and of the thumbnails above the checks, in CSS pixels."""


def render_card(
    state: GemsState, context: RunContext, *, thread: str, read_image: ReadImage, cost: str = "", waiting: bool = False
) -> str:
    """Return a run as an HTML fragment for a notebook: best image, decision, checks by round, prompts and usage.

    It has no script and no style sheet, and fits the light and the dark colours of the notebook. Its images are small copies, so
    that a notebook with many cards stays small. It shows no durations: the card of a run that is repeated with the same seed is
    the same.

    Args:
        state: its state, finished or not.
        context: its settings.
        thread: its name.
        read_image: reads an image; in place of one that cannot be read (OSError, LookupError, ValueError) stands a text.
        cost: its cost in money, empty if it is not known.
        waiting: whether it waits for a person's answer.
    """
    page = build_view(state, context, thread, {}, None, cost, waiting)
    read = read_once(read_image)

    def small(card: AttemptCard, alt: str, edge: int) -> InlineImage:
        return inline_image(card.attempt.image, read, alt=alt, edge=edge, light=0)

    hero = page.hero_card and small(page.hero_card, page.hero_card.image.alt, HERO)
    thumbs = [small(card, f"Image of {card.title.lower()}", THUMBNAIL) for card in page.cards if page.rows]
    return environment().get_template("card.html").render(page=page, hero=hero, thumbs=thumbs, used=_usage_texts(page))


def _usage_texts(page: PageView) -> list[str]:
    """Return the usage of a run as texts."""
    counts = ((page.total.images, "image"), (page.total.calls, "chat call"))
    texts = [count_of(number, noun) for number, noun in counts]
    return [*texts, f"{page.total.input_tokens:,} tokens in, {page.total.output_tokens:,} out", *filter(None, [page.money])]
