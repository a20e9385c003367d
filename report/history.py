"""What the page of a run shows beside its state: steps with their times, inputs of the refiner, forks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ..memory.state import ImageRef, Usage


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


class RunHistory(NamedTuple):
    """What is known of a run beside its state; each part may be missing."""

    steps: Sequence[Step] = ()
    refiner_inputs: Sequence[RefinerInput] = ()
    forks: Sequence[ForkNode] = ()
    began: datetime | None = None
    parent: tuple[str, int] | None = None
    """The run it was forked from, and the first round that is its own."""
    failed: str = ""
    """The error that ended it, empty if there was none."""
