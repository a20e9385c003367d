"""Execute a run from its last finished step to its end, yielding events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from langgraph.errors import GraphDrained, is_invalid_resume
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot
from pydantic import ValidationError

from ..errors import AnswerError, CheckpointError, GemsError, ImageModelError, ModelCallError, RunError, RunStoppedError
from ..events import Event, PersonAsked, RunEnded, RunStarted
from ..graph.build import Graph
from ..graph.stream_events import events_from_stream
from ..memory.state import GemsState
from ..models.options import ModelOptions, without_hosts_and_folders
from ..nodes.review_answer import Answer, answer_error
from ..skills import SkillLibrary
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.files import replace_run_file
from ..storage.workspace import Workspace
from .listing import result_of
from .manifest import RunManifest, config_of, find_manifest, open_existing, read_manifest, save_manifest
from .prune import delete_run
from .result import RunResult
from .write_page import refresh_page, write_page

AskPerson = Callable[[Any, str], Any]
"""Asks a person: called with the question, and with the error of the last answer, empty if there was none. Returns an `Answer`,
or plain JSON of that form; None leaves the run waiting."""

Events = Generator[Event, None, None]
"""The events of a run as they happen; the last one is `RunEnded`, which has the result."""

LONGEST_WRITE_MS = 5000
"""Milliseconds for which an event waits until its result is stored. A failed write raises its error at the end of the step."""
LONGEST_REASON = 500
"""Characters of an error's text that a manifest keeps."""


@contextmanager
def hold_run(workspace: Workspace, thread: str, *, new: bool = False) -> Iterator[DatabaseConnection]:
    """Open the database and lock a run in it.

    Args:
        workspace: where the run is.
        thread: the run's name.
        new: whether the run need not exist yet.

    Raises:
        RunNameError: it cannot name a run.
        RunError: there is no such run.
        RunInUseError: another process holds the run.
        CheckpointError: the database cannot be opened, or its data of this run are damaged.
    """
    workspace.folder_of(thread)
    try:
        with workspace.database.open() if new else open_existing(workspace, thread) as database:
            if not new:
                read_manifest(database, workspace, thread)  # raises an error before a lock file is made
            with database.lock_run(thread):
                yield database
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


