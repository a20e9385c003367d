"""What the pages of a run show: its state, its steps with their times, the inputs of its refiner, its forks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from ..context import RunContext
from ..memory.state import Attempt, GemsState, ImageRef, Usage, best_of
from .inline_images import ReadImage


class Step(NamedTuple):
    """One super-step of a run: the roles that ran at the same time."""

    round: int
    """The round it belongs to; 0 is the plan."""
    roles: tuple[str, ...]
    began: datetime
    """In UTC."""
    seconds: float
    """From the checkpoint before it to its own."""
    idle: float
    """Of these seconds, those in which the run waited for a person or was stopped: the part that the models do not account
    for, in a step that asked a person or that came first after a resume."""
    usage: Usage
    """What its roles used."""

    @property
    def working(self) -> float:
        """The seconds it was at work."""
        return self.seconds - self.idle


class RefinerInput(NamedTuple):
    """What the refiner was given before it wrote a prompt."""

    round: int
    """The round that was generated from the prompt."""
    parts: tuple[str | ImageRef, ...]
    """Texts and images in their order, without the standing instructions and skills."""


class ForkNode(NamedTuple):
    """A run in the tree of a run and its forks."""

    thread: str
    depth: int
    """How many forks it is away from the root."""
    round: int
    """The first round that is not its parent's; 0 for the root."""
    standing: str | None
    """Its status; None where it was removed, and only its forks are left."""
    rounds: int
    has_page: bool


@dataclass(frozen=True)
class RunHistory:
    """A run, finished or not, as its page and its card show it. What is not known of it is left out."""

    thread: str
    """Its name."""
    state: GemsState
    context: RunContext
    """Its settings."""
    read_image: ReadImage
    """Reads an image; one that cannot be read (OSError, LookupError, ValueError) shows as a blank with a text."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Names of its models, such as {"chat": ..., "image": ...}."""
    cost: str = ""
    """Its cost in money, empty if it is not known."""
    waiting: bool = False
    """Whether it waits for a person's answer."""
    failed: str = ""
    """The error that ended it, empty if there was none."""
    began: datetime | None = None
    parent: tuple[str, int] | None = None
    """The run it was forked from, and the first round that is its own."""
    steps: Sequence[Step] = ()
    refiner_inputs: Sequence[RefinerInput] = ()
    forks: Sequence[ForkNode] = ()

    @property
    def best(self) -> Attempt | None:
        """The best attempt so far; None before one is scored."""
        return self.state.best or best_of(self.state.attempts)

    @property
    def is_over(self) -> bool:
        """Whether the selector has ended it."""
        return self.state.result is not None and self.state.result.decision != "refine"
