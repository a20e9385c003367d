"""Review of a waiting run in the terminal: shows the plan or the images, and asks for an answer by a menu."""

from __future__ import annotations

import json
import readline
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from ..errors import SettingError
from ..terminal import CONTROL_CHARACTERS, Console, signal_handlers
from .options import to_path

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..runs.execute import AskPerson
    from ..storage.workspace import Workspace
    from .progress import RunProgress

LATER = "later"
BACK = "b"
VERDICT_MARKS = {"+": True, "-": False, "?": None}
"""How verdicts are typed."""

MAX_CHECK_TEXT = 1000
"""Most characters of a check's question, and of its expected answer."""


class _BackError(Exception):
    """The user goes back to the menu."""


def read_answer(text: str) -> Any:
    """Return the answer that `--answer` gives, as JSON or as @FILE with JSON.

    Raises:
        SettingError: the file cannot be read, or the text is not JSON.
    """
    try:
        return json.loads(to_path(text[1:]).read_text(encoding="utf-8-sig") if text.startswith("@") else text)
    except OSError as error:
        raise SettingError(f"--answer {text}: {error.strerror}") from error
    except ValueError as error:
        example = '{"action": "reject", "words": "..."}'
        raise SettingError(f"--answer: this is not JSON ({error}); write for example {example}") from error


def terminal_reviewer(progress: RunProgress, workspace: Workspace, control: RunControl) -> AskPerson | None:
    """Return a function that asks the user at this terminal for a review; None without a terminal, or for a program.

    Args:
        progress: prints the progress of the run.
        workspace: where the run is stored.
        control: says whether the run is to stop; then nothing is asked, as no step would take the answer.
    """
    from ..errors import ImageStoreError
    from ..memory.state import ImageRef
    from ..storage.files import replace_run_file
    from .progress import TerminalProgress

    if not isinstance(progress, TerminalProgress) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None

    def image_file(attempt: dict[str, Any]) -> Path:
        if attempt["best"]:
            return workspace.folder_of(progress.thread) / "best.png"
        ref = ImageRef.model_validate(attempt["image"])
        try:
            return workspace.images.path(ref.sha256)
        except ImageStoreError:  # the store is not a folder: copy the image
            copy = workspace.folder_of(progress.thread) / f"{ref.sha256}.png"
            replace_run_file(copy, workspace.images.read(ref))
            return copy

    def on_terminate(number: int, frame: FrameType | None) -> None:
        control.request_drain(signal.Signals(number).name)
        raise KeyboardInterrupt

    dialog = ReviewDialog(progress.console, image_file)

    def ask(question: Any, wrong: str) -> Any:
        if control.drain_requested:
            return None
        progress.pause()
        # During a run these signals let its step end; here they end the question, and SIGTERM then the command too.
        with signal_handlers({signal.SIGINT: signal.default_int_handler, signal.SIGTERM: on_terminate}):
            return dialog.ask(question, wrong)

    return ask


