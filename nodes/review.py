"""Review: asks a person about the plan or an image, where the run's settings say so. It does nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langgraph.errors import GraphInterrupt
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from pydantic import BaseModel, ValidationError, model_validator

from ..context import RunContext, settings_in
from ..errors import SettingError
from ..memory.state import Action, Attempt, Check, Edited, GemsState, Result, Review, Score, Stage, Verdict, best_of
from .checks.human_verdicts import human_reason, with_human_verdicts, with_new_checks
from .messages import Node
from .quoted_text import restore_quoted
from .review_answer import Answer, AnswerRules, ListedCheck, answer_schema

ACTION_EFFECTS: dict[Stage, dict[Action, str]] = {
    "plan": {
        "accept": "draw this prompt",
        "reject": "say in words what is wrong: the prompt is written anew, and you are asked again",
        "edit": "change the prompt or the checks: it is drawn then",
    },
    "image": {
        "accept": "end the run with this image",
        "go on": "as decided",
        "reject": "say in words what is wrong: a further image is drawn, and if you wish a check is added",
        "edit": "write the next prompt, change the checks or a verdict",
    },
}
"""What each answer does, as people are told."""


NO_CHECKPOINTER = (
    "setting review: a run that waits for a person must be kept somewhere; build_graph(checkpointer=...), and invoke it with "
    "a thread_id in its config"
)

UNEXPECTED_ANSWER = (
    "setting review: there is an answer here, but by this context nobody was asked; nothing was changed: LangGraph does not keep "
    "the context, so pass the one that the run was begun with again, invoke(Command(resume=...), config, context=...)"
)


def stage_of(state: GemsState) -> Stage:
    """Return what there is to look at."""
    return "image" if state.attempts else "plan"


def review_is_due(state: GemsState, context: RunContext) -> bool:
    """Tell whether a person is to be asked now; not where a swapped selector has decided nothing, which is an error of its own."""
    return context.review in (stage_of(state), "both") and (not state.attempts or state.result is not None)


def answer_rules(state: GemsState, context: RunContext) -> AnswerRules:
    """Return what an answer must fit: a person may go beyond the rounds of a run, but not beyond its images."""
    may_draw = context.max_images is None or len(state.attempts) < context.max_images
    actions: list[Action] = [a for a in ACTION_EFFECTS[stage_of(state)] if may_draw or a != "reject"]
    id = f"{stage_of(state)}-{state.round}-{len(state.reviews) + 1}"  # every answer is a review: no two questions have the same
    return AnswerRules(actions, state.checks, state.attempts, may_draw, id)


def review_question(state: GemsState, context: RunContext) -> dict[str, Any]:
    """Return what a person is shown, as plain JSON: images by their hash, the best first, then those of the latest round."""
    stage, moment = stage_of(state), answer_rules(state, context)
    told: dict[str, Any] = {
        "question": moment.question,
        "stage": stage,
        "round": state.round,
        "request": state.prompt,
        "prompt": state.draft or state.prompt,
        "skills": list(state.skills),
        "checks": [check.model_dump(mode="json") for check in state.checks],
        "said": [str(said) for said in state.reviews],
        "actions": {action: ACTION_EFFECTS[stage][action] for action in moment.actions},
    }
    if state.result is not None:
        best = state.best
        shown = [*([best] if best else []), *(a for a in state.latest if best is None or a.key != best.key)]
        if "go on" in told["actions"]:
            told["actions"]["go on"] += f": {state.result.decision}"
        told |= {
            "decision": state.result.decision,
            "reason": state.result.reason,
            "attempts": [_attempt_json(a, best) for a in shown],
        }
    return told


def _attempt_json(attempt: Attempt, best: Attempt | None) -> dict[str, Any]:
    told = attempt.model_dump(mode="json", exclude={"thought", "said"})
    return {**told, "best": best is not None and attempt.key == best.key}


def apply_answer(answer: Answer, state: GemsState) -> dict[str, Any]:
    """Return the state update of an answer that fits the moment."""
    about = _reviewed_attempt(answer, state)
    edited: list[Edited] = [n for n in ("prompt", "checks", "verdicts") if getattr(answer, n) is not None]
    said = Review(
        stage=stage_of(state),
        round=state.round,
        about=about.round if about else 0,
        action=answer.action,
        words=answer.words,
        edited=tuple(edited),
        verdicts=tuple(Verdict(check=id, passed=passed) for id, passed in (answer.verdicts or {}).items()),
        prompt=state.draft,
    )
    update: dict[str, Any] = {"reviews": [said]}
    if answer.action == "accept" and about is not None:
        update["result"] = _accepted_result(state, about, answer.words)
    if answer.action == "reject":
        update |= _apply_rejection(answer, state, about)
    if answer.prompt is not None:
        update |= _apply_prompt(answer.prompt, answer.words, state)
    if answer.checks is not None:
        update |= _apply_checks(answer.checks, state)
    if answer.verdicts is not None and about is not None:
        update["attempts"] = [with_human_verdicts(about, answer.verdicts, state.checks, answer.words)]
    return update


def _reviewed_attempt(answer: Answer, state: GemsState) -> Attempt | None:
    """Return the image that an answer is about, None for the plan."""
    if answer.round is None:
        return state.best or best_of(state.attempts)
    of_round = [a for a in state.attempts if a.round == answer.round]
    return next((a for a in of_round if a.candidate == answer.candidate), best_of(of_round))


def _accepted_result(state: GemsState, attempt: Attempt, words: str) -> Result:
    reason = "a person accepted it" + (f": {words}" if words else "")
    return _changed_result(state, decision="accept", reason=reason, best_round=attempt.round, best_candidate=attempt.candidate)


def _changed_result(state: GemsState, **changes: Any) -> Result:
    assert state.result is not None
    return state.result.model_copy(update=changes)


def _apply_rejection(answer: Answer, state: GemsState, about: Attempt | None) -> dict[str, Any]:
    """A rejection sends the run on; with a new check, the image has failed it, and of the others it is not known."""
    update: dict[str, Any] = {}
    changed = [] if about is None else [about.model_copy(update={"rejected": True})]
    if answer.check is not None:
        [id] = _new_check_ids(state.checks, 1)
        update["checks"] = [*state.checks, Check(id=id, **answer.check.model_dump())]
        failed = Verdict(check=id, passed=False, reason=human_reason(answer.words))
        open = Verdict(check=id, reason="not asked: the check is newer than the image")
        others = [a for a in state.attempts if about is None or a.key != about.key]
        changed = [*(_with_verdict(a, failed) for a in changed), *(_with_verdict(a, open) for a in others)]
    if about is not None:
        kept = {a.key: a for a in [*state.attempts, *changed]}
        best = best_of(list(kept.values())) or about
        update["attempts"] = changed
        update["result"] = _changed_result(
            state,
            decision="refine",
            reason=f"a person rejected it: {answer.words}",
            best_round=best.round,
            best_candidate=best.candidate,
        )
    return update


def _with_verdict(attempt: Attempt, verdict: Verdict) -> Attempt:
    """Return an attempt with one more verdict, scored; a failure is a person's word and stands."""
    verdicts = (*attempt.verdicts, verdict)
    said = (*attempt.said, verdict) if verdict.passed is False else attempt.said
    return attempt.model_copy(update={"verdicts": verdicts, "said": said, "score": Score.of(verdicts)})


