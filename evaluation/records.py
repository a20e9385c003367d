"""The records of a study: a line for each image, so that a study that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import ValidationError

from ..errors import LostImageError, RunInUseError, StudyError
from ..frozen import Frozen
from ..memory.state import ImageRef
from ..storage.files import replace_file
from ..storage.image_store import ImageStore
from ..storage.locks import exclusive, is_held
from .shards import WHOLE, Shard
from .variants import Study

DEFINITION = "study.json"
SAMPLES = "samples.jsonl"

Key = tuple[str, str, int]
"""Variant, prompt and which of the prompt's images: what no two records of a study share."""


class Checked(Frozen):
    """The checks of a run's own verifier, and what its best image reached of them."""

    total: int
    passed: int
    gm: float
    """Geometric mean of their probabilities, from 0 to 1."""
    am: float
    """Arithmetic mean of their probabilities."""


class SampleRecord(Frozen):
    """One finished run of the graph, or one that failed: what it reached and what it took."""

    id: str
    prompt: str
    variant: str
    index: int
    """Which of the prompt's images: 0, 1, ..."""
    seed: int
    image: ImageRef | None = None
    """The best image; None where the run failed."""
    path: str | None = None
    """Its file, relative to the folder of the study; None where images are kept elsewhere."""
    error: str = ""
    """Why there is no image."""
    decision: str = ""
    rounds: int = 0
    checks: Checked | None = None
    calls: int = 0
    images: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """From the run's begin to its end; a picture that was found in the store took none."""
    cost: float | None = None
    """In the currency of the models' prices; None where they have none."""
    refiner_input_tokens: tuple[int, ...] = ()
    """By refinement: the first is the one after round 1."""
    refiner_pictures: tuple[int, ...] = ()
    """Pictures among what the refiner was shown, by refinement."""

    @property
    def key(self) -> Key:
        """What no two records of a study share."""
        return (self.variant, self.id, self.index)


class Journal:
    """The records in a folder. Open it with `journal`."""

    def __init__(self, path: Path, records: Mapping[Key, SampleRecord]) -> None:
        self.records = dict(records)
        self._path = path
        self._lock = threading.Lock()

    def lacks(self, key: Key) -> bool:
        """Tell whether there is no image for this yet: it was not begun, or it failed."""
        found = self.records.get(key)
        return found is None or found.image is None

    def add(self, record: SampleRecord) -> None:
        """Write a record's line, at once and to the disk.

        Raises:
            StudyError: it cannot be written; nothing of it is kept.
        """
        left = (record.model_dump_json() + "\n").encode()
        with self._lock, self._path.open("ab", buffering=0) as file:
            begin = file.seek(0, os.SEEK_END)
            try:
                while left:  # a full disk may take a part
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(begin)  # half a line would spoil the file, as records of other threads may follow
                raise StudyError(f"{self._path} cannot be written ({error.strerror}): mend it and repeat the command") from error
            self.records[record.key] = record


@contextmanager
def journal(folder: Path, study: Study, shard: Shard = WHOLE) -> Iterator[Journal]:
    """Open the records of a study in a folder, which is made where there is none.

    Each shard has a file of its own, so that several processes, or machines that share the folder, can be at it at the same
    time; two processes at one shard cannot, nor one at the whole study beside one at a shard.

    Raises:
        StudyError: the folder holds another study, something else, or a damaged one.
        RunInUseError: another process is at this study, or at this shard of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for place in _places(folder, shard):
            place.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(exclusive(place))
            except RunInUseError as error:
                part = "" if place == folder else f"shard {place.name.replace('-of-', '/')} of "
                raise RunInUseError(f"another process is at {part}the study {folder}: wait for it, or end it") from error
        if not shard.whole and is_held(folder):
            raise RunInUseError(f"another process is at all of the study {folder}: wait for it, or end it")
        _claim(folder, study)
        path = folder / shard.file(SAMPLES)
        _mend(path)
        yield Journal(path, read_records(folder))


def read_records(folder: Path) -> dict[Key, SampleRecord]:
    """Return the records in a folder, those of all shards; of several of one key the first that has an image, or else the last.

    Raises:
        StudyError: a line is damaged. One that was not finished is left out.
    """
    found: dict[Key, SampleRecord] = {}
    for path in sorted(folder.glob("samples*.jsonl")):
        data = path.read_bytes()
        for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
            try:
                record = SampleRecord.model_validate(json.loads(line))
            except ValueError as error:
                what = f"{path}, line {number} is damaged, or of another version of gems"
                raise StudyError(f"{what}: delete it and repeat the command, or take another --out") from error
            there = found.get(record.key)
            if there is None or there.image is None:
                found[record.key] = record
    return found


def picture_of(record: SampleRecord, image: ImageRef, store: ImageStore) -> bytes:
    """Return the image of a record, as PNG.

    Raises:
        StudyError: it is lost or damaged.
        GemsError: the store cannot be read.
    """
    try:
        return store.read(image)
    except LostImageError as error:
        raise StudyError(
            f"the image of {record.variant}, prompt {record.id}, {image.sha256}, is not in {store}, or is damaged: restore it; if "
            f"the images are elsewhere, name --image-store; or delete the lines with it from {SAMPLES}, and repeat the command "
            "that made the study: it makes it anew"
        ) from error


def read_study(folder: Path) -> Study:
    """Return the definition of the study in a folder.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    path = folder / DEFINITION
    try:
        return Study.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise StudyError(f"{folder} holds no study: name the folder that `gems eval` told, or its --out") from error
    except ValidationError as error:
        raise StudyError(f"{path} is damaged or not of this version of gems: take another --out") from error


def _places(folder: Path, shard: Shard) -> list[Path]:
    """Return what has to be held: a shard's own folder of its lock, or for the whole study everything."""
    locks = folder / ".shards"
    if not shard.whole:
        return [locks / shard.slug]
    return [folder, *sorted(p for p in locks.glob("*") if p.is_dir())]


def _claim(folder: Path, study: Study) -> None:
    path = folder / DEFINITION
    if not path.exists():
        if any(folder.glob("samples*.jsonl")):
            raise StudyError(f"{folder} holds {SAMPLES} without {DEFINITION}: take another --out")
        replace_file(path, (study.model_dump_json(indent=1) + "\n").encode())
        return
    if (what := read_study(folder).difference(study)) is not None:
        raise StudyError(f"{folder} holds another study, which differs in {what}: take another --out")


def _mend(path: Path) -> None:
    """Cut off a last line that was not finished: its run will be made again."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("rb+") as file:
            file.truncate(whole)
