"""The client: makes runs with one choice of models, and reads, resumes, forks and removes them."""

from __future__ import annotations

import asyncio
import builtins
import os
import re
import secrets
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, aclosing, suppress
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, cast

from langgraph.runtime import RunControl

from ..context import RunContext
from ..context import preset as settings_of
from ..errors import AnswerError, ClosedClientError, RunError, RunInUseError, RunStoppedError, SettingError, did_you_mean
from ..events import Event, RunEnded
from ..graph.build import Graph, build_graph, require_nodes
from ..memory.state import Check
from ..models.options import BackendOptions, ImageOptions
from ..models.registry import CUSTOM, ChatChoices, ImageChoice, Models, image_choice_for_resume, require_known_folder
from ..nodes.budget import require_prices
from ..nodes.checks.checkers import Checker, require_checkers
from ..nodes.generator import candidates_in_round
from ..skills import SkillLibrary
from ..storage.database import DatabaseConnection
from ..storage.image_store import ImageStore
from ..storage.workspace import Workspace
from .execute import AskPerson, Events, Execution, hold_run, require_skills, run_to_end
from .fork import ForkEdit, read_fork_start, write_fork_start
from .listing import RunStatus, RunSummary, list_runs, read_result
from .manifest import (
    SERVER_GRAPH,
    ParentRun,
    RunManifest,
    open_existing,
    read_manifest,
    require_new_name,
    save_manifest,
    to_request,
)
from .prune import PruneReport, prune_runs, remove_runs
from .result import RunResult

FORK_NAMES = (*ForkEdit._fields, "name", "execute")
"""Arguments of `Gems.fork` that are no settings."""


class BatchResult(NamedTuple):
    """How one prompt of `Gems.batch` has ended.

    Example:
        ```python
        for done in gems.Gems().batch(["a red circle", "two blue stars"]):
            print(done.position, done.result.image_path if done.result else done.error)
        ```
    """

    position: int
    """The place of the prompt in the batch, from 0."""
    result: RunResult | None = None
    """The run; None if it was not made or has failed."""
    error: Exception | None = None
    """Why there is no result; `RunStoppedError` if the batch was stopped."""


