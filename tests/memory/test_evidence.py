"""What a run bears out: refinements that turned failed checks into passed ones, and what became of shown lessons."""

from gems.memory.evidence import latest_improvements, lesson_trials, refinement_steps
from gems.memory.state import Attempt, Check, GemsState, ImageRef, Score, ShownLesson, Verdict

CHECKS = [
    Check(id="c1", kind="object", question="Is there a cat?"),
    Check(id="c2", kind="count", question="How many cats are there?", expected="two"),
    Check(id="c3", kind="count", question="How many dogs are there?", expected="one"),
]
SIGNS = {"+": True, "-": False, "?": None}


def attempt(round, prompt, found, candidate=0, source=None):
    verdicts = tuple(Verdict(check=c.id, passed=SIGNS[sign]) for c, sign in zip(CHECKS, found, strict=True))
    image = ImageRef(sha256=f"{10 * round + candidate:064x}", width=8, height=8)
    return Attempt(
        round=round, candidate=candidate, prompt=prompt, seed=round, image=image, verdicts=verdicts,
        score=Score.of(verdicts), source=source,
    )  # fmt: skip


def state(*attempts, **more):
    return GemsState(prompt="two cats and a dog", checks=CHECKS, attempts=list(attempts), **more)


def turned(*attempts):
    return {kind: [c.id for c in r.fixed if c.kind == kind] for kind, r in latest_improvements(state(*attempts)).items()}


def test_a_new_prompt_after_which_a_failed_check_passes_is_borne_out():
    assert turned(attempt(1, "a", "+-+"), attempt(2, "b", "+++")) == {"count": ["c2"]}


def test_unknown_says_nothing_on_either_side():
    assert turned(attempt(1, "a", "+?+"), attempt(2, "b", "+++")) == {}
    assert turned(attempt(1, "a", "+-+"), attempt(2, "b", "+?+")) == {}


def test_what_one_check_of_a_kind_gains_another_must_not_lose():
    assert turned(attempt(1, "a", "+-+"), attempt(2, "b", "++-")) == {}


def test_a_flicker_under_one_prompt_is_no_lesson():
    assert turned(attempt(1, "a", "+-+"), attempt(2, "a ", "+++")) == {}
    # It passed and failed under the first prompt, so passing under another one says nothing.
    assert turned(attempt(1, "a", "-+-"), attempt(2, "a", "+--"), attempt(3, "b", "+++")) == {"count": ["c3"]}


def test_it_is_compared_with_the_best_attempt_before_not_with_the_latest():
    found = refinement_steps(state(attempt(1, "a", "++-"), attempt(2, "b", "---"), attempt(3, "c", "+++")))
    assert [(r.before.prompt, r.after.prompt, [c.id for c in r.fixed]) for r in found] == [("a", "b", []), ("a", "c", ["c3"])]


def test_an_edit_is_compared_with_the_image_it_was_made_of():
    first, second = attempt(1, "a", "+--"), attempt(2, "b", "+-+")
    edit = attempt(3, "make it two cats", "++-", source=first.image)
    found = refinement_steps(state(first, second, edit))[-1]
    assert (found.before.prompt, [c.id for c in found.fixed]) == ("a", ["c2"])


def test_one_lucky_candidate_of_many_proves_nothing():
    before = [attempt(1, "a", "+-+", k) for k in range(3)]
    lucky = [attempt(2, "b", "+++" if k == 0 else "+-+", k) for k in range(3)]
    most = [attempt(2, "b", "+++" if k else "+-+", k) for k in range(3)]
    mixed = [attempt(1, "a", "+-+" if k else "+++", k) for k in range(3)]
    assert turned(*before, *lucky) == {}
    assert turned(*before, *most) == {"count": ["c2"]}
    assert turned(*mixed, *most) == {}


def test_the_latest_refinement_of_a_kind_counts():
    run = state(attempt(1, "a", "---"), attempt(2, "b", "++-"), attempt(3, "c", "+++"))
    assert {kind: r.after.round for kind, r in latest_improvements(run).items()} == {"object": 2, "count": 3}


def shown(round, kind, id="x"):
    return ShownLesson(round=round, id=id, kind=kind, text="Say it otherwise.")


def test_a_shown_lesson_was_tried_where_its_kind_had_failed():
    attempts = [attempt(1, "a", "+--"), attempt(2, "b", "+--"), attempt(3, "c", "++-")]
    lessons = [shown(2, "count"), shown(2, "object", "y"), shown(3, "count")]
    found = lesson_trials(state(*attempts, lessons=lessons), "thread")
    assert [(id, trial.helped, trial.run) for id, trial in found] == [("x", False, "thread"), ("x", True, "thread")]


def test_what_the_planner_was_shown_is_not_counted():
    assert lesson_trials(state(attempt(1, "a", "+--"), lessons=[shown(1, "count")])) == []


def test_a_fork_names_the_rounds_it_shares_the_same():
    first, second = attempt(1, "a", "+--"), attempt(2, "b", "++-")
    run, fork = state(first, second, attempt(3, "c", "+++")), state(first, second, attempt(4, "d", "++-"))
    keys = [[r.key for r in refinement_steps(one)] for one in (run, fork)]
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
