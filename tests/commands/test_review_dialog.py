"""A run that waits for a person: in a real terminal, and where nobody sits at one."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from rich.console import Console

from gems import Gems
from gems.commands.review_dialog import ReviewDialog
from gems.errors import SettingError

WORK = """
from gems import cli
from gems.models import registry
from gems.tests.conftest import Sketcher

registry.image_model = lambda choice: Sketcher(0.0)
cli.main()
"""


class Terminal:
    """A process at a terminal of its own, and what it has shown."""

    def __init__(self, *args):
        self.end, inner = pty.openpty()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
        work = [sys.executable, "-c", WORK, *args]
        ours = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}  # for Ctrl-C
        self.process = subprocess.Popen(work, stdin=inner, stdout=inner, stderr=inner, env=env, **ours)
        os.close(inner)
        self.shown = ""

    def until(self, words, seconds=60):
        """Wait until these words are shown; return what was shown up to them."""
        until = time.monotonic() + seconds
        while words not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self.end], [], [], 0.2)[0]:
                try:
                    data = os.read(self.end, 65536).decode(errors="replace")
                except OSError:  # the process has ended
                    data = ""
                self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", data)
                assert data or words in self.shown, self.shown
        before, _, self.shown = self.shown.partition(words)
        return before

    def say(self, text):
        os.write(self.end, text.encode() + b"\n")


@pytest.fixture
def terminal():
    open_ones = []

    def start(*args):
        open_ones.append(Terminal(*args))
        return open_ones[-1]

    yield start
    for one in open_ones:
        one.process.kill()
        one.process.wait()
        os.close(one.end)


def test_a_person_at_a_terminal_is_asked_until_the_run_ends(terminal):
    tty = terminal("run", "a red circle", "--review", "both", "--preset", "rewrite", "--thread", "t")
    assert "Is the circle red?" in tty.until("your answer [")
    tty.say("p")
    tty.until("the prompt (empty: back)")
    tty.say("\x01\x0ba red circle at the left")
    tty.until("comment (")
    tty.say("")
    shown = tty.until("your answer [")
    assert "a red circle at the left" in shown
    assert "1  runs/t/best.png" in shown
    assert Path("runs/t/best.png").exists()
    tty.say("r")
    tty.until("what is wrong")
    tty.say("it should be a star")
    tty.until("(empty: none)")
    tty.say("Is there a star in the image?")
    tty.until("expected answer")
    tty.say("yes")
    assert "round 2" in tty.until("your answer [")
    tty.say("\x03")  # Ctrl-C means later
    tty.until("gems resume t --answer")
    assert tty.process.wait(30) == 0
    assert Gems().list()[0].standing == "waiting"
    tty = terminal("resume", "t")
    tty.until("your answer [")
    tty.say("a")
    tty.until("comment (")
    tty.say("")
    tty.until("a person accepted it")
    assert tty.process.wait(30) == 0
    result = Gems().get("t")
    assert str(result.state.reviews[0]) == "plan: edited prompt"
    assert result.state.reviews[1].words == "it should be a star"
    assert result.decision == "accept"


@pytest.mark.parametrize("typed", [(), ("p",), ("r", "it should be a star")])
def test_sigterm_ends_a_question_at_once_and_the_run_still_waits(terminal, typed):
    tty = terminal("run", "a red circle", "--review", "plan", "--preset", "rewrite", "--thread", "t")
    tty.until("your answer [")
    for words in typed:
        tty.say(words)
        tty.until("(empty:")
    time.sleep(0.2)  # the label is shown a moment before readline waits for a line, and only a wait is interrupted
    tty.process.send_signal(signal.SIGTERM)
    assert "waiting: for your review of the plan" in tty.until("gems resume t --answer", seconds=20)
    assert tty.process.wait(20) == 143
    assert Gems().list()[0].standing == "waiting"
    tty = terminal("resume", "t")
    tty.until("your answer [")
    tty.say("a")
    tty.until("comment (")
    tty.say("")
    tty.until("accept: ")
    assert tty.process.wait(30) == 0


def test_a_run_that_is_to_stop_asks_nobody(monkeypatch):
    from langgraph.runtime import RunControl

    from gems.commands.progress import TerminalProgress
    from gems.commands.review_dialog import terminal_reviewer
    from gems.storage.workspace import Workspace

    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    control = RunControl()
    control.request_drain("SIGTERM")
    assert terminal_reviewer(TerminalProgress(Console()), Workspace("runs"), control)(QUESTION, "") is None


# Where nobody sits at a terminal


def test_without_a_terminal_it_is_said_how_to_answer_and_nothing_is_lost(command, tmp_path):
    code, out, _ = command("run", "a red circle", "--review", "image", "--preset", "original", "--thread", "t")
    assert code == 0
    assert "waiting: for your review of the image of round 1" in out
    given = re.search(r"gems resume t --answer '(.*)'", out)
    assert json.loads(given.group(1)) == {"question": "image-1-1", "action": "reject", "words": "..."}
    told = json.loads(command("resume", "t", "--json")[1])
    assert told["waiting"]["stage"] == "image"
    assert Path(told["image"]).exists()
    code, _, err = command("resume", "t", "--answer", '{"action": "reject"}')
    assert (code, "words: say in plain words what is wrong" in err) == (2, True)
    code, _, err = command("resume", "t", "--answer", "accept")
    assert (code, "this is not JSON" in err) == (2, True)
    code, _, err = command("resume", "t", "--answer", "@nowhere.json")
    assert (code, "No such file" in err) == (2, True)
    assert "waiting" in command("runs", "--state", "waiting")[1]
    assert "waiting: for your review" in command("show", "t")[1]
    Path("answer.json").write_text('{"action": "reject", "words": "larger [b]please[/b]"}')
    code, out, _ = command("resume", "t", "--answer", "@answer.json")
    assert (code, "image of round 1: rejected: larger [b]please[/b]" in out) == (0, True)
    drawn = out[out.index("round 2") :]
    assert "Is the circle red?" in drawn  # the question, not its id
    assert not re.search(r"[✓✗?–] c\d", drawn)
    code, out, _ = command("resume", "t", "--answer", '{"action": "accept"}')
    assert (code, "accept: a person accepted it" in out) == (0, True)
    assert "rejected: larger [b]please[/b]" in command("show", "t")[1]
    code, _, err = command("resume", "t", "--answer", '{"action": "accept"}')
    assert (code, "does not wait for an answer" in err) == (2, True)


def test_a_plan_that_waits_has_no_image_to_tell_of(command):
    code, out, _ = command("run", "a red circle", "--review", "plan", "--json", "--thread", "t")
    told = json.loads(out)
    assert code == 0
    assert (told["image"], told["best"], told["waiting"]["stage"]) == (None, None, "plan")
    assert "for your review of the plan" in command("show", "t")[1]
    assert json.loads(command("show", "t", "--json")[1])["waiting"]["stage"] == "plan"


def test_a_review_that_does_not_exist_is_refused(command):
    code, _, err = command("run", "a red circle", "--review", "always")
    assert (code, "review" in err) == (2, True)


# The dialog


QUESTION = {
    "stage": "image",
    "round": 1,
    "prompt": "a red circle",
    "checks": [
        {"id": "c1", "kind": "object", "question": "Is there a circle?", "expected": "yes", "depends_on": []},
        {"id": "c2", "kind": "attribute", "question": "Is it red?", "expected": "yes", "depends_on": ["c1"]},
    ],
    "actions": {"accept": "", "go on": "", "reject": "", "edit": ""},
    "decision": "refine",
    "reason": "",
    "attempts": [
        {
            "prompt": "a small red circle",
            "round": 1,
            "candidate": 0,
            "best": True,
            "image": {"sha256": "0" * 64},
            "verdicts": [{"check": "c1", "passed": True}, {"check": "c2", "passed": None, "reason": "it is dark"}],
        }
    ],
}


@pytest.fixture
def say(monkeypatch):
    """Answer a question by what is typed, line by line."""

    def typed(*lines, question=QUESTION, wrong=""):
        import io

        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        out = io.StringIO()
        return ReviewDialog(Console(file=out, width=200), lambda ref: Path("x.png")).ask(question, wrong), out.getvalue()

    return typed


def test_what_is_typed_becomes_the_answer(say):
    assert say("a", "")[0] == {"action": "accept"}
    assert say("a", "well done")[0] == {"action": "accept", "words": "well done"}
    assert say("g", "")[0] == {"action": "go on"}
    assert say("r", "too small", "")[0] == {"action": "reject", "words": "too small"}
    check = {"question": "How many?", "kind": "count", "expected": "two"}
    assert say("r", "too few", "How many?", "two")[0] == {"action": "reject", "words": "too few", "check": check}
    assert say("v", "c1- c2?", "")[0] == {"action": "edit", "verdicts": {"c1": False, "c2": None}}
    assert say("p", "a blue circle", "")[0] == {"action": "edit", "prompt": "a blue circle"}
    assert say("l")[0] is None


def test_one_of_several_images_is_chosen_by_its_number(say):
    two = {**QUESTION, "attempts": [*QUESTION["attempts"], {**QUESTION["attempts"][0], "round": 2, "best": False}]}
    assert say("a", "2", "", question=two)[0] == {"action": "accept", "round": 2, "candidate": 0}
    assert say("a", "", "", question=two)[0] == {"action": "accept", "round": 1, "candidate": 0}
    assert say("a", "3", "b", "g", "", question=two)[0] == {"action": "go on"}


def test_checks_are_edited_a_line_at_a_time(say):
    answer, shown = say("c", "-c1", "c2 Is it dark red?", "", "+ What does it say?", "HI", "c9 what", "", "")
    assert answer["action"] == "edit"
    assert [(c.get("id"), c["question"], c["kind"]) for c in answer["checks"]] == [
        ("c2", "Is it dark red?", "attribute"),
        (None, "What does it say?", "text"),
    ]
    assert answer["checks"][0]["depends_on"] == []
    assert "not understood: c9 what" in shown


def test_a_new_check_can_be_changed_and_taken_away_and_nothing_done_leads_back(say):
    answer, _ = say("c", "+ Is it a dog?", "", "+ How many?", "two", "n2 How many dogs?", "three", "-n1", "", "for the dogs")
    assert [c.get("id") for c in answer["checks"]] == ["c1", "c2", None]
    assert answer["checks"][2] == {"question": "How many dogs?", "kind": "count", "expected": "three", "depends_on": []}
    assert answer["words"] == "for the dogs"
    assert say("c", "", "c", "-c1", "b", "g", "")[0] == {"action": "go on"}


def test_the_expected_answer_of_a_check_is_asked_again_and_stays_if_nothing_is_typed(say):
    check = {"id": "c1", "kind": "count", "question": "How many circles?", "expected": "three", "depends_on": []}
    question = {**QUESTION, "checks": [check]}
    for typed, kind, expected in (("", "count", "three"), ("four", "count", "four"), ("RED", "text", "RED")):
        answer, _ = say("c", "c1 How many red circles?", typed, "", "", question=question)
        assert answer["checks"] == [{**check, "question": "How many red circles?", "kind": kind, "expected": expected}]


def test_what_is_to_be_judged_is_shown_before_anything_is_asked(say):
    shown = say("l", question={**QUESTION, "said": ["plan: rejected: larger"]})[1]
    for words in ("plan: rejected: larger", "x.png", "a small red circle", "? c2   Is it red?  it is dark", "1 of 2 checks passed"):
        assert words in shown


def test_words_that_are_too_long_are_refused_when_they_are_typed(say):
    answer, shown = say("r", "x" * 4001, "too small", "")
    assert answer["words"] == "too small"
    assert "4001 characters; shorten them to 4000" in shown


def test_what_is_not_understood_is_asked_again_and_nothing_typed_leads_back(say):
    answer, shown = say("x", "v", "c1", "c1=", "", "v", "c1+", "")
    assert answer == {"action": "edit", "verdicts": {"c1": True}}
    assert "c1: write the check and its mark" in shown
    answer, shown = say("a", "", wrong="the answer cannot be taken: round: ...")
    assert "the answer cannot be taken" in shown


def test_the_end_of_the_input_means_later(say):
    assert say()[0] is None
    assert say("r")[0] is None


def test_a_review_of_ones_own_is_answered_in_json(say):
    answer, shown = say("red", '"red"', question="which colour?")
    assert answer == "red"
    assert "which colour?" in shown


def test_an_answer_is_read_from_json_or_a_file(tmp_path):
    from gems.commands.review_dialog import read_answer

    assert read_answer('{"action": "accept"}') == {"action": "accept"}
    (tmp_path / "a.json").write_text('{"action": "go on"}')
    assert read_answer(f"@{tmp_path / 'a.json'}") == {"action": "go on"}
    with pytest.raises(SettingError, match="this is not JSON"):
        read_answer("yes, please")
