"""What each role makes of a model's answer: pure functions, no model."""

import pytest

from gems import Attempt, Check, ImageRef, RunContext, Score, Verdict, preset
from gems.nodes import decomposer, planner, refiner, summarizer, verifier
from gems.nodes.checks.answers import passes
from gems.nodes.checks.question_rewriting import OPEN_QUESTION
from gems.nodes.decomposer import CheckDraft, Checks
from gems.nodes.quote_guard import restore_quoted
from gems.nodes.selector import decide
from gems.nodes.verifier import Finding, Findings


def draft(question, kind="object", expected="yes", depends_on=()):
    return CheckDraft(kind=kind, question=question, expected=expected, depends_on=list(depends_on))


def test_checks_are_numbered_and_know_their_parents():
    answer = Checks(checks=[draft("Is there a cat?"), draft("Is the cat black?", "attribute", depends_on=[1])])
    first, second = decomposer.parse(answer, "a black cat")["checks"]
    assert (first.id, second.id, second.depends_on) == ("c1", "c2", ("c1",))


def test_repeated_and_empty_questions_are_left_out_and_their_children_keep_the_parent():
    answer = Checks(
        checks=[
            draft("Is there a cat?"), draft(" "), draft("Is there  a cat?"),
            draft("Is it black?", depends_on=[3]), draft("Is it big?", depends_on=[2, 5, 9, -1]),
        ]
    )  # fmt: skip
    checks = decomposer.parse(answer, "a cat")["checks"]
    assert [c.question for c in checks] == ["Is there a cat?", "Is it black?", "Is it big?"]
    assert [c.depends_on for c in checks] == [(), ("c1",), ()]


def test_quoted_text_becomes_a_check_if_the_model_forgot_it():
    said = draft("What does the sign say?", "text", "OPEN")
    checks = decomposer.parse(Checks(checks=[said]), 'a sign "OPEN" and a note "Back at 5"')["checks"]
    assert [(c.kind, c.id, c.expected) for c in checks] == [("text", "c1", "OPEN"), ("text", "c2", "Back at 5")]
    assert "Back at 5" not in checks[1].question


def test_a_question_for_text_never_tells_the_text():
    said = [
        draft("Is there a sign?"),
        draft('Is the word "OPEN" written on the sign?', "text", depends_on=[1]),
        draft("Does the note say 'Back at 5'?", "text", "Yes."),
        draft("What does the CLOSED sign say?", "text", "CLOSED"),
        draft("What does the bill say?", "text", "Sale"),
        draft("Is the text on the sign upside down?", "text", "no"),
    ]
    checks = decomposer.parse(Checks(checks=said), 'a sign "OPEN" and a bill "Sale"')["checks"]
    assert [c.expected for c in checks] == ["yes", "OPEN", "Back at 5", "CLOSED", "Sale", "no"]
    assert not any(c.expected in c.question for c in checks if c.expected not in {"yes", "no"})
    assert checks[1].depends_on == ("c1",)
    assert checks[4].question == "What does the bill say?"


