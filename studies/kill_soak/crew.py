"""Processes that go on with runs, and are killed while they do."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any, NamedTuple

from gems.errors import GemsError, RunError, RunInUseError
from gems.evaluation.benchmarks.shapes import make_benchmark
from gems.runs.client import Gems
from gems.storage.postgres import EncryptingSaver
from gems.storage.sqlite import SharedSqliteSaver
from gems.storage.workspace import Workspace

from .watch import EventLog, RunWatch, WatchedImageModel, WatchedStore, read_log

IDLE_KILL_SHARE = 0.1
"""Share of the chosen moments at which a process is killed although it has no run in hand."""
SHORT_PHASES = ("generator", "storing", "checkpoint", "publishing")
"""What is short, but where most could be lost: about half of the kills aim at one of these, the rest come at any moment."""
STALL_SECONDS = 120.0
"""Seconds without a sign of life after which a soak is given up."""
FIRST_STEPS = (-1, 0, 1, 2)
"""Steps of a run, from its input on: of every three kills one comes as soon as the checkpoint of one of these is stored."""
IDLE_PHASES = ("opening", "waiting")
"""What a process does that has no run in hand: it opens the database, or looks for a run."""
RUN_KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("paper", {}),
    ("default", {"candidates": 2, "max_rounds": 4}),
    ("loop", {}),
    ("thorough", {"max_rounds": 3}),
)
"""Settings of the runs, in turn."""


class SoakJob(NamedTuple):
    """A run to be made."""

    thread: str
    prompt: str
    preset: str
    settings: dict[str, Any]


def make_job(number: int, seed: int, prompts: Sequence[str]) -> SoakJob:
    """Return the run of a number. No two have a picture's seed in common."""
    preset, settings = RUN_KINDS[number % len(RUN_KINDS)]
    return SoakJob(
        f"soak-{number:04}", prompts[number % len(prompts)], preset, {**settings, "seed": 1_000_000 * seed + 1000 * number}
    )