class ReviewDialog:
    """Shows a review's question and asks for the answer.

    Args:
        console: prints; answers are read from standard input.
        image_file: returns the file of the image of one of the question's attempts.
    """

    def __init__(self, console: Console, image_file: Callable[[dict[str, Any]], Path]) -> None:
        self.console, self.image_file = console, image_file

    def ask(self, question: Any, wrong: str) -> Any:
        """Return the answer as JSON data, or None for later, which Ctrl-C and the end of the input mean too.

        Args:
            question: what the run asks.
            wrong: why the last answer was refused; empty for a first try.
        """
        if wrong:
            self._error(wrong)
        try:
            if not (isinstance(question, dict) and "actions" in question):  # a review node of the user's own may ask anything
                self._line(escape(str(question)))
                return self._input_parsed("answer, as JSON", json.loads)
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
        for review in question.get("said", ()):
            self._line(f"  [dim]review[/]  {escape(review)}")
        if question["stage"] == "plan":
            self._line(f"\n[bold]Review of the plan[/]\n  prompt  {escape(question['prompt'])}")
            self._show_checks(question["checks"])
            return
        decision = f"{question['decision']}, {question['reason']}"
        self._line(f"\n[bold]Review of round {question['round']}[/]: {escape(decision)}")
        for number, attempt in enumerate(question["attempts"], 1):
            name = f"round {attempt['round']}, candidate {attempt['candidate']}" + (", the best" if attempt["best"] else "")
            self._line(f"  {number}  {escape(str(self.image_file(attempt)))}  [dim]{name}[/]")
            self._line(f"     [dim]prompt[/] {escape(attempt['prompt'])}")
            self._show_open_checks(question["checks"], attempt)

    def _show_open_checks(self, checks: list[dict[str, Any]], attempt: dict[str, Any]) -> None:
        """Print the checks that an image did not pass, with reasons, and how many it passed."""
        questions = {check["id"]: check["question"] for check in checks}
        not_passed = [v for v in attempt["verdicts"] if v["passed"] is not True]
        for verdict in not_passed:
            mark = "–" if verdict.get("skipped") else "-" if verdict["passed"] is False else "?"
            reason = f"  [dim]{escape(verdict['reason'])}[/]" if verdict.get("reason") else ""
            self._line(f"     {mark} {verdict['check']:<4} {escape(questions.get(verdict['check'], ''))}{reason}")
        self._line(f"     [dim]{len(attempt['verdicts']) - len(not_passed)} of {len(attempt['verdicts'])} checks passed[/]")

    def _answer(self, question: dict[str, Any]) -> Any:
        menu = self._menu(question)
        for key, (name, meaning) in menu.items():
            self._line(f"  [bold]{key}[/]  {name:<9} {meaning}")
        name = menu[self._choose("your answer", [*menu])][0]
        if name == LATER:
            return None
        answer: dict[str, Any] = {"action": name if name in question["actions"] else "edit"}
        if name in ("accept", "reject", "verdicts"):
            answer |= self._choose_image(question)
        if name == "reject":
            return answer | self._rejection()
        if name == "prompt":
            answer["prompt"] = self._input_required("the prompt", _limits()[1], initial=question["prompt"])
        elif name == "checks":
            answer["checks"] = self._edit_checks(question["checks"])
        elif name == "verdicts":
            answer["verdicts"] = self._verdicts(question, answer)
        words = self._input("comment (empty: none)", _limits()[0])
        return answer | ({"words": words} if words else {})

    def _menu(self, question: dict[str, Any]) -> dict[str, tuple[str, str]]:
        """Return the name and the meaning of each possible answer, by its key."""
        actions = dict(question["actions"])
        image = question["stage"] == "image"
        del actions["edit"]
        edits = {"prompt": "change the next prompt"} if "reject" in actions else {}
        edits |= {"checks": "add, change or remove checks"}
        edits |= {"verdicts": "set verdicts yourself"} if image else {}
        answers = {**actions, **edits, LATER: "leave the run waiting"}
        return {name[0]: (name, meaning) for name, meaning in answers.items()}

    def _choose_image(self, question: dict[str, Any]) -> dict[str, Any]:
        attempts = question.get("attempts", ())
        if len(attempts) < 2:
            return {}
        chosen = self._choose("which image (empty: 1)", [*map(str, range(1, len(attempts) + 1)), BACK], default="1")
        if chosen == BACK:
            raise _BackError
        image = attempts[int(chosen) - 1]
        return {"round": image["round"], "candidate": image["candidate"]}

    def _rejection(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"words": self._input_required("what is wrong", _limits()[0])}
        text = self._input("a new check, as a question about the image (empty: none)", MAX_CHECK_TEXT)
        return answer | ({"check": {"question": text, **self._input_expected()}} if text else {})

    def _input_expected(self, old: dict[str, Any] | None = None) -> dict[str, str]:
        """Return the expected answer of a check as typed, and its kind, which an old check keeps unless the answer changes."""
        from ..models.numerals import number

        before = old["expected"] if old else "yes"
        expected = self._input(f"expected answer: yes, no, a number or a text (empty: {before})", MAX_CHECK_TEXT) or before
        if old and (expected == before or {expected, before} <= {"yes", "no"}):
            return {"kind": old["kind"], "expected": expected}
        kind = "object" if expected in ("yes", "no") else "count" if number(expected) is not None else "text"
        return {"kind": kind, "expected": expected}

    def _edit_checks(self, checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the checks as edited line by line.

        Raises:
            _BackError: nothing was changed, or the user goes back.
        """
        edited = {check["id"]: check for check in checks}
        old = frozenset(edited)
        while True:
            self._show_checks([*edited.values()])
            label = f"+ QUESTION adds, -c2 removes, c2 QUESTION changes, {BACK}: back to the menu, empty: done"
            typed = self._input(label, MAX_CHECK_TEXT)
            name, _, rest = (part.strip() for part in typed.partition(" "))
            if name == BACK or (not name and [*edited.values()] == checks):
                raise _BackError
            if not name:
                return [{n: value for n, value in check.items() if n != "id" or id in old} for id, check in edited.items()]
            if name == "+" and rest:
                id = next(id for n in count(1) if (id := f"n{n}") not in old | edited.keys())
                edited[id] = {"id": id, "question": rest, **self._input_expected()}
            elif name[0] == "-" and name[1:] in edited and not rest:
                edited = {id: _without_dependency(check, name[1:]) for id, check in edited.items() if id != name[1:]}
            elif name in edited and rest:
                edited[name] = {**edited[name], "question": rest, **self._input_expected(edited[name])}
            else:
                self._error(f"not understood: {typed}")

    def _verdicts(self, question: dict[str, Any], answer: dict[str, Any]) -> dict[str, bool | None]:
        attempts = question["attempts"]
        named = [a for a in attempts if (a["round"], a["candidate"]) == (answer.get("round"), answer.get("candidate"))]
        marks = {v["check"]: {True: "+", False: "-", None: "?"}[v["passed"]] for v in (named or attempts)[0]["verdicts"]}
        self._show_checks(question["checks"], marks)
        verdicts: dict[str, bool | None] = self._input_parsed("+ passed, - failed, ? unknown, such as c2+ c5-", _parse_verdicts)
        return verdicts

    def _input_parsed(self, label: str, parse: Callable[[str], Any]) -> Any:
        """Return what is typed once it can be parsed; an empty line goes back to the menu."""
        while True:
            typed = self._input_required(label)
            try:
                return parse(typed)
            except ValueError as error:
                self._error(f"not understood: {error}")

    def _input_required(self, label: str, most: int | None = None, initial: str = "") -> str:
        """Return what is typed; an empty line goes back to the menu."""
        typed = self._input(f"{label} (empty: back)", most, initial)
        if not typed:
            raise _BackError
        return typed

    def _choose(self, label: str, keys: list[str], default: str = "") -> str:
        while (typed := self._input(f"{label} [{'/'.join(keys)}]") or default) not in keys:
            self._error(f"choose one of {', '.join(keys)}")
        return typed

    def _input(self, label: str, most: int | None = None, initial: str = "") -> str:
        """Return a typed line, stripped; a line that is too long is offered again to be shortened.

        Args:
            label: what is asked for. `input` prints it, since readline garbles a line that starts with text it does not know.
            most: most characters.
            initial: text to edit.
        """
        while True:
            readline.set_startup_hook(partial(readline.insert_text, CONTROL_CHARACTERS.sub("", initial)))
            try:
                typed = input(f"{label}: ").strip()
            finally:
                readline.set_startup_hook(None)
            if most is None or len(typed) <= most:
                return typed
            self._error(f"these are {len(typed)} characters; shorten them to {most} or fewer")
            initial = typed

    def _show_checks(self, checks: list[dict[str, Any]], marks: dict[str, str] | None = None) -> None:
        for check in checks:
            mark = f"{marks.get(check['id'], ' ')} " if marks else ""
            expected = "" if check["expected"] == "yes" else f"  [dim]{escape(check['expected'])}[/]"
            self._line(f"  {mark}{check['id']:<4} {escape(check['question'])}{expected}")

    def _error(self, text: str) -> None:
        self._line(f"[red]{escape(text)}[/]")

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)


def _limits() -> tuple[int, int]:
    """Return the most characters of a comment and of a prompt."""
    from ..memory.state import MAX_PROMPT_CHARACTERS
    from ..nodes.review_answer import MAX_WORDS

    return MAX_WORDS, MAX_PROMPT_CHARACTERS


def _without_dependency(check: dict[str, Any], id: str) -> dict[str, Any]:
    """Return a check that does not depend on the check with this id."""
    return {**check, "depends_on": [parent for parent in check.get("depends_on", ()) if parent != id]}


def _parse_verdicts(typed: str) -> dict[str, bool | None]:
    """Return verdicts by the ids of their checks, from text such as "c2+ c5-".

    Raises:
        ValueError: a verdict has no mark.
    """
    words = typed.replace(",", " ").split()
    if wrong := [word for word in words if word[-1] not in VERDICT_MARKS or len(word) < 2]:
        raise ValueError(f"{wrong[0]}: write the check and its mark, such as c2+")
    return {word[:-1]: VERDICT_MARKS[word[-1]] for word in words}
