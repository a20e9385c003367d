"""Fork a run: start a new run from any step of another one, with another prompt, other checks or other verdicts.

The parent is not changed. The fork has a name and a manifest of its own, and shares the earlier images with its parent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.runtime import RunControl

from ..context import preset
from ..errors import CheckpointError, GemsError, MissingStepsError, RunError, RunInUseError
from ..events import Event
from ..graph.build import Graph, build_graph
from ..memory.state import Check, GemsState, best_of
from ..models.registry import ChatChoices, ImageChoice
from ..nodes.budget import require_prices
from ..nodes.checks.checkers import Checker
from ..nodes.checks.human_verdicts import with_human_verdicts, with_new_checks
from ..nodes.generator import candidates_in_round
from ..nodes.quote_guard import restore_quoted
from ..report.text import count_of
from ..skills import SkillLibrary
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace, claims_owner
from .execute import AskPerson, execute, hold_run, run_to_end
from .manifest import ParentRun, RunManifest, config_of, find_manifest, read_manifest, require_database, save_manifest
from .result import RunResult
from .run import models_of, record_failure, require_free_name, to_request
from .write_page import refresh_page


class ForkStart(NamedTuple):
    """The first state of a fork."""

    state: GemsState
    after: str
    """The role that counts as its writer: the role after it runs next."""


def fork(
    thread: str,
    *,
    round: int,
    prompt: str | None = None,
    checks: Sequence[Check] | None = None,
    verdicts: Mapping[str, bool | None] | None = None,
    candidate: int | None = None,
    name: str | None = None,
    runs: Workspace | Path | str = "runs",
    chat: ChatChoices | None = None,
    image: ImageChoice | None = None,
    skills: SkillLibrary | Sequence[Path | str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    control: RunControl | None = None,
    nodes: Mapping[str, Any] | None = None,
    checkers: Sequence[Checker] | None = None,
    ask: AskPerson | None = None,
    **settings: Any,
) -> RunResult:
    """Start a new run at a round of another one, and execute it to its end.

    With a prompt, or with other settings or models only, the round's images are generated again. With checks alone, the images up
    to this round are kept and verified again. With verdicts, the round's image is kept and the selector decides again.

    Args:
        thread: the parent, which is not changed.
        round: from 1; with a prompt also the round after the last one.
        prompt: the prompt of this round's images.
        checks: what the image must show, in place of all checks.
        verdicts: by the id of a check, whether the round's image passes: True, False, or None for unknown.
        candidate: the image of the round that the verdicts are about, from 0; its best one by default.
        name: the new run's name; made from the parent's by default.
        runs: the folder of runs, or a `Workspace`.
        chat: the chat model; the parent's by default.
        image: the image model; the parent's by default.
        skills: as for `run`.
        on_event: as for `run`.
        control: as for `run`.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`.
        ask: as for `run`.
        **settings: settings that differ from the parent's: `max_rounds=8`.

    Raises:
        GemsError: there is no such run, round, candidate or check, or the arguments contradict each other.

    Example:
        ```python
        gems.fork("circle", round=2, prompt="a red circle on white paper", max_rounds=8)
        gems.fork("circle", round=1, verdicts={"c2": False}, name="circle-strict")
        ```
    """
    workspace = Workspace.of(runs)
    require_database(workspace, thread)
    with ExitStack() as parent_lock:
        database = parent_lock.enter_context(workspace.database.open())
        parent = read_manifest(database, workspace, thread)
        if parent.pruned:
            raise RunError(f"the run {thread} was pruned: only its end and its best image are left, so it cannot be forked")
        with suppress(RunInUseError):  # who removes the parent must hold it, so it stays until the fork has claimed its images
            parent_lock.enter_context(database.lock_run(thread))
        models = models_of(parent, chat, image, nodes)
        context = preset("default", **{**parent.context.model_dump(), **settings})
        require_prices(context, models.options)
        graph = build_graph(
            models.chats, models.image, checkpointer=database.saver, image_store=workspace.images, **dict(nodes or {})
        )
        history = _states_of(graph, thread)
        try:
            start = fork_start(history, thread, round, prompt, checks, verdicts, candidate)
        except MissingStepsError as error:
            if parent.parent and all(state.round > error.round for state in history):  # its own steps are all later
                raise RunError(_explain_inherited_round(database, workspace, thread, parent.parent, round)) from error
            raise
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
        _require_unused_name(database, workspace, manifest.thread)
        with hold_run(workspace, manifest.thread, new=True) as own:
            manifest = _write_first_state(own, workspace, manifest, start, graph.copy({"checkpointer": own.saver}))
            parent_lock.close()
            events = execute(own, workspace, manifest, models, skills, control, nodes, checkers, ask)
            result = run_to_end(record_failure(events, own, workspace, manifest, models.options, new=True), on_event)
    with suppress(GemsError, OSError):  # the fork has ended, whatever becomes of its parent's page
        refresh_page(thread, workspace)
    return result


def _write_first_state(
    database: DatabaseConnection, workspace: Workspace, manifest: RunManifest, start: ForkStart, graph: Graph
) -> RunManifest:
    """Write the first state of a fork. A fork that was killed here may be started again under the same name."""
    _require_unused_name(database, workspace, manifest.thread)
    save_manifest(database, manifest)
    database.saver.delete_thread(manifest.thread)
    refs = {ref for attempt in start.state.attempts for ref in (attempt.image, attempt.source) if ref}
    workspace.images_for(database).claim(refs, claims_owner(manifest.thread))
    values = {field: getattr(start.state, field) for field in start.state.model_fields_set}
    graph.update_state(config_of(manifest.thread), values, as_node=start.after)
    ready = manifest.model_copy(update={"ready": True})
    save_manifest(database, ready)
    return ready


def _require_unused_name(database: DatabaseConnection, workspace: Workspace, thread: str) -> None:
    old = find_manifest(database, workspace, thread)
    if old is not None and old.ready:
        raise RunError(f"the run {thread} exists already: choose another name")
    if old is None:
        require_free_name(database, thread)


def _states_of(graph: Graph, thread: str) -> list[GemsState]:
    """Return the states of a run after each of its steps, the latest first."""
    try:
        with damage_errors():
            states = [snapshot.values for snapshot in graph.get_state_history(config_of(thread))]
            return [GemsState.model_validate(values) for values in states if values.get("prompt")]
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def _explain_inherited_round(database: DatabaseConnection, workspace: Workspace, thread: str, parent: ParentRun, round: int) -> str:
    """Return a sentence about a round that a fork inherited: which run has its steps, and the command that forks that run."""
    ancestors = [parent.thread]
    manifest = find_manifest(database, workspace, parent.thread)
    while manifest and manifest.parent and round < manifest.parent.round and manifest.parent.thread not in ancestors:
        ancestors.append(manifest.parent.thread)
        manifest = find_manifest(database, workspace, ancestors[-1])
    *between, owner = ancestors
    via = f", by way of {' and '.join(reversed(between))}" if between else ""
    fact = f"round {round} of the run {thread} belongs to the run {owner}, which it was forked from{via}"
    if manifest is None:
        return f"{fact}; that run was removed, so there is no fork at this round"
    if manifest.pruned:
        return f"{fact}; that run was pruned, so there is no fork at this round"
    return f"{fact}: fork that one, with `gems fork {owner} --round {round}` and the same options"


def fork_start(
    history: Sequence[GemsState],
    thread: str,
    round: int,
    prompt: str | None = None,
    checks: Sequence[Check] | None = None,
    verdicts: Mapping[str, bool | None] | None = None,
    candidate: int | None = None,
) -> ForkStart:
    """Return the first state of a fork: an edited state of its parent.

    Args:
        history: the parent's states, the latest first.
        thread: the parent's name.
        round: as for `fork`.
        prompt: as for `fork`.
        checks: as for `fork`.
        verdicts: as for `fork`.
        candidate: as for `fork`.

    Raises:
        MissingStepsError: the state that the fork would start from is missing.
        RunError: there is no such round, candidate or check, or the arguments contradict each other.
    """
    last = max((state.round for state in history), default=0)
    if prompt is not None and verdicts:
        raise RunError("a prompt makes this round's image anew, so it cannot have verdicts yet: fork with one of the two")
    if candidate is not None and not verdicts:
        raise RunError("a candidate is named for its verdicts only: give verdicts too")
    kept = round if verdicts or (checks is not None and prompt is None) else round - 1
    if not 1 <= round <= last + (kept < round):
        raise RunError(
            f"the run {thread} has {count_of(last, 'round') if last else 'no round yet'}: there is no round {round} to fork at"
        )
    if round > last and prompt is None:
        raise RunError(f"round {round} has not been planned by the run {thread}: give the prompt of its images")
    state = _state_of_round(history, thread, kept, verdicts is not None and bool(verdicts))
    edits = {"prompt": prompt, "checks": checks, "verdicts": verdicts or None}
    edited = ", ".join(f"other {what}" for what, edit in edits.items() if edit is not None) or "nothing edited"
    state = state.model_copy(update={"notes": [*state.notes, f"Forked from the run {thread} at round {round}: {edited}."]})
    if kept == round:
        state = _without_experience_of_round(state)
    if checks is not None:
        state = _with_checks(state, checks)
    if verdicts:
        return ForkStart(_with_verdicts(state, verdicts, candidate), "verifier")
    if kept == round:
        return ForkStart(state, "generator")
    if prompt is None:
        return ForkStart(state, "refiner")
    whole, restored = restore_quoted(to_request(prompt).prompt.strip(), state.prompt)
    notes = [f"The prompt of the fork had dropped the quoted text {text!r}: put back." for text in restored]
    edit = {"draft": whole, "thought": "A person has written this prompt.", "edit": False, "notes": [*state.notes, *notes]}
    edit["lessons"] = [lesson for lesson in state.lessons if lesson.round < round]  # a person was not shown them
    return ForkStart(state.model_copy(update=edit), "refiner")


def _state_of_round(history: Sequence[GemsState], thread: str, round: int, judged: bool) -> GemsState:
    """Return the latest state of a round: its attempts are complete, and the next round may be planned."""
    states = [state for state in history if state.round == round and state.checks and state.draft]
    if judged:
        states = [state for state in states if all(attempt.verdicts for attempt in state.latest)]
    if not states:
        raise MissingStepsError(thread, round)
    return states[0]


def _without_experience_of_round(state: GemsState) -> GemsState:
    """Return the state without the experience of its round, which is summarized again once the round is judged again."""
    lessons = [lesson for lesson in state.lessons if lesson.round <= state.round]
    experiences = [experience for experience in state.experiences if experience.round < state.round]
    return state.model_copy(update={"experiences": experiences, "lessons": lessons})


def _with_checks(state: GemsState, checks: Sequence[Check]) -> GemsState:
    """Return the state with other checks; its images are to be verified again."""
    ids = [check.id for check in checks]
    if not ids:
        raise RunError("there must be at least one check, or nothing could ever fail")
    if len(set(ids)) < len(ids):
        raise RunError(f"two checks have the id {next(i for i in ids if ids.count(i) > 1)}: each needs its own")
    if unknown := sorted({parent for check in checks for parent in check.depends_on} - set(ids)):
        raise RunError(f"a check depends on {unknown[0]}, which is not one of the checks")
    return state.model_copy(update={"checks": list(checks), "attempts": with_new_checks(state.attempts, state.checks, checks)})


def _with_verdicts(state: GemsState, verdicts: Mapping[str, bool | None], candidate: int | None) -> GemsState:
    """Return the state with other verdicts on an image of its latest round, which is to be scored again."""
    if unknown := sorted(set(verdicts) - {check.id for check in state.checks}):
        raise RunError(f"there is no check {unknown[0]}: the checks are {', '.join(check.id for check in state.checks)}")
    judged = best_of(state.latest) or state.latest[0]
    if candidate is not None:
        matches = [attempt for attempt in state.latest if attempt.candidate == candidate]
        if not matches:
            raise RunError(f"round {state.round} has {len(state.latest)} images: there is no candidate {candidate}")
        judged = matches[0]
    attempts = [with_human_verdicts(a, verdicts, state.checks) if a.key == judged.key else a for a in state.attempts]
    return state.model_copy(update={"attempts": attempts})