class SoakFolder:
    """A soak's folder: the home of its runs, and what is written down about them.

    Args:
        folder: made if need be.
        url: of the database; None is SQLite in the folder.
        seed: of the runs.
    """

    def __init__(self, folder: Path, url: str | None, seed: int) -> None:
        self.folder, self.url, self.seed = folder, url, seed
        self.runs, self.images = folder / "runs", folder / "runs" / "images"
        self.prompts = [sample.prompt for sample in make_benchmark(200, seed)]
        for name in ("journals", "pictures", "done"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def home(self) -> Workspace:
        """Return the home of the runs, as anybody else sees it."""
        return Workspace(self.runs, store=self.url)

    def job(self, number: int) -> SoakJob:
        """Return the run of a number."""
        return make_job(number, self.seed, self.prompts)

    def pictures(self, thread: str) -> Path:
        """Return where the pictures of a run are written down."""
        return self.folder / "pictures" / f"{thread}.jsonl"

    def finished(self, thread: str) -> Path:
        """Return the file that is there when a run has come to its end."""
        return self.folder / "done" / thread

    def go_on(self, wanted: SoakJob, journal: EventLog) -> None:
        """Take a run from where it is to its end; a new one from its begin.

        Raises:
            RunInUseError: another process has it in hand.
        """
        try:
            self._try(wanted, journal, new=False)
        except RunError as error:
            if "there is no run" not in str(error):
                raise
            try:
                self._try(wanted, journal, new=True)
            except RunError as begun:  # meanwhile, by another process, which may have been killed since
                if "exists already" not in str(begun):
                    raise
                return
        journal.write(thread="", phase="waiting")
        self.finished(wanted.thread).touch()

    def _try(self, wanted: SoakJob, journal: EventLog, *, new: bool) -> None:
        with closing(EventLog(self.pictures(wanted.thread), durable=True)) as pictures:
            watch = RunWatch(journal, pictures, wanted.thread, new)
            watch.at("opening")
            home = Workspace(self.runs, store=self.url, image_store=WatchedStore(self.images, watch))
            client = Gems(image=WatchedImageModel(watch, self.images), runs=home)
            if new:
                settings = {"preset": wanted.preset, **wanted.settings}
                client.run(wanted.prompt, thread=wanted.thread, on_event=watch, **settings)
            else:
                client.resume(wanted.thread, on_event=watch)


def die_at(step: int, journal: EventLog) -> None:
    """Have this process killed as soon as it has stored the checkpoint of a step of whichever run."""
    for saver in (SharedSqliteSaver, EncryptingSaver):

        def put(self: Any, config: Any, checkpoint: Any, metadata: Any, versions: Any, stored: Any = saver.put) -> Any:
            config_of_next = stored(self, config, checkpoint, metadata, versions)
            if metadata["step"] == step:
                journal.write(thread=config["configurable"]["thread_id"], phase=f"checkpoint of step {step}")
                os.kill(os.getpid(), signal.SIGKILL)
            return config_of_next

        saver.put = put  # type: ignore[method-assign,assignment]


def work_until_killed(place: SoakFolder, number: int, limit: Any, step: int | None) -> None:
    """Go on with runs, one at a time, until all are finished. Who was killed while it did so is followed by another one.

    Args:
        place: where the runs are.
        number: of the process.
        limit: how many runs there are; it may grow.
        step: at whose checkpoint the process is killed; None leaves that to others.
    """
    journal, rng = EventLog(place.folder / "journals" / f"{number:05}.jsonl"), random.Random(number)
    if step is not None:
        die_at(step, journal)
    while True:
        journal.write(thread="", phase="waiting")
        left = [j for j in map(place.job, range(limit.value)) if not place.finished(j.thread).exists()]
        if not left:
            return
        for each in rng.sample(left, len(left)):
            try:
                if not place.finished(each.thread).exists():
                    place.go_on(each, journal)
            except RunInUseError:
                journal.write(thread=each.thread, phase="refused")
        time.sleep(0.01)


class SoakResult(NamedTuple):
    """What happened while processes were killed."""

    hits: Counter[str]
    """Kills by what the run in hand was at; kills of processes without one are under `FREE`."""
    runs: int
    seconds: float
    lines: list[dict[str, Any]]
    """What the processes wrote down, and the kills, in the order of time."""
    failures: list[str]

    @property
    def within(self) -> int:
        """Kills that hit a process with a run in hand."""
        return sum(n for phase, n in self.hits.items() if phase not in IDLE_PHASES)

    @property
    def resumes(self) -> int:
        """How often a run was gone on with."""
        return sum(line["phase"] == "loading" and not line["new"] for line in self.lines)

    def longest_refusal(self) -> float:
        """Return the longest time after the kill of its process that a run was still said to be in hand, in seconds.

        Only refusals count that no other process can have caused: none had begun to ask for the run and was not refused.
        """
        tries: dict[str, list[list[dict[str, Any]]]] = {}
        latest: dict[str, list[dict[str, Any]]] = {}
        for line in self.lines:
            if line["phase"] == "waiting":
                latest.pop(line["worker"], None)
            elif line["phase"] == "opening":
                latest[line["worker"]] = []
                tries.setdefault(line["thread"], []).append(latest[line["worker"]])
            if line["worker"] in latest:
                latest[line["worker"]].append(line)
        return max((_refusal(each) for each in tries.values()), default=0.0)


def _refusal(tries: list[list[dict[str, Any]]]) -> float:
    """Return the longest time that processes were refused a run after the kill of the one that had it, in seconds."""
    refused = [line["at"] for each in tries for line in each if line["phase"] == "refused"]
    holders = [each for each in tries if not any(line["phase"] == "refused" for line in each)]
    longest = 0.0
    for killed in (line["at"] for each in holders for line in each if line["phase"] == "killed"):
        others = [each[0]["at"] for each in holders if each[-1]["at"] > killed]
        longest = max([longest, *(at - killed for at in refused if killed < at < min(others, default=at + 1))])
    return longest


class Crew:
    """Processes that work on the runs of a place. They are forked from this one, which has imported everything.

    Args:
        place: where they work.
        limit: how many runs there are; it may grow.
        steps: one for each process that is killed at the checkpoint of this step; these are the first ones.
    """

    def __init__(self, place: SoakFolder, limit: Any, steps: Sequence[int] = ()) -> None:
        self.place, self.limit, self.steps = place, limit, list(steps)
        self.alive: dict[int, Path] = {}
        self.doomed: set[int] = set()
        """Those that are killed at a checkpoint."""
        self.failures: list[str] = []
        self._count = 0

    def hire(self) -> None:
        """Start a process."""
        self._count += 1
        step = self.steps.pop(0) if self.steps else None
        journal = self.place.folder / "journals" / f"{self._count:05}.jsonl"
        if (child := os.fork()) == 0:
            code = 1
            try:
                work_until_killed(self.place, self._count, self.limit, step)
                code = 0
            except BaseException as error:
                EventLog(journal).write(thread="", phase="failed", why="".join(traceback.format_exception(error)[-3:]))
            finally:
                os._exit(code)
        self.alive[child] = journal
        if step is not None:
            self.doomed.add(child)

    def reap(self) -> list[str]:
        """Take leave of those that have come to their end, note those that have failed, and return where others were killed."""
        killed = []
        for child in list(self.alive):
            pid, status = os.waitpid(child, os.WNOHANG)
            if not pid:
                continue
            last = self.at(child)
            with closing(EventLog(self.alive.pop(child))) as journal:
                if child in self.doomed and os.WIFSIGNALED(status):
                    killed.append(last["phase"])
                    journal.write(thread=last["thread"], phase="killed")
                elif status:
                    self.failures.append(f"a process ended by itself: {last.get('why') or f'status {status}, {last}'}")
        return killed

    def at(self, child: int) -> dict[str, Any]:
        """Return the last that a process has written down."""
        return (read_log(self.alive[child]) or [{"thread": "", "phase": "waiting"}])[-1]

    def kill(self, child: int) -> dict[str, Any]:
        """Kill a process and return the last that it had written down."""
        began = time.monotonic()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        last = self.at(child)
        with closing(EventLog(self.alive.pop(child))) as journal:
            journal.write(thread=last["thread"], phase="killed", signalled=began)
        return last

    def end(self) -> None:
        """Kill all that are left."""
        for child in list(self.alive):
            self.kill(child)


def soak(place: SoakFolder, *, kills: int, runs: int, workers: int, life: float = 0.0) -> SoakResult:
    """Make runs with several processes and kill these; as many runs as the kills take, but not fewer than asked for.

    Args:
        place: where; also gives the seed of what happens when.
        kills: so many processes are killed while they have a run in hand.
        runs: the fewest runs.
        workers: processes at the same time.
        life: mean seconds that a process may work before it is killed.

    Raises:
        GemsError: nothing happens any more, or processes fail again and again.
    """
    rng, limit, hits = random.Random(place.seed), RawValue("i", runs), Counter[str]()
    crew, began = Crew(place, limit, [FIRST_STEPS[n % len(FIRST_STEPS)] for n in range(kills // 3)]), time.monotonic()
    within, moment, aim, seen, heard = 0, began, "", 0, began
    try:
        for _ in range(workers):
            crew.hire()
        while crew.alive:
            time.sleep(0.002)
            for phase in crew.reap():
                hits[phase] += 1
                within += 1
                crew.hire()
            now = time.monotonic()
            if len(crew.failures) > workers:
                raise GemsError("\n".join(["processes fail again and again:", *crew.failures]))
            written = sum(path.stat().st_size for path in crew.alive.values() if path.exists())
            seen, heard = (written, now) if written != seen else (seen, heard)
            if now - heard > STALL_SECONDS:
                raise GemsError(f"nothing has happened for {STALL_SECONDS:.0f} seconds: {[crew.at(child) for child in crew.alive]}")
            if within >= kills:
                continue
            if sum(1 for _ in (place.folder / "done").iterdir()) > limit.value - workers:
                limit.value += 1  # runs must not give out before the kills do
            aimed = aim and now < moment + life  # not for ever: all may be at something else for a while
            targets = sorted(child for child in set(crew.alive) - crew.doomed if not aimed or crew.at(child)["phase"] == aim)
            if now < moment or not targets:
                continue
            child = rng.choice(targets)
            if crew.at(child)["phase"] in (*IDLE_PHASES, "refused") and rng.random() > IDLE_KILL_SHARE:
                continue
            time.sleep(rng.uniform(0, 0.01) if aimed else 0)
            last = crew.kill(child)
            phase = last["phase"] if last["phase"] != "refused" else "waiting"
            hits[phase] += 1
            within += phase not in IDLE_PHASES
            crew.hire()
            moment, aim = time.monotonic() + rng.expovariate(workers / life), rng.choice(SHORT_PHASES) if rng.random() < 0.5 else ""
    finally:
        crew.end()
    lines = [{**line, "worker": path.stem} for path in (place.folder / "journals").iterdir() for line in read_log(path)]
    # A kill counts from its signal on.
    lines = sorted(({**line, "at": line.get("signalled", line["at"])} for line in lines), key=lambda line: line["at"])
    return SoakResult(hits, limit.value, time.monotonic() - began, lines, crew.failures)
