"""The log of judges' answers, so that scoring again asks nothing.

A file of JSON lines, one an answer, that people can read too. An answer is identified by the judge, the digest of what was sent,
the hash of the image and the number of the rollout; its prompt and question stand beside it, for people.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from ...errors import BenchmarkError, RunInUseError
from ...frozen_model import Frozen
from ...storage.json_lines import JsonLinesLog, read_lines
from ...storage.locks import holding
from ..benchmarks.base import JudgeAnswer

SYNC_ANSWERS = 16
"""Answers after which the file is forced to the disk, if they come within a second."""


class AnswerKey(NamedTuple):
    """Identifies an answer in a log."""

    judge: str
    question: str
    """Digest of everything that the judge is sent except the image."""
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
    """The recorded answers of judges, in a file. Open it with `open_answer_log`; threads may share it."""

    def __init__(self, log: JsonLinesLog, answers: dict[AnswerKey, JudgeAnswer]) -> None:
        self._log, self._answers = log, answers
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many answers there are."""
        return len(self._answers)

    def get(self, key: AnswerKey) -> JudgeAnswer | None:
        """Return an answer, None where there is none."""
        return self._answers.get(key)

    def put(self, key: AnswerKey, answer: JudgeAnswer, *, sample: str, name: str) -> None:
        """Record an answer. One that is recorded already stays as it is.

        Args:
            key: identifies it.
            answer: of the judge.
            sample: id of the prompt, for people.
            name: key of the question, for people.

        Raises:
            BenchmarkError: the file cannot be written; nothing of the answer is kept.
        """
        line = LogLine(sample=sample, key=name, text=answer.text, top=answer.top, **key._asdict())
        with self._lock:
            if key in self._answers:
                return
            try:
                self._log.append(json.dumps(line.model_dump(mode="json"), ensure_ascii=False))
            except OSError as error:
                raise BenchmarkError(f"{self._log.path}: the answers cannot be written: {error}") from error
            self._answers[key] = answer


@contextmanager
def open_answer_log(path: Path) -> Iterator[AnswerLog]:
    """Open a log of answers, which is made where there is none; one process at a time.

    A last line that was not finished is cut off, and its question will be asked again.

    Raises:
        BenchmarkError: another process writes to it, it cannot be opened, or a line is damaged.
    """
    with ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.enter_context(holding(path.parent, f"/{path.name}"))
            log = opened.enter_context(closing(JsonLinesLog(path, sync_lines=SYNC_ANSWERS)))
        except RunInUseError:
            raise BenchmarkError(f"{path}: another process is asking this judge: wait for it, or end it") from None
        except OSError as error:
            raise BenchmarkError(f"{path}: the answers cannot be opened: {error}") from error
        yield AnswerLog(log, _read_answers(path))


def _read_answers(path: Path) -> dict[AnswerKey, JudgeAnswer]:
    answers: dict[AnswerKey, JudgeAnswer] = {}
    for number, text in enumerate(read_lines(path), start=1):
        try:
            line = LogLine.model_validate_json(text)
        except ValueError as error:
            raise BenchmarkError(f"{path}, line {number} is damaged: delete it and repeat the command") from error
        key = AnswerKey(line.judge, line.question, line.image, line.rollout)
        answers.setdefault(key, JudgeAnswer(text=line.text, top=line.top))
    return answers
