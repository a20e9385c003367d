"""All errors of GEMS, and the sentence about a wrong setting.

GemsError                     an error the user can fix: one line that says what is wrong and what to do
SettingError                a preset or setting: its name or its value
ConfigError                 the configuration file
ModelSpecError              the spec of a model
ModelCallError              a chat endpoint: not reached, refused, or no completion
ModelAnswerError            the answer of a chat model, also after its error was sent back
ImageModelError             an image model: cannot be loaded, or failed
ImageRefusedError         an image endpoint answered with an error
NotForShapesError           the embedded chat model, asked for something that is not a role of GEMS
OutsideWorldError           a request that the shapes world cannot draw or read
SkillError                  a skill, its files, or a folder of skills
CheckerError                an object that is no checker
AnswerError                 a person's answer to a waiting run
ClosedClientError           a client that was closed
RunError                    a run: cannot be started, resumed or found
RunStoppedError           stopped on request after a finished step
MissingStepsError         has no step that a fork could start from
RunNameError                the name of a run
RunInUseError               another process is executing the run
UsedThreadError             a second request on the thread of a run
LessonError                 a lesson
CheckpointError             the database of runs
ImageStoreError             the image store
LostImageError            an image is missing, or differs from its hash
LocksMissingError           a file system without locks
GalleryError                the gallery's file
ContactSheetError           a contact sheet without images or room
ServeError                  the HTTP server
StudyError                  the folder of a study
BenchmarkError              the data of a benchmark, its images, or official results
JudgeError                a judge
PlotError                   plots
ClusterError                a Ray cluster

FrontMatterError              front matter that cannot be read; skills turn it into a SkillError
NotACompletionError           an HTTP 200 that is no completion; chat models turn it into a ModelCallError
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError


class GemsError(Exception):
    """An error the user can fix: the message is one line that says what is wrong and what to do.

    Example:
        ```python
        try:
            result = gems.run("a red circle", image="diffusers:./my-model")
        except gems.GemsError as error:
            reason = str(error)
        ```
    """

    host = ""
    """The endpoint that the error is of, which is masked where the error is recorded; empty for most errors."""


class SettingError(GemsError, ValueError):
    """A preset does not exist, or a setting has an unknown name or a value out of bounds."""


class ConfigError(GemsError, ValueError):
    """A configuration file is missing or something in it is wrong; the message says what."""


class ModelSpecError(GemsError, ValueError):
    """A model's spec is not understood, or lacks what it needs; the message says what to write."""


class ModelCallError(GemsError):
    """A chat model's endpoint could not be reached, refused the call, or did not answer with a completion.

    The message names the role if it is known, the model and the host, and says what to do. `status` is the HTTP status,
    None where there was no answer; `said` is all that the endpoint said; `refused` is the part of the request that it does not
    take and that the call cannot do without (see `models/negotiation.py`), empty for other errors.
    """

    def __init__(self, role: str, model: str, host: str, problem: str, status: int | None = None, said: str = "") -> None:
        self.role, self.model, self.host, self.problem, self.status = role, model, host, problem, status
        self.said, self.refused = said or problem, ""
        where = f"{model} at {host}" if host else model
        super().__init__(f"{role} ({where}): {problem}" if role else f"{where}: {problem}")


class ModelAnswerError(GemsError):
    """A model's answer could not be used, also after its error was sent back to it.

    The message names the role, the model, what was wrong and how the answer began. `spent` is what the calls used.
    """

    def __init__(self, role: str, model: str, problem: str, answer: str, spent: Any) -> None:
        self.role, self.model, self.problem, self.answer, self.spent = role, model, problem, answer, spent
        begin = " ".join(answer.split())[:200] or "(nothing)"
        super().__init__(f"{role} ({model}): {problem}; the answer began: {begin}")


class ImageModelError(GemsError):
    """An image model cannot be loaded or failed; the message says what to do."""


class ImageRefusedError(ImageModelError):
    """An image endpoint answered with an error.

    `status` is the HTTP status, `detail` what its body says, and `said` all of that; `refused` is as in `ModelCallError`.
    """

    def __init__(self, message: str, status: int, detail: Any) -> None:
        super().__init__(message)
        self.status, self.detail, self.said, self.refused = status, detail, " ".join(filter(None, detail)), ""


