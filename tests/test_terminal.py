"""Signs that steer a terminal or turn the order of a text are planted in all that models and files say; none comes out raw."""

import ast
import io
import json
import os
import pty
import re
import sys
import threading
from pathlib import Path

import pytest
from rich.table import Table

import gems
from gems import terminal
from gems.commands.ask import Dialog
from gems.models.shapes import shapes_chat
from gems.models.shapes.chat import ShapesChat
from gems.serve import create_app, running
from gems.terminal import Console, visible

from .conftest import Sketcher
from .faulty import refusal

TITLE, CLEAR, LINK = "\x1b]0;title\x07", "\x1b[2J", "\x1b]8;;http://evil.example\x07link\x1b]8;;\x07"
PLANTED = f" {TITLE}{CLEAR}{LINK}\x9b2J\x08\x7f\u202eevil\u202c\u2066\u200f\u061c\ufeff\U000e0041 שלום 👩‍👩‍👧"
RAW = re.compile("\x1b\\]|\x1b\\[2J|[\x00-\x08\x0e-\x1a\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0041]")
ROOT = Path(gems.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("three red circles\n\ton a table", "three red circles\n\ton a table"),
        ("שלום, مرحبا, می‌خواهم, 👩‍👩‍👧, สวัสดี, 日本語, é, \u200b", "שלום, مرحبا, می‌خواهم, 👩‍👩‍👧, สวัสดี, 日本語, é, \u200b"),
        ("a\r\nb\rc", "a\nb\\rc"),
        (TITLE, "\\u001b]0;title\\u0007"),
        ("\x00\x7f\x85\x9b", "\\u0000\\u007f\\u0085\\u009b"),
        ("\u202eevil\u202c \u2066 \u200e", "\\u202eevil\\u202c \\u2066 \\u200e"),
        ("\u2028\ufeff\u2062", "\\u2028\\ufeff\\u2062"),
        ("\ud83d \U000e0041", "\\ud83d \\udb40\\udc41"),
    ],
)
def test_what_steers_is_shown_and_letters_stay(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_json_keeps_its_meaning(capsys):
    terminal.echo(json.dumps({"prompt": PLANTED}, ensure_ascii=False, indent=1))
    out = capsys.readouterr().out
    assert not RAW.search(out)
    assert json.loads(out) == {"prompt": PLANTED}


def test_a_table_is_as_wide_as_what_it_shows_and_no_spinner_passes_a_sign():
    console = Console(file=io.StringIO(), width=60, force_terminal=True)
    table = Table("what", "why")
    table.add_row(TITLE, CLEAR)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert len({len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines}) == 1
    with console.status(f"asking {LINK}"):
        pass
    assert "asking" in console.file.getvalue()
    assert not RAW.search(console.file.getvalue())


def test_nothing_prints_but_by_one_module():
    for path in ROOT.rglob("*.py"):
        place = path.relative_to(ROOT)
        if place.parts[0] in ("tests", "docs", "notebooks", "build") or place.name in ("terminal.py", "train.py"):
            continue
        tree = ast.parse(path.read_text())
        names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"print"} | modules & {"rich.console"}, place


