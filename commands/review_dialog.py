"""How a person is asked in the terminal when a run waits: what there is to look at, and a menu of what may be answered."""

from __future__ import annotations

import json
import readline
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from ..errors import SettingError
from ..terminal import CONTROL_CHARACTERS, Console
from .options import to_path

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..runs.execute import AskPerson
    from ..storage.workspace import Workspace
    from .progress import TerminalProgress

LATER = "later"
BACK = "b"
MARKS = {"+": True, "-": False, "?": None}
"""How verdicts are typed."""

LONGEST = 1000
"""Characters of a check's question, and of its answer."""


class _BackError(Exception):
    """The person thought better of it: back to the menu."""


def read_answer(text: str) -> Any:
    """Read the answer of `--answer`: JSON, or with @ the name of a file that has it.

    Raises:
        SettingError: it is neither.
    """
    try:
        return json.loads(to_path(text[1:]).read_text(encoding="utf-8-sig") if text.startswith("@") else text)
    except OSError as error:
        raise SettingError(f"--answer {text}: {error.strerror}") from error
    except ValueError as error:
        example = '{"action": "reject", "words": "..."}'
        raise SettingError(f"--answer: this is no JSON ({error}); write for example {example}") from error


def asker(show: TerminalProgress, home: Workspace, as_json: bool, control: RunControl) -> AskPerson | None:
    """Return who asks in this terminal; None where nobody sits at one.

    Args:
        show: shows the run.
        home: where the run lives.
        as_json: whether the command is for a program.
        control: says whether the run is to stop: then nobody is asked, for no step would take the answer.
    """
    from ..errors import ImageStoreError
    from ..memory.state import ImageRef
    from ..storage.files import replace_run_file

    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None

    def where(attempt: dict[str, Any]) -> Path:
        if attempt["best"]:
            return home.folder_of(show.thread) / "best.png"
        ref = ImageRef.model_validate(attempt["image"])
        try:
            return home.images.path(ref.sha256)
        except ImageStoreError:  # it is no folder: a copy to look at
            copy = home.folder_of(show.thread) / f"{ref.sha256}.png"
            replace_run_file(copy, home.images.read(ref))
            return copy

    dialog = Dialog(show.console, where)

    def ask(question: Any, wrong: str) -> Any:
        if control.drain_requested:
            return None
        show.status.stop()
        with _interruptible(control):
            return dialog.ask(question, wrong)

    return ask