@dataclass
class Execution:
    """The execution of a run that this process holds."""

    database: DatabaseConnection
    workspace: Workspace
    manifest: RunManifest
    graph: Graph
    """With the checkpointer and the store of the database."""
    skills: SkillLibrary
    models: ModelOptions
    control: RunControl | None = None
    ask: AskPerson | None = None

    def events(self, answer: Any = None, *, new: bool = False) -> Events:
        """Execute the run to its end or to where it waits, write its best image and its page, and yield its events.

        An error that ends it is written into its manifest.

        Args:
            answer: to the question that the run waits with.
            new: whether the run is removed if it is refused before anything is generated.

        Raises:
            GemsError: as for `Gems.stream`.
        """
        begun = False
        try:
            with closing(self._execute(answer)) as events:
                for event in events:
                    begun = True
                    yield event
        except (RunStoppedError, AnswerError):
            raise
        except Exception as error:
            with suppress(Exception):  # the first error is the one to raise
                if new and (not begun or self._was_refused(error)):
                    delete_run(self.database, self.workspace, self.manifest.thread)
                elif begun:
                    self._record_failure(error)
            raise

    def _execute(self, answer: Any) -> Events:
        thread = self.manifest.thread
        with damage_errors():
            now = self._state
            started = self._run_started(now)
        require_skills(now.values.get("skills", ()), self.skills)
        if answer is not None and not now.interrupts:
            raise AnswerError(f"the run {thread} does not wait for an answer: see `gems show {thread}`")
        if self.manifest.failed:
            self._update_manifest(failed="")
        yield started
        if "prompt" not in now.values:
            self.database.saver.delete_thread(thread)  # killed before its first step: only a part of its input is there
            now = yield from self._advance(now, {"prompt": self.manifest.prompt})
        elif now.tasks:  # not `next`, which leaves out a task whose result is stored but not yet part of a checkpoint
            now = yield from self._advance(now, None if answer is None else _resume_command(now, answer))

        problem = ""
        while now.interrupts:
            question = now.interrupts[0].value
            _write_best_image(self._result(now))  # the person who is asked looks at it
            if not problem:
                yield PersonAsked(question=question)
            if self.ask is None or (reply := self.ask(question, problem)) is None:
                break
            try:
                now, problem = (yield from self._advance(now, _resume_command(now, reply))), ""
            except AnswerError as error:
                problem = str(error)
        yield self._end(self._result(now))

    @property
    def _state(self) -> StateSnapshot:
        return self.graph.get_state(config_of(self.manifest.thread))

    def _run_started(self, now: StateSnapshot) -> RunStarted:
        state = GemsState.model_validate(now.values) if "prompt" in now.values and now.tasks else None
        return RunStarted(
            thread=self.manifest.thread,
            prompt=self.manifest.prompt,
            resumed=state is not None,
            checks=tuple(state.checks) if state else (),
            images=len(state.attempts) if state else 0,
        )

    def _advance(self, now: StateSnapshot, graph_input: Any) -> Generator[Event, None, StateSnapshot]:
        """Run the graph until it ends, waits or is stopped, yield its events, and return its state."""
        thread = self.manifest.thread
        parts = self.graph.stream(
            graph_input,
            config_of(thread),
            context=self.manifest.context,
            control=self.control,
            durability="sync",
            stream_mode=["custom", "tasks"],
            version="v2",
        )
        try:
            finished = [task.id for task in now.tasks if task.result is not None]
            yield from events_from_stream(map(self._once_stored, parts), finished=finished)
        except ValidationError as error:
            if not is_invalid_resume(error):
                raise
            schema = self._state.interrupts[0].response_schema or {}
            raise answer_error(error, schema.get("properties", ())) from error
        except GraphDrained as error:
            raise RunStoppedError(
                f"the run {thread} has stopped after a finished step: resume it with `gems resume {thread}`"
            ) from error
        return self._state

    def _once_stored(self, part: Any) -> Any:
        """Return a part of the stream, a task's result once it is stored: LangGraph streams it while another thread writes it."""
        if part["type"] == "tasks" and "result" in (task := part["data"]) and not task["error"] and not task["interrupts"]:
            for _ in range(LONGEST_WRITE_MS):
                if self.database.has_result(self.manifest.thread, task["id"]):
                    break
                time.sleep(0.001)
        return part

    def _result(self, now: StateSnapshot) -> RunResult:
        waiting = now.interrupts[0].value if now.interrupts else None
        return result_of(self.workspace, self.manifest, GemsState.model_validate(now.values), waiting, self.models)

    def _end(self, result: RunResult) -> RunEnded:
        """Record the cost of the run, write its best image and the pages that show it, and return its last event."""
        if result.cost is not None:
            self._update_manifest(cost=result.cost.amount)
        if not self.manifest.pruned:  # the page of a pruned run cannot be made again
            _write_best_image(result)
            write_page(result, self.database, self.workspace, self.manifest)
        if self.manifest.parent:
            with suppress(GemsError, OSError):  # the fork has ended, whatever becomes of its parent's page
                refresh_page(self.manifest.parent.thread, self.workspace)
        return RunEnded.of(result)

    def _update_manifest(self, **fields: Any) -> None:
        self.manifest = self.manifest.model_copy(update=fields)
        save_manifest(self.database, self.manifest)

    def _record_failure(self, error: Exception) -> None:
        why = " ".join(str(error).split()) if isinstance(error, GemsError) else type(error).__name__
        host = error.host if isinstance(error, GemsError) else ""
        self.manifest = find_manifest(self.database, self.workspace, self.manifest.thread) or self.manifest
        self._update_manifest(failed=without_hosts_and_folders(why, self.models, host)[:LONGEST_REASON])

    def _was_refused(self, error: Exception) -> bool:
        """Return whether the run was refused, rather than failed, before a step ended or a model's answer was stored."""
        if not isinstance(error, GemsError) or isinstance(error, ModelCallError | ImageModelError | CheckpointError):
            return False
        found = self.database.saver.get_tuple(config_of(self.manifest.thread))
        if found is None:
            return True
        first = found.metadata.get("source") != "loop" or (self.manifest.parent is None and found.metadata.get("step") == 0)
        return first and not any(channel == "usage" for _, channel, _ in found.pending_writes or ())


def require_skills(names: Iterable[str], library: SkillLibrary) -> None:
    """Refuse to go on with a run that has loaded a skill which is missing now.

    Raises:
        RunError: a skill is missing.
    """
    if missing := sorted(set(names) - set(library.names)):
        raise RunError(f"this run has loaded the skill {missing[0]}, which is missing now: name its folder with --skills")


def run_to_end(events: Events, on_event: Callable[[Event], None] | None = None) -> RunResult:
    """Consume the events of a run, pass each to `on_event`, and return the result."""
    with closing(events):
        for event in events:
            if on_event is not None:
                on_event(event)
    return cast("RunEnded", event).result


def _resume_command(waiting: StateSnapshot, answer: Any) -> Command[Any]:
    """Return an answer as LangGraph's command, by the question's id: otherwise an empty answer would count as no answer."""
    plain = answer.model_dump(mode="json", exclude_unset=True) if isinstance(answer, Answer) else answer
    return Command(resume={waiting.interrupts[0].id: plain})


def _write_best_image(result: RunResult) -> None:
    if result.state.best is not None:
        replace_run_file(result.image_path, result.store.read(result.state.best.image))