class Loud(ShapesChat):
    """The embedded model, with signs at the end of whatever it says."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        result = super()._generate(messages, stop, run_manager, **kwargs)
        message = result.generations[0].message
        message.content = self.planted(message.content)
        return result

    def planted(self, content):
        def walk(value):
            if isinstance(value, dict):
                return {key: walk(item) for key, item in value.items()}
            if isinstance(value, list):
                return [walk(item) for item in value]
            return value + PLANTED if isinstance(value, str) and len(value) > 12 else value

        return json.dumps(walk(json.loads(content))) if content.startswith("{") else content + PLANTED


class Screen:
    """A terminal, and what it was sent."""

    def __init__(self, monkeypatch):
        self.end, inner = pty.openpty()
        self.sent = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        self.file = os.fdopen(inner, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stdout", self.file)
        monkeypatch.setattr(sys, "stderr", self.file)
        monkeypatch.setenv("TERM", "xterm-256color")

    def read(self):
        while True:
            try:
                self.sent.append(os.read(self.end, 65536))
            except OSError:  # the other end is closed
                return

    def close(self):
        self.file.close()
        self.reader.join()
        os.close(self.end)
        return b"".join(self.sent).decode()


@pytest.fixture
def screen(monkeypatch):
    with monkeypatch.context() as patch:
        yield Screen(patch)


@pytest.fixture
def loud(tmp_path):
    """Give the options of a run whose model and skill say planted things, and of what looks at it."""
    skill = tmp_path / "skills" / "loud"
    skill.mkdir(parents=True)
    description = json.dumps(f"Use it when {PLANTED}")
    (skill / "SKILL.md").write_text(f"---\nname: loud\ndescription: {description}\n---\n\nDo this. {PLANTED}\n")
    with running(create_app(Loud(**dict(shapes_chat())), Sketcher(1.0))) as url:
        where = ("--runs", tmp_path / "runs")
        models = ("--chat", f"{url}#shapes-chat", "--image", f"{url}#sketcher", "--skills", skill.parent)
        yield where, models, skill


def commands(loud, server):
    where, models, skill = loud
    server.replies = [refusal(f"no such model {PLANTED}")]
    yield "run", f"a red circle above a blue square{PLANTED}", *where, *models, "--rounds", 2, "--lessons", "keep", "--thread", "t"
    yield from [("runs", *where), ("show", "t", *where), ("lessons", "list", *where), ("gallery", *where)]
    yield from [("show", "t", *where, "--json"), ("runs", *where, "--json"), ("lessons", "list", *where, "--json")]
    yield from [("skills", "list", "--skills", skill.parent), ("skills", "show", "loud", "--skills", skill.parent)]
    yield "skills", "validate", skill
    yield "doctor", *models[:4]
    yield "doctor", "--chat", f"{server.url}#m", "--image", "shapes", "--no-draw"
    yield "run", "a red circle", *where, "--chat", f"{server.url}#m", "--events"


def test_no_command_sends_a_planted_sign_into_a_pipe_or_onto_a_page(loud, server, command, tmp_path):
    said = {args: "".join(command(*args)[1:]) for args in commands(loud, server)}
    assert {args: text for args, text in said.items() if RAW.search(text)} == {}
    plain = {args for args, text in said.items() if "\\u001b]0;title" not in text}
    assert [args[0] for args in plain] == ["gallery"]  # which says where its page is
    pages = [*(tmp_path / "runs").rglob("*.html")]
    assert {page.name for page in pages} == {"report.html", "gallery.html"}
    for page in pages:
        assert "\\u001b]0;title" in page.read_text()
        assert not RAW.search(page.read_text()), page


def test_no_command_sends_a_planted_sign_to_a_terminal(loud, server, command, screen):
    for args in commands(loud, server):
        command(*args)
    sent = screen.close()
    assert sent.count("\\u001b]0;title") > 20
    assert not RAW.search(sent)


def test_a_question_of_a_review_and_a_traceback_show_them_too(tmp_path, capsys, monkeypatch):
    check = {"id": "c1", "kind": "text", "question": PLANTED, "expected": PLANTED}
    verdict = {"check": "c1", "passed": False, "reason": PLANTED}
    attempt = {"round": 1, "candidate": 1, "best": True, "prompt": PLANTED, "verdicts": [verdict]}
    about = {"said": [PLANTED], "prompt": PLANTED, "checks": [check], "decision": "refine", "reason": PLANTED, "round": 1}
    dialog = Dialog(Console(), lambda image: tmp_path)
    for stage in ("plan", "image"):
        dialog._show({**about, "stage": stage, "attempts": [attempt]})
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    terminal.shield()
    try:
        raise ValueError(PLANTED)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    out, err = capsys.readouterr()
    assert out.count("\\u001b]0;title") == 9
    assert err.count("ValueError:  \\u001b]0;title") == 1
    assert not RAW.search(out + err)
