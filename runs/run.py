"""The front door from Python: run a request, watch it, resume a run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from langgraph.runtime import RunControl
from pydantic import ValidationError

from ..context import preset as settings_of
from ..errors import AnswerError, CheckpointError, GemsError, ImageModelError, ModelCallError, RunError, RunStoppedError
from ..events import Event
from ..memory.state import Request
from ..models.options import ModelOptions, without_places
from ..models.registry import CUSTOM, ChatChoices, ImageChoice, Models, image_choice_for_resume
from ..nodes.budget import require_prices
from ..nodes.checks.checkers import Checker
from ..skills import SkillLibrary
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .execute import Ask, Events, execute, hold_run, run_to_end
from .manifest import OWN, RunManifest, config_of, find_manifest, read_manifest, save_manifest
from .prune import forget_run
from .result import RunResult

LONGEST_REASON = 500
"""Characters of what is kept of an error."""


def run(
    prompt: str,
    *,
    preset: str = "default",
    thread: str | None = None,
    runs: Workspace | Path | str = "runs",
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
        runs: the folder of runs: database, images, reports; or a `Workspace`, which may have the database and the images elsewhere.
        chat: the chat model, its spec or its options; or a dict of these by role, as for `build_graph`.
        image: the image model, its spec or its options.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called with each event as it happens: `gems.events` has their types.
        control: LangGraph's `RunControl`: after its `request_drain()`, from any thread, the run stops when its step has ended.
        nodes: roles to swap, as for `build_graph`.
        checkers: what answers some kinds of checks in the verifier's place, as for `build_graph`, whatever the preset says of
            checkers; or the setting, `auto` or `none`.
        ask: asks a person where `review` says so; by default the run stops there and waits, see `RunResult.waiting`.
        **settings: fields of `RunContext` that differ from the preset: `max_rounds=3`, `seed=7`.

    Raises:
        RunStoppedError: it was asked to stop by `control`.
        GemsError: the prompt, a setting or a folder is of no use, or a model's answer was; the message says what to do.
            What a model of your own raises passes through. In all these cases nothing is lost: see `resume`.
    """
    return run_to_end(
        stream(
            prompt,
            preset=preset,
            thread=thread,
            runs=runs,
            chat=chat,
            image=image,
            skills=skills,
            control=control,
            nodes=nodes,
            checkers=checkers,
            ask=ask,
            **settings,
        ),
        on_event,
    )


def stream(
    prompt: str | None = None,
    *,
    preset: str | None = None,
    thread: str | None = None,
    runs: Workspace | Path | str = "runs",
    chat: ChatChoices | None = None,
    image: ImageChoice | None = None,
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    control: RunControl | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | str | None = None,
    ask: Ask | None = None,
    answer: Any = None,
    **settings: Any,
) -> Events:
    """Draw a request like `run`, or go on with a run like `resume`, and give its events as they happen.

    The last event is `RunEnded`, whose `result` is what `run` returns. Whoever stops listening stops the run, which loses nothing:
    see `resume`. The same events, but for those of the run itself, are on the custom stream of a graph of your own:
    `graph.stream(..., stream_mode="custom")`, as JSON, which `gems.events.read_event` reads.

    Args:
        prompt: what to draw, in plain words; without it, the run `thread` is gone on with, from its last finished step.
        preset: as for `run`.
        thread: as for `run`.
        runs: as for `run`.
        chat: as for `run`, or as for `resume`.
        image: as for `run`, or as for `resume`.
        skills: as for `run`.
        control: as for `run`.
        nodes: as for `run`.
        checkers: as for `run`.
        ask: as for `run`.
        answer: as for `resume`.
        **settings: as for `run`.

    Raises:
        GemsError: as for `run` and `resume`, when the first event is asked for.
    """
    if prompt is None:
        if thread is None or preset is not None or settings or isinstance(checkers, str):
            raise RunError("say what to draw, or the thread to go on with: settings and presets are for new runs and forks")
        yield from _go_on(thread, runs, chat, image, skills, control, nodes, checkers, ask, answer)
        return
    if answer is not None:
        raise AnswerError("a new run has not asked anything yet: give the thread of the run that waits, and no prompt")
    own = checkers if isinstance(checkers, Sequence) and not isinstance(checkers, str) else None
    if own is None and checkers is not None:  # the setting; what is no setting either is refused there
        settings = {**settings, "checkers": checkers}
    if own:  # they were named for this run: a preset that leaves out installed ones does not leave out these
        settings = {"checkers": "auto", **settings}
    context = settings_of(preset or "default", **settings)
    request = to_request(prompt)
    models = Models.choose("shapes" if chat is None else chat, "shapes" if image is None else image)
    require_prices(context, models.options)
    home = Workspace.of(runs)
    record = RunManifest(
        thread=thread or _new_thread(prompt),
        prompt=request.prompt,
        context=context,
        models=models.options,
        nodes=tuple(sorted(nodes or ())),
        began=datetime.now(UTC),
    )
    with hold_run(home, record.thread, new=True) as opened:
        begin(opened, home, record)
        events = execute(opened, home, record, models, skills, control, nodes, own, ask)
        yield from recorded(events, opened, home, record, models.options, new=True)


