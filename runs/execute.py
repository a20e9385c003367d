"""Takes a run from where it is to its end, telling what happens."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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
from ..events import Custom, Event, PersonAsked, RoleEnded, RunEnded, RunStarted, read_event
from ..graph.build import Graph, build_graph
from ..memory.state import GemsState
from ..models.registry import Models
from ..nodes.checks.checkers import Checker
from ..nodes.review_answer import Answer, answer_error
from ..skills import SkillLibrary
from ..storage.checksums import readable
from ..storage.database import DatabaseConnection
from ..storage.image_store import write_atomically
from ..storage.workspace import Workspace
from .manifest import RunManifest, config_of, read_manifest, require_runs, save_manifest
from .result import RunResult
from .write_page import write_page

Ask = Callable[[Any, str], Any]
"""Asks a person: called with the question, and with what was wrong with the last answer, if anything was. It returns the
answer, an `Answer` or plain JSON of that form; None leaves the run waiting."""


Events = Generator[Event, None, None]
"""The events of a run as they happen. The last one is `RunEnded`, which has the result."""


@contextmanager
def hold_run(home: Workspace, thread: str, *, new: bool = False) -> Iterator[DatabaseConnection]:
    """Open the database and hold a run in it.

    Args:
        home: where runs live.
        thread: the run's name.
        new: whether it may be a run that is not there yet.

    Raises:
        RunNameError: the name cannot be one.
        RunError: there is no such run.
        RunInUseError: another process holds the run.
        CheckpointError: the database cannot be opened, or what it has of this run is damaged.
    """
    home.folder_of(thread)
    if not new:
        require_runs(home, thread)
    try:
        with home.database.open() as opened:
            if not new:
                read_manifest(opened, home, thread)  # before anything is made for its lock
            with opened.hold(thread):
                yield opened
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def execute(
    opened: DatabaseConnection,
    home: Workspace,
    record: RunManifest,
    models: Models,
    skills: SkillLibrary | Sequence[Path | str] | None,
    control: RunControl | None,
    nodes: Mapping[str, Any] | None,
    checkers: Sequence[Checker] | None,
    ask: Ask | None = None,
    answer: Any = None,
) -> Events:
    """Take a run from where it is to its end, or to where it waits, and write its picture and its page. The run must be held.

    Raises:
        GemsError: as for `run`.
    """
    library = SkillLibrary.of(skills)
    config = config_of(record.thread)
    graph = build_graph(
        models.chats,
        models.image,
        skills=library,
        image_store=home.images_in(opened),
        store=opened.store,
        checkpointer=opened.saver,
        checkers=checkers,
        prices=models.options,
        **dict(nodes or {}),
    )
    with readable():
        now = graph.get_state(config)
        started = _started(record, now)
    _require_skills(now.values.get("skills", ()), library)
    if answer is not None and not now.interrupts:
        raise AnswerError(f"the run {record.thread} does not wait for an answer: see `gems show {record.thread}`")

    def go_on(given: Any) -> Generator[Event, None, StateSnapshot]:
        yield from _steps(graph, given, config, record.context, control)
        return graph.get_state(config)

    def result_of(now: StateSnapshot) -> RunResult:
        state, waiting = GemsState.model_validate(now.values), now.interrupts[0].value if now.interrupts else None
        return RunResult(
            record.thread, state, record.context, home.folder_of(record.thread), home.images, models.options, waiting=waiting
        )

    if record.failed:
        record = record.model_copy(update={"failed": ""})
        save_manifest(opened, record)
    yield started
    if "prompt" not in now.values:
        opened.saver.delete_thread(record.thread)  # killed before its first step: what is there is a part of its input
        now = yield from go_on({"prompt": record.prompt})
    elif now.tasks:  # not `next`: that leaves out a task whose result is stored but not yet part of a checkpoint
        now = yield from go_on(None if answer is None else _to_answer(now, answer))

    wrong = ""
    while now.interrupts:
        _save_best(result_of(now))  # for whoever is asked to look at it
        if not wrong:
            yield PersonAsked(question=now.interrupts[0].value)
        if ask is None or (said := ask(now.interrupts[0].value, wrong)) is None:
            break
        try:
            now, wrong = (yield from go_on(_to_answer(now, said))), ""
        except AnswerError as error:
            wrong = str(error)
    result = result_of(now)
    if result.cost is not None:
        save_manifest(opened, record.model_copy(update={"cost": result.cost.amount}))
    if not record.pruned:  # its page is there, and cannot be made again
        _publish(result, opened, home, record)
    yield RunEnded.of(result)


def run_to_end(events: Events, on_event: Callable[[Event], None] | None) -> RunResult:
    """Take a run to its end, tell each event to `on_event`, and return the result."""
    with closing(events):
        for event in events:
            if on_event is not None:
                on_event(event)
    return cast("RunEnded", event).result


def _started(record: RunManifest, now: StateSnapshot) -> RunStarted:
    state = GemsState.model_validate(now.values) if "prompt" in now.values and now.tasks else None
    return RunStarted(
        thread=record.thread,
        prompt=record.prompt,
        resumed=state is not None,
        checks=tuple(state.checks) if state else (),
        images=len(state.attempts) if state else 0,
    )


def _to_answer(waiting: StateSnapshot, answer: Any) -> Command[Any]:
    """Return an answer as LangGraph takes it: by the question's id, or an empty one would be none."""
    plain = answer.model_dump(mode="json", exclude_unset=True) if isinstance(answer, Answer) else answer
    return Command(resume={waiting.interrupts[0].id: plain})


def _steps(
    graph: Graph, given: Any, config: RunnableConfig, context: RunContext, control: RunControl | None
) -> Generator[Event, None, None]:
    """Run a graph until it ends, waits or is to stop; give its events."""
    parts = graph.stream(
        given, config, context=context, control=control, durability="sync", stream_mode=["custom", "tasks"], version="v2"
    )
    ended: dict[str, RoleEnded] = {}
    try:
        for part in parts:
            if part["type"] == "custom":
                event = read_event(part["data"])
                if isinstance(event, RoleEnded):
                    ended[event.role] = event  # to be told when its result is stored: nobody then takes back that it was
                elif isinstance(event, RunStarted | RunEnded | PersonAsked):
                    yield Custom(data=part["data"])  # only a run tells these: a node that writes such a thing means something else
                else:
                    yield event
            elif "result" in (task := cast("dict[str, Any]", part["data"])) and task["name"] in ended:
                yield ended.pop(task["name"])
    except ValidationError as error:
        if not is_invalid_resume(error):
            raise
        schema = graph.get_state(config).interrupts[0].response_schema or {}
        raise answer_error(error, schema.get("properties", ())) from error
    except GraphDrained as error:
        thread = config["configurable"]["thread_id"]
        raise RunStoppedError(f"the run {thread} has stopped after a finished step: go on with `gems resume {thread}`") from error


def _require_skills(names: Iterable[str], library: SkillLibrary) -> None:
    if missing := sorted(set(names) - set(library.names)):
        raise RunError(f"this run has loaded the skill {missing[0]}, which is not there now: name its folder with --skills")


def _save_best(result: RunResult) -> None:
    if result.state.best is not None:
        write_atomically(result.image_path, result.store.read(result.state.best.image))


def _publish(result: RunResult, opened: DatabaseConnection, home: Workspace, record: RunManifest) -> None:
    _save_best(result)
    write_page(result, opened, home, record)
