"""The front door from Python: run a request, resume a run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, is_invalid_resume
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot
from PIL import Image
from pydantic import ValidationError

from ..context import RunContext
from ..context import preset as settings_of
from ..memory.database import Opened
from ..memory.home import Home
from ..memory.images import ImageStore, write_atomically
from ..memory.serializer import CheckpointError
from ..memory.state import Attempt, Check, Decision, GemsState, Request, Usage
from ..models.options import ModelOptions
from ..models.registry import CUSTOM, ChatChoices, ImageChoice, Models, given_again
from ..nodes.budget import Money, money, require_prices
from ..nodes.checkers import Checker
from ..nodes.review_answer import Answer, AnswerError, in_words
from ..skills import SkillLibrary
from .build import Graph, build_graph
from .record import Record, RunError, find_record, read_record, save_record


class RunStoppedError(RunError):
    """A run was asked to stop, and has, after the step it was at."""


class Event(NamedTuple):
    """Something that happened in a run: a role began (`update` is None) or ended with its update of the state.

    The first event has the role "started" and the run's name as `thread`; if the run is gone on with, the next one has the
    role "resumed" and the whole state so far.
    """

    role: str
    update: dict[str, Any] | None


Ask = Callable[[Any, str], Any]
"""Asks a person: called with the question, and with what was wrong with the last answer, if anything was. It returns the
answer, an `Answer` or plain JSON of that form; None leaves the run waiting."""


class RunResult:
    """A run at its end, or where it waits for a person. `state` holds everything; the properties are what is asked for most.

    Args:
        thread: the run's name.
        state: its last state.
        context: its settings.
        folder: the run's own folder, with `best.png` and `report.html`.
        store: where its images are.
        models: the options of its models, which know what they cost.
        waiting: the question that the run waits for an answer to, as plain JSON; None where it does not wait.
    """

    def __init__(
        self,
        thread: str,
        state: GemsState,
        context: RunContext,
        folder: Path,
        store: ImageStore,
        models: ModelOptions,
        waiting: Any = None,
    ) -> None:
        self.thread, self.state, self.context, self.folder, self.store, self.models = thread, state, context, folder, store, models
        self.waiting = waiting

    @property
    def best(self) -> Attempt:
        """The best attempt."""
        if self.state.best is None:
            how = "it waits for an answer, see `waiting`" if self.waiting is not None else "resume it"
            raise RunError(f"run {self.thread} has no image yet: {how}")
        return self.state.best

    @property
    def image(self) -> Image.Image:
        """The best image."""
        return self.store.open(self.best.image)

    @property
    def image_path(self) -> Path:
        """The best image as a file; it is not there before the first image."""
        return self.folder / "best.png"

    @property
    def report_path(self) -> Path:
        """The report page."""
        return self.folder / "report.html"

    @property
    def decision(self) -> Decision | None:
        """How the run ended: "accept", or "give up"; None while it waits for a person."""
        return self.state.result.decision if self.state.result and self.waiting is None else None

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

    def contact_sheet(self, edge: int = 160) -> Image.Image:
        """Return all its images side by side, each with its round and the checks it passed; `edge` is an image's size in pixels."""
        from ..report import contact_sheet

        best = self.state.best
        return contact_sheet(((_caption(a, best), self.store.open(a.image)) for a in self.attempts), edge=edge)

    def __repr__(self) -> str:
        score = self.state.best.score if self.state.best else None
        passed = f", {score.passed} of {score.total} checks passed" if score else ""
        return f"<RunResult {self.thread}: {self.decision or 'waiting'} in round {self.state.round}{passed}>"

    def _repr_html_(self) -> str:
        from ..report import render_card

        waiting, cost = self.waiting is not None, str(self.cost or "")
        return render_card(self.state, self.context, thread=self.thread, read_image=self.store.read, cost=cost, waiting=waiting)


def _caption(attempt: Attempt, best: Attempt | None) -> str:
    image = f"round {attempt.round}" + (f", image {attempt.candidate + 1}" if attempt.candidate else "")
    passed = f": {attempt.score.passed} of {attempt.score.total}" if attempt.score else ""
    return f"{image}{passed}{', best' if best and attempt.key == best.key else ''}"


