"""Review: asks a person about the plan or an image, if the setting `review` says so, and applies the answer."""

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
from ..memory.state import Action, Attempt, Check, Decision, Edited, GemsState, Result, Review, Score, Stage, Verdict, best_of
from .checks.human_verdicts import human_reason, with_human_verdicts, with_new_checks
from .messages import Node
from .quote_guard import restore_quoted
from .review_answer import Answer, AnswerRules, answer_schema

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
"""What each action does, as shown to people."""


NO_CHECKPOINTER = (
    "setting review: a run that waits for a person needs a checkpointer: build_graph(checkpointer=...), and invoke it with "
    "a thread_id in its config"
)

UNEXPECTED_ANSWER = (
    "setting review: this context asks for no answer, but one was given; nothing was changed: LangGraph does not store "
    "the context, so pass the one that the run was started with again, invoke(Command(resume=...), config, context=...)"
)


def stage_of(state: GemsState) -> Stage:
    """Return the stage of a run: the plan before the first image, then the image."""
    return "image" if state.attempts else "plan"


def review_is_due(state: GemsState, context: RunContext) -> bool:
    """Return whether a person is asked now; not if a swapped selector left no decision, which is another error."""
    return context.review in (stage_of(state), "both") and (not state.attempts or state.result is not None)


def answer_rules(state: GemsState, context: RunContext) -> AnswerRules:
    """Return what an answer must match: a person may exceed the rounds of a run, but not its images."""
    may_generate = context.max_images is None or len(state.attempts) < context.max_images
    actions: list[Action] = [a for a in ACTION_EFFECTS[stage_of(state)] if may_generate or a != "reject"]
    id = f"{stage_of(state)}-{state.round}-{len(state.reviews) + 1}"  # unique, since every answer is a review
    return AnswerRules(actions, state.checks, state.attempts, may_generate, id)


def review_question(state: GemsState, context: RunContext) -> dict[str, Any]:
    """Return the question to a person as plain JSON: images by their hash, the best first, then those of the latest round."""
    stage, rules = stage_of(state), answer_rules(state, context)
    payload: dict[str, Any] = {
        "question": rules.question,
        "stage": stage,
        "round": state.round,
        "request": state.prompt,
        "prompt": state.draft or state.prompt,
        "skills": list(state.skills),
        "checks": [check.model_dump(mode="json") for check in state.checks],
        "said": [str(review) for review in state.reviews],
        "actions": {action: ACTION_EFFECTS[stage][action] for action in rules.actions},
    }
    if state.result is not None:
        best = state.best
        shown = [*([best] if best else []), *(a for a in state.latest if best is None or a.key != best.key)]
        if "go on" in payload["actions"]:
            payload["actions"]["go on"] += f": {state.result.decision}"
        payload |= {
            "decision": state.result.decision,
            "reason": state.result.reason,
            "attempts": [a.model_dump(mode="json", exclude={"thought", "said"}) | {"best": a is best} for a in shown],
        }
    return payload


def apply_answer(answer: Answer, state: GemsState) -> dict[str, Any]:
    """Return the state update of an answer that matches `answer_rules`."""
    about = _reviewed_attempt(answer, state)
    edited: list[Edited] = [n for n in ("prompt", "checks", "verdicts") if getattr(answer, n) is not None]
    entry = Review(
        stage=stage_of(state),
        round=state.round,
        about=about.round if about else 0,
        action=answer.action,
        words=answer.words,
        edited=tuple(edited),
        verdicts=tuple(Verdict(check=id, passed=passed) for id, passed in (answer.verdicts or {}).items()),
        prompt=state.draft,
    )
    update: dict[str, Any] = {"reviews": [entry]}
    if answer.action == "accept" and about is not None:
        reason = "a person accepted it" + (f": {answer.words}" if answer.words else "")
        update["result"] = _with_result(state, "accept", reason, about)
    if answer.action == "reject":
        update |= _apply_rejection(answer, state, about)
    if answer.prompt is not None:
        draft, restored = restore_quoted(answer.prompt, state.prompt)
        notes = [f"The prompt that a person wrote had dropped the quoted text {text!r}: put back." for text in restored]
        thought = f"A person wrote this prompt. {answer.words}".strip()
        update |= {"draft": draft, "edit": False, "thought": thought, "notes": notes}
    if answer.checks is not None:
        free = iter(_new_check_ids(state.checks, len(answer.checks)))
        checks = [Check(**{**c.model_dump(), "id": c.id or next(free)}) for c in answer.checks]
        update |= {"checks": checks, "attempts": with_new_checks(state.attempts, state.checks, checks)}
    if answer.verdicts is not None and about is not None:
        update["attempts"] = [with_human_verdicts(about, answer.verdicts, state.checks, answer.words)]
    return update