@pytest.mark.parametrize(
    ("question", "kind", "kept"),
    [
        ('Is the word "OPEN" written in red letters?', "text", "attribute"),
        ('Does the sign say "OPEN" in gold?', "text", "attribute"),
        ('Does the red sign say "OPEN"?', "text", "attribute"),
        ('Is "OPEN" painted on the door?', "text", "attribute"),
        ('Does the sign say "OPEN" twice?', "text", "attribute"),
        ('Is "OPEN" above "CLOSED"?', "text", "relation"),
        ("Is 'OPEN' above 'CLOSED'?", "text", "relation"),
        ('Does the left sign say "OPEN"?', "text", "relation"),
        ('Does the sign say "OPEN" or "CLOSED"?', "text", "relation"),
        ("用红色写着“OPEN”吗？", "text", "attribute"),
        ('Is there a sign that says "OPEN"?', "object", "object"),
        ('Are the letters of "OPEN" red?', "attribute", "attribute"),
        ('Does the sign say "SALE"?', "object", "object"),
    ],
)
def test_a_question_that_asks_for_more_than_the_text_stays_and_the_texts_are_read_out_beside_it(question, kind, kept):
    checks = decomposer.parse(Checks(checks=[draft(question, kind)]), 'two signs, "OPEN" and "CLOSED"')["checks"]
    assert [(c.kind, c.question, c.expected) for c in checks] == [
        (kept, question, "yes"), ("text", OPEN_QUESTION, "OPEN"), ("text", OPEN_QUESTION, "CLOSED")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ('Does the sign say "Gallery"?', "text"),
        ('Does the sign say "Gallery"?', "attribute"),
        ("Does the shop sign read 'GALLERY'?", "object"),
        ('Does the sign on the door say exactly "GALLERY"?', "text"),
        ('Does the sign show the word "GALLERY"?', "text"),
        ('Is the text on the sign "GALLERY"?', "text"),
        ('Is the word "GALLERY" written on the wooden sign, letter-for-letter?', "text"),
        ('Is "GALLERY" spelled correctly?', "attribute"),
        ('Can you read the word "GALLERY" on the sign?', "object"),
        ('Is the button labelled "GALLERY"?', "attribute"),
        ('Is there text that reads "GALLERY"?', "object"),
        ('Is there a sign that says "GALLERY."?', "text"),
        ('Is there a banner with the text "GALLERY" on it?', "text"),
        ("牌子上写着“GALLERY”吗？", "attribute"),
    ],
)
def test_a_question_that_only_asks_whether_a_text_is_written_becomes_the_open_one(question, kind):
    said = [draft("Is there a sign?"), draft(question, kind, depends_on=[1]), draft("Is it red?", depends_on=[2])]
    checks = decomposer.parse(Checks(checks=said), 'a sign "GALLERY"')["checks"]
    assert [(c.kind, c.question, c.expected, c.depends_on) for c in checks] == [
        ("object", "Is there a sign?", "yes", ()),
        ("text", OPEN_QUESTION, "GALLERY", ("c1",)),
        ("object", "Is it red?", "yes", ("c2",)),
    ]


def test_a_question_for_several_texts_becomes_a_check_for_each_and_its_children_depend_on_all():
    said = [draft('Do the signs say "Open", "CLOSED" and "SALE"?', "text"), draft("Are the letters red?", depends_on=[1])]
    checks = decomposer.parse(Checks(checks=said), 'signs "OPEN" and "CLOSED"')["checks"]
    assert [(c.kind, c.expected) for c in checks] == [("text", "OPEN"), ("text", "CLOSED"), ("text", "SALE"), ("object", "yes")]
    assert checks[3].depends_on == ("c1", "c2", "c3")


def test_an_open_question_that_tells_its_text_in_another_case_does_not_tell_it():
    said = [draft('Which word, "Gallery", is on the sign?', "text", "GALLERY")]
    (check,) = decomposer.parse(Checks(checks=said), 'a sign "GALLERY"')["checks"]
    assert (check.question, check.expected) == (OPEN_QUESTION, "GALLERY")


@pytest.mark.parametrize("expected", ["yes", "Yes", "YES.", "yes."])
def test_a_question_about_text_that_is_answered_yes_can_pass(expected):
    (check,) = decomposer.parse(Checks(checks=[draft("Is the text legible?", "text", expected)]), "a page of text")["checks"]
    assert check.expected == "yes"
    assert passes(check, "Yes") is True


def test_a_button_asked_for_openly_may_say_yes_or_no():
    said = [draft("What does the left button say?", "text", "Yes"), draft("What does the right button say?", "text", "no")]
    checks = decomposer.parse(Checks(checks=said), 'two buttons, "Yes" and "no"')["checks"]
    assert [c.expected for c in checks] == ["Yes", '"no"']
    assert [passes(c, "no") for c in checks] == [False, True]


@pytest.mark.parametrize("nothing", ["\u200b", "\u00ad", " \u2060 "])
def test_a_quoted_text_that_cannot_be_seen_is_neither_checked_nor_put_back(nothing):
    request = f'a sign "{nothing}"'
    said = [draft("Is there a sign?"), draft("What does it say?", "text", nothing), draft(f'Does it say "{nothing}"?', "text")]
    assert all(c.expected == "yes" for c in decomposer.parse(Checks(checks=said), request)["checks"])
    assert restore_quoted("A sign.", request) == ("A sign.", [])


def test_two_texts_asked_in_the_same_words_are_two_checks():
    said = [draft("What do the signs say?", "text", "OPEN"), draft("What do the signs say?", "text", "CLOSED")]
    checks = decomposer.parse(Checks(checks=said), 'signs "OPEN" and “CLOSED”')["checks"]
    assert [c.expected for c in checks] == ["OPEN", "CLOSED"]


