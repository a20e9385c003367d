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


def test_a_person_at_a_terminal_is_asked_until_the_run_ends(terminal, monkeypatch):
    monkeypatch.setenv("VISUAL", "sed -i 's/^prompt = .*/prompt = \"a red circle at the left\"/'")
    tty = terminal("run", "a red circle", "--review", "both", "--preset", "rewrite", "--thread", "t")
    assert "Is the circle red?" in tty.until("your answer [")
    tty.say("e")
    shown = tty.until("your answer [")
    assert "a red circle at the left" in shown
    assert "1  runs/t/best.png" in shown
    assert Path("runs/t/best.png").exists()
    tty.say("r")
    tty.until("what is wrong")
    tty.say("it should be a star")
    tty.until("(empty: none)")
    tty.say("Is there a star in the image?")
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


@pytest.mark.parametrize("typed", [(), ("r",), ("r", "it should be a star"), ("e",)])
def test_sigterm_ends_a_question_at_once_and_the_run_still_waits(terminal, typed, monkeypatch, tmp_path):
    (tmp_path / "editor.sh").write_text("echo '(empty: an editor)'; exec sleep 60")
    monkeypatch.setenv("VISUAL", f"sh {tmp_path / 'editor.sh'}")
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
    Path("long.json").write_text(json.dumps({"action": "reject", "words": "x" * 4001}))
    code, _, err = command("resume", "t", "--answer", "@long.json")
    assert (code, "at most 4000 characters" in err) == (2, True)
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
    check = {"question": "Are there two?"}
    assert say("r", "too few", "Are there two?")[0] == {"action": "reject", "words": "too few", "check": check}
    assert say("l")[0] is None


def test_one_of_several_images_is_chosen_by_its_number(say):
    two = {**QUESTION, "attempts": [*QUESTION["attempts"], {**QUESTION["attempts"][0], "round": 2, "best": False}]}
    assert say("a", "2", "", question=two)[0] == {"action": "accept", "round": 2, "candidate": 0}
    assert say("a", "", "", question=two)[0] == {"action": "accept", "round": 1, "candidate": 0}
    assert say("a", "3", "b", "g", "", question=two)[0] == {"action": "go on"}


@pytest.fixture
def edit(say, monkeypatch):
    """Answer a question in an editor that replaces texts each time it is opened; return also the texts that it was shown."""

    def edited(*changes, question=QUESTION, typed=()):
        texts = []

        def editor(command, check):
            assert command[:-1] == ["my", "editor"]
            file = Path(command[-1])
            texts.append(file.read_text("utf-8"))
            text = texts[-1]
            for old, new in changes[len(texts) - 1].items():
                assert old in text
                text = text.replace(old, new)
            file.write_text(text, "utf-8")

        monkeypatch.setenv("VISUAL", "my editor")
        monkeypatch.setattr("subprocess.run", editor)
        answer, shown = say(*["e"] * len(changes), *typed, question=question)
        return answer, shown, texts

    return edited


C1 = 'id = "c1"\nquestion = "Is there a circle?"\nkind = "object"\nexpected = "yes"\n'


def test_what_is_changed_in_the_editor_becomes_the_answer(edit):
    assert edit({'"a red circle"': '"a blue circle"'})[0] == {"action": "edit", "prompt": "a blue circle"}
    answer = edit({'c2" = "unknown"': 'c2" = "passed"', 'words = ""': 'words = "it is dark"'})[0]
    assert answer == {"action": "edit", "words": "it is dark", "verdicts": {"c2": True}}
    new = '[[checks]]\nquestion = "What does it say?"\nkind = "text"\nexpected = "HI"\n'
    answer = edit({f"[[checks]]\n{C1}": new, "Is it red?": "Is it dark red?"})[0]
    assert answer["checks"] == [
        {"question": "What does it say?", "kind": "text", "expected": "HI"},
        {"id": "c2", "question": "Is it dark red?", "kind": "attribute", "expected": "yes"},
    ]


def test_nothing_changed_leads_back_to_the_menu_and_a_mistake_is_edited_again(edit):
    assert edit({}, {'words = ""': 'words = "hm"'}, typed=["g", ""])[0] == {"action": "go on"}
    answer, shown, texts = edit({'"a red circle"': "a blue circle"}, {"= a blue circle": '= "a blue circle"'})
    assert answer == {"action": "edit", "prompt": "a blue circle"}
    assert "not understood: " in shown
    assert "prompt = a blue circle" in texts[1]


def test_verdicts_are_those_of_the_chosen_image(edit):
    other = {**QUESTION["attempts"][0], "round": 2, "best": False, "verdicts": [{"check": "c1", "passed": False}]}
    two = {**QUESTION, "attempts": [*QUESTION["attempts"], other]}
    answer, _, _ = edit({'"failed"': '"passed"'}, question=two, typed=["2"])
    assert answer == {"action": "edit", "verdicts": {"c1": True}, "round": 2, "candidate": 0}


def test_text_of_a_model_reaches_the_editor_without_control_characters_and_as_it_stands(edit):
    check = {"id": "c.1", "kind": "text", "question": 'What "is" it?\x1b[2J \\ \n #', "expected": "Grüße 🦊", "depends_on": []}
    question = {
        **QUESTION,
        "checks": [check],
        "attempts": [{**QUESTION["attempts"][0], "verdicts": [{"check": "c.1", "passed": None}]}],
    }
    answer, _, [text] = edit({'= "unknown"': '= "failed"'}, question=question)
    assert answer == {"action": "edit", "verdicts": {"c.1": False}}
    assert "\x1b" not in text


def test_an_editor_that_fails_is_named_and_leads_back(say, monkeypatch):
    monkeypatch.setenv("EDITOR", "no-such-editor")
    answer, shown = say("e", "g", "")
    assert answer == {"action": "go on"}
    assert "the editor no-such-editor failed" in shown


def test_what_is_to_be_judged_is_shown_before_anything_is_asked(say):
    shown = say("l", question={**QUESTION, "said": ["plan: rejected: larger"]})[1]
    for words in ("plan: rejected: larger", "x.png", "a small red circle", "? c2   Is it red?  it is dark", "1 of 2 checks passed"):
        assert words in shown


def test_what_is_not_understood_is_asked_again_and_nothing_typed_leads_back(say):
    answer, shown = say("x", "r", "", "a", "")
    assert answer == {"action": "accept"}
    assert "choose one of a, g, r, e, l" in shown
    answer, shown = say("a", "", wrong="the answer cannot be taken: round: ...")
    assert "the answer cannot be taken" in shown


def test_the_end_of_the_input_means_later(say):
    assert say()[0] is None
    assert say("r")[0] is None


def test_a_review_of_ones_own_is_answered_in_json(say):
    answer, shown = say("red", '"red"', question="which colour?")
    assert answer == "red"
    assert "not understood" in shown
    assert "which colour?" in shown


def test_an_answer_is_read_from_json_or_a_file(tmp_path):
    from gems.commands.review_dialog import read_answer

    assert read_answer('{"action": "accept"}') == {"action": "accept"}
    (tmp_path / "a.json").write_text('{"action": "go on"}')
    assert read_answer(f"@{tmp_path / 'a.json'}") == {"action": "go on"}
    with pytest.raises(SettingError, match="this is not JSON"):
        read_answer("yes, please")
