"""Forks: a new run that goes on from any step of another one, with another prompt, other checks or other verdicts.

The run it comes from stays as it is: the fork is a run of its own, with a name and a record of its own. What it shares
with its parent are the pictures made before.
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
from ..nodes.quoted_text import restore_quoted
from ..skills import SkillLibrary
from ..storage.checksums import readable
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace, claims_of
from .execute import Ask, execute, hold_run, run_to_end
from .manifest import ParentRun, RunManifest, config_of, find_manifest, read_manifest, require_runs, save_manifest
from .result import RunResult
from .run import models_of, recorded, require_free, to_request
from .write_page import refresh_page


class Branch(NamedTuple):
    """The state that a fork begins with."""

    state: GemsState
    after: str
    """The role that counts as the one that wrote it: the one after it is next."""


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
    ask: Ask | None = None,
    **settings: Any,
) -> RunResult:
    """Begin a new run at a step of another one, and take it to its end.

    With a prompt, or nothing but other settings or models, the round is drawn again. With checks alone, the images up to
    this round are kept and verified again. With verdicts, the round's image is kept and the decision is made again.

    Args:
        thread: the run to branch off from; it is not changed.
        round: from 1; the round after the last one may be drawn too, from a prompt.
        prompt: what this round is drawn from.
        checks: what the image must show, in the place of all checks.
        verdicts: for the ids of checks, whether the round's image passes: True, False, or None for unknown.
        candidate: which of the round's images the verdicts are of, from 0; its best one by default.
        name: of the new run; made from the parent's by default.
        runs: the folder of runs, or their home.
        chat: the chat model; the parent's by default.
        image: the image model; the parent's by default.
        skills: as for `run`.
        on_event: as for `run`.
        control: as for `run`.
        nodes: the swapped roles, as for `run`.
        checkers: as for `run`.
        ask: as for `run`.
        **settings: fields of `RunContext` that differ from the parent's: `max_rounds=8`.

    Raises:
        GemsError: there is no such run, round, candidate or check, or what is asked for contradicts itself.
    """
    home = Workspace.of(runs)
    require_runs(home, thread)
    with ExitStack() as held_parent:
        opened = held_parent.enter_context(home.database.open())
        parent = read_manifest(opened, home, thread)
        if parent.pruned:
            raise RunError(f"the run {thread} was pruned: only its end and its best image are left, so it cannot be forked")
        with suppress(RunInUseError):  # whoever removes it must hold it, so it stays until the fork has claimed its images
            held_parent.enter_context(opened.hold(thread))
        models = models_of(parent, chat, image, nodes)
        context = preset("default", **{**parent.context.model_dump(), **settings})
        require_prices(context, models.options)
        graph = build_graph(models.chats, models.image, checkpointer=opened.saver, image_store=home.images, **dict(nodes or {}))
        history = _history(graph, thread)
        try:
            start = branch(history, thread, round, prompt, checks, verdicts, candidate)
        except MissingStepsError as error:
            if parent.parent and all(state.round > error.round for state in history):  # its own begin after them
                raise RunError(_of_another(opened, home, thread, parent.parent, round)) from error
            raise
        if start.after == "refiner":
            candidates_in_round(len(start.state.attempts), context)  # which says so if no image is left to be drawn
        record = RunManifest(
            thread=name or f"{thread[:80]}-r{round}-{secrets.token_hex(2)}",
            prompt=parent.prompt,
            context=context,
            models=models.options,
            nodes=parent.nodes,
            began=datetime.now(UTC),
            ready=False,
            parent=ParentRun(thread=thread, round=round),
        )
        _require_new(opened, home, record.thread)
        with hold_run(home, record.thread, new=True) as own:
            record = _begin(own, home, record, start, graph.copy({"checkpointer": own.saver}))
            held_parent.close()
            events = execute(own, home, record, models, skills, control, nodes, checkers, ask)
            result = run_to_end(recorded(events, own, home, record, models.options, new=True), on_event)
    with suppress(GemsError, OSError):  # the fork is done, whatever becomes of its parent's page
        refresh_page(thread, home)
    return result


def _begin(opened: DatabaseConnection, home: Workspace, record: RunManifest, start: Branch, graph: Graph) -> RunManifest:
    """Write the first state of a fork. One that was killed here may be begun again, under the same name."""
    _require_new(opened, home, record.thread)
    save_manifest(opened, record)
    opened.saver.delete_thread(record.thread)
    refs = {ref for attempt in start.state.attempts for ref in (attempt.image, attempt.source) if ref}
    home.images_in(opened).claim(refs, claims_of(record.thread))
    values = {field: getattr(start.state, field) for field in start.state.model_fields_set}
    graph.update_state(config_of(record.thread), values, as_node=start.after)
    ready = record.model_copy(update={"ready": True})
    save_manifest(opened, ready)
    return ready


def _require_new(opened: DatabaseConnection, home: Workspace, thread: str) -> None:
    old = find_manifest(opened, home, thread)
    if old is not None and old.ready:
        raise RunError(f"the run {thread} exists already: choose another name")
    if old is None:
        require_free(opened, thread)


def _history(graph: Graph, thread: str) -> list[GemsState]:
    """Return the states of a run after each of its steps, the latest first."""
    try:
        with readable():
            found = [snapshot.values for snapshot in graph.get_state_history(config_of(thread))]
            return [GemsState.model_validate(values) for values in found if values.get("prompt")]
    except CheckpointError as error:
        raise CheckpointError(f"run {thread}: {error}") from error


def _of_another(opened: DatabaseConnection, home: Workspace, thread: str, parent: ParentRun, round: int) -> str:
    """Return where the steps of a round are that a fork has taken over, and the command that forks there."""
    way = [parent.thread]
    record = find_manifest(opened, home, parent.thread)
    while record and record.parent and round < record.parent.round and record.parent.thread not in way:
        way.append(record.parent.thread)
        record = find_manifest(opened, home, way[-1])
    *between, owner = way
    over = f", by way of {' and '.join(reversed(between))}" if between else ""
    told = f"round {round} of the run {thread} belongs to the run {owner}, which it was forked from{over}"
    if record is None:
        return f"{told}; that run was removed, so there is no fork at this round"
    if record.pruned:
        return f"{told}; that run was pruned, so there is no fork at this round"
    return f"{told}: fork that one, with `gems fork {owner} --round {round}` and the same options"


def branch(
    history: Sequence[GemsState],
    thread: str,
    round: int,
    prompt: str | None = None,
    checks: Sequence[Check] | None = None,
    verdicts: Mapping[str, bool | None] | None = None,
    candidate: int | None = None,
) -> Branch:
    """Return the state that a fork begins with: one of the states that its parent has gone through, edited.

    Args:
        history: the parent's states, the latest first.
        thread: the parent's name.
        round: as for `fork`.
        prompt: as for `fork`.
        checks: as for `fork`.
        verdicts: as for `fork`.
        candidate: as for `fork`.

    Raises:
        MissingStepsError: the states do not hold what the fork would begin with.
        RunError: there is no such round, candidate or check, or what is asked for contradicts itself.
    """
    last = max((state.round for state in history), default=0)
    if prompt is not None and verdicts:
        raise RunError("a prompt makes this round's image anew, so it cannot have verdicts yet: fork with one of the two")
    if candidate is not None and not verdicts:
        raise RunError("a candidate is named for its verdicts only: give verdicts too")
    kept = round if verdicts or (checks is not None and prompt is None) else round - 1
    if not 1 <= round <= last + (kept < round):
        raise RunError(f"the run {thread} has {_rounds(last)}: there is no round {round} to fork at")
    if round > last and prompt is None:
        raise RunError(f"round {round} has not been planned by the run {thread}: say what it is drawn from, with a prompt")
    state = _at(history, thread, kept, verdicts is not None and bool(verdicts))
    edits = {"prompt": prompt, "checks": checks, "verdicts": verdicts or None}
    told = ", ".join(f"other {what}" for what, edit in edits.items() if edit is not None) or "nothing edited"
    state = state.model_copy(update={"notes": [*state.notes, f"Forked from the run {thread} at round {round}: {told}."]})
    if kept == round:
        state = _unlearned(state)
    if checks is not None:
        state = _with_checks(state, checks)
    if verdicts:
        return Branch(_with_verdicts(state, verdicts, candidate), "verifier")
    if kept == round:
        return Branch(state, "generator")
    if prompt is None:
        return Branch(state, "refiner")
    whole, restored = restore_quoted(to_request(prompt).prompt.strip(), state.prompt)
    notes = [f"The prompt of the fork had dropped the quoted text {text!r}: put back." for text in restored]
    edit = {"draft": whole, "thought": "A person has written this prompt.", "edit": False, "notes": [*state.notes, *notes]}
    edit["lessons"] = [lesson for lesson in state.lessons if lesson.round < round]  # a person has not followed them
    return Branch(state.model_copy(update=edit), "refiner")


def _at(history: Sequence[GemsState], thread: str, round: int, judged: bool) -> GemsState:
    """Return the latest state of a round, in which all is there that was said of it, and the next one may be planned."""
    there = [state for state in history if state.round == round and state.checks and state.draft]
    if judged:
        there = [state for state in there if all(attempt.verdicts for attempt in state.latest)]
    if not there:
        raise MissingStepsError(thread, round)
    return there[0]


def _unlearned(state: GemsState) -> GemsState:
    """Return the state without what its round has taught: that is summed up when it has been judged anew."""
    lessons = [lesson for lesson in state.lessons if lesson.round <= state.round]
    experiences = [experience for experience in state.experiences if experience.round < state.round]
    return state.model_copy(update={"experiences": experiences, "lessons": lessons})


def _with_checks(state: GemsState, checks: Sequence[Check]) -> GemsState:
    """Return the state with other checks; images made before are verified again."""
    ids = [check.id for check in checks]
    if not ids:
        raise RunError("there must be at least one check, or nothing could ever fail")
    if len(set(ids)) < len(ids):
        raise RunError(f"two checks have the id {next(i for i in ids if ids.count(i) > 1)}: each needs its own")
    if unknown := sorted({parent for check in checks for parent in check.depends_on} - set(ids)):
        raise RunError(f"a check depends on {unknown[0]}, which is no check")
    return state.model_copy(update={"checks": list(checks), "attempts": with_new_checks(state.attempts, state.checks, checks)})


def _with_verdicts(state: GemsState, verdicts: Mapping[str, bool | None], candidate: int | None) -> GemsState:
    """Return the state with other verdicts for an image of its latest round, which is to be scored again."""
    if unknown := sorted(set(verdicts) - {check.id for check in state.checks}):
        raise RunError(f"there is no check {unknown[0]}: the checks are {', '.join(check.id for check in state.checks)}")
    judged = best_of(state.latest) or state.latest[0]
    if candidate is not None:
        found = [attempt for attempt in state.latest if attempt.candidate == candidate]
        if not found:
            raise RunError(f"round {state.round} has {len(state.latest)} images: there is no candidate {candidate}")
        judged = found[0]
    attempts = [with_human_verdicts(a, verdicts, state.checks) if a.key == judged.key else a for a in state.attempts]
    return state.model_copy(update={"attempts": attempts})


def _rounds(last: int) -> str:
    return "no round yet" if last == 0 else "1 round" if last == 1 else f"{last} rounds"
