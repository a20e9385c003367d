"""The front door from Python: run a request, resume a run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..context import RunContext
from ..context import preset as settings_of
from ..errors import GemsError
from ..memory.checkpoints import sqlite_checkpoints
from ..memory.images import ImageStore, write_atomically
from ..memory.locks import exclusive
from ..memory.state import Attempt, Check, Decision, GemsState, Request, Usage
from ..models.options import ModelOptions
from ..models.registry import CUSTOM, ChatChoices, ImageChoice, Models
from ..nodes.budget import Money, money, require_prices
from ..nodes.checkers import Checker
from ..skills import SkillLibrary
from .build import Graph, build_graph

DATABASE = "gems.sqlite"
RESERVED = {"images", "eval"}
"""What else lies in the folder of runs."""
THREAD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class RunError(GemsError):
    """A run cannot be started or gone on with."""


class Event(NamedTuple):
    """Something that happened in a run: a role began (`update` is None) or ended with its update of the state.

    The first event has the role "started" and the run's name as `thread`; if the run is gone on with, the next one has the
    role "resumed" and the whole state so far.
    """

    role: str
    update: dict[str, Any] | None


class Record(BaseModel):
    """What a run was started with: kept beside its images, since a checkpoint holds the state but not the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = 1
    thread: str
    prompt: str
    context: RunContext
    models: ModelOptions
    nodes: tuple[str, ...] = ()
    cost: float | None = Field(default=None, description="What the run has cost, where prices are known; written at its end.")


class RunResult:
    """A finished run. `state` holds everything; the properties are what is asked for most.

    Args:
        thread: the run's name.
        state: its last state.
        context: its settings.
        folder: the run's own folder, with `best.png` and `report.html`.
        store: where its images are.
        models: the options of its models, which know what they cost.
    """

    def __init__(
        self, thread: str, state: GemsState, context: RunContext, folder: Path, store: ImageStore, models: ModelOptions
    ) -> None:
        self.thread, self.state, self.context, self.folder, self.store, self.models = thread, state, context, folder, store, models

    @property
    def best(self) -> Attempt:
        """The best attempt."""
        if self.state.best is None:
            raise RunError(f"run {self.thread} has no image yet: resume it")
        return self.state.best

    @property
    def image(self) -> Image.Image:
        """The best image."""
        return self.store.open(self.best.image)

    @property
    def image_path(self) -> Path:
        """The best image as a file."""
        return self.folder / "best.png"

    @property
    def report_path(self) -> Path:
        """The report page."""
        return self.folder / "report.html"

    @property
    def decision(self) -> Decision | None:
        """How the run ended: "accept", or "give up"."""
        return self.state.result.decision if self.state.result else None

    @property
    def checks(self) -> list[Check]:
        """What the image had to show."""
        return self.state.checks

    @property
    def attempts(self) -> list[Attempt]:
        """Every image, oldest first."""
        return self.state.attempts

    @property
    def usage(self) -> Usage:
        """What the run has used."""
        return self.state.usage

    @property
    def cost(self) -> Money | None:
        """What the run has cost by the prices of the models' options; None where no price is known."""
        return money(self.usage, self.models)


def run(
    prompt: str,
    *,
    preset: str = "default",
    thread: str | None = None,
    runs: Path | str = "runs",
    chat: ChatChoices = "shapes",
    image: ImageChoice = "shapes",
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | str | None = None,
    **settings: Any,
) -> RunResult:
    """Draw a request, checking and refining until every check passes or the budget ends.

    Args:
        prompt: what to draw, in plain words.
        preset: the settings to start from, see `gems.context.PRESETS`.
        thread: the run's name; made from the time and the prompt by default.
        runs: the folder of runs: checkpoints, images, reports.
        chat: the chat model, its spec or its options; or a dict of these by role, as for `build_graph`.
        image: the image model, its spec or its options.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called whenever a role begins or ends.
        nodes: roles to swap, as for `build_graph`.
        checkers: what answers some kinds of checks in the verifier's place, as for `build_graph`; or the setting, `auto` or `none`.
        **settings: fields of `RunContext` that differ from the preset: `max_rounds=3`, `seed=7`.

    Raises:
        GemsError: the prompt, a setting or a folder is of no use, or a model's answer was; the message says what to do.
            What a model of your own raises passes through. In either case nothing is lost: see `resume`.
    """
    own = checkers if isinstance(checkers, Sequence) and not isinstance(checkers, str) else None
    if checkers is not None and own is None:  # the setting; what is no setting either is refused there
        settings = {**settings, "checkers": checkers}
    context = settings_of(preset, **settings)
    request = to_request(prompt)
    models = Models.choose(chat, image)
    require_prices(context, models.options)
    thread = thread or _new_thread(prompt)
    folder = _folder(Path(runs), thread)
    if (folder / "run.json").exists():
        raise RunError(f"the run {thread} exists already: go on with `gems resume {thread}`, or choose another name")
    record = Record(
        thread=thread,
        prompt=request.prompt,
        context=context,
        models=models.options,
        nodes=tuple(sorted(nodes or ())),
    )
    write_atomically(folder / "run.json", _to_json(record))
    return _drive(record, Path(runs), models, skills, on_event, nodes, own)


def to_request(prompt: str) -> Request:
    """Return a prompt as the input of a run.

    Raises:
        RunError: it is empty, too long, or no text.
    """
    try:
        return Request(prompt=prompt)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(str(first.get("ctx", {}).get("error", f"the prompt: {first['msg']}"))) from error