def run(
    prompt: str,
    *,
    preset: str = "default",
    thread: str | None = None,
    runs: Home | Path | str = "runs",
    chat: ChatChoices = "shapes",
    image: ImageChoice = "shapes",
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    control: RunControl | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | str | None = None,
    ask: Ask | None = None,
    **settings: Any,
) -> RunResult:
    """Draw a request, checking and refining until every check passes or the budget ends.

    Args:
        prompt: what to draw, in plain words.
        preset: the settings to start from, see `gems.context.PRESETS`.
        thread: the run's name; made from the time and the prompt by default.
        runs: the folder of runs: database, images, reports; or a `Home`, which may have the database and the images elsewhere.
        chat: the chat model, its spec or its options; or a dict of these by role, as for `build_graph`.
        image: the image model, its spec or its options.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called whenever a role begins or ends.
        control: LangGraph's `RunControl`: after its `request_drain()`, from any thread, the run stops when its step has ended.
        nodes: roles to swap, as for `build_graph`.
        checkers: what answers some kinds of checks in the verifier's place, as for `build_graph`; or the setting, `auto` or `none`.
        ask: asks a person where `review` says so; by default the run stops there and waits, see `RunResult.waiting`.
        **settings: fields of `RunContext` that differ from the preset: `max_rounds=3`, `seed=7`.

    Raises:
        RunStoppedError: it was asked to stop by `control`.
        GemsError: the prompt, a setting or a folder is of no use, or a model's answer was; the message says what to do.
            What a model of your own raises passes through. In all these cases nothing is lost: see `resume`.
    """
    own = checkers if isinstance(checkers, Sequence) and not isinstance(checkers, str) else None
    if checkers is not None and own is None:  # the setting; what is no setting either is refused there
        settings = {**settings, "checkers": checkers}
    context = settings_of(preset, **settings)
    request = to_request(prompt)
    models = Models.choose(chat, image)
    require_prices(context, models.options)
    home = Home.of(runs)
    record = Record(
        thread=thread or _new_thread(prompt),
        prompt=request.prompt,
        context=context,
        models=models.options,
        nodes=tuple(sorted(nodes or ())),
        began=datetime.now(UTC),
    )
    with held(home, record.thread, new=True) as opened:
        begin(opened, home, record)
        return drive(opened, home, record, models, skills, on_event, control, nodes, own, ask)


def begin(opened: Opened, home: Home, record: Record) -> None:
    """Keep the record of a new run.

    Raises:
        RunError: there is a run of this name.
    """
    if find_record(opened, home, record.thread) is not None:
        raise RunError(f"the run {record.thread} exists already: go on with `gems resume {record.thread}`, or choose another name")
    require_free(opened, record.thread)
    save_record(opened, record)


def require_free(opened: Opened, thread: str) -> None:
    """Refuse a name under which something else than GEMS keeps checkpoints in the same database.

    Raises:
        RunError: it does.
    """
    if opened.rows(thread):
        raise RunError(f"the name {thread} is taken by another user of this database, or by one of its servers: choose another one")


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
    runs: Home | Path | str = "runs",
    chat: ChatChoices | None = None,
    image: ImageChoice | None = None,
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    control: RunControl | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | None = None,
    ask: Ask | None = None,
    answer: Any = None,
) -> RunResult:
    """Go on with a run from its last finished step; a finished run is returned as it is, and so is one that waits for an answer.

    Args:
        thread: the run's name.
        runs: the folder of runs, or their home.
        chat: the chat model; the recorded one by default.
        image: the image model; the recorded one by default.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called whenever a role begins or ends.
        control: as for `run`.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`; they are not recorded.
        ask: as for `run`.
        answer: to what the run waits for: an `Answer`, or plain JSON of that form.

    Raises:
        AnswerError: the answer is wrong, or nobody asked; nothing was changed.
        GemsError: there is no such run, its record is damaged, or what it needs was not given.
    """
    home = Home.of(runs)
    with held(home, thread) as opened:
        record = read_record(opened, home, thread)
        if not record.ready:
            raise RunError(f"the fork {thread} was killed before it had begun: fork again with this name, or remove it")
        models = models_of(record, chat, image, nodes)
        return drive(opened, home, record, models, skills, on_event, control, nodes, checkers, ask, answer)


def models_of(record: Record, chat: ChatChoices | None, image: ImageChoice | None, nodes: Mapping[str, Any] | None) -> Models:
    """Return the models of a run that was begun before: the recorded ones, or those that are given instead.

    Raises:
        GemsError: what the run needs was not given.
    """
    known, thread = record.models, record.thread
    image = given_again(known.image, image)
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
    return models


@contextmanager
def held(home: Home, thread: str, *, new: bool = False) -> Iterator[Opened]:
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
    if not new and not home.database.exists():
        raise RunError(f"there is no run {thread}: there are no runs in {home.folder}; see --runs")
    try:
        with home.database.open() as opened:
            if not new:
                read_record(opened, home, thread)  # before anything is made for its lock
            with opened.hold(thread):
                yield opened
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def config_of(thread: str) -> RunnableConfig:
    """Return the config by which LangGraph knows a run; the budget of rounds is ours, not the recursion limit."""
    return {"configurable": {"thread_id": thread}, "recursion_limit": 100_000}