def _reviewed_attempt(answer: Answer, state: GemsState) -> Attempt | None:
    """Return the image that an answer is about, None for the plan."""
    if answer.round is None:
        return state.best or best_of(state.attempts)
    of_round = [a for a in state.attempts if a.round == answer.round]
    return next((a for a in of_round if a.candidate == answer.candidate), best_of(of_round))


def _apply_rejection(answer: Answer, state: GemsState, about: Attempt | None) -> dict[str, Any]:
    """Return the update of a rejection: another round; a new check is failed by this image and unknown for the others."""
    update: dict[str, Any] = {}
    changed = [] if about is None else [about.model_copy(update={"rejected": True})]
    if answer.check is not None:
        [id] = _new_check_ids(state.checks, 1)
        update["checks"] = [*state.checks, Check(id=id, **answer.check.model_dump())]
        failed = Verdict(check=id, passed=False, reason=human_reason(answer.words))
        unknown = Verdict(check=id, reason="not asked: the check is newer than the image")
        others = [a for a in state.attempts if about is None or a.key != about.key]
        changed = [*(_with_verdict(a, failed) for a in changed), *(_with_verdict(a, unknown) for a in others)]
    if about is not None:
        current = {a.key: a for a in [*state.attempts, *changed]}
        best = best_of(list(current.values())) or about
        update["attempts"] = changed
        update["result"] = _with_result(state, "refine", f"a person rejected it: {answer.words}", best)
    return update


def _with_result(state: GemsState, decision: Decision, reason: str, best: Attempt) -> Result:
    assert state.result is not None
    changes = {"decision": decision, "reason": reason, "best_round": best.round, "best_candidate": best.candidate}
    return state.result.model_copy(update=changes)


def _with_verdict(attempt: Attempt, verdict: Verdict) -> Attempt:
    """Return an attempt with one more verdict and a new score; a failure is the person's own verdict."""
    verdicts = (*attempt.verdicts, verdict)
    said = (*attempt.said, verdict) if verdict.passed is False else attempt.said
    return attempt.model_copy(update={"verdicts": verdicts, "said": said, "score": Score.of(verdicts)})


def _new_check_ids(checks: Sequence[Check], count: int) -> list[str]:
    """Return unused ids: c1, c2, ... after the last one."""
    used = [int(match.group(1)) for c in checks if (match := re.fullmatch(r"c(\d+)", c.id))]
    last = max([len(checks), *used])
    return [f"c{last + n}" for n in range(1, count + 1)]


class _AnswerRefused(BaseModel):
    """Schema that refuses every answer."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, answer: Any) -> Any:
        raise ValueError(UNEXPECTED_ANSWER)


def _require_no_answer() -> None:
    """Refuse an answer that no question asked for: it would be lost in silence.

    Raises:
        SettingError: there is an answer.
    """
    try:
        interrupt(None, response_schema=_AnswerRefused)  # the only public way to see whether LangGraph holds an answer
    except GraphInterrupt:
        return
    except ValidationError as error:
        raise SettingError(UNEXPECTED_ANSWER) from error


def review() -> Node:
    """Build the node that asks a person, if the setting `review` says so, and writes what the answer changes.

    Raises:
        SettingError: (the node) the graph has no checkpointer to wait in; or there is an answer, and the context asks for none.
    """

    def node(state: GemsState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        if not review_is_due(state, context):
            _require_no_answer()
            return {}
        if runtime.execution_info is None or runtime.execution_info.thread_id is None:
            raise SettingError(NO_CHECKPOINTER)
        answer = interrupt(review_question(state, context), response_schema=answer_schema(answer_rules(state, context)))
        return apply_answer(Answer.model_validate(answer.model_dump(exclude_unset=True)), state)

    return node
