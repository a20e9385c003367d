"""Choose the database by URL: SQLite or PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from ..errors import CheckpointError
from .database import Database

POSTGRES_SCHEMES = ("postgresql", "postgres")


def database_at(url: str | None, folder: Path) -> Database:
    """Return the database of a URL.

    Args:
        url: `postgresql://USER@HOST/NAME`; None for a SQLite file in the folder of runs.
        folder: the folder of runs.

    Raises:
        CheckpointError: the URL is neither, or its driver is not installed.
    """
    if not url:
        from .sqlite import SqliteDatabase

        return SqliteDatabase(folder)
    try:
        scheme, place, *rest = urlsplit(url)
    except ValueError:  # its message quotes a part of the URL, and its cause may do so too
        raise CheckpointError("--store: the URL is not understood: write postgresql://user@host:port/name") from None
    if scheme in POSTGRES_SCHEMES and (place.count("@") > 1 or "@" in "".join(rest) or "#" in url):
        raise CheckpointError(
            "--store: the user's name or the password has a character that ends it in a URL: write @ as %40, / as %2F, ? as %3F "
            "and # as %23, or put the password into PGPASSWORD"
        )
    if scheme not in POSTGRES_SCHEMES:
        shown = f" {scheme}" if scheme else "" if {"@", "="} & set(url) else f" {url[:40]}"  # half a URL may begin with a password
        raise CheckpointError(
            f"--store{shown}: give a URL such as postgresql://user@host/name; "
            "without one, runs are kept in a SQLite file in the folder of --runs"
        )
    try:
        from .postgres import PostgresDatabase
    except ImportError as error:
        raise CheckpointError('PostgreSQL needs its driver: pip install -c constraints.txt -e ".[postgres]"') from error
    return PostgresDatabase(url)
