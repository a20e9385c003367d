"""The card of a run: what a notebook shows where a cell ends with a result."""

from __future__ import annotations

from ..context import RunContext
from ..memory.state import GemsState
from .inline_images import InlineImage, ReadImage, once, picture
from .page import environment
from .view import AttemptCard, PageView, count_of, view

HERO, THUMB = 256, 64
"""Largest width and height of the best image and of those above the checks, in CSS pixels."""


def render_card(
    state: GemsState, context: RunContext, *, thread: str, read_image: ReadImage, cost: str = "", waiting: bool = False
) -> str:
    """Return a run as a piece of HTML for a notebook: best image, decision, checks by round, prompts and what it took.

    It has no script and no style sheet, and lives with the light and the dark colours of the notebook around it. Pictures are
    in it as small copies, so that a notebook with many cards stays small. How long the run took is left to the page:
    the card of a run that is repeated with the same seed is the same.

    Args:
        state: the run's state, finished or not.
        context: its settings.
        thread: its name.
        read_image: reads an image; one that cannot be read (OSError, LookupError, ValueError) shows as words that say so.
        cost: what it has cost in money, if that is known.
        waiting: it waits for a person's answer, whatever was decided before.
    """
    page = view(state, context, thread, {}, None, cost, waiting)
    read = once(read_image)

    def small(card: AttemptCard, alt: str, edge: int) -> InlineImage:
        return picture(card.attempt.image, read, alt=alt, edge=edge, light=0)

    hero = page.hero_card and small(page.hero_card, page.hero_card.picture.alt, HERO)
    thumbs = [small(card, f"Image of {card.title.lower()}", THUMB) for card in page.cards if page.rows]
    return environment().get_template("card.html").render(page=page, hero=hero, thumbs=thumbs, used=_used(page))


def _used(page: PageView) -> list[str]:
    """Return what the run took, in words."""
    counts = ((page.total.images, "image"), (page.total.calls, "chat call"))
    told = [count_of(number, noun) for number, noun in counts]
    return [*told, f"{page.total.input_tokens:,} tokens in, {page.total.output_tokens:,} out", *filter(None, [page.money])]
