"""Fork a run: the first state of a new run that starts at any step of another one, with other prompt, checks or verdicts.

The parent is not changed. The fork has a name and a manifest of its own, and shares the earlier images with its parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import CheckpointError, MissingStepsError, RunError
from ..graph.build import Graph
from ..memory.state import Check, GemsState, best_of
from ..nodes.checks.human_verdicts import with_human_verdicts, with_new_checks
from ..nodes.quote_guard import restore_quoted
from ..report.text import count_of
from ..storage.checksums import damage_errors
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace, claims_owner
from .manifest import ParentRun, RunManifest, config_of, find_manifest, require_new_name, save_manifest, to_request


class ForkEdit(NamedTuple):
    """Where a fork leaves its parent, and what it changes there; the fields are described at `Gems.fork`."""

    round: int
    prompt: str | None = None
    checks: Sequence[Check] | None = None
    verdicts: Mapping[str, bool | None] | None = None
    candidate: int | None = None


class ForkStart(NamedTuple):
    """The first state of a fork."""

    state: GemsState
    after: str
    """The role that counts as its writer: the role after it runs next."""


def read_fork_start(
    database: DatabaseConnection, workspace: Workspace, graph: Graph, parent: RunManifest, edit: ForkEdit
) -> ForkStart:
    """Return the first state of a fork, made from the parent's checkpoints.

    Raises:
        RunError: there is no such round, candidate or check, or the edits contradict each other.
        CheckpointError: the parent's checkpoints are damaged.
    """
    if parent.pruned:
        raise RunError(f"the run {parent.thread} was pruned: only its end and its best image are left, so it cannot be forked")
    history = _states_of(graph, parent.thread)
    try:
        return fork_start(history, parent.thread, edit)
    except MissingStepsError as error:
        if parent.parent and all(state.round > error.round for state in history):  # its own steps are all later
            raise RunError(_explain_inherited_round(database, workspace, parent, parent.parent, edit.round)) from error
        raise


def write_fork_start(
    database: DatabaseConnection, workspace: Workspace, graph: Graph, manifest: RunManifest, start: ForkStart
) -> RunManifest:
    """Register a fork, write its first state and return its manifest. If it is killed here, its name can be used again.

    Raises:
        RunError: there is a run of this name.
    """
    require_new_name(database, workspace, manifest)
    save_manifest(database, manifest)
    database.saver.delete_thread(manifest.thread)
    refs = {ref for attempt in start.state.attempts for ref in (attempt.image, attempt.source) if ref}
    workspace.images_for(database).claim(refs, claims_owner(manifest.thread))
    values = {field: getattr(start.state, field) for field in start.state.model_fields_set}
    graph.update_state(config_of(manifest.thread), values, as_node=start.after)
    ready = manifest.model_copy(update={"ready": True})
    save_manifest(database, ready)
    return ready


def _states_of(graph: Graph, thread: str) -> list[GemsState]:
    """Return the states of a run after each of its steps, the latest first."""
    try:
        with damage_errors():
            states = [snapshot.values for snapshot in graph.get_state_history(config_of(thread))]
            return [GemsState.model_validate(values) for values in states if values.get("prompt")]
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def _explain_inherited_round(
    database: DatabaseConnection, workspace: Workspace, fork: RunManifest, parent: ParentRun, round: int
) -> str:
    """Return a sentence about a round that a fork inherited: which run has its steps, and the command that forks that run."""
    ancestors = [parent.thread]
    manifest = find_manifest(database, workspace, parent.thread)
    while manifest and manifest.parent and round < manifest.parent.round and manifest.parent.thread not in ancestors:
        ancestors.append(manifest.parent.thread)
        manifest = find_manifest(database, workspace, ancestors[-1])
    *between, owner = ancestors
    via = f", by way of {' and '.join(reversed(between))}" if between else ""
    fact = f"round {round} of the run {fork.thread} belongs to the run {owner}, which it was forked from{via}"
    if manifest is None or manifest.pruned:
        return f"{fact}; that run was {'pruned' if manifest else 'removed'}, so there is no fork at this round"
    return f"{fact}: fork that one, with `gems fork {owner} --round {round}` and the same options"


def fork_start(history: Sequence[GemsState], thread: str, edit: ForkEdit) -> ForkStart:
    """Return the first state of a fork: an edited state of its parent.

    Args:
        history: the parent's states, the latest first.
        thread: the parent's name.
        edit: what the fork changes.

    Raises:
        MissingStepsError: the state that the fork would start from is missing.
        RunError: there is no such round, candidate or check, or the edits contradict each other.
    """
    round, prompt, checks, verdicts, candidate = edit
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
    state = _state_of_round(history, thread, kept, bool(verdicts))
    edits = {"prompt": prompt, "checks": checks, "verdicts": verdicts or None}
    edited = ", ".join(f"other {what}" for what, value in edits.items() if value is not None) or "nothing edited"
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
    update = {"draft": whole, "thought": "A person has written this prompt.", "edit": False, "notes": [*state.notes, *notes]}
    update["lessons"] = [lesson for lesson in state.lessons if lesson.round < round]  # a person was not shown them
    return ForkStart(state.model_copy(update=update), "refiner")


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
    if wrong := [check for check in checks if not isinstance(check, Check)]:
        raise RunError(f"{wrong[0]!r} is no check: write Check(id='c1', kind='object', question='Is there a red circle?')")
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
    if wrong := [f"{id}: {value!r}" for id, value in verdicts.items() if value not in (True, False, None)]:
        raise RunError(f"the verdict {wrong[0]} is not understood: give True, False, or None for unknown")
    judged = best_of(state.latest) or state.latest[0]
    if candidate is not None:
        matches = [attempt for attempt in state.latest if attempt.candidate == candidate]
        if not matches:
            raise RunError(f"round {state.round} has {count_of(len(state.latest), 'image')}: there is no candidate {candidate}")
        judged = matches[0]
    attempts = [with_human_verdicts(a, verdicts, state.checks) if a.key == judged.key else a for a in state.attempts]
    return state.model_copy(update={"attempts": attempts})
