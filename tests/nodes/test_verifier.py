"""How the verifier examines an image: who is asked what, how often and in which order, and what comes of it."""

import io
import json
import math
import re
import threading
import time

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.runtime import Runtime
from PIL import Image

from gems import Check, Gems, ImageStore, RunContext, Verdict, build_graph, preset, run
from gems.evaluation.noise import noisy
from gems.memory.recall import findings_text
from gems.memory.state import Attempt, Score
from gems.models.shapes.chat import ShapesChat
from gems.nodes.checks.verification import ancestors
from gems.nodes.verifier import PARALLEL_CALLS, VerifierState, verifier

from ..moody_chat import Moody

GARBAGE, MISSING = "Hm.", None


class Scripted(BaseChatModel):
    """Answers each check with the next of its script, again and again with the last one; a check without a script passes.

    An answer is a word, a word with its probability, MISSING, or GARBAGE for a whole call that makes no sense.
    """

    script: dict = {}
    seconds: float = 0.0
    gives_logprobs: bool = False
    asked: list = []
    times: dict = {}
    most_at_once: list = [0, 0]

    def __init__(self, script=None, **more):
        lock = threading.Lock()
        super().__init__(script=script or {}, asked=[], times={}, most_at_once=[0, 0], **more)
        object.__setattr__(self, "lock", lock)

    @property
    def _llm_type(self):
        return "scripted"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        text = "\n".join(m.text for m in messages if m.type == "human")
        ids = re.findall(r"^(\S+)\. ", text.partition("<questions>\n")[2], re.MULTILINE)
        with self.lock:
            self.asked.append(ids)
            said = {id: self._next(id) for id in ids}
            self.most_at_once[0] += 1
            self.most_at_once[1] = max(self.most_at_once)
        time.sleep(self.seconds)
        with self.lock:
            self.most_at_once[0] -= 1
        return ChatResult(generations=[ChatGeneration(message=self._message(said))])

    def _next(self, id):
        number = self.times[id] = self.times.get(id, -1) + 1
        answers = self.script.get(id, ["yes"])
        return answers[min(number, len(answers) - 1)]

    def _message(self, said):
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        if GARBAGE in said.values():
            return AIMessage(GARBAGE, usage_metadata=usage)
        answers = {id: a if isinstance(a, tuple) else (a, None) for id, a in said.items() if a is not MISSING}
        found = [
            {"id": id, "answer": word, "reason": "" if word == "yes" else f"{id} is {word}"} for id, (word, _) in answers.items()
        ]
        text = json.dumps({"findings": found})
        chances = iter([p for _, p in answers.values()])
        logprobs = [self._token(t, chances, before) for before, t in self._pieces(text)] if self.gives_logprobs else None
        return AIMessage(text, usage_metadata=usage, response_metadata={"logprobs": {"content": logprobs}})

    @staticmethod
    def _pieces(text):
        at = 0
        for piece in re.findall(r"\w+|\W", text):
            yield text[:at], piece
            at += len(piece)

    @staticmethod
    def _token(piece, chances, before):
        p = next(chances) if before.endswith('"answer": "') else None
        others = [] if p is None else [{"token": "no" if piece == "yes" else "yes", "logprob": math.log(1 - p), "bytes": None}]
        mine = {"token": piece, "logprob": math.log(p or 1.0), "bytes": None}
        return {**mine, "top_logprobs": [mine, *others]}


def chain(count, kind="object"):
    """Return checks, each of which depends on the one before."""
    return [
        Check(id=f"c{i}", kind=kind, question=f"Is there thing {i}?", depends_on=(f"c{i - 1}",) if i > 1 else ())
        for i in range(1, count + 1)
    ]


def apart(count, kind="object"):
    """Return checks that do not depend on each other."""
    return [c.model_copy(update={"depends_on": ()}) for c in chain(count, kind)]


class Examined:
    """What the verifier made of one image."""

    def __init__(self, update):
        self.attempt = update["attempts"][0]
        self.verdicts = {v.check: v for v in self.attempt.verdicts}
        self.passed = {id: v.passed for id, v in self.verdicts.items()}
        self.skipped = [id for id, v in self.verdicts.items() if v.skipped]
        self.notes, self.used = update["notes"], update["usage"].roles["verifier"]