def resume(
    thread: str,
    *,
    runs: Path | str = "runs",
    chat: ChatChoices | None = None,
    image: ImageChoice | None = None,
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | None = None,
) -> RunResult:
    """Go on with a run from its last finished step; a finished run is returned as it is.

    Args:
        thread: the run's name.
        runs: the folder of runs.
        chat: the chat model; the recorded one by default.
        image: the image model; the recorded one by default.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called whenever a role begins or ends.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`; they are not recorded.

    Raises:
        GemsError: there is no such run, its record is damaged, or what it needs was not given.
    """
    record = read_record(Path(runs), thread)
    known = record.models
    recorded = {"default": known.chat, **known.roles}
    own = [o.model for o in recorded.values() if o.model.startswith(CUSTOM)] if chat is None else []
    own += [known.image.model] if image is None and known.image.model.startswith(CUSTOM) else []
    if own:
        option = "image" if own[0] == known.image.model else "chat"
        name = own[0].removeprefix(CUSTOM)
        raise RunError(f"the run {thread} was made with a {option} model of your own ({name}): pass it as {option}=")
    if set(nodes or ()) != set(record.nodes):
        swapped = ", ".join(record.nodes) or "none"
        raise RunError(f"the run {thread} was started with these roles swapped: {swapped}; pass the same as nodes=")
    models = Models.choose(recorded if chat is None else chat, known.image if image is None else image)
    require_prices(record.context, models.options)
    return _drive(record, Path(runs), models, skills, on_event, nodes, checkers)


def read_record(runs: Path, thread: str) -> Record:
    """Return what a run was started with.

    Raises:
        RunError: there is no such run, or its record is damaged.
    """
    path = _folder(runs, thread) / "run.json"
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        known = sorted((p.parent for p in runs.glob("*/run.json")), key=lambda p: p.stat().st_mtime)
        hint = (
            f"the latest are {', '.join(p.name for p in known[-3:])}" if known else "there are no runs in this folder; see --runs"
        )
        raise RunError(f"there is no run {thread}: {hint}") from error
    except (OSError, ValidationError) as error:
        raise RunError(f"the record of run {thread} is damaged: restore its run.json, or start the request anew") from error


def _drive(
    record: Record,
    runs: Path,
    models: Models,
    skills: SkillLibrary | Sequence[Path | str] | None,
    on_event: Callable[[Event], None] | None,
    nodes: Mapping[str, Any] | None,
    checkers: Sequence[Checker] | None,
) -> RunResult:
    library = SkillLibrary.of(skills)
    store = ImageStore(runs / "images")
    config: RunnableConfig = {"configurable": {"thread_id": record.thread}, "recursion_limit": 100_000}
    if on_event is not None:
        on_event(Event("started", {"thread": record.thread}))
    with ExitStack() as stack:
        stack.enter_context(exclusive(runs / record.thread))
        saver = stack.enter_context(sqlite_checkpoints(runs / DATABASE))
        graph = build_graph(
            models.chats,
            models.image,
            skills=library,
            store=store,
            checkpointer=saver,
            checkers=checkers,
            prices=models.options,
            **dict(nodes or {}),
        )
        before = graph.get_state(config)
        _require_skills(before.values.get("skills", ()), library)
        if not before.values:
            _stream(graph, {"prompt": record.prompt}, config, record.context, on_event)
        elif before.tasks:  # not `next`: that leaves out a task whose result is stored but not yet part of a checkpoint
            if on_event is not None:
                on_event(Event("resumed", dict(before.values)))
            _stream(graph, None, config, record.context, on_event)
        state = GemsState.model_validate(graph.get_state(config).values)
    result = RunResult(record.thread, state, record.context, runs / record.thread, store, models.options)
    _publish(result, record, models)
    return result


def _stream(
    graph: Graph, given: Any, config: RunnableConfig, context: RunContext, on_event: Callable[[Event], None] | None
) -> None:
    for part in graph.stream(given, config, context=context, durability="sync", stream_mode="tasks", version="v2"):
        if on_event is not None:
            data = cast("dict[str, Any]", part["data"])
            if data.get("error"):
                continue  # it is raised in a moment
            on_event(Event(data["name"], dict(data["result"] or {}) if "result" in data else None))


def _require_skills(names: Iterable[str], library: SkillLibrary) -> None:
    if missing := sorted(set(names) - set(library.names)):
        raise RunError(f"this run has loaded the skill {missing[0]}, which is not there now: name its folder with --skills")


def _publish(result: RunResult, record: Record, models: Models) -> None:
    from ..report import write_report

    if result.state.best is not None:
        write_atomically(result.image_path, result.store.read(result.state.best.image))
    if result.cost is not None:
        write_atomically(result.folder / "run.json", _to_json(record.model_copy(update={"cost": result.cost.amount})))
    names = {"chat": models.chat_name, "image": models.image.name}
    write_report(
        result.report_path,
        result.state,
        record.context,
        thread=record.thread,
        models=names,
        read_image=result.store.read,
        cost=str(result.cost or ""),
    )


def _to_json(record: Record) -> bytes:
    return record.model_dump_json(indent=1).encode()


def _folder(runs: Path, thread: str) -> Path:
    if not THREAD.fullmatch(thread) or thread.lower() in RESERVED or thread.lower().startswith(DATABASE):
        rule = "use letters, digits, '.', '_' and '-', at most 100, a letter or digit first"
        raise RunError(f"{thread[:80]!r} cannot name a run: {rule}")
    return runs / thread


def _new_thread(prompt: str) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:5])[:40].strip("-")
    return "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", words, secrets.token_hex(2))))