def test_a_button_that_says_yes_is_read_out_like_any_other_text():
    (_, check) = decomposer.parse(Checks(checks=[draft("Is there a button?")]), 'a button labelled "yes"')["checks"]
    assert [passes(check, said) for said in ("yes", "a button, yes", "Yes", "no")] == [True, True, False, False]


def test_no_checks_at_all_becomes_one_and_is_said():
    update = decomposer.parse(Checks(checks=[]), "something nice")
    assert "something nice" in update["checks"][0].question
    assert update["notes"]


def test_too_many_checks_are_cut_and_said():
    update = decomposer.parse(Checks(checks=[draft(f"Is there a number {i}?") for i in range(60)]), "numbers")
    assert len(update["checks"]) == decomposer.MAX_CHECKS
    assert "60" in update["notes"][0]


def test_quoted_strings_survive_every_rewrite():
    request = 'a shop with the sign "OPEN" and a poster “Grand Sale”'
    assert restore_quoted('A shop, sign "OPEN", poster "Grand Sale"', request)[1] == []
    prompt, restored = restore_quoted('A shop with a sign "Open".', request)
    assert restored == ["OPEN", "Grand Sale"]
    assert all(f'"{text}"' in prompt for text in restored)
    for parsed in (
        planner.parse(planner.Plan(prompt="a shop"), request),
        refiner.parse(refiner.Refinement(strategy="s", prompt="a shop"), "", request),
    ):
        assert '"OPEN"' in parsed["draft"]
        assert '"Grand Sale"' in parsed["draft"]
        assert len(parsed["notes"]) == 2


@pytest.mark.parametrize("request_", ["一家挂着“开门大吉”牌子的店", "一家挂着「开门大吉」牌子的店"])
def test_chinese_quoted_strings_survive_every_rewrite_and_are_checked(request_):
    assert restore_quoted("A shop. Its sign says “开门大吉” in gold.", request_)[1] == []
    assert restore_quoted("店门上写着开门大吉四个字", request_)[1] == []
    for parsed in (
        planner.parse(planner.Plan(prompt="a shop with a sign 开门"), request_),
        refiner.parse(refiner.Refinement(strategy="s", prompt="a shop"), "", request_),
    ):
        assert '"开门大吉"' in parsed["draft"]
    checks = decomposer.parse(Checks(checks=[draft("牌子上写着“开门大吉”吗？", "text", "yes")]), request_)["checks"]
    assert [(c.kind, c.expected) for c in checks] == [("text", "开门大吉")]
    assert "开门大吉" not in checks[0].question


def test_a_string_with_other_quotes_or_line_breaks_has_survived():
    request = "a mug that says “Joe's Cup” and a poster “Grand Sale”"
    assert restore_quoted("A mug, “Joe’s Cup”, beside a poster: Grand\nSale", request)[1] == []


def test_a_string_that_holds_quotes_is_put_back_in_others():
    from gems.memory.quoted_text import quoted_strings

    request = 'a board with «the "best" pie»'
    prompt, restored = restore_quoted("A board.", request)
    assert restored == ['the "best" pie']
    assert restored[0] in quoted_strings(prompt)


def test_a_quoted_string_inside_another_word_has_not_survived():
    assert restore_quoted("a sign that says NOTHING", 'a sign "NO"')[1] == ["NO"]
    answer = Checks(checks=[draft("Is there a button?")])
    assert decomposer.parse(answer, 'a button labelled "yes"')["checks"][1].kind == "text"


def test_an_empty_rewrite_falls_back_to_the_request():
    assert planner.parse(planner.Plan(prompt="  "), "a cat")["draft"] == "a cat"
    assert refiner.parse(refiner.Refinement(strategy="", prompt=""), "", "a cat")["draft"] == "a cat"


def test_the_thought_is_the_models_reasoning_or_else_its_strategy():
    answer = refiner.Refinement(strategy="count them out", prompt="p")
    assert refiner.parse(answer, "", "r")["thought"] == "count them out"
    assert refiner.parse(answer, "long reasoning", "r")["thought"] == "long reasoning"


CHECKS = [
    Check(id="c1", kind="object", question="Is there a circle?"),
    Check(id="c2", kind="count", question="How many circles?", expected="three"),
    Check(id="c3", kind="attribute", question="Are they red?"),
]


