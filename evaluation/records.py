"""The records of a study: a line for each finished run, so that a study that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import GemsError
from ..memory.files import replace_file
from ..memory.locks import exclusive
from .studies import Study

DEFINITION = "study.json"
SAMPLES = "samples.jsonl"


class StudyError(GemsError):
    """A study's folder cannot be used; the message says what to do."""


class Checked(BaseModel):
    """How many checks the run had, and how many its best image passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    total: int
    passed: int


class Marks(BaseModel):
    """What the judge gave the best image: for each question of the benchmark, and their means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: tuple[float, ...]
    gm: float
    am: float


class Record(BaseModel):
    """One finished run: what it reached and what it took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    prompt: str
    variant: str
    seed: int
    path: str
    """The best image, relative to the folder of runs."""
    decision: str
    rounds: int
    checks: Checked
    scores: Marks
    calls: int
    images: int
    input_tokens: int
    output_tokens: int
    seconds: float
    """From the run's begin to its end; a picture that was found in the store took none."""
    refiner_input_tokens: tuple[int, ...]
    """By refinement: the first is the one after round 1."""
    refiner_pictures: tuple[int, ...]
    """Pictures among what the refiner was shown, by refinement."""

    @property
    def cell(self) -> tuple[str, str, int]:
        """What no two runs of a study share."""
        return (self.variant, self.id, self.seed)


class Journal:
    """The records in a folder. Open it with `journal`."""

    def __init__(self, path: Path, records: list[Record]) -> None:
        self.records = {r.cell: r for r in records}
        self._path = path
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        """Write a record's line, at once and to the disk."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(record.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
            self.records[record.cell] = record


@contextmanager
def journal(folder: Path, study: Study) -> Iterator[Journal]:
    """Open the records of a study in a folder, which is made where there is none; one process at a time.

    Raises:
        StudyError: the folder holds another study, something else, or a damaged one.
        RunInUseError: another process is at this study.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        _claim(folder, study)
        yield Journal(folder / SAMPLES, _read(folder / SAMPLES))


def _claim(folder: Path, study: Study) -> None:
    path = folder / DEFINITION
    if not path.exists():
        if (folder / SAMPLES).exists():
            raise StudyError(f"{folder} holds {SAMPLES} without {DEFINITION}: take another --out")
        replace_file(path, (study.model_dump_json(indent=1) + "\n").encode())
        return
    try:
        there = Study.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StudyError(f"{path} is damaged or not of this version of gems: take another --out") from error
    if (what := there.difference(study)) is not None:
        raise StudyError(f"{folder} holds another study, which differs in {what}: take another --out")


def _read(path: Path) -> list[Record]:
    """Read the records; a last line that was not finished is cut off, and its run will be made again."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("rb+") as file:
            file.truncate(len(whole))
    records = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            records.append(Record.model_validate(json.loads(line)))
        except ValueError as error:
            raise StudyError(
                f"{path}, line {number} is damaged: delete it and repeat the command, or take another --out"
            ) from error
    return records
