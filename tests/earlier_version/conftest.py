"""What an earlier version has stored, what it gave, and what this one gives."""

import shutil
from pathlib import Path

import pytest

from ..conftest import SETTINGS
from . import steps

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """Unpack the archive; its files are for reading only, as all tests share them."""
    return steps.unpack(HERE / "stored.tar.xz", tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="session")
def database(stored, postgres_server):
    """Restore the dump into a database of PostgreSQL; return its URL."""
    return steps.new_database(postgres_server, "kept", (stored / "postgres.sql").read_text("utf-8"))


@pytest.fixture(scope="session")
def outputs(stored, tmp_path_factory, request):
    """Return a function that does the steps of a place, `sqlite`, `postgres` or `other`, once, and returns what they gave."""
    done = {}

    def give(place):
        if place not in done:
            folder = shutil.copytree(stored, tmp_path_factory.mktemp(place) / "copy")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                for name in SETTINGS:
                    patch.delenv(name, raising=False)
                if place == "other":
                    done[place] = steps.other_steps()
                elif place == "sqlite":
                    done[place] = steps.run_steps("--runs", "sqlite")
                else:
                    url = request.getfixturevalue("database")
                    done[place] = steps.run_steps("--runs", "postgres", "--store", url, only=steps.ON_POSTGRES)
        return done[place]

    return give