class NotForShapesError(GemsError, ValueError):
    """The embedded chat model was asked for something that is not a role of GEMS."""


class OutsideWorldError(GemsError, ValueError):
    """A request that the shapes world cannot draw or cannot read."""


class SkillError(GemsError, ValueError):
    """A skill, one of its files, or a folder of skills cannot be used; the message says what to do."""


class CheckerError(GemsError):
    """An object that was given as a checker is not one."""


class AnswerError(GemsError, ValueError):
    """A person's answer to a waiting run cannot be used; nothing was changed, and the run can be answered again.

    Example:
        ```python
        try:
            gems.Gems().resume("fox", answer=gems.Answer(action="accept"))
        except gems.AnswerError as error:
            reason = str(error)
        ```
    """


class ClosedClientError(GemsError):
    """A `Gems` client was used after it had been closed."""


class RunError(GemsError):
    """A run cannot be started, resumed or found."""


class RunStoppedError(RunError):
    """A run was stopped on request, after a finished step."""


class MissingStepsError(RunError):
    """What is stored of a run holds no step that a fork could start from.

    Args:
        thread: the run.
        round: the round whose steps are missing; 0 for those before the first image.
    """

    def __init__(self, thread: str, round: int) -> None:
        what = f"the steps of round {max(round, 1)} of the run {thread}"
        super().__init__(f"{what} are not there: it was pruned, or did not come so far")
        self.round = round


class RunNameError(GemsError, ValueError):
    """A name that a run cannot have."""


class RunInUseError(GemsError):
    """Another process is executing the run."""

    @classmethod
    def of(cls, thread: str) -> RunInUseError:
        """Return the error of a run, by its name."""
        until = "(a stream of this process counts until it is closed)"
        return cls(f"the run {thread} is in progress in another process: wait for it, or end it {until}")


class UsedThreadError(GemsError):
    """A second request was given to the thread of a run."""


class LessonError(GemsError):
    """A lesson does not exist, or cannot be stored or imported; the message says what to do."""


class CheckpointError(GemsError):
    """The database of runs cannot be opened, read or written, or its content is damaged."""


class ImageStoreError(GemsError):
    """The image store, or an image in it, cannot be used or reached; the message says which, why and what to do."""


class LostImageError(ImageStoreError):
    """An image is missing, or differs from its hash."""


class LocksMissingError(GemsError):
    """The file system of a folder has no locks."""


class GalleryError(GemsError):
    """The gallery cannot be written to this file."""


class ContactSheetError(GemsError, ValueError):
    """A contact sheet without images, or without room for them."""


class ServeError(GemsError):
    """The server cannot be started as asked; the message says what to do."""


class StudyError(GemsError):
    """A study's folder cannot be used; the message says what to do."""


class BenchmarkError(GemsError, ValueError):
    """A benchmark's data, its images or a file of official results cannot be used; the message names the file and what to do."""


class JudgeError(BenchmarkError):
    """A judge cannot answer these questions, or failed; the message says what to do."""


class PlotError(GemsError):
    """Plots cannot be drawn."""


class ClusterError(GemsError):
    """A Ray cluster, or one of its machines, cannot be used; the message says what to do."""


class FrontMatterError(Exception):
    """A text with front matter that cannot be read at all."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class NotACompletionError(ValueError):
    """An HTTP 200 that is not a chat completion; the message says what it is, and what to do."""


def what_is_wrong(error: ValidationError, known: Iterable[str]) -> str:
    """Return the first problem of settings as a sentence.

    Args:
        error: what pydantic found.
        known: the names that could have been meant where one does not exist.
    """
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{where}: {first.get('ctx', {}).get('error', first['msg'])}"
    return f"{where}: there is no such setting; {did_you_mean(str(first['loc'][-1]), known)}"


def is_of_the_run(setting: str) -> str:
    """Return the end of a sentence about a setting of the run that was given to a model: where it is set."""
    ways = f"its option (gems run --help), {setting} under [run] in the file of --config, or run({setting}=...)"
    return f"it is a setting of the run: use {ways}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the names that come near it, or all that there are.

    Example:
        ```python
        did_you_mean("rounds", ["max_rounds", "seed"])  # 'did you mean max_rounds?'
        ```
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(names)}"