def _apply_prompt(prompt: str, words: str, state: GemsState) -> dict[str, Any]:
    kept, restored = restore_quoted(prompt, state.prompt)
    notes = [f"The prompt that a person wrote had dropped the quoted text {text!r}: put back." for text in restored]
    return {"draft": kept, "edit": False, "thought": f"A person wrote this prompt. {words}".strip(), "notes": notes}


def _apply_checks(listed: Sequence[ListedCheck], state: GemsState) -> dict[str, Any]:
    free = iter(_new_check_ids(state.checks, len(listed)))
    checks = [Check(**{**c.model_dump(), "id": c.id or next(free)}) for c in listed]
    return {"checks": checks, "attempts": with_new_checks(state.attempts, state.checks, checks)}


def _new_check_ids(checks: Sequence[Check], count: int) -> list[str]:
    """Return ids that no check has: c1, c2, ... counted on."""
    used = [int(found.group(1)) for c in checks if (found := re.fullmatch(r"c(\d+)", c.id))]
    last = max([len(checks), *used])
    return [f"c{last + n}" for n in range(1, count + 1)]


class _AnswerRefused(BaseModel):
    """Takes no answer at all."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, said: Any) -> Any:
        raise ValueError(UNEXPECTED_ANSWER)


def _require_no_answer() -> None:
    """Refuse an answer where nobody is asked: it would be lost without a word, and the run would go on as if nothing was said.

    Raises:
        SettingError: there is one.
    """
    try:
        interrupt(None, response_schema=_AnswerRefused)  # LangGraph's only open way to learn of an answer is to ask for it
    except GraphInterrupt:
        return
    except ValidationError as error:
        raise SettingError(UNEXPECTED_ANSWER) from error


def review() -> Node:
    """Build the node that asks a person, by the run's setting `review`, and writes what the answer changes.

    Raises:
        SettingError: (the node) a person is to be asked, and the graph has nowhere to wait; or a person has answered, and the
            context does not say that anybody was asked.
    """

    def node(state: GemsState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        if not review_is_due(state, context):
            _require_no_answer()
            return {}
        if runtime.execution_info is None or runtime.execution_info.thread_id is None:
            raise SettingError(NO_CHECKPOINTER)
        said = interrupt(review_question(state, context), response_schema=answer_schema(answer_rules(state, context)))
        return apply_answer(Answer.model_validate(said.model_dump(exclude_unset=True)), state)

    return node
