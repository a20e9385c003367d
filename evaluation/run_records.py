"""Records of a study's runs: one line an image, so that a study that was killed is resumed where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from pydantic import ValidationError

from ..errors import LostImageError, RunInUseError, StudyError
from ..frozen_model import Frozen
from ..memory.state import ImageRef
from ..storage.files import replace_file
from ..storage.image_store import ImageStore
from ..storage.json_lines import JsonLinesLog, read_lines
from ..storage.locks import holding, is_holding
from .shards import WHOLE, Shard
from .study_definition import StudyDefinition

DEFINITION_FILE = "study.json"
RECORDS_FILE = "samples.jsonl"

STUDY_LOCK = "/study"
"""Name of the lock on the folder of a study or of a shard; no run has a slash in its name."""

RecordKey = tuple[str, str, int]
"""Variant, prompt and index of the image: they identify a record in a study."""


class CheckSummary(Frozen):
    """Result of the run's own verifier for its best image."""

    total: int
    passed: int
    gm: float
    """Geometric mean of their probabilities, from 0 to 1."""
    am: float
    """Arithmetic mean of their probabilities."""


class SampleRecord(Frozen):
    """One run of the graph, finished or failed: its best image, its checks and its costs."""

    id: str
    prompt: str
    variant: str
    index: int
    """Which of the prompt's images: 0, 1, ..."""
    seed: int
    image: ImageRef | None = None
    """The best image; None where the run failed."""
    path: str | None = None
    """Its file, relative to the folder of the study; None if the image store is elsewhere."""
    error: str = ""
    """Why there is no image."""
    decision: str = ""
    rounds: int = 0
    checks: CheckSummary | None = None
    calls: int = 0
    images: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """From the beginning of the run to its end; an image that was in the store already takes none."""
    cost: float | None = None
    """In the currency of the models' prices; None where they have none."""
    refiner_input_tokens: tuple[int, ...] = ()
    """By refinement: the first is the one after round 1."""
    refiner_pictures: tuple[int, ...] = ()
    """Images that the refiner was shown, by refinement."""

    @property
    def key(self) -> RecordKey:
        """Identifies a record in a study."""
        return (self.variant, self.id, self.index)


class Journal:
    """The records in a folder. Open it with `open_journal`; threads may share it."""

    def __init__(self, log: JsonLinesLog, records: Mapping[RecordKey, SampleRecord]) -> None:
        self.records = dict(records)
        self._log = log

    def lacks(self, key: RecordKey) -> bool:
        """Return whether there is no image for a key yet: its run was not begun, or failed."""
        record = self.records.get(key)
        return record is None or record.image is None

    def add(self, record: SampleRecord) -> None:
        """Write a record's line, at once and to the disk.

        Raises:
            StudyError: it cannot be written; the file is unchanged.
        """
        try:
            self._log.append(record.model_dump_json())
        except OSError as error:
            raise StudyError(f"{self._log.path} cannot be written ({error.strerror}): fix this and repeat the command") from error
        self.records[record.key] = record


@contextmanager
def open_journal(folder: Path, study: StudyDefinition, shard: Shard = WHOLE) -> Iterator[Journal]:
    """Open the records of a study in a folder, which is created if missing.

    Each shard has a file of its own, so that several processes, or machines that share the folder, can work on it at the same
    time. Two processes cannot work on one shard, nor one on the whole study beside one on a shard.

    Raises:
        StudyError: the folder holds another study, something else, or a damaged one.
        RunInUseError: another process is at this study, or at this shard of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for place in _lock_folders(folder, shard):
            place.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(holding(place, STUDY_LOCK))
            except RunInUseError as error:
                part = "" if place == folder else f"shard {place.name.replace('-of-', '/')} of "
                raise RunInUseError(f"another process is at {part}the study {folder}: wait for it, or end it") from error
        if not shard.whole and is_holding(folder, STUDY_LOCK):
            raise RunInUseError(f"another process is at all of the study {folder}: wait for it, or end it")
        _claim_folder(folder, study)
        log = held.enter_context(closing(JsonLinesLog(folder / shard.file(RECORDS_FILE))))
        yield Journal(log, read_records(folder))


def read_records(folder: Path) -> dict[RecordKey, SampleRecord]:
    """Return the records in a folder, those of all shards; of several of one key the first that has an image, or else the last.

    Raises:
        StudyError: a line is damaged. One that was not finished is left out.
    """
    records: dict[RecordKey, SampleRecord] = {}
    for path in sorted(folder.glob("samples*.jsonl")):
        for number, line in enumerate(read_lines(path), start=1):
            try:
                record = SampleRecord.model_validate(json.loads(line))
            except ValueError as error:
                what = f"{path}, line {number} is damaged, or of another version of gems"
                raise StudyError(f"{what}: delete it and repeat the command, or take another --out") from error
            known = records.get(record.key)
            if known is None or known.image is None:
                records[record.key] = record
    return records


def read_image(record: SampleRecord, image: ImageRef, store: ImageStore) -> bytes:
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
            f"the images are elsewhere, name --image-store; or delete its lines from {RECORDS_FILE} and repeat the command "
            "of the study, which generates it again"
        ) from error


def read_definition(folder: Path) -> StudyDefinition:
    """Return the definition of the study in a folder.

    Raises:
        StudyError: it is missing or damaged.
    """
    path = folder / DEFINITION_FILE
    try:
        return StudyDefinition.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise StudyError(f"{folder} holds no study: name the folder that `gems eval` printed, or its --out") from error
    except ValidationError as error:
        raise StudyError(f"{path} is damaged or not of this version of gems: take another --out") from error


def _lock_folders(folder: Path, shard: Shard) -> list[Path]:
    """Return what has to be held: a shard's own folder of its lock, or for the whole study everything."""
    locks = folder / ".shards"
    if not shard.whole:
        return [locks / shard.slug]
    return [folder, *sorted(p for p in locks.glob("*") if p.is_dir())]


def _claim_folder(folder: Path, study: StudyDefinition) -> None:
    path = folder / DEFINITION_FILE
    if not path.exists():
        if any(folder.glob("samples*.jsonl")):
            raise StudyError(f"{folder} holds {RECORDS_FILE} without {DEFINITION_FILE}: take another --out")
        replace_file(path, (study.model_dump_json(indent=1) + "\n").encode())
        return
    if (what := read_definition(folder).difference(study)) is not None:
        raise StudyError(f"{folder} holds another study, which differs in {what}: take another --out")