def drive(
    opened: Opened,
    home: Home,
    record: Record,
    models: Models,
    skills: SkillLibrary | Sequence[Path | str] | None,
    on_event: Callable[[Event], None] | None,
    control: RunControl | None,
    nodes: Mapping[str, Any] | None,
    checkers: Sequence[Checker] | None,
    ask: Ask | None = None,
    answer: Any = None,
) -> RunResult:
    """Take a run from where it is to its end, or to where it waits, and write its picture and its page. The run must be held.

    Raises:
        GemsError: as for `run`.
    """
    library = SkillLibrary.of(skills)
    config = config_of(record.thread)
    if on_event is not None:
        on_event(Event("started", {"thread": record.thread}))
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
    before = graph.get_state(config)
    _require_skills(before.values.get("skills", ()), library)
    if answer is not None and not before.interrupts:
        raise AnswerError(f"the run {record.thread} does not wait for an answer: see `gems show {record.thread}`")

    def go_on(given: Any) -> StateSnapshot:
        _stream(graph, given, config, record.context, on_event, control)
        return graph.get_state(config)

    now = before
    if not before.values:
        opened.saver.delete_thread(record.thread)  # killed at its very begin: writes whose checkpoint was never saved
        now = go_on({"prompt": record.prompt})
    elif before.tasks:  # not `next`: that leaves out a task whose result is stored but not yet part of a checkpoint
        if on_event is not None:
            on_event(Event("resumed", dict(before.values)))
        now = go_on(None if answer is None else _to_answer(before, answer))

    def result_of(now: StateSnapshot) -> RunResult:
        state, waiting = GemsState.model_validate(now.values), now.interrupts[0].value if now.interrupts else None
        return RunResult(
            record.thread, state, record.context, home.folder_of(record.thread), home.images, models.options, waiting=waiting
        )

    wrong = ""
    while ask is not None and now.interrupts:
        _save_best(result_of(now))  # for whoever is asked to look at it
        if (said := ask(now.interrupts[0].value, wrong)) is None:
            break
        try:
            now, wrong = go_on(_to_answer(now, said)), ""
        except AnswerError as error:
            wrong = str(error)
    result = result_of(now)
    if result.cost is not None:
        save_record(opened, record.model_copy(update={"cost": result.cost.amount}))
    if not record.pruned:  # its page is there, and cannot be made again
        _publish(result, models)
    return result


def _to_answer(waiting: StateSnapshot, answer: Any) -> Command[Any]:
    """Return an answer as LangGraph takes it: by the question's id, or an empty one would be none."""
    plain = answer.model_dump(mode="json", exclude_unset=True) if isinstance(answer, Answer) else answer
    return Command(resume={waiting.interrupts[0].id: plain})


def _stream(
    graph: Graph,
    given: Any,
    config: RunnableConfig,
    context: RunContext,
    on_event: Callable[[Event], None] | None,
    control: RunControl | None,
) -> None:
    parts = graph.stream(given, config, context=context, control=control, durability="sync", stream_mode="tasks", version="v2")
    try:
        for part in parts:
            if on_event is not None:
                data = cast("dict[str, Any]", part["data"])
                if data.get("error"):
                    continue  # it is raised in a moment
                on_event(Event(data["name"], dict(data["result"] or {}) if "result" in data else None))
    except ValidationError as error:
        if not is_invalid_resume(error):
            raise
        schema = graph.get_state(config).interrupts[0].response_schema or {}
        raise in_words(error, schema.get("properties", ())) from error
    except GraphDrained as error:
        thread = config["configurable"]["thread_id"]
        raise RunStoppedError(f"the run {thread} has stopped after a finished step: go on with `gems resume {thread}`") from error


def _require_skills(names: Iterable[str], library: SkillLibrary) -> None:
    if missing := sorted(set(names) - set(library.names)):
        raise RunError(f"this run has loaded the skill {missing[0]}, which is not there now: name its folder with --skills")


def _save_best(result: RunResult) -> None:
    if result.state.best is not None:
        write_atomically(result.image_path, result.store.read(result.state.best.image))


def _publish(result: RunResult, models: Models) -> None:
    from ..report import write_report

    _save_best(result)
    names = {"chat": models.chat_name, "image": models.image.name}
    write_report(
        result.report_path,
        result.state,
        result.context,
        thread=result.thread,
        models=names,
        read_image=result.store.read,
        cost=str(result.cost or ""),
        waiting=result.waiting is not None,
    )


def _new_thread(prompt: str) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:5])[:40].strip("-")
    return "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", words, secrets.token_hex(2))))