def test_findings_become_verdicts_in_the_order_of_the_checks():
    answer = Findings(findings=[Finding(id="c2", answer="2", reason="one is missing"), Finding(id=" C1: ", answer="Yes")])
    one, two, three = verifier.parse(answer, CHECKS)
    assert (one.check, one.passed) == ("c1", True)
    assert (two.passed, two.answer, two.reason) == (False, "2", "one is missing")
    assert three.passed is None
    assert "no answer" in three.reason


def text_check(id, expected):
    return Check(id=id, kind="text", question=OPEN_QUESTION, expected=expected)


def test_a_misread_text_tells_the_difference_and_a_nearer_one_scores_higher():
    (near,) = verifier.parse(Findings(findings=[Finding(id="c1", answer="OPFN", reason="on the door")]), [text_check("c1", "OPEN")])
    (far,) = verifier.parse(Findings(findings=[Finding(id="c1", answer="OEPN")]), [text_check("c1", "OPEN")])
    (none,) = verifier.parse(Findings(findings=[Finding(id="c1", answer="none")]), [text_check("c1", "OPEN")])
    assert [v.passed for v in (near, far, none)] == [False, False, False]
    assert near.reason == 'read "OPFN" instead of "OPEN": 1 of 4 characters differ; on the door'
    assert none.reason == 'no text was read instead of "OPEN"'
    assert Score.of([near]).key > Score.of([far]).key > Score.of([none]).key


def test_texts_asked_for_in_the_same_words_may_be_read_in_any_order():
    checks = [text_check("c1", "OPEN"), text_check("c2", "Back at 5"), text_check("c3", "SALE")]
    for third, passed in (("SALT", False), ("unknown", None), ("", None)):
        said = {"c1": "Back\nat 5", "c2": "OPEN", "c3": third}
        answer = Findings(findings=[Finding(id=id, answer=text) for id, text in said.items()])
        assert [v.passed for v in verifier.parse(answer, checks)] == [True, True, passed]
    assert [v.passed for v in verifier.parse(Findings(findings=[Finding(id="c1", answer="unknown")]), checks)] == [None] * 3


def test_that_one_text_is_not_there_does_not_stand_for_another():
    checks = [text_check("c1", "No"), text_check("c2", "SALE")]
    answer = Findings(findings=[Finding(id="c1", answer="No text is visible."), Finding(id="c2", answer="SALE")])
    assert [v.passed for v in verifier.parse(answer, checks)] == [False, True]


def test_answers_to_questions_nobody_asked_are_ignored():
    answer = Findings(findings=[Finding(id="c9", answer="no"), Finding(id="1", answer="yes")])
    assert [v.passed for v in verifier.parse(answer, CHECKS)] == [True, None, None]


def test_an_experience_has_at_most_a_hundred_words():
    text = summarizer.parse(summarizer.Lesson(experience="word " * 150), 2)["experiences"][0]
    assert text.round == 2
    assert len(text.text.split()) == 100


def attempt(round, passed, total=4):
    found = tuple(Verdict(check=f"c{i}", passed=i < passed) for i in range(total))
    image = ImageRef(sha256="0" * 64, width=1, height=1)
    return Attempt(round=round, prompt="p", seed=round, image=image, verdicts=found, score=Score.of(found))


@pytest.mark.parametrize(
    ("passes", "settings", "decision", "best"),
    [
        ([4], {}, "accept", 1),
        ([2, 4], {}, "accept", 2),
        ([2], {}, "refine", 1),
        ([2, 3, 2], {"max_rounds": 3}, "give up", 2),
        ([2, 3, 3], {"patience": 2, "max_rounds": 9}, "refine", 2),
        ([3, 2, 3], {"patience": 2, "max_rounds": 9}, "give up", 1),
        ([3, 2, 3, 3, 3, 3], {"patience": None, "max_rounds": 9}, "refine", 1),
        ([1], {"max_rounds": 1}, "give up", 1),
    ],
)
def test_the_selector_accepts_refines_or_gives_up(passes, settings, decision, best):
    result = decide([attempt(i, p) for i, p in enumerate(passes, 1)], preset("default", **settings))
    assert (result.decision, result.best_round) == (decision, best)


def test_an_unknown_check_is_not_accepted():
    found = (Verdict(check="c1", passed=True), Verdict(check="c2", passed=None))
    unsure = attempt(1, 0).model_copy(update={"verdicts": found, "score": Score.of(found)})
    assert decide([unsure], RunContext()).decision == "refine"


def test_a_verifier_that_wrote_nothing_is_told_so():
    with pytest.raises(ValueError, match="the node before it must write attempts with verdicts"):
        decide([], RunContext())