@pytest.fixture
def examine(tmp_path):
    """Have images examined by a chat model; return what came of the first."""
    store = ImageStore(tmp_path / "images")

    def go(chat, checks, checkers=(), images=1, off=False, wrap=lambda node: node, **settings):
        attempts = [
            Attempt(round=1, candidate=i, prompt="p", seed=i, image=store.put(Image.new("RGB", (64, 48), (i, 0, 0))))
            for i in range(images)
        ]
        context = RunContext(checkers="none" if off else "auto", **settings)
        node = wrap(verifier(chat, store.read, checkers))
        return Examined(node(VerifierState(checks=checks, attempts=attempts), Runtime(context=context)))

    return go


def test_what_is_wrong_at_first_sight_is_asked_again_and_the_majority_counts(examine):
    chat = Scripted({"c2": ["no", "yes", "yes"]})
    found = examine(chat, apart(3))
    assert chat.asked == [["c1", "c2", "c3"], ["c2"], ["c2"]]
    assert found.passed == {"c1": True, "c2": True, "c3": True}
    assert found.verdicts["c2"].probability == pytest.approx(2 / 3)
    assert found.verdicts["c1"].probability is None
    assert (found.used.calls, found.used.input_tokens) == (3, 30)


def test_a_failure_that_is_seen_twice_needs_no_third_look(examine):
    chat = Scripted({"c2": ["no"]})
    found = examine(chat, apart(2))
    assert chat.asked == [["c1", "c2"], ["c2"]]
    assert (found.passed["c2"], found.verdicts["c2"].probability, found.verdicts["c2"].reason) == (False, None, "c2 is no")


@pytest.mark.parametrize(("answers", "passed"), [(["unknown"], None), (["unknown", "yes"], True), (["no", "unknown"], False)])
def test_unknown_answers_are_asked_again_and_do_not_count(examine, answers, passed):
    chat = Scripted({"c1": answers})
    found = examine(chat, apart(1))
    assert (found.passed["c1"], found.verdicts["c1"].probability) == (passed, None)
    assert len(chat.asked) == 2


@pytest.mark.parametrize(
    ("readings", "calls", "passed", "probability"),
    [
        ([("yes", 0.95)], 1, True, 0.95),
        ([("yes", 0.6), ("no", 0.9)], 2, False, 0.35),
        ([("yes", 0.6), ("yes", 0.9)], 2, True, 0.75),
        ([("no", 0.7), ("yes", 0.9)], 2, True, 0.6),
    ],
)
def test_a_narrow_margin_is_asked_again_and_the_mean_of_both_decides(examine, readings, calls, passed, probability):
    chat = Scripted({"c1": readings}, gives_logprobs=True)
    found = examine(chat, apart(1))
    assert len(chat.asked) == calls
    assert found.passed["c1"] is passed
    assert found.verdicts["c1"].probability == pytest.approx(probability)


def test_more_votes_are_more_single_looks_at_what_is_in_doubt(examine):
    chat = Scripted({"c1": ["no", "yes", "no", "yes", "yes"]})
    found = examine(chat, apart(2), votes=3)
    assert chat.asked == [["c1", "c2"], ["c1"], ["c1"], ["c1"], ["c1"]]  # two against two: a fifth
    assert (found.passed["c1"], found.verdicts["c1"].probability) == (True, pytest.approx(3 / 5))
    certain = Scripted({"c1": ["no", "yes", "yes"]})
    assert examine(certain, apart(2), votes=3, soft="none").verdicts["c1"].probability is None
    assert len(certain.asked) == 3


def test_one_by_one_parents_are_asked_first_and_children_of_a_failure_not_at_all(examine):
    family = [
        Check(id="c3", kind="count", question="How many cats?", depends_on=("c2",)),
        Check(id="c1", kind="object", question="Is there a cat?"),
        Check(id="c2", kind="attribute", question="Is the cat black?", depends_on=("c1",)),
        Check(id="c4", kind="object", question="Is there a dog?"),
    ]
    chat = Scripted({"c2": ["no"]})
    found = examine(chat, family, verify="each")
    assert (sorted(chat.asked[:2]), chat.asked[2:]) == ([["c1"], ["c4"]], [["c2"]])
    assert list(found.passed.items()) == [("c3", None), ("c1", True), ("c2", False), ("c4", True)]
    assert found.skipped == ["c3"]
    assert found.verdicts["c3"].reason == "not asked: Is the cat black? failed"
    everyone = Scripted({"c2": ["no"]})
    assert not examine(everyone, family, verify="each", skip_children=False).skipped
    assert len(everyone.asked) == 4


