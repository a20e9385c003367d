"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..context import RunContext
from ..errors import GemsError, RunError
from ..memory.state import Attempt, Check, Decision, GemsState, Usage
from ..models.options import ModelOptions
from ..nodes.budget import Money, cost_of
from ..storage.image_store import ImageStore

if TYPE_CHECKING:
    from ..report import RunHistory


@dataclass(repr=False, eq=False)
class RunResult:
    """A run at its end, or where it waits for a person. `state` holds everything; properties give what is needed most.

    Example:
        ```python
        result = gems.Gems().get("circle")
        print(result.decision, result.best.score, result.usage.total.calls)
        result.contact_sheet().save("rounds.png")
        ```
    """

    thread: str
    """The run's name."""
    state: GemsState
    """Its last state."""
    context: RunContext
    """Its settings."""
    folder: Path
    """The run's own folder, with `best.png` and `report.html`."""
    store: ImageStore
    """Where its images are."""
    models: ModelOptions
    """The options of its models, which know what they cost."""
    waiting: Any = None
    """The question that the run waits with, as plain JSON; None if it does not wait."""
    failed: str = ""
    """The error that ended it, empty if there was none."""

    @property
    def best(self) -> Attempt:
        """The best attempt."""
        if self.state.best is None:
            raise RunError(f"run {self.thread} has no image yet: {self._next_step}")
        return self.state.best

    @property
    def _next_step(self) -> str:
        return "it waits for an answer, see `waiting`" if self.waiting is not None else "resume it"

    @property
    def image(self) -> Image.Image:
        """The best image."""
        return self.store.open(self.best.image)

    @property
    def image_path(self) -> Path:
        """The file of the best image; it does not exist before the first image."""
        return self.folder / "best.png"

    @property
    def report_path(self) -> Path:
        """The report page."""
        return self.folder / "report.html"

    @property
    def decision(self) -> Decision | None:
        """How the run ended: "accept" or "give up"; None while it waits for a person or has not ended."""
        result = self.state.result
        return result.decision if result and result.decision != "refine" and self.waiting is None else None

    @property
    def checks(self) -> list[Check]:
        """What the image had to show."""
        return self.state.checks

    @property
    def attempts(self) -> list[Attempt]:
        """Every image, oldest first."""
        return self.state.attempts

    @property
    def usage(self) -> Usage:
        """What the run has used."""
        return self.state.usage

    @property
    def cost(self) -> Money | None:
        """What the run has cost by the prices of its models; None if no price is known."""
        return cost_of(self.usage, self.models)

    def contact_sheet(self, edge: int = 160, columns: int = 5) -> Image.Image:
        """Return all its images side by side, each with its round and the checks it passed; a lost one is blank.

        Args:
            edge: pixels of the square that each image is fitted into.
            columns: most images in a row.

        Raises:
            RunError: it has no image yet.
            ContactSheetError: `edge` or `columns` is less than 1.
        """
        from ..report import contact_sheet

        if not self.attempts:
            raise RunError(f"run {self.thread} has no image yet: {self._next_step}")
        return contact_sheet([(self._caption(a), self._image_or_none(a)) for a in self.attempts], edge=edge, columns=columns)

    def _image_or_none(self, attempt: Attempt) -> Image.Image | None:
        try:
            return self.store.open(attempt.image)
        except GemsError:
            return None

    def _caption(self, attempt: Attempt) -> str:
        """Return a short caption; what must not be truncated comes first."""
        best = "best, " if self.state.best and attempt.key == self.state.best.key else ""
        image = f"·{attempt.candidate + 1}" if sum(a.round == attempt.round for a in self.attempts) > 1 else ""
        passed = f": {attempt.score.passed}/{attempt.score.total}" if attempt.score else ""
        return f"{best}round {attempt.round}{image}{passed}"

    def __repr__(self) -> str:
        score = self.state.best.score if self.state.best else None
        passed = f", {score.passed} of {score.total} checks passed" if score else ""
        status = "unfinished" if self.waiting is None else "waiting"
        return f"<RunResult {self.thread}: {self.decision or status} in round {self.state.round}{passed}>"

    @property
    def history(self) -> RunHistory:
        """The run as its page and its card show it, without its steps and forks."""
        from ..report import RunHistory

        cost, waiting = str(self.cost or ""), self.waiting is not None
        shown = (self.thread, self.state, self.context, self.store.read, self.models.names)
        return RunHistory(*shown, cost=cost, waiting=waiting, failed=self.failed)

    def _repr_html_(self) -> str:
        from ..report import render_card

        return render_card(self.history)
