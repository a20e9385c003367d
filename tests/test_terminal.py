"""Signs that steer a terminal or turn the order of a text are planted in all that models and files say; none comes out raw."""

import io
import json
import os
import pty
import re
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rich.table import Table

import gems
from gems import terminal
from gems.commands.review_dialog import ReviewDialog
from gems.models.shapes import shapes_chat
from gems.models.shapes.chat import ShapesChat
from gems.server import create_app, running
from gems.terminal import Console, escape_controls

from .conftest import Sketcher
from .faulty_server import refusal

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
    assert escape_controls(text) == shown
    assert escape_controls(shown) == shown


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
    parts = {"tests", "docs", "notebooks", "build", ".venv"}
    files = [p for p in ROOT.glob("[!.]*/**/*.py") if p.relative_to(ROOT).parts[0] not in parts] + [*ROOT.glob("*.py")]
    own = re.compile(r"^[^#\"]*(?<![\w.])print\(|^(from|import) rich\.console|stdout\.write", re.MULTILINE)
    code = {path: re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL) for path in files}  # docstrings show `print` to users
    found = {path.relative_to(ROOT).as_posix() for path in files if own.search(code[path])}
    assert found == {"terminal.py", "studies/shapes_training/train.py"}


class Loud(ShapesChat):
    """The embedded model, with signs at the end of whatever it says; it overlooks those that it is shown."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        seen = [json.dumps(m.content).replace(json.dumps(PLANTED)[1:-1], "") for m in messages]
        messages = [m.model_copy(update={"content": json.loads(text)}) for m, text in zip(messages, seen, strict=True)]
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


@contextmanager
def terminal_of_its_own():
    """Have what is printed go to a terminal; give a list of what it was sent, as soon as it is closed."""
    end, inner = pty.openpty()
    pieces, sent = [], []

    def read():
        with suppress(OSError):  # the other end is closed
            while True:
                pieces.append(os.read(end, 65536))

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, os.fdopen(inner, "w", encoding="utf-8") as file:
        patch.setattr(sys, "stdout", file)
        patch.setattr(sys, "stderr", file)
        patch.setenv("TERM", "xterm-256color")
        yield sent
    reader.join()
    os.close(end)
    sent.append(b"".join(pieces).decode())


def test_no_command_sends_a_planted_sign_to_a_terminal_into_a_pipe_or_onto_a_page(server, command, tmp_path):
    skill = tmp_path / "skills" / "loud"
    skill.mkdir(parents=True)
    description = escape_controls(json.dumps(f"Use it when {PLANTED}", ensure_ascii=False).replace("\U000e0041", ""))
    (skill / "SKILL.md").write_text(f"---\nname: loud\ndescription: {description}\n---\n\nDo this. {PLANTED}\n")
    server.replies = [refusal(f"no such model {PLANTED}")]
    runs, skills, broken = ("--runs", tmp_path / "runs"), ("--skills", skill.parent), ("--chat", f"{server.url}#m")
    look = [("runs", *runs), ("show", "t", *runs)]
    pipe = [(*args, "--json") for args in look] + [("gallery", *runs), ("skills", "show", "loud", *skills)]
    with running(create_app(Loud(**dict(shapes_chat())), Sketcher(1.0))) as url:
        image = ("--image", f"{url}#sketcher")
        pipe += [("doctor", *broken, *image, "--no-draw"), ("run", "a red circle", *runs, *broken, *image, "--events")]
        request = f"a red circle above a blue square{PLANTED}"
        run = ("run", request, *runs, "--chat", f"{url}#shapes-chat", *image, *skills, "--rounds", 2)
        with terminal_of_its_own() as screen:
            for args in [(*run, "--thread", "t"), *look, ("skills", "list", *skills)]:
                command(*args)
        said = {" ".join(map(str, args)): "".join(command(*args)[1:]) for args in look + pipe}
    shown = {"terminal": screen[0], **said, **{p.name: p.read_text() for p in (tmp_path / "runs").rglob("*.html")}}
    assert [where for where, text in shown.items() if RAW.search(text)] == []
    plain = [where for where, text in shown.items() if "\\u001b]0;title" not in text]
    assert plain == [f"gallery --runs {tmp_path / 'runs'}"]  # which says where its page is, and no more
    assert {"report.html", "gallery.html"} < shown.keys()
    assert screen[0].count("\\u001b]0;title") > 20
    assert json.loads(said[f"show t --runs {tmp_path / 'runs'} --json"])["checks"][0]["question"].endswith(PLANTED)


def test_a_question_of_a_review_and_a_traceback_show_them_too(tmp_path, capsys, monkeypatch):
    check = {"id": "c1", "kind": "text", "question": PLANTED, "expected": PLANTED}
    verdict = {"check": "c1", "passed": False, "reason": PLANTED}
    attempt = {"round": 1, "candidate": 1, "best": True, "prompt": PLANTED, "verdicts": [verdict]}
    about = {"said": [PLANTED], "prompt": PLANTED, "checks": [check], "decision": "refine", "reason": PLANTED, "round": 1}
    dialog = ReviewDialog(Console(), lambda image: tmp_path)
    for stage in ("plan", "image"):
        dialog._show({**about, "stage": stage, "attempts": [attempt]})
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    terminal.escape_logs_and_tracebacks()
    try:
        raise ValueError(PLANTED)
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    out, err = capsys.readouterr()
    assert out.count("\\u001b]0;title") == 9
    assert err.count("ValueError:  \\u001b]0;title") == 1
    assert not RAW.search(out + err)
