import pytest
from pydantic import ValidationError

from gems.memory.quoted_text import quoted_strings  # fmt: skip
from gems.memory.state import (
    Attempt,
    Check,
    GemsState,
    ImageRef,
    Request,
    Result,
    RoleUsage,
    Score,
    Usage,
    Verdict,
    best_of,
    merge_attempts,
)

IMAGE = ImageRef(sha256="0" * 64, width=8, height=8)


def attempt(round, *marks, candidate=0, probabilities=None, scored=True):
    chances = probabilities or [None] * len(marks)
    verdicts = tuple(Verdict(check=f"c{i}", passed=m, probability=p) for i, (m, p) in enumerate(zip(marks, chances, strict=True)))
    score = Score.of(verdicts) if scored else None
    return Attempt(round=round, candidate=candidate, prompt="p", seed=round, image=IMAGE, verdicts=verdicts, score=score)


def test_more_checks_passed_wins_over_higher_probabilities():
    many = attempt(2, True, True, False, probabilities=[0.51, 0.51, 0.0])
    sure = attempt(1, True, False, False, probabilities=[1.0, 0.49, 0.49])
    assert best_of([sure, many]) == many


def test_equal_passes_are_decided_by_the_geometric_mean_then_the_arithmetic():
    spread = attempt(1, True, False, probabilities=[0.9, 0.0])
    even = attempt(2, True, False, probabilities=[0.6, 0.4])
    assert best_of([spread, even]) == even
    zero_low = attempt(1, True, False, probabilities=[0.6, 0.0])
    zero_high = attempt(2, True, False, probabilities=[0.9, 0.0])
    assert zero_low.score.geometric == zero_high.score.geometric == 0
    assert best_of([zero_low, zero_high]) == zero_high


def test_the_earlier_of_equals_wins():
    assert best_of([attempt(1, True, False), attempt(2, True, False), attempt(3, False, True)]).round == 1


def test_nothing_scored_has_no_best():
    assert best_of([attempt(1, True, scored=False)]) is None


def test_unknown_is_neither_passed_nor_failed():
    score = Score.of([Verdict(check="a", passed=None), Verdict(check="b", passed=True)])
    assert (score.passed, score.total) == (1, 2)
    assert score.arithmetic == pytest.approx(0.75)
    assert score.geometric == pytest.approx(0.5**0.5)


def test_an_attempt_without_checks_is_perfect():
    assert Score.of([]).key == (0, 1.0, 1.0)


def test_attempts_append_and_replace_by_round_and_candidate():
    first, second = attempt(1, scored=False), attempt(2, scored=False)
    judged = first.judged([Verdict(check="c", passed=True)])
    assert merge_attempts([first], [second]) == [first, second]
    assert merge_attempts([first, second], [judged]) == [judged, second]


def test_usage_adds_up_by_role():
    one = Usage(roles={"verifier": RoleUsage(calls=2, input_tokens=10)})
    two = Usage(roles={"verifier": RoleUsage(calls=1), "generator": RoleUsage(images=3, seconds=1.5)})
    total = one + two
    assert total.roles["verifier"].calls == 3
    assert (total.chat_calls, total.images, total.total.seconds) == (3, 3, 1.5)


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(ValidationError, match="empty"):
        Request(prompt=prompt)


def test_an_overlong_prompt_is_refused():
    with pytest.raises(ValidationError, match="9000 characters"):
        Request(prompt="x" * 9000)


def test_the_best_attempt_is_found_by_the_result():
    state = GemsState(prompt="p", attempts=[attempt(1, True), attempt(2, False)])
    assert state.best is None
    done = state.model_copy(update={"result": Result(decision="accept", reason="", best_round=1)})
    assert done.best == state.attempts[0]
    assert [a.round for a in done.latest] == [2]


def test_pending_attempts_are_those_nobody_has_judged():
    fresh = attempt(2, scored=False)
    assert GemsState(prompt="p", attempts=[attempt(1, True), fresh]).pending == [fresh]


def test_items_are_frozen_and_know_their_fields():
    check = Check(id="c1", kind="count", question="How many?", expected="two")
    with pytest.raises(ValidationError):
        check.expected = "three"
    with pytest.raises(ValidationError):
        Check(id="c1", kind="count", question="How many?", answer="two")


@pytest.mark.parametrize("digest", ["../../etc/passwd", "A" * 64, "0" * 63])
def test_an_image_reference_is_a_hash_and_nothing_else(digest):
    with pytest.raises(ValidationError):
        ImageRef(sha256=digest, width=1, height=1)


def test_quoted_strings_of_a_request():
    text = 'a sign "OPEN 24/7" and “Grüß Gott” above 「开门」, not "" but "OPEN 24/7" again'
    assert quoted_strings(text) == ["OPEN 24/7", "Grüß Gott", "开门"]
    assert quoted_strings('a 5" nail next to a 6" nail, „Offen“') == ["Offen"]
