"""Where runs live: a folder for their pages, a database for what happened, an image store for the pictures."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..errors import CheckpointError, RunNameError
from .database import DatabaseConnection
from .database_url import database_at
from .image_store import ImageStore
from .sqlite import FILE

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED = {"images", "eval", "gallery.html"}
"""What else lies in the folder of runs."""


class Workspace:
    """Where runs live.

    Args:
        runs: the folder of runs; each has its best picture and its page there.
        store: where checkpoints, records and lessons are kept: `postgresql://USER@HOST/NAME`; by default a SQLite file in
            the folder of runs.
        image_store: where pictures are kept: a folder or any fsspec URL such as `s3://bucket/prefix`; by default the folder
            `images` in the folder of runs.

    Raises:
        GemsError: a URL is not understood, or its driver is not installed.
    """

    def __init__(
        self, runs: Path | str = "runs", *, store: str | None = None, image_store: ImageStore | Path | str | None = None
    ) -> None:
        if not str(runs):
            raise CheckpointError("the folder of runs has no name: name one, such as runs; . is the working directory")
        try:
            Path.cwd()
        except FileNotFoundError:
            raise CheckpointError("the working directory has been removed: change to one that is there") from None
        self.folder, self.store, self.image_store = Path(runs).expanduser(), store or "", image_store or ""
        self.database = database_at(store, self.folder)
        place = image_store or self.folder / "images"
        self.images = place if isinstance(place, ImageStore) else ImageStore(place)

    @classmethod
    def of(cls, runs: Self | Path | str) -> Self:
        """Return the home of a folder of runs, or the home that was given."""
        return runs if isinstance(runs, cls) else cls(runs)  # type: ignore[arg-type]

    def folder_of(self, thread: str) -> Path:
        """Return the folder of a run.

        Raises:
            RunNameError: the name could leave the folder of runs, or is taken.
        """
        if thread.lower() in RESERVED:
            raise RunNameError(
                f"{thread!r} cannot name a run: something else of this name is in the folder of runs; choose another one"
            )
        if not NAME.fullmatch(thread) or thread.lower().startswith(FILE):
            rule = "use letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
            raise RunNameError(f"{thread[:80]!r} cannot name a run: {rule}")
        folder = self.folder / thread
        with suppress(OSError):  # what cannot be looked at is told where it is to be read
            if folder.is_file():
                raise RunNameError(f"{folder} is a file, where the run's folder would be: move it away, or choose another name")
        if self.images.is_in(folder):
            raise RunNameError(f"{thread!r} cannot name a run: the images are in the folder of this name")
        return folder

    def can_be(self, thread: str) -> bool:
        """Tell whether a name can be a run's: in a damaged database there may be others."""
        try:
            return bool(self.folder_of(thread))
        except RunNameError:
            return False

    def has_page(self, thread: str) -> bool:
        """Tell whether a run has a page."""
        return self.can_be(thread) and (self.folder_of(thread) / "report.html").exists()

    def images_in(self, opened: DatabaseConnection) -> ImageStore:
        """Return the image store as it is written to: one that may be shared keeps apart the runs of each database."""
        return self.images.within(opened.id) if self.image_store else self.images


def claims_of(thread: str) -> str:
    """Return under whose name a run notes down pictures that it needs and has not made; no run can be called so."""
    return f"{thread}/claims"