def resume(
    thread: str,
    *,
    runs: Workspace | Path | str = "runs",
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
        on_event: as for `run`.
        control: as for `run`.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`; they are not recorded.
        ask: as for `run`.
        answer: to what the run waits for: an `Answer`, or plain JSON of that form.

    Raises:
        AnswerError: the answer is wrong, or nobody asked; nothing was changed.
        GemsError: there is no such run, its record is damaged, or what it needs was not given.
    """
    return run_to_end(_go_on(thread, runs, chat, image, skills, control, nodes, checkers, ask, answer), on_event)


def _go_on(
    thread: str,
    runs: Workspace | Path | str,
    chat: ChatChoices | None,
    image: ImageChoice | None,
    skills: SkillLibrary | Sequence[Path | str] | None,
    control: RunControl | None,
    nodes: Mapping[str, Any] | None,
    checkers: Sequence[Checker] | None,
    ask: Ask | None,
    answer: Any,
) -> Events:
    home = Workspace.of(runs)
    with hold_run(home, thread) as opened:
        record = read_manifest(opened, home, thread)
        if not record.ready:
            raise RunError(f"the fork {thread} was killed before it had begun: fork again with this name, or remove it")
        models = models_of(record, chat, image, nodes)
        events = execute(opened, home, record, models, skills, control, nodes, checkers, ask, answer)
        yield from recorded(events, opened, home, record, models.options)


def recorded(
    events: Events, opened: DatabaseConnection, home: Workspace, record: RunManifest, models: ModelOptions, *, new: bool = False
) -> Events:
    """Give the events of a run. Where an error ends it, the run's record says why; a new run that was refused is removed.

    Args:
        events: of the run, which must be held.
        opened: the database.
        home: where it lives.
        record: what it was started with.
        models: what it is gone on with; their hosts are not kept with the reason.
        new: whether nobody has heard of the run yet.
    """
    begun = False
    try:
        with closing(events):
            for event in events:
                begun = True
                yield event
    except (RunStoppedError, AnswerError):
        raise
    except Exception as error:
        with suppress(Exception):  # the first error is the one to be told
            if new and (not begun or _refused(opened, record, error)):
                forget_run(opened, home, record.thread)
            elif begun:
                why = " ".join(str(error).split()) if isinstance(error, GemsError) else type(error).__name__
                if isinstance(error, ModelCallError) and error.host:  # it may be of the environment
                    why = why.replace(error.host, "HOST")
                now = find_manifest(opened, home, record.thread) or record
                save_manifest(opened, now.model_copy(update={"failed": without_places(why, models)[:LONGEST_REASON]}))
        raise


def _refused(opened: DatabaseConnection, record: RunManifest, error: Exception) -> bool:
    """Tell whether a run was refused, not failed, and before anything was made for it: a step ended, or a model's answer kept."""
    if not isinstance(error, GemsError) or isinstance(error, ModelCallError | ImageModelError | CheckpointError):
        return False
    found = opened.saver.get_tuple(config_of(record.thread))
    if found is None:
        return True
    first = found.metadata.get("source") != "loop" or (record.parent is None and found.metadata.get("step") == 0)
    return first and not any(channel == "usage" for _, channel, _ in found.pending_writes or ())


def begin(opened: DatabaseConnection, home: Workspace, record: RunManifest) -> None:
    """Keep the record of a new run.

    Raises:
        RunError: there is a run of this name.
    """
    if find_manifest(opened, home, record.thread) is not None:
        raise RunError(f"the run {record.thread} exists already: go on with `gems resume {record.thread}`, or choose another name")
    require_free(opened, record.thread)
    save_manifest(opened, record)


def require_free(opened: DatabaseConnection, thread: str) -> None:
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


def models_of(record: RunManifest, chat: ChatChoices | None, image: ImageChoice | None, nodes: Mapping[str, Any] | None) -> Models:
    """Return the models of a run that was begun before: the recorded ones, or those that are given instead.

    Raises:
        GemsError: what the run needs was not given.
    """
    known, thread = record.models, record.thread
    image = image_choice_for_resume(known.image, image)
    recorded = {"default": known.chat, **known.roles}
    own = [o.model for o in recorded.values() if o.model.startswith(CUSTOM)] if chat is None else []
    own += [known.image.model] if image is None and known.image.model.startswith(CUSTOM) else []
    if own:
        option = "image" if own[0] == known.image.model else "chat"
        name = own[0].removeprefix(CUSTOM)
        raise RunError(f"the run {thread} was made with a {option} model of your own ({name}): pass it as {option}=")
    untold = any(role.startswith(OWN) for role in record.nodes)
    if set(nodes or ()) != set(record.nodes) and not (untold and nodes):
        swapped = ", ".join(record.nodes) or "none"
        raise RunError(f"the run {thread} was started with these roles swapped: {swapped}; pass the same as nodes=")
    models = Models.choose(recorded if chat is None else chat, known.image if image is None else image)
    require_prices(record.context, models.options)
    return models


def _new_thread(prompt: str) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:5])[:40].strip("-")
    return "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", words, secrets.token_hex(2))))
