"""The book of answers: what judges said, so that scoring again asks nothing.

A file of JSON lines, one an answer, that people can read too. An answer is found by the judge, the digest of what was sent, the
hash of the image and the number of the rollout; which prompt and question it belongs to stands beside it, for people.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from ...errors import BenchmarkError
from ...frozen import Frozen
from ..benchmark import JudgeAnswer

SAFE_EVERY = 16
"""Answers after which the file is forced to the disk."""
SAFE_AFTER = 1.0
"""Seconds after which an answer that comes forces it, however few there were."""


class AnswerKey(NamedTuple):
    """What no two answers of a book share."""

    judge: str
    question: str
    """Digest of everything that the judge is sent, the image left out."""
    image: str
    """SHA-256 of the image's bytes."""
    rollout: int


class LogLine(Frozen):
    """One line of the file."""

    judge: str
    sample: str
    """Id of the prompt."""
    key: str
    """Key of the question."""
    rollout: int
    image: str
    question: str
    text: str
    top: tuple[tuple[str, float], ...] = ()


class AnswerLog:
    """The answers in a file. Open it with `answer_book`; threads may share it."""

    def __init__(self, file: FileIO, path: Path, found: dict[AnswerKey, JudgeAnswer]) -> None:
        self._file, self._path, self._found = file, path, found
        self._end = file.seek(0, os.SEEK_END)
        self._unsafe, self._safe_at = 0, time.monotonic()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many answers there are."""
        return len(self._found)

    def get(self, key: AnswerKey) -> JudgeAnswer | None:
        """Return an answer, None where there is none."""
        return self._found.get(key)

    def put(self, key: AnswerKey, answer: JudgeAnswer, *, sample: str, name: str) -> None:
        """Write an answer down. One that is there already stays as it is.

        Args:
            key: what it answers.
            answer: what was said.
            sample: id of the prompt, for people.
            name: key of the question, for people.

        Raises:
            BenchmarkError: the file cannot be written; nothing of the answer is kept.
        """
        line = LogLine(sample=sample, key=name, text=answer.text, top=answer.top, **key._asdict())
        data = (json.dumps(line.model_dump(mode="json"), ensure_ascii=False) + "\n").encode()
        with self._lock:
            if key in self._found:
                return
            try:
                left = data
                while left:  # a full disk may take a part
                    left = left[self._file.write(left) :]
                self._unsafe += 1
                if self._unsafe >= SAFE_EVERY or time.monotonic() - self._safe_at > SAFE_AFTER:
                    os.fsync(self._file.fileno())
                    self._unsafe, self._safe_at = 0, time.monotonic()
            except OSError as error:
                # Half a line in the midst of the file would spoil it: the next answer begins where this one did.
                self._file.truncate(self._end)
                raise BenchmarkError(f"{self._path}: the answers cannot be written: {error}") from error
            self._end += len(data)
            self._found[key] = answer


@contextmanager
def answer_book(path: Path) -> Iterator[AnswerLog]:
    """Open a book of answers, which is made where there is none; one process at a time.

    A last line that was not finished is cut off, and its question will be asked again.

    Raises:
        BenchmarkError: another process writes to it, it cannot be opened, or a line is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "a+")
    except OSError as error:
        raise BenchmarkError(f"{path}: the answers cannot be opened: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchmarkError(f"{path}: another process is asking this judge: wait for it, or end it") from None
        book = AnswerLog(file, path, _read(path))
        try:
            yield book
        finally:
            os.fsync(file.fileno())


def _read(path: Path) -> dict[AnswerKey, JudgeAnswer]:
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    found: dict[AnswerKey, JudgeAnswer] = {}
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            one = LogLine.model_validate_json(line)
        except ValueError as error:
            raise BenchmarkError(f"{path}, line {number} is damaged: delete it and repeat the command") from error
        found.setdefault(AnswerKey(one.judge, one.question, one.image, one.rollout), JudgeAnswer(text=one.text, top=one.top))
    return found