class Gems:
    """A client that makes runs with the same models, skills and nodes, and keeps the runs in one workspace.

    Models are loaded with the first run and shared by all runs and threads; clients with equal options share weights. Any number
    of runs may be in progress at once, from any threads.

    Args:
        chat: the chat model of all roles, its spec such as "openai:gpt-5.2", or its options; or a dict of these by role, with
            "default" for the roles that are not named. By default `shapes`; for a run that is resumed or forked, its own models.
        image: the image model, its spec such as "diffusers:Tongyi-MAI/Z-Image-Turbo", or its options; by default as for `chat`.
        runs: the folder of runs, with database, images and pages; or a `Workspace`, whose database and images may be elsewhere.
        skills: the skill library, or folders of skills beside the bundled ones.
        nodes: roles to swap, as for `build_graph`.
        checkers: what answers some kinds of checks in place of the verifier, as for `build_graph`, whatever the preset says.

    Raises:
        ModelSpecError: a spec is not understood, or a key is missing.
        GemsError: a folder of skills, a role or a checker does not exist, or a role is swapped for what is no node.

    Example:
        ```python
        with gems.Gems(image="shapes", runs="runs") as client:
            result = client.run("three red circles above a blue square", seed=7)
            result.image.show()
            client.fork(result.thread, round=1, prompt="three red circles in a row above a blue square")
            print([summary.thread for summary in client.list(state="accepted")])
        ```
    """

    def __init__(
        self,
        chat: ChatChoices | None = None,
        image: ImageChoice | None = None,
        *,
        runs: Workspace | Path | str = "runs",
        skills: SkillLibrary | Sequence[Path | str] | None = None,
        nodes: Mapping[str, Any] | None = None,
        checkers: Sequence[Checker] | None = None,
    ) -> None:
        self.workspace = Workspace.of(runs)
        self._chat, self._image = dict(chat) if isinstance(chat, Mapping) else chat, image
        self._choice_of_skills, self._nodes = skills, dict(nodes or {})
        self._checkers = None if checkers is None else require_checkers(checkers)
        self._graphs: dict[str, tuple[Models, Graph]] = {}
        self._closed = False
        require_nodes(self._nodes)
        if chat is not None or image is not None:
            _ = self._models
        if skills is not None:
            _ = self._skills

    @cached_property
    def _models(self) -> Models:
        _KEPT.client = None  # so that its models can be freed before others are loaded
        return Models.choose("shapes" if self._chat is None else self._chat, "shapes" if self._image is None else self._image)

    @cached_property
    def _skills(self) -> SkillLibrary:
        return SkillLibrary.of(self._choice_of_skills)

    @property
    def graph(self) -> Graph:
        """The compiled LangGraph graph of this client, without a checkpointer and a store; its images are in the workspace."""
        self._require_open()
        return self._compiled(self._models, self.workspace.images)

    def run(
        self,
        prompt: str,
        *,
        preset: str = "default",
        thread: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
        **settings: Any,
    ) -> RunResult:
        """Generate an image for a request, and refine it until every check passes or the budget ends.

        Args:
            prompt: what the image must show, in plain words.
            preset: name of the settings to start from, see `gems.PRESETS`.
            thread: the run's name; made from the time and the prompt by default.
            on_event: called with each event as it happens; their types are in `gems.events`.
            control: LangGraph's `RunControl`: after `request_drain()`, from any thread, the run stops at the end of its step.
            ask: asks a person where the setting `review` wants it; by default the run stops there and waits, see
                `RunResult.waiting`.
            **settings: fields of `RunContext` that differ from the preset: `max_rounds=3`, `seed=7`.

        Raises:
            RunStoppedError: `control` requested a stop.
            GemsError: the prompt, a setting, a folder or a model's answer cannot be used; the message says what to do.
                Errors of a model of your own pass through. A run that has begun can be resumed, see `resume`; what is refused
                before a step has ended, such as a wrong setting or a first answer that cannot be used, leaves no run.
        """
        return run_to_end(self.stream(prompt, preset=preset, thread=thread, control=control, ask=ask, **settings), on_event)

    def stream(
        self,
        prompt: str | None = None,
        *,
        preset: str | None = None,
        thread: str | None = None,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
        answer: Any = None,
        **settings: Any,
    ) -> Events:
        """Make a run like `run`, or resume one like `resume`, and yield its events as they happen.

        The last event is `RunEnded`, whose `result` is what `run` returns. Closing the iterator stops the run, which can be
        resumed. The run starts when the first event is requested.

        Args:
            prompt: as for `run`; None to resume the run `thread` from its last finished step.
            preset: as for `run`.
            thread: the run's name.
            control: as for `run`.
            ask: as for `run`.
            answer: as for `resume`.
            **settings: as for `run`.

        Raises:
            GemsError: as for `run` and `resume`. What is wrong with the arguments is raised at once.
        """
        self._require_open()
        if prompt is None:
            if thread is None or preset is not None or settings:
                raise RunError("give a prompt, or the thread of a run to resume: settings and presets are for new runs and forks")
            return self._resumed_run(thread, control, ask, answer)
        if answer is not None:
            raise AnswerError("a new run has not asked anything yet: give the thread of the run that waits, and no prompt")
        if self._checkers:  # named for this client: a preset that turns off installed checkers does not turn off these
            settings = {"checkers": "auto", **settings}
        context = settings_of(preset or "default", **settings)
        require_prices(context, self._models.options)
        manifest = RunManifest(
            thread=thread or _name_from_prompt(prompt),
            prompt=to_request(prompt).prompt,
            context=context,
            models=self._models.options,
            nodes=tuple(sorted(self._nodes)),
            began=datetime.now(UTC),
        )
        return self._new_run(manifest, control, ask)

    async def arun(
        self,
        prompt: str,
        *,
        preset: str = "default",
        thread: str | None = None,
        on_event: Callable[[Event], None] | None = None,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
        **settings: Any,
    ) -> RunResult:
        """Make a run like `run`, in a thread of its own. Cancelling stops the run as described at `astream`."""
        events = self.astream(prompt, preset=preset, thread=thread, control=control, ask=ask, **settings)
        async with aclosing(events):
            async for event in events:
                if on_event is not None:
                    on_event(event)
        return cast("RunEnded", event).result

    async def astream(
        self,
        prompt: str | None = None,
        *,
        preset: str | None = None,
        thread: str | None = None,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
        answer: Any = None,
        **settings: Any,
    ) -> AsyncGenerator[Event, None]:
        """Make or resume a run like `stream`; the run has a thread of its own, in which `ask` is called too.

        If the task is cancelled or the iterator is closed, `control` is requested to stop the run; this returns once the step in
        progress has ended, and the run can be resumed at once. The run waits while an event is handled.
        """
        control = control or RunControl()
        events = self.stream(prompt, preset=preset, thread=thread, control=control, ask=ask, answer=answer, **settings)
        loop, worker = asyncio.get_running_loop(), ThreadPoolExecutor(1, thread_name_prefix="gems-run")
        try:
            while (event := await loop.run_in_executor(worker, next, events, None)) is not None:
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            control.request_drain("the task was cancelled")
            await asyncio.shield(loop.run_in_executor(worker, _exhaust, events))
            raise
        finally:
            worker.shutdown(wait=False)

    def batch(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        concurrency: int = 4,
        preset: str = "default",
        control: RunControl | None = None,
        **settings: Any,
    ) -> Generator[BatchResult, None, None]:
        """Run many prompts, several at a time, and yield how each has ended, in the order in which they end.

        An error ends one run, not the batch. Closing the iterator, or `control`, stops the runs in progress after their step and
        starts no other.

        Args:
            prompts: requests; or dicts with `prompt` and what differs for that run: settings, `preset`, `thread`.
            concurrency: most runs at a time.
            preset: as for `run`.
            control: as for `run`, for all runs.
            **settings: as for `run`, for all runs.

        Raises:
            SettingError: `concurrency` is less than 1, or `prompts` is a single prompt.
        """
        self._require_open()
        if isinstance(prompts, str | Mapping):
            raise SettingError(f"prompts={prompts!r}: a batch takes a list of prompts, and `run` a single one")
        if concurrency < 1:
            raise SettingError(f"concurrency {concurrency}: a batch needs at least 1 run at a time")
        control = control or RunControl()

        def run_row(index: int, row: str | Mapping[str, Any]) -> BatchResult:
            own: Any = {"prompt": row} if isinstance(row, str) else row
            try:
                if control.drain_requested:
                    raise RunStoppedError("the batch was stopped before this run")
                if not isinstance(own, Mapping) or "prompt" not in own:
                    raise RunError(f"prompt {index} of the batch is missing in {row!r}: give a text, or a dict with `prompt`")
                return BatchResult(index, self.run(control=control, **{"preset": preset, **settings, **own}))
            except Exception as error:  # of a user's own model it may be any
                return BatchResult(index, error=error)

        def results() -> Generator[BatchResult, None, None]:
            with ThreadPoolExecutor(concurrency, thread_name_prefix="gems-batch") as pool:
                futures = [pool.submit(run_row, index, row) for index, row in enumerate(prompts)]
                try:
                    for future in as_completed(futures):
                        yield future.result()
                except BaseException:  # the iterator was closed, or a signal came
                    control.request_drain("the batch was stopped")
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise

        return results()

    def resume(
        self,
        thread: str,
        *,
        answer: Any = None,
        on_event: Callable[[Event], None] | None = None,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
    ) -> RunResult:
        """Resume a run from its last finished step; a finished run, or one that waits for an answer, is returned as it is.

        It must have been made with the same roles swapped. Checkers are not recorded: they are those of this client.

        Args:
            thread: the run's name.
            answer: to the question that the run waits with: an `Answer`, or plain JSON of that form.
            on_event: as for `run`.
            control: as for `run`.
            ask: as for `run`.

        Raises:
            AnswerError: the answer is wrong, or the run does not wait for one; nothing was changed.
            GemsError: there is no such run, its manifest is damaged, or a model or node that it needs was not passed.
        """
        return run_to_end(self.stream(thread=thread, control=control, ask=ask, answer=answer), on_event)

    def fork(
        self,
        thread: str,
        *,
        round: int,
        prompt: str | None = None,
        checks: Sequence[Check] | None = None,
        verdicts: Mapping[str, bool | None] | None = None,
        candidate: int | None = None,
        name: str | None = None,
        execute: bool = True,
        **settings: Any,
    ) -> RunResult:
        """Start a new run at a round of another one, and execute it to its end.

        With a prompt, or with other settings or models only, the round's images are generated again. With checks alone, the images
        up to this round are kept and verified again. With verdicts, the round's image is kept and the selector decides again.

        Args:
            thread: the parent, which is not changed.
            round: from 1; with a prompt also the round after the last one.
            prompt: the prompt of this round's images.
            checks: what the image must show, in place of all checks.
            verdicts: by the id of a check, whether the round's image passes: True, False, or None for unknown.
            candidate: the image of the round that the verdicts are about, from 0; its best one by default.
            name: the new run's name; made from the parent's by default.
            execute: False only makes the new run: `resume` or `stream` executes it.
            **settings: settings that differ from the parent's: `max_rounds=8`.

        Raises:
            GemsError: there is no such run, round, candidate or check, or the arguments contradict each other.
        """
        self._require_open()
        for unknown in settings.keys() - RunContext.model_fields:
            if get_close_matches(unknown, FORK_NAMES):
                near = did_you_mean(unknown, (*RunContext.model_fields, *FORK_NAMES))
                raise SettingError(f"fork has no argument {unknown}; {near}")
        edit, workspace = ForkEdit(round, prompt, checks, verdicts, candidate), self.workspace
        with ExitStack() as parent_lock:
            database = parent_lock.enter_context(open_existing(workspace, thread))
            parent = read_manifest(database, workspace, thread)
            with suppress(RunInUseError):  # who removes the parent must hold it, so it stays until the fork has claimed its images
                parent_lock.enter_context(database.lock_run(thread))
            models = self._models_of(parent)
            context = settings_of("default", **{**parent.context.model_dump(), **settings})
            require_prices(context, models.options)
            graph = self._graph_in(database, models)
            start = read_fork_start(database, workspace, graph, parent, edit)
            require_skills(start.state.skills, self._skills)
            if start.after == "refiner":
                candidates_in_round(len(start.state.attempts), context)  # raises an error if no image is left in the budget
            manifest = RunManifest(
                thread=name or f"{thread[:80]}-r{round}-{secrets.token_hex(2)}",
                prompt=parent.prompt,
                context=context,
                models=models.options,
                nodes=parent.nodes,
                began=datetime.now(UTC),
                ready=False,
                parent=ParentRun(thread=thread, round=round),
            )
            require_new_name(database, workspace, manifest)
            with hold_run(workspace, manifest.thread, new=True) as own:
                manifest = write_fork_start(own, workspace, graph, manifest, start)
                parent_lock.close()
                if not execute:
                    return read_result(own, workspace, manifest)
                return run_to_end(self._execution(own, manifest, models).events(new=True))

    def list(self, *, state: RunStatus | None = None, find: str = "") -> builtins.list[RunSummary]:
        """Return the runs of the workspace, that with the latest step last.

        Args:
            state: only runs in this state; all by default.
            find: only runs with this in their name or request.

        Raises:
            SettingError: there is no such state.
            RunError: there is no such folder.
            CheckpointError: the database cannot be opened.
        """
        self._require_open()
        return [entry.summary for entry in list_runs(self.workspace, state, find)]

    def get(self, thread: str) -> RunResult:
        """Return a run in its current state, finished or not.

        Raises:
            RunError: there is no such run, its manifest is damaged, or it has not finished a step yet.
            CheckpointError: the database cannot be opened.
        """
        self._require_open()
        with open_existing(self.workspace, thread) as database:
            return read_result(database, self.workspace, read_manifest(database, self.workspace, thread))

    def remove(self, *threads: str) -> PruneReport:
        """Remove runs: their checkpoints, manifests and folders, and the images that no other run refers to.

        Raises:
            SettingError: a name is no text; then none is removed.
            RunError: there is no such run; then none is removed.
            RunInUseError: another process is executing one of them; then none is removed.
        """
        self._require_open()
        if wrong := [name for name in threads if not isinstance(name, str)]:
            raise SettingError(f"{wrong[0]!r} is no name of a run: give names one by one, such as remove('a', 'b')")
        return remove_runs(self.workspace, threads)

    def prune(
        self, older_than: timedelta | None = None, *, keep_best: bool = False, unfinished: bool = False, dry_run: bool = False
    ) -> PruneReport:
        """Free disk space: remove old runs and images that nothing refers to, and shrink the database.

        Args:
            older_than: remove runs whose last step is older; None to remove no run.
            keep_best: keep the end, the page and the best image of these runs.
            unfinished: also remove runs that were interrupted, have failed or wait for a person, not only those that have ended.
                Damaged runs stay.
            dry_run: only report what would be removed; `database_bytes` is 0 then.

        Raises:
            SettingError: `older_than` is no `timedelta`.
            CheckpointError: the database cannot be opened.
            ImageStoreError: the images cannot be listed or removed.
        """
        self._require_open()
        if not isinstance(older_than, timedelta | None):
            raise SettingError(f"older_than={older_than!r}: give a timedelta, such as timedelta(days=30)")
        return prune_runs(self.workspace, older_than, keep_best=keep_best, unfinished=unfinished, dry_run=dry_run)

    def close(self) -> None:
        """Close the client, and free its models unless another one uses them. Runs in progress end as if it were open."""
        self._closed = True
        self._graphs.clear()
        self.__dict__.pop("_models", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Gems(runs={str(self.workspace.folder)!r})"

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedClientError("this Gems client was closed: make a new one")

    def _new_run(self, manifest: RunManifest, control: RunControl | None, ask: AskPerson | None) -> Events:
        self._require_open()
        with hold_run(self.workspace, manifest.thread, new=True) as database:
            require_new_name(database, self.workspace, manifest)
            save_manifest(database, manifest)
            yield from self._execution(database, manifest, self._models, control, ask).events(new=True)

    def _resumed_run(self, thread: str, control: RunControl | None, ask: AskPerson | None, answer: Any) -> Events:
        self._require_open()
        with hold_run(self.workspace, thread) as database:
            manifest = read_manifest(database, self.workspace, thread)
            if not manifest.ready:
                raise RunError(f"the fork {thread} was killed before it had begun: fork again with this name, or remove it")
            yield from self._execution(database, manifest, self._models_of(manifest), control, ask).events(answer)

    def _execution(
        self,
        database: DatabaseConnection,
        manifest: RunManifest,
        models: Models,
        control: RunControl | None = None,
        ask: AskPerson | None = None,
    ) -> Execution:
        graph = self._graph_in(database, models)
        return Execution(database, self.workspace, manifest, graph, self._skills, models.options, control, ask)

    def _graph_in(self, database: DatabaseConnection, models: Models) -> Graph:
        """Return the graph of these models with the checkpointer and the store of an open database."""
        images = self.workspace.images_for(database)
        graph = self._compiled(models, images, "" if images is self.workspace.images else database.id)
        return graph.copy({"checkpointer": database.saver, "store": database.store})

    def _compiled(self, models: Models, images: ImageStore, namespace: str = "") -> Graph:
        """Return the graph of these models, compiled unless the last one of this namespace of images was of the same."""
        compiled = self._graphs.get(namespace)
        if compiled is None or compiled[0] is not models:
            options = {"skills": self._skills, "checkers": self._checkers, "prices": models.options, **self._nodes}
            compiled = models, build_graph(models.chats, models.image, image_store=images, **options)
            self._graphs[namespace] = compiled
        return compiled[1]

    def _models_of(self, manifest: RunManifest) -> Models:
        """Return the models to resume or fork a run with: the recorded ones, or the client's where they were named.

        Raises:
            GemsError: a model or node of your own, which the run was started with, was not passed.
        """
        known, thread = manifest.models, manifest.thread
        image = image_choice_for_resume(known.image, self._image)
        recorded = {"default": known.chat, **known.roles}
        for options in recorded.values() if self._chat is None else ():
            require_known_folder(options)
        own = [o.model for o in recorded.values() if o.model.startswith(CUSTOM)] if self._chat is None else []
        own += [known.image.model] if image is None and known.image.model.startswith(CUSTOM) else []
        if own:
            option = "image" if own[0] == known.image.model else "chat"
            name = own[0].removeprefix(CUSTOM)
            raise RunError(f"the run {thread} was started with a {option} model of your own ({name}): pass it as {option}=")
        unknown_roles = any(role.startswith(SERVER_GRAPH) for role in manifest.nodes)
        if set(self._nodes) != set(manifest.nodes) and not (unknown_roles and self._nodes):
            swapped = ", ".join(manifest.nodes) or "none"
            raise RunError(
                f"the run {thread} was started with these roles swapped: {swapped}; from Python, pass the same: Gems(nodes=...)"
            )
        models = Models.choose(recorded if self._chat is None else self._chat, known.image if image is None else image)
        require_prices(manifest.context, models.options)
        compiled = [known for known, _ in [*self._graphs.values()] if known.options == models.options]
        return compiled[0] if compiled else models


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
    """Make one run by `Gems.run`, with a client that is kept for the next call with equal models, workspace, skills and nodes.

    Args:
        prompt: what the image must show, in plain words.
        preset: as for `Gems.run`.
        thread: as for `Gems.run`.
        runs: as for `Gems`.
        chat: as for `Gems`.
        image: as for `Gems`.
        skills: as for `Gems`.
        on_event: as for `Gems.run`.
        control: as for `Gems.run`.
        nodes: as for `Gems`.
        checkers: as for `Gems`; or the setting `checkers`, `auto` or `none`.
        ask: as for `Gems.run`.
        **settings: as for `Gems.run`.

    Raises:
        GemsError: as for `Gems` and `Gems.run`.

    Example:
        ```python
        result = gems.run("three red circles above a blue square", seed=7)
        print(result.decision, result.best.score)
        result.image.save("circles.png")
        ```
    """
    if isinstance(checkers, str) or not isinstance(checkers, Sequence | None):
        settings, checkers = {**settings, "checkers": checkers}, None
    client = _KEPT.get(chat, image, runs, skills=SkillLibrary.of(skills), nodes=nodes or {}, checkers=checkers)
    return client.run(prompt, preset=preset, thread=thread, on_event=on_event, control=control, ask=ask, **settings)


class _KeptClient:
    """The client of the last call of `run` in this process."""

    def __init__(self) -> None:
        self.reset()
        os.register_at_fork(after_in_child=self.reset)  # a thread of the parent may be using its models

    def reset(self) -> None:
        """Keep none."""
        self.client: Gems | None = None
        self._made_with: object = None
        self._lock = threading.Lock()

    def get(self, chat: ChatChoices, image: ImageChoice, runs: Workspace | Path | str, **options: Any) -> Gems:
        """Return the client that is kept if the arguments, the environment and the working directory are the same, or a new one."""
        choices = (chat, ImageOptions(model=image) if isinstance(image, str) else image, runs, *options.values())
        made_with = (*map(_identity, choices), hash(frozenset(os.environ.items())), _working_directory())
        with self._lock:
            client = self.client
            if client is None or self._made_with != made_with:
                client = Gems(chat, image, runs=runs, **options)
                self.client, self._made_with = client, made_with
            return client


_KEPT = _KeptClient()


def _identity(value: Any) -> object:
    """Return what equal arguments of a client have in common; an object that the client keeps is equal to itself only."""
    if isinstance(value, BackendOptions):
        return value.key()
    if isinstance(value, Mapping):
        return tuple((name, _identity(value[name])) for name in sorted(value))
    if isinstance(value, list | tuple):
        return tuple(map(_identity, value))
    return value if value is None or isinstance(value, str | Path | SkillLibrary) else id(value)


def _working_directory() -> str | None:
    """Return the working directory, None if it has been removed, which whoever needs it says."""
    try:
        return os.path.realpath(".")
    except FileNotFoundError:
        return None


def _exhaust(events: Events) -> None:
    with suppress(RunStoppedError):
        deque(events, maxlen=0)


def _name_from_prompt(prompt: str) -> str:
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:5])[:40].strip("-")
    return "-".join(filter(None, (f"{datetime.now():%Y%m%d-%H%M%S}", words, secrets.token_hex(2))))
