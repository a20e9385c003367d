"""Workspace of runs: a folder for their pages, a database for their checkpoints, an image store."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Self

from ..errors import CheckpointError, RunNameError
from .database import DatabaseConnection
from .database_url import database_at
from .image_store import ImageStore
from .sqlite import FILE_NAME

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED_NAMES = {"images", "eval", "gallery.html"}
"""Other entries of the folder of runs."""


class Workspace:
    """The place of runs: their folder, database and image store.

    Args:
        runs: the folder of runs; each run has its best image and its page there.
        store: the database of checkpoints, records and lessons: `postgresql://USER@HOST/NAME`; by default a SQLite file in
            the folder of runs.
        image_store: the store of images: a folder or any fsspec URL such as `s3://bucket/prefix`; by default the folder
            `images` in the folder of runs.

    Raises:
        GemsError: a URL is not understood, or its driver is not installed.

    Example:
        ```python
        shared = gems.Workspace("runs", store="postgresql://gems@db.example/gems", image_store="s3://images/gems")
        client = gems.Gems(runs=shared)
        result = client.run("a red circle")
        client.list()
        ```
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
        """Return the workspace of a folder of runs; a workspace is returned as is."""
        return runs if isinstance(runs, cls) else cls(runs)  # type: ignore[arg-type]

    def folder_of(self, thread: str) -> Path:
        """Return the folder of a run.

        Raises:
            RunNameError: the name could leave the folder of runs, or is taken.
        """
        if thread.lower() in RESERVED_NAMES:
            raise RunNameError(
                f"{thread!r} cannot name a run: something else of this name is in the folder of runs; choose another one"
            )
        if not RUN_NAME.fullmatch(thread) or thread.lower().startswith(FILE_NAME):
            rule = "use letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
            raise RunNameError(f"{thread[:80]!r} cannot name a run: {rule}")
        folder = self.folder / thread
        with suppress(OSError):  # reported where it is read
            if folder.is_file():
                raise RunNameError(f"{folder} is a file, where the run's folder would be: move it away, or choose another name")
        if self.images.is_inside(folder):
            raise RunNameError(f"{thread!r} cannot name a run: the images are in the folder of this name")
        return folder

    def is_valid_name(self, thread: str) -> bool:
        """Return whether a run can have this name: a damaged database may hold others."""
        try:
            return bool(self.folder_of(thread))
        except RunNameError:
            return False

    def has_page(self, thread: str) -> bool:
        """Return whether a run has a page."""
        return self.is_valid_name(thread) and (self.folder_of(thread) / "report.html").exists()

    def images_for(self, connection: DatabaseConnection) -> ImageStore:
        """Return the image store to write to: a store that may be shared separates the runs of each database."""
        return self.images.with_namespace(connection.id) if self.image_store else self.images


def claims_owner(thread: str) -> str:
    """Return the owner of a run's claims to images of other runs; no run can have this name."""
    return f"{thread}/claims"