@contextmanager
def _interruptible(control: RunControl) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the question, where otherwise they let a step end first; SIGTERM is to end the command too."""

    def end(number: int, frame: FrameType | None) -> None:
        control.request_drain(signal.Signals(number).name)
        raise KeyboardInterrupt

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Dialog:
    """Asks questions of a review.

    Args:
        console: where it writes; it reads from standard input.
        where: returns the file of an image, as the question tells of it.
    """

    def __init__(self, console: Console, where: Callable[[dict[str, Any]], Path]) -> None:
        self.console, self.where = console, where

    def ask(self, question: Any, wrong: str) -> Any:
        """Return the answer as plain JSON, None for later; Ctrl-C and the end of the input mean later too."""
        if wrong:
            self._red(wrong)
        try:
            if not (isinstance(question, dict) and "actions" in question):  # a review of one's own asks something of its own
                self._line(escape(str(question)))
                return self._read("answer, as JSON", json.loads)
            self._show(question)
            while True:
                try:
                    return self._answer(question)
                except _BackError:
                    continue
        except (KeyboardInterrupt, EOFError):
            self._line("")
            return None

    def _show(self, question: dict[str, Any]) -> None:
        for said in question.get("said", ()):
            self._line(f"  [dim]said[/]    {escape(said)}")
        if question["stage"] == "plan":
            self._line(f"\n[bold]Your word on the plan[/]\n  prompt  {escape(question['prompt'])}")
            self._checks(question["checks"])
            return
        decided = f"{question['decision']}, {question['reason']}"
        self._line(f"\n[bold]Your word on round {question['round']}[/]: {escape(decided)}")
        for number, attempt in enumerate(question["attempts"], 1):
            name = f"round {attempt['round']}, candidate {attempt['candidate']}" + (", the best" if attempt["best"] else "")
            self._line(f"  {number}  {escape(str(self.where(attempt)))}  [dim]{name}[/]")
            self._line(f"     [dim]drawn from[/] {escape(attempt['prompt'])}")
            self._found(question["checks"], attempt)

    def _found(self, checks: list[dict[str, Any]], attempt: dict[str, Any]) -> None:
        """Show which checks an image has not passed, and why."""
        asked = {check["id"]: check["question"] for check in checks}
        missed = [v for v in attempt["verdicts"] if v["passed"] is not True]
        for verdict in missed:
            mark = "–" if verdict.get("skipped") else "-" if verdict["passed"] is False else "?"
            why = f"  [dim]{escape(verdict['reason'])}[/]" if verdict.get("reason") else ""
            self._line(f"     {mark} {verdict['check']:<4} {escape(asked.get(verdict['check'], ''))}{why}")
        self._line(f"     [dim]{len(attempt['verdicts']) - len(missed)} of {len(attempt['verdicts'])} checks passed[/]")

    def _answer(self, question: dict[str, Any]) -> Any:
        menu = self._menu(question)
        for key, (name, means) in menu.items():
            self._line(f"  [bold]{key}[/]  {name:<9} {means}")
        name = menu[self._choice("your word", [*menu])][0]
        if name == LATER:
            return None
        answer: dict[str, Any] = {"action": name if name in question["actions"] else "edit"}
        if name in ("accept", "reject", "verdicts"):
            answer |= self._which(question)
        if name == "reject":
            return answer | self._reject()
        if name == "prompt":
            answer["prompt"] = self._prompt(question["prompt"])
        elif name == "checks":
            answer["checks"] = self._edit_checks(question["checks"])
        elif name == "verdicts":
            answer["verdicts"] = self._verdicts(question, answer)
        words = self._input("anything to say (empty: no)", _limits()[0])
        return answer | ({"words": words} if words else {})

    def _menu(self, question: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Return what may be answered, by the key that is typed for it."""
        actions = dict(question["actions"])
        image = question["stage"] == "image"
        del actions["edit"]
        edits = {"prompt": "write what is drawn next"} if "reject" in actions else {}
        edits |= {"checks": "add, change or take away checks"}
        edits |= {"verdicts": "say yourself what passes and what does not"} if image else {}
        said = {**actions, **edits, LATER: "leave it waiting"}
        return {name[0]: (name, means) for name, means in said.items()}

    def _which(self, question: dict[str, Any]) -> dict[str, Any]:
        attempts = question.get("attempts", ())
        if len(attempts) < 2:
            return {}
        chosen = self._choice("which image (empty: 1)", [*map(str, range(1, len(attempts) + 1)), BACK], default="1")
        if chosen == BACK:
            raise _BackError
        image = attempts[int(chosen) - 1]
        return {"round": image["round"], "candidate": image["candidate"]}

    def _reject(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"words": self._text("what is wrong", _limits()[0])}
        text = self._input("a check that it must pass from now on, as a question (empty: none)", LONGEST)
        return answer | ({"check": {"question": text, **self._expects()}} if text else {})

    def _expects(self, old: dict[str, Any] | None = None) -> dict[str, str]:
        """Have the answer of a check typed, and return it with the kind that it makes; an old one's stay where it stays."""
        from ..models.numerals import number

        before = old["expected"] if old else "yes"
        expected = self._input(f"its answer: yes, a number, or the text to be read (empty: {before})", LONGEST) or before
        if old and (expected == before or {expected, before} <= {"yes", "no"}):
            return {"kind": old["kind"], "expected": expected}
        kind = "object" if expected in ("yes", "no") else "count" if number(expected) is not None else "text"
        return {"kind": kind, "expected": expected}

    def _prompt(self, prompt: str) -> str:
        """Have the prompt edited in its place."""
        return self._text("the prompt", _limits()[1], given=prompt)

    def _edit_checks(self, checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the list of checks after what a person does to it, a line at a time; where nothing was done, back to the menu."""
        kept = {check["id"]: check for check in checks}
        old = frozenset(kept)
        while True:
            self._checks([*kept.values()])
            label = f"+ QUESTION adds, -c2 takes away, c2 QUESTION changes, {BACK}: back to the menu, empty: done"
            typed = self._input(label, LONGEST)
            name, _, rest = (part.strip() for part in typed.partition(" "))
            if name == BACK or (not name and [*kept.values()] == checks):
                raise _BackError
            if not name:
                return [{n: value for n, value in check.items() if n != "id" or id in old} for id, check in kept.items()]
            if name == "+" and rest:
                id = next(id for n in count(1) if (id := f"n{n}") not in old | kept.keys())
                kept[id] = {"id": id, "question": rest, **self._expects()}
            elif name[0] == "-" and name[1:] in kept and not rest:
                kept = {id: _apart_from(name[1:], check) for id, check in kept.items() if id != name[1:]}
            elif name in kept and rest:
                kept[name] = {**kept[name], "question": rest, **self._expects(kept[name])}
            else:
                self._red(f"not understood: {typed}")

    def _verdicts(self, question: dict[str, Any], answer: dict[str, Any]) -> dict[str, bool | None]:
        attempts = question["attempts"]
        named = [a for a in attempts if (a["round"], a["candidate"]) == (answer.get("round"), answer.get("candidate"))]
        marks = {v["check"]: {True: "+", False: "-", None: "?"}[v["passed"]] for v in (named or attempts)[0]["verdicts"]}
        self._checks(question["checks"], marks)
        said: dict[str, bool | None] = self._read("+ passed, - failed, ? cannot be told, such as c2+ c5-", _marks)
        return said

    def _read(self, label: str, parse: Callable[[str], Any]) -> Any:
        """Ask until what is typed is understood; nothing leads back to the menu."""
        while True:
            typed = self._text(label)
            try:
                return parse(typed)
            except ValueError as error:
                self._red(f"not understood: {error}")

    def _text(self, label: str, most: int | None = None, given: str = "") -> str:
        typed = self._input(f"{label} (empty: back)", most, given)
        if not typed:
            raise _BackError
        return typed

    def _choice(self, label: str, keys: list[str], default: str = "") -> str:
        while (typed := self._input(f"{label} [{'/'.join(keys)}]") or default) not in keys:
            self._red(f"choose one of {', '.join(keys)}")
        return typed

    def _input(self, label: str, most: int | None = None, given: str = "") -> str:
        """Return a line without the space around it; one that is too long is there again to be shortened.

        The label goes through `input`: printed by itself, readline would not know of it, and garble the line when it is edited.
        """
        while True:
            readline.set_startup_hook(partial(readline.insert_text, CONTROL_CHARACTERS.sub("", given)))
            try:
                typed = input(f"{label}: ").strip()
            finally:
                readline.set_startup_hook(None)
            if most is None or len(typed) <= most:
                return typed
            self._red(f"these are {len(typed)} characters, and at most {most} are taken: shorten it")
            given = typed

    def _checks(self, checks: list[dict[str, Any]], marks: dict[str, str] | None = None) -> None:
        for check in checks:
            mark = f"{marks.get(check['id'], ' ')} " if marks else ""
            wants = "" if check["expected"] == "yes" else f"  [dim]{escape(check['expected'])}[/]"
            self._line(f"  {mark}{check['id']:<4} {escape(check['question'])}{wants}")

    def _red(self, text: str) -> None:
        self._line(f"[red]{escape(text)}[/]")

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)


def _limits() -> tuple[int, int]:
    """Return how many characters words and a prompt may have."""
    from ..memory.state import MAX_PROMPT_CHARACTERS
    from ..nodes.review_answer import MAX_WORDS

    return MAX_WORDS, MAX_PROMPT_CHARACTERS


def _apart_from(id: str, check: dict[str, Any]) -> dict[str, Any]:
    """Return a check that does not depend on another one."""
    return {**check, "depends_on": [parent for parent in check.get("depends_on", ()) if parent != id]}


def _marks(typed: str) -> dict[str, bool | None]:
    """Read verdicts as they are typed: "c2+ c5-".

    Raises:
        ValueError: one has no mark.
    """
    words = typed.replace(",", " ").split()
    if wrong := [word for word in words if word[-1] not in MARKS or len(word) < 2]:
        raise ValueError(f"{wrong[0]}: write the check and its mark, such as c2+")
    return {word[:-1]: MARKS[word[-1]] for word in words}