@pytest.mark.parametrize("verify", ["batch", "adaptive"])
def test_whatever_descends_from_a_failure_is_skipped_and_not_asked_again(examine, verify):
    chat = Scripted({"c1": ["no"], "c2": ["no"], "c3": ["yes"]})
    found = examine(chat, chain(3), verify=verify)
    assert chat.asked[1:] == ([["c1"]] if verify == "adaptive" else [])
    assert found.passed == {"c1": False, "c2": None, "c3": None}
    assert found.skipped == ["c2", "c3"]
    assert {found.verdicts[id].reason for id in found.skipped} == {"does not count: Is there thing 1? failed"}
    assert Score.of(list(found.verdicts.values())).arithmetic == 0


def test_children_are_asked_again_where_their_parent_passes_after_all(examine):
    chat = Scripted({"c1": ["no", "yes", "yes"], "c2": ["no", "yes", "yes"]})
    found = examine(chat, chain(2))
    assert chat.asked == [["c1", "c2"], ["c1"], ["c1"], ["c2"], ["c2"]]
    assert set(found.passed.values()) == {True}


def test_an_unknown_parent_does_not_skip_its_children(examine):
    found = examine(Scripted({"c1": ["unknown"]}), chain(2))
    assert (found.passed, found.skipped) == ({"c1": None, "c2": True}, [])


@pytest.mark.parametrize("verify", ["batch", "each", "adaptive"])
@pytest.mark.parametrize("wrong", [(), ("c1",), ("c3",), ("c1", "c2", "c3")])
def test_circles_and_parents_that_do_not_exist_lose_no_check(examine, verify, wrong):
    circle = {"c1": ("c3", "c9"), "c2": ("c1",), "c3": ("c2", "c3"), "c4": ("c9",)}
    checks = [Check(id=id, kind="object", question=f"{id}?", depends_on=up) for id, up in circle.items()]
    found = examine(Scripted({id: ["no"] for id in wrong}), checks, verify=verify, confirm=True)
    assert list(found.verdicts) == list(circle)
    assert found.passed["c4"] is True
    assert {id for id, passed in found.passed.items() if passed is not True} >= set(wrong)
    assert (False in found.passed.values()) is bool(wrong)


def test_a_lineage_names_the_nearest_first():
    checks = [
        Check(id="a", kind="object", question="a?"),
        Check(id="b", kind="object", question="b?", depends_on=("a",)),
        Check(id="c", kind="object", question="c?", depends_on=("b", "a", "nobody")),
    ]
    assert ancestors(checks) == {"a": [], "b": ["a"], "c": ["b", "a"]}


@pytest.mark.parametrize("verify", ["batch", "each", "adaptive"])
def test_an_answer_that_cannot_be_read_is_asked_for_again_and_never_counts_as_failed(examine, verify):
    chat = Scripted({"c1": [GARBAGE, GARBAGE, "yes"]})  # the second is the repair turn's
    found = examine(chat, apart(2), verify=verify)
    assert set(found.passed.values()) == {True}
    assert chat.asked[-1] in (["c1"], ["c2"])
    assert found.used.calls == len(chat.asked) == 4
    assert any("could not be read" in note for note in found.notes)
    never = Scripted({"c1": [GARBAGE]})
    lost = examine(never, apart(2), verify=verify)
    assert lost.passed == {"c1": None, "c2": True}
    assert "the answer began: Hm." in lost.verdicts["c1"].reason
    assert sum("c1" in ids for ids in never.asked) == 4


@pytest.mark.parametrize("verify", ["batch", "adaptive"])
def test_a_check_that_was_passed_over_is_asked_again_once(examine, verify):
    chat = Scripted({"c2": [MISSING, "yes"]})
    found = examine(chat, apart(3), verify=verify)
    assert chat.asked == [["c1", "c2", "c3"], ["c2"]]
    assert found.passed["c2"] is True
    assert found.notes == [
        "The verifier left a check without an answer that can be read: it is asked again, and never counts as failed."
    ]
    assert examine(Scripted({"c2": [MISSING]}), apart(3), verify=verify).passed["c2"] is None


