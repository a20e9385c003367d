"""Run a request, stream its events, resume a run."""

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

from ..context import preset as settings_from
from ..errors import AnswerError, CheckpointError, GemsError, ImageModelError, ModelCallError, RunError, RunStoppedError
from ..events import Event
from ..memory.state import Request
from ..models.options import ModelOptions, without_hosts_and_folders
from ..models.registry import CUSTOM, ChatChoices, ImageChoice, Models, image_choice_for_resume
from ..nodes.budget import require_prices
from ..nodes.checks.checkers import Checker
from ..skills import SkillLibrary
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .execute import AskPerson, Events, execute, hold_run, run_to_end
from .manifest import SERVER_GRAPH, RunManifest, config_of, find_manifest, read_manifest, save_manifest
from .prune import delete_run
from .result import RunResult

LONGEST_REASON = 500
"""Characters of an error's text that a manifest keeps."""


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
    ask: AskPerson | None = None,
    **settings: Any,
) -> RunResult:
    """Generate an image for a request, and refine it until every check passes or the budget ends.

    Args:
        prompt: what the image must show, in plain words.
        preset: name of the settings to start from, see `gems.PRESETS`.
        thread: the run's name; made from the time and the prompt by default.
        runs: the folder of runs, with database, images and pages; or a `Workspace`, whose database and images may be elsewhere.
        chat: the chat model, its spec or its options; or a dict of these by role, as for `build_graph`.
        image: the image model, its spec or its options.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: called with each event as it happens; their types are in `gems.events`.
        control: LangGraph's `RunControl`: after `request_drain()`, called from any thread, the run stops at the end of its step.
        nodes: roles to swap, as for `build_graph`.
        checkers: what answers some kinds of checks in place of the verifier, as for `build_graph`, whatever the preset's
            `checkers` is; or that setting, `auto` or `none`.
        ask: asks a person where the setting `review` wants it; by default the run stops there and waits, see `RunResult.waiting`.
        **settings: fields of `RunContext` that differ from the preset: `max_rounds=3`, `seed=7`.

    Raises:
        RunStoppedError: `control` requested a stop.
        GemsError: the prompt, a setting, a folder or a model's answer cannot be used; the message says what to do.
            Errors of a model of your own pass through. In all these cases the run can be resumed: see `resume`.

    Example:
        ```python
        result = gems.run("three red circles above a blue square", seed=7)
        print(result.decision, result.best.score)
        result.image.save("circles.png")
        ```
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
    ask: AskPerson | None = None,
    answer: Any = None,
    **settings: Any,
) -> Events:
    """Run a request like `run`, or resume a run like `resume`, and yield its events as they happen.

    The last event is `RunEnded`, whose `result` is what `run` returns. Closing the iterator stops the run, which can be resumed.
    `gems.events_from_stream` yields the same events from the stream of a graph of your own, without those of the run itself.

    Args:
        prompt: as for `run`; None to resume the run `thread` from its last finished step.
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
        GemsError: as for `run` and `resume`, when the first event is requested.

    Example:
        ```python
        for event in gems.stream("a red circle"):
            if isinstance(event, gems.CheckAnswered):
                print(event.question, event.verdict.passed)
        ```
    """
    if prompt is None:
        if thread is None or preset is not None or settings or isinstance(checkers, str):
            raise RunError("give a prompt, or the thread of a run to resume: settings and presets are for new runs and forks")
        workspace = Workspace.of(runs)
        with hold_run(workspace, thread) as database:
            manifest = read_manifest(database, workspace, thread)
            if not manifest.ready:
                raise RunError(f"the fork {thread} was killed before it had begun: fork again with this name, or remove it")
            models = models_of(manifest, chat, image, nodes)
            events = execute(database, workspace, manifest, models, skills, control, nodes, checkers, ask, answer)
            yield from record_failure(events, database, workspace, manifest, models.options)
        return
    if answer is not None:
        raise AnswerError("a new run has not asked anything yet: give the thread of the run that waits, and no prompt")
    own = checkers if isinstance(checkers, Sequence) and not isinstance(checkers, str) else None
    if own is None and checkers is not None:  # the setting, which is validated below
        settings = {**settings, "checkers": checkers}
    if own:  # named for this run: a preset that turns off installed checkers does not turn off these
        settings = {"checkers": "auto", **settings}
    context = settings_from(preset or "default", **settings)
    request = to_request(prompt)
    models = Models.choose("shapes" if chat is None else chat, "shapes" if image is None else image)
    require_prices(context, models.options)
    workspace = Workspace.of(runs)
    manifest = RunManifest(
        thread=thread or _name_from_prompt(prompt),
        prompt=request.prompt,
        context=context,
        models=models.options,
        nodes=tuple(sorted(nodes or ())),
        began=datetime.now(UTC),
    )
    with hold_run(workspace, manifest.thread, new=True) as database:
        register_run(database, workspace, manifest)
        events = execute(database, workspace, manifest, models, skills, control, nodes, own, ask)
        yield from record_failure(events, database, workspace, manifest, models.options, new=True)


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
    ask: AskPerson | None = None,
    answer: Any = None,
) -> RunResult:
    """Resume a run from its last finished step; a finished run, or one that waits for an answer, is returned as it is.

    Args:
        thread: the run's name.
        runs: the folder of runs, or a `Workspace`.
        chat: the chat model; the recorded one by default.
        image: the image model; the recorded one by default.
        skills: the skill library, or folders of skills beside the bundled ones.
        on_event: as for `run`.
        control: as for `run`.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`; they are not recorded.
        ask: as for `run`.
        answer: to the question that the run waits with: an `Answer`, or plain JSON of that form.

    Raises:
        AnswerError: the answer is wrong, or the run does not wait for one; nothing was changed.
        GemsError: there is no such run, its manifest is damaged, or a model or node that it needs was not passed.

    Example:
        ```python
        result = gems.run("a red circle", thread="circle", review="plan")
        print(result.waiting)
        result = gems.resume("circle", answer=gems.Answer(action="accept"))
        ```
    """
    events = stream(
        thread=thread,
        runs=runs,
        chat=chat,
        image=image,
        skills=skills,
        control=control,
        nodes=nodes,
        checkers=checkers,
        ask=ask,
        answer=answer,
    )
    return run_to_end(events, on_event)


def record_failure(
    events: Events,
    database: DatabaseConnection,
    workspace: Workspace,
    manifest: RunManifest,
    models: ModelOptions,
    *,
    new: bool = False,
) -> Events:
    """Yield the events of a run; if an error ends it, write the error into its manifest, and remove a new run that was refused.

    Args:
        events: of the run, which must be held.
        database: the open database.
        workspace: where the run is.
        manifest: what the run was started with.
        models: options of its models, whose hosts are left out of the error.
        new: whether the run was started with these events.
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
        with suppress(Exception):  # the first error is the one to raise
            if new and (not begun or _was_refused(database, manifest, error)):
                delete_run(database, workspace, manifest.thread)
            elif begun:
                why = " ".join(str(error).split()) if isinstance(error, GemsError) else type(error).__name__
                if isinstance(error, ModelCallError) and error.host:  # it may come from the environment
                    why = why.replace(error.host, "HOST")
                now = find_manifest(database, workspace, manifest.thread) or manifest
                save_manifest(database, now.model_copy(update={"failed": without_hosts_and_folders(why, models)[:LONGEST_REASON]}))
        raise


def _was_refused(database: DatabaseConnection, manifest: RunManifest, error: Exception) -> bool:
    """Return whether a run was refused, rather than failed, before a step ended or a model's answer was stored."""
    if not isinstance(error, GemsError) or isinstance(error, ModelCallError | ImageModelError | CheckpointError):
        return False
    found = database.saver.get_tuple(config_of(manifest.thread))
    if found is None:
        return True
    first = found.metadata.get("source") != "loop" or (manifest.parent is None and found.metadata.get("step") == 0)
    return first and not any(channel == "usage" for _, channel, _ in found.pending_writes or ())


def register_run(database: DatabaseConnection, workspace: Workspace, manifest: RunManifest) -> None:
    """Store the manifest of a new run.

    Raises:
        RunError: there is a run of this name.
    """
    if find_manifest(database, workspace, manifest.thread) is not None:
        raise RunError(
            f"the run {manifest.thread} exists already: resume it with `gems resume {manifest.thread}`, or choose another name"
        )
    require_free_name(database, manifest.thread)
    save_manifest(database, manifest)


def require_free_name(database: DatabaseConnection, thread: str) -> None:
    """Refuse a name under which something other than GEMS has checkpoints in the same database.

    Raises:
        RunError: the name is taken.
    """
    if database.row_count(thread):
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


def models_of(
    manifest: RunManifest, chat: ChatChoices | None, image: ImageChoice | None, nodes: Mapping[str, Any] | None
) -> Models:
    """Return the models of an existing run: the recorded ones, or those that are passed instead.

    Raises:
        GemsError: a model or node of your own, which the run was started with, was not passed.
    """
    known, thread = manifest.models, manifest.thread
    image = image_choice_for_resume(known.image, image)
    recorded = {"default": known.chat, **known.roles}
    own = [o.model for o in recorded.values() if o.model.startswith(CUSTOM)] if chat is None else []
    own += [known.image.model] if image is None and known.image.model.startswith(CUSTOM) else []
    if own:
        option = "image" if own[0] == known.image.model else "chat"
        name = own[0].removeprefix(CUSTOM)
        raise RunError(f"the run {thread} was started with a {option} model of your own ({name}): pass it as {option}=")
    unknown_roles = any(role.startswith(SERVER_GRAPH) for role in manifest.nodes)
    if set(nodes or ()) != set(manifest.nodes) and not (unknown_roles and nodes):
        swapped = ", ".join(manifest.nodes) or "none"
        raise RunError(f"the run {thread} was started with these roles swapped: {swapped}; pass the same as nodes=")
    models = Models.choose(recorded if chat is None else chat, known.image if image is None else image)
    require_prices(manifest.context, models.options)
    return models


def _name_from_prompt(prompt: str) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:5])[:40].strip("-")
    return "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", words, secrets.token_hex(2))))
