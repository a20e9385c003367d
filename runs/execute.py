"""Execute a run from its last finished step to its end, yielding events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, is_invalid_resume
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot
from pydantic import ValidationError

from ..context import RunContext
from ..errors import AnswerError, CheckpointError, RunError, RunStoppedError
from ..events import Event, PersonAsked, RunEnded, RunStarted
from ..graph.build import Graph, build_graph
from ..graph.stream_events import events_from_stream
from ..memory.state import GemsState
from ..models.registry import Models
from ..nodes.checks.checkers import Checker
from ..nodes.review_answer import Answer, answer_error
from ..skills import SkillLibrary
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.files import replace_run_file
from ..storage.workspace import Workspace
from .manifest import RunManifest, config_of, read_manifest, require_database, save_manifest
from .result import RunResult
from .write_page import write_page

AskPerson = Callable[[Any, str], Any]
"""Asks a person: called with the question, and with the error of the last answer, empty if there was none. Returns an `Answer`,
or plain JSON of that form; None leaves the run waiting."""

Events = Generator[Event, None, None]
"""The events of a run as they happen; the last one is `RunEnded`, which has the result."""


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
    if not new:
        require_database(workspace, thread)
    try:
        with workspace.database.open() as database:
            if not new:
                read_manifest(database, workspace, thread)  # raises an error before a lock file is made
            with database.lock_run(thread):
                yield database
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def execute(
    database: DatabaseConnection,
    workspace: Workspace,
    manifest: RunManifest,
    models: Models,
    skills: SkillLibrary | Sequence[Path | str] | None,
    control: RunControl | None,
    nodes: Mapping[str, Any] | None,
    checkers: Sequence[Checker] | None,
    ask: AskPerson | None = None,
    answer: Any = None,
) -> Events:
    """Execute a run, which must be held, to its end or to where it waits, and write its best image and its page.

    Raises:
        GemsError: as for `run`.
    """
    library = SkillLibrary.of(skills)
    config = config_of(manifest.thread)
    graph = build_graph(
        models.chats,
        models.image,
        skills=library,
        image_store=workspace.images_for(database),
        store=database.store,
        checkpointer=database.saver,
        checkers=checkers,
        prices=models.options,
        **dict(nodes or {}),
    )
    with damage_errors():
        now = graph.get_state(config)
        started = _run_started(manifest, now)
    _require_skills(now.values.get("skills", ()), library)
    if answer is not None and not now.interrupts:
        raise AnswerError(f"the run {manifest.thread} does not wait for an answer: see `gems show {manifest.thread}`")

    def advance(graph_input: Any) -> Generator[Event, None, StateSnapshot]:
        finished = [task.id for task in now.tasks if task.result is not None]
        yield from _graph_events(graph, graph_input, config, manifest.context, control, finished)
        return graph.get_state(config)

    def result_at(now: StateSnapshot) -> RunResult:
        state, waiting = GemsState.model_validate(now.values), now.interrupts[0].value if now.interrupts else None
        return RunResult(
            manifest.thread,
            state,
            manifest.context,
            workspace.folder_of(manifest.thread),
            workspace.images,
            models.options,
            waiting=waiting,
        )

    if manifest.failed:
        manifest = manifest.model_copy(update={"failed": ""})
        save_manifest(database, manifest)
    yield started
    if "prompt" not in now.values:
        database.saver.delete_thread(manifest.thread)  # killed before its first step: only a part of its input is there
        now = yield from advance({"prompt": manifest.prompt})
    elif now.tasks:  # not `next`, which leaves out a task whose result is stored but not yet part of a checkpoint
        now = yield from advance(None if answer is None else _resume_command(now, answer))

    problem = ""
    while now.interrupts:
        _write_best_image(result_at(now))  # the person who is asked looks at it
        if not problem:
            yield PersonAsked(question=now.interrupts[0].value)
        if ask is None or (reply := ask(now.interrupts[0].value, problem)) is None:
            break
        try:
            now, problem = (yield from advance(_resume_command(now, reply))), ""
        except AnswerError as error:
            problem = str(error)
    result = result_at(now)
    if result.cost is not None:
        save_manifest(database, manifest.model_copy(update={"cost": result.cost.amount}))
    if not manifest.pruned:  # the page of a pruned run cannot be made again
        _write_best_image(result)
        write_page(result, database, workspace, manifest)
    yield RunEnded.of(result)


def run_to_end(events: Events, on_event: Callable[[Event], None] | None) -> RunResult:
    """Consume the events of a run, pass each to `on_event`, and return the result."""
    with closing(events):
        for event in events:
            if on_event is not None:
                on_event(event)
    return cast("RunEnded", event).result


def _run_started(manifest: RunManifest, now: StateSnapshot) -> RunStarted:
    state = GemsState.model_validate(now.values) if "prompt" in now.values and now.tasks else None
    return RunStarted(
        thread=manifest.thread,
        prompt=manifest.prompt,
        resumed=state is not None,
        checks=tuple(state.checks) if state else (),
        images=len(state.attempts) if state else 0,
    )


def _resume_command(waiting: StateSnapshot, answer: Any) -> Command[Any]:
    """Return an answer as LangGraph's command, by the question's id: otherwise an empty answer would count as no answer."""
    plain = answer.model_dump(mode="json", exclude_unset=True) if isinstance(answer, Answer) else answer
    return Command(resume={waiting.interrupts[0].id: plain})


def _graph_events(
    graph: Graph,
    graph_input: Any,
    config: RunnableConfig,
    context: RunContext,
    control: RunControl | None,
    finished: Collection[str],
) -> Generator[Event, None, None]:
    """Run a graph until it ends, waits or is stopped, and yield its events."""
    parts = graph.stream(
        graph_input, config, context=context, control=control, durability="sync", stream_mode=["custom", "tasks"], version="v2"
    )
    try:
        yield from events_from_stream(parts, finished=finished)
    except ValidationError as error:
        if not is_invalid_resume(error):
            raise
        schema = graph.get_state(config).interrupts[0].response_schema or {}
        raise answer_error(error, schema.get("properties", ())) from error
    except GraphDrained as error:
        thread = config["configurable"]["thread_id"]
        raise RunStoppedError(
            f"the run {thread} has stopped after a finished step: resume it with `gems resume {thread}`"
        ) from error


def _require_skills(names: Iterable[str], library: SkillLibrary) -> None:
    if missing := sorted(set(names) - set(library.names)):
        raise RunError(f"this run has loaded the skill {missing[0]}, which is missing now: name its folder with --skills")


def _write_best_image(result: RunResult) -> None:
    if result.state.best is not None:
        replace_run_file(result.image_path, result.store.read(result.state.best.image))