class Glance:
    """A checker of one's own: what it says by the check's id; None, or an error."""

    name = "glance"
    kinds = frozenset({"text", "style"})

    def __init__(self, **says):
        self.says, self.seen = says, []

    def check(self, image, checks):
        self.seen.append((image.mode, image.size, [c.id for c in checks]))
        found = [self.says.get(c.id) for c in checks]
        if any(isinstance(f, Exception) for f in found):
            raise next(f for f in found if isinstance(f, Exception))
        asked = zip(checks, found, strict=True)
        return [None if f is None else Verdict(check=c.id, passed=f, answer="OPNE") for c, f in asked]


MIXED = [*apart(2), *[c.model_copy(update={"id": f"t{i}"}) for i, c in enumerate(apart(3, "text"))]]


@pytest.mark.parametrize("verify", ["batch", "each", "adaptive"])
def test_a_checker_answers_what_it_knows_and_the_model_the_rest(examine, verify):
    glance, chat = Glance(t0=True, t1=False, t2=None), Scripted()
    found = examine(chat, MIXED, [glance], verify=verify, verify_size=16)
    assert glance.seen == [("RGB", (64, 48), ["t0", "t1", "t2"])]
    assert {id for ids in chat.asked for id in ids} == {"c1", "c2", "t2"}
    assert found.passed == {"c1": True, "c2": True, "t0": True, "t1": False, "t2": True}
    assert found.verdicts["t1"].reason == "glance"
    assert found.notes == []


def test_checkers_can_be_turned_off(examine):
    glance = Glance(t0=False)
    assert set(examine(Scripted(), MIXED, [glance], off=True).passed.values()) == {True}
    assert glance.seen == []


@pytest.mark.parametrize("broken", [RuntimeError("no weights in /home/me/ocr"), "too few"])
def test_the_model_answers_for_a_checker_that_fails(examine, broken):
    glance = Glance(t1=broken) if isinstance(broken, Exception) else Glance()
    if broken == "too few":
        glance.check = lambda image, checks: []
    found = examine(Scripted(), MIXED, [glance])
    assert set(found.passed.values()) == {True}
    (note,) = found.notes
    assert note.startswith("The checker glance failed (")
    assert "/home" not in note


def test_a_second_checker_is_asked_what_the_first_left(examine):
    first, second = Glance(t0=True), Glance(t1=False)
    second.name = "stare"
    found = examine(Scripted(), MIXED, [first, second])
    assert second.seen[0][2] == ["t1", "t2"]
    assert found.verdicts["t1"].reason == "stare"


def test_children_of_what_a_checker_failed_are_not_asked_of_the_model(examine):
    checks = [Check(id="t0", kind="text", question="Is there a sign?"), *chain(1), *apart(3)[2:]]
    checks[1] = checks[1].model_copy(update={"depends_on": ("t0",)})
    chat = Scripted()
    found = examine(chat, checks, [Glance(t0=False)])
    assert chat.asked == [["c3"]]
    assert found.skipped == ["c1"]


def test_what_a_checker_saw_stands_though_the_model_missed_its_parent(examine):
    sign, text = apart(1)[0], Check(id="t0", kind="text", question="What does the sign say?", expected="OPEN", depends_on=("c1",))
    found = examine(Scripted({"c1": ["no", "no"]}), [sign, text], [Glance(t0=True)])
    assert found.passed == {"c1": False, "t0": True}


def test_a_skipped_check_says_whether_it_was_asked(examine):
    reason = {v: examine(Scripted({"c1": ["no", "no"]}), chain(2), verify=v).verdicts["c2"].reason for v in ("each", "adaptive")}
    assert reason["each"].startswith("not asked: Is there thing 1?")
    assert reason["adaptive"].startswith("does not count: Is there thing 1?")


def test_settings_without_effect_are_noted(examine):
    notes = examine(Scripted(), apart(1), verify="batch", confirm=True, votes=3, soft="none").notes
    assert notes == ["confirm has no effect with verify batch.", "votes have no effect with soft none."]


def errs(**rates):
    return lambda node: noisy(node, **rates)


def test_noise_turns_answers_about_as_often_as_it_is_told_and_always_the_same(examine):
    checks = apart(400)
    chat = {f"c{i}": ["yes" if i % 2 else "no"] for i in range(1, 401)}
    settings = {"verify": "batch", "wrap": errs(fp=0.1, fn=0.3), "seed": 5}
    found = examine(Scripted(chat), checks, **settings)
    false_failures = sum(found.passed[f"c{i}"] is False for i in range(1, 401, 2))
    false_passes = sum(found.passed[f"c{i}"] is True for i in range(2, 401, 2))
    assert 40 <= false_failures <= 80
    assert 8 <= false_passes <= 34
    assert examine(Scripted(chat), checks, **settings).verdicts == found.verdicts
    assert examine(Scripted(chat), checks, **{**settings, "verify": "each"}).verdicts == found.verdicts
    assert examine(Scripted(chat), checks, **{**settings, "seed": 6}).verdicts != found.verdicts
    assert sum("verifier noise is on" in note for note in found.notes) == 1


def test_an_answer_that_noise_has_turned_looks_like_any_other(examine):
    checks = [
        Check(id="c1", kind="object", question="Is there a cat?"),
        Check(id="c2", kind="attribute", question="Is it raining?", expected="no"),
        Check(id="c3", kind="count", question="How many cats?", expected="three"),
    ]
    right = Scripted({"c1": [("yes", 0.9)], "c2": [("no", 0.9)], "c3": [("three", 0.9)]}, gives_logprobs=True)
    found = examine(right, checks, verify="batch", wrap=errs(fn=1)).verdicts
    assert [(v.passed, v.answer, v.probability, v.reason) for v in found.values()] == [
        (False, "no", None, ""), (False, "yes", None, ""), (False, "no", None, ""),
    ]  # fmt: skip
    wrong = Scripted({"c1": [("no", 0.9)], "c2": [("yes", 0.9)], "c3": [("two", 0.9)]}, gives_logprobs=True)
    found = examine(wrong, checks, verify="batch", wrap=errs(fp=1)).verdicts
    assert [(v.passed, v.answer, v.probability) for v in found.values()] == [
        (True, "yes", None), (True, "no", None), (True, "three", None),
    ]  # fmt: skip


def test_noise_leaves_unknown_answers_alone_and_asking_again_takes_most_of_it_away(examine):
    assert examine(Scripted({"c1": ["unknown"]}), apart(1), wrap=errs(fp=1, fn=1)).passed["c1"] is None
    once = examine(Scripted(), apart(200), verify="batch", wrap=errs(fn=0.2))
    again = examine(Scripted(), apart(200), wrap=errs(fn=0.2))
    failures = [sum(p is False for p in found.passed.values()) for found in (once, again)]
    assert 25 <= failures[0] <= 55
    assert failures[1] <= failures[0] / 2


def test_confirming_reads_backwards_what_passed_and_asks_again_what_differs(examine):
    chat = Scripted({"c2": ["yes", "no", "no"]})
    found = examine(chat, apart(3), confirm=True)
    assert chat.asked == [["c1", "c2", "c3"], ["c3", "c2", "c1"], ["c2"]]
    assert (found.passed["c2"], found.verdicts["c2"].probability) == (False, pytest.approx(1 / 3))
    slip = Scripted({"c2": ["yes", "no", "yes"]})
    assert examine(slip, apart(3), confirm=True).passed["c2"] is True
    blurred = Scripted({"c2": ["yes", "unknown"]})
    assert examine(blurred, apart(3), confirm=True).passed["c2"] is True
    assert len(blurred.asked) == 2
    sure = Scripted()
    assert set(examine(sure, apart(3), confirm=True).passed.values()) == {True}
    assert len(sure.asked) == 2


def test_nothing_is_confirmed_that_has_not_passed(examine):
    chat = Scripted({"c2": ["no"]})
    examine(chat, apart(3), confirm=True)
    assert chat.asked == [["c1", "c2", "c3"], ["c2"]]


def test_children_of_what_fails_only_when_confirming_are_skipped(examine):
    found = examine(Scripted({"c1": ["yes", "no", "no"]}), chain(2), confirm=True)
    assert (found.passed, found.skipped) == ({"c1": False, "c2": None}, ["c2"])


def test_calls_run_side_by_side_within_bounds_and_the_time_is_that_of_the_clock(examine):
    chat = Scripted(seconds=0.05)
    found = examine(chat, apart(12), images=3, verify="each")
    assert found.used.calls == 36
    assert chat.most_at_once[1] <= PARALLEL_CALLS
    assert 36 * 0.05 / PARALLEL_CALLS <= found.used.seconds < 36 * 0.05 / 2


def test_an_error_of_the_model_ends_it_without_further_calls(examine):
    class Down(Scripted):
        """Fails at the first call only: the calls about the other images would go on."""

        def _next(self, id):
            if len(self.asked) <= 1:
                raise ConnectionError(id)
            return super()._next(id)

    chat = Down(seconds=0.02)
    with pytest.raises(ConnectionError):
        examine(chat, apart(40), images=8, verify="each")
    assert len(chat.asked) < 160, "of 320"


NOISY = {"seed": 3, "max_rounds": 3, "confirm": True, "patience": None}
PROMPT = "two blue stars to the left of a red circle"


def without_time(result):
    attempts = [a.model_dump() for a in result.attempts]
    return attempts, result.usage.roles["verifier"].calls, result.state.notes


def test_a_run_with_a_noisy_verifier_is_reproducible_also_when_it_was_cut_off(tmp_path, make_sketcher):

    def go(folder, chat):
        node = noisy(verifier(chat, ImageStore(tmp_path / folder / "images").read), fp=0.2, fn=0.1)
        return {"chat": chat, "image": make_sketcher(0.5), "runs": tmp_path / folder, "nodes": {"verifier": node}}

    whole = Gems(**go("a", ShapesChat())).run(PROMPT, **NOISY)
    assert whole.usage.roles["verifier"].calls > len(whole.attempts)
    assert any("verifier noise is on" in note for note in whole.state.notes)

    def cut(number):
        if number == 6:
            raise InterruptedError("power cut")

    chat = Moody(mood={"Findings": cut})
    with pytest.raises(InterruptedError):
        Gems(**go("b", chat)).run(PROMPT, thread="t", **NOISY)
    resumed = Gems(**go("b", ShapesChat())).resume("t")
    assert without_time(resumed) == without_time(whole)


def test_a_checker_of_ones_own_takes_part_in_a_run(tmp_path, sketcher):
    class Counter(Glance):
        kinds = frozenset({"count"})

        def check(self, image, checks):
            return [Verdict(check=c.id, passed=False, answer="none", reason="nothing is ever enough") for c in checks]

    for preset_name in ("default", "original"):  # also where the preset leaves out installed ones
        result = run(PROMPT, image=sketcher, runs=tmp_path, max_rounds=1, checkers=[Counter()], preset=preset_name)
        counts = {c.id for c in result.checks if c.kind == "count"}
        reasons = {v.reason for v in result.best.verdicts if v.check in counts and not v.skipped}
        assert reasons == {"glance: nothing is ever enough"}
    graph = build_graph(image=sketcher, image_store=ImageStore(tmp_path), checkers=[Counter()])
    free = graph.invoke({"prompt": PROMPT}, context=preset("original"))
    assert not any(v.reason.startswith("glance") for a in free["attempts"] for v in a.verdicts)


def test_the_refiner_is_told_what_was_skipped_and_why(examine):
    found = examine(Scripted({"c1": ["no"]}), chain(2))
    told = findings_text(found.attempt, chain(2))
    assert told.splitlines()[1] == "SKIPPED: Is there thing 2? (does not count: Is there thing 1? failed)"


def test_a_skipped_check_has_a_sign_of_its_own_while_the_run_goes_on(examine):
    from rich.console import Console

    from gems.commands.progress import TerminalProgress
    from gems.events import CheckAnswered, ChecksWritten

    console = Console(record=True, width=100, file=io.StringIO())
    show, found = TerminalProgress(console), examine(Scripted({"c1": ["no"]}), chain(2))
    show(ChecksWritten(role="decomposer", checks=tuple(chain(2))))
    for event in CheckAnswered.each(found.attempt, (), "verifier"):
        show(event)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert [line[0] for line in lines[-2:]] == ["✗", "–"]


def test_a_picture_is_read_and_scaled_down_once_for_all_single_questions(tmp_path):
    store, reads = ImageStore(tmp_path / "images"), []
    ref = store.put(Image.new("RGB", (64, 48)))

    def read(image):
        reads.append(image)
        return store.read(image)

    chat = Scripted({f"c{i}": ["no"] for i in range(1, 6)})
    state = VerifierState(checks=apart(5), attempts=[Attempt(round=1, prompt="p", seed=1, image=ref)])
    verifier(chat, read)(state, Runtime(context=RunContext(verify_size=32)))
    assert len(chat.asked) == 6
    assert len(reads) == 1
