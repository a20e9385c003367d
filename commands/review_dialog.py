"""Review of a waiting run in the terminal: shows the plan or the images, and asks for an answer, by a menu and in an editor."""

from __future__ import annotations

import json
import os
import readline  # noqa: F401  (`input` edits the line with it)
import shlex
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
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
VERDICTS = {"passed": True, "failed": False, "unknown": None}
"""How verdicts are written in the editor."""

HELP = """\
# What you change here is your answer; save and close. Nothing changed leads back to the menu.
# A check without id is new, a check left out is dropped. A verdict is "passed", "failed" or "unknown".
"""


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
        self.drafts: dict[str, str] = {}
        """What the user last made of a text in the editor, so that nothing written is lost where it is refused."""

    def ask(self, question: Any, wrong: str) -> Any:
        """Return the answer as JSON data, or None for later, which Ctrl-C and the end of the input mean too.

        Args:
            question: what the run asks.
            wrong: why the last answer was refused; empty for a first try.
        """
        if wrong:
            self._error(wrong)
        ours = isinstance(question, dict) and "actions" in question  # a review node of the user's own may ask anything
        try:
            if ours:
                self._show(question)
            else:
                self._line(escape(str(question)))
            while True:
                try:
                    return self._answer(question) if ours else json.loads(self._input("answer, as JSON"))
                except _BackError:
                    continue
                except ValueError as error:
                    self._error(f"not understood: {error}")
        except (KeyboardInterrupt, EOFError):
            self._line("")
            return None

    def _show(self, question: dict[str, Any]) -> None:
        for review in question.get("said", ()):
            self._line(f"  [dim]review[/]  {escape(review)}")
        if question["stage"] == "plan":
            self._line(f"\n[bold]Review of the plan[/]\n  prompt  {escape(question['prompt'])}")
            for check in question["checks"]:
                expected = "" if check["expected"] == "yes" else f"  [dim]{escape(check['expected'])}[/]"
                self._line(f"  {check['id']:<4} {escape(check['question'])}{expected}")
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
        menu = {name[0]: (name, effect) for name, effect in {**question["actions"], LATER: "leave the run waiting"}.items()}
        for key, (name, effect) in menu.items():
            self._line(f"  [bold]{key}[/]  {name:<7} {escape(effect)}")
        action = menu[self._choose("your answer", [*menu])][0]
        if action == LATER:
            return None
        image = {} if action == "go on" else self._choose_image(question)
        if action == "edit":
            return self._edit(question, image)
        answer: dict[str, Any] = {"action": action, **image}
        if action == "reject":
            answer["words"] = self._input("what is wrong (empty: back)")
            if not answer["words"]:
                raise _BackError
            check = self._input('a new check, as a question whose answer is to be "yes" (empty: none)')
            return answer | ({"check": {"question": check}} if check else {})
        comment = self._input("comment (empty: none)")
        return answer | ({"words": comment} if comment else {})

    def _choose_image(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the round and the candidate of one of several images; nothing where there is no choice."""
        attempts = question.get("attempts", ())
        if len(attempts) < 2:
            return {}
        chosen = self._choose("which image (empty: 1)", [*map(str, range(1, len(attempts) + 1)), BACK], default="1")
        if chosen == BACK:
            raise _BackError
        image = attempts[int(chosen) - 1]
        return {"round": image["round"], "candidate": image["candidate"]}

    def _edit(self, question: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        """Return what the user changes in the editor.

        Raises:
            _BackError: nothing was changed, or the editor failed.
            ValueError: the text is not TOML.
        """
        text = editable_text(question, image)
        self.drafts[text] = self._in_editor(self.drafts.get(text, text))
        changes = edited_fields(text, self.drafts[text])
        if not changes.keys() - {"words"}:
            raise _BackError
        return {"action": "edit", **changes, **(image if "verdicts" in changes else {})}

    def _in_editor(self, text: str) -> str:
        """Return a text as the user leaves it in `$VISUAL` or `$EDITOR`."""
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "review.toml"
            file.write_text(text, "utf-8")
            try:
                with signal_handlers({signal.SIGINT: lambda number, frame: None}):  # Ctrl-C is for the editor
                    subprocess.run([*shlex.split(editor), str(file)], check=True)
                return file.read_text("utf-8")
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                self._error(f"the editor {editor} failed ({error}): set EDITOR to another one")
                raise _BackError from error

    def _choose(self, label: str, keys: list[str], default: str = "") -> str:
        while (typed := self._input(f"{label} [{'/'.join(keys)}]") or default) not in keys:
            self._error(f"choose one of {', '.join(keys)}")
        return typed

    def _input(self, label: str) -> str:
        """Return a typed line, stripped. `input` prints the label, since readline garbles a line that starts with other text."""
        return input(f"{label}: ").strip()

    def _error(self, text: str) -> None:
        self._line(f"[red]{escape(text)}[/]")

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)


def editable_text(question: dict[str, Any], image: dict[str, Any]) -> str:
    """Return what of a question can be edited, as TOML.

    Args:
        question: what the run asks.
        image: round and candidate of the image whose verdicts are shown; by default the first one.
    """
    fields = {"words": "", **({"prompt": question["prompt"]} if "reject" in question["actions"] else {})}
    parts = [HELP + _toml_lines(fields)]
    for check in question["checks"]:
        parts.append("[[checks]]\n" + _toml_lines({name: check[name] for name in ("id", "question", "kind", "expected")}))
    for attempt in [a for a in question.get("attempts", ()) if image.items() <= a.items()][:1]:
        words = {value: word for word, value in VERDICTS.items()}
        verdicts = {json.dumps(verdict["check"]): words[verdict["passed"]] for verdict in attempt["verdicts"]}
        parts.append("[verdicts]\n" + _toml_lines(verdicts))
    return "\n".join(parts)


def _toml_lines(fields: dict[str, str]) -> str:
    """Return fields as lines of TOML, whose strings are those of JSON without control characters."""
    lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
    return CONTROL_CHARACTERS.sub("", lines)


def edited_fields(before: str, after: str) -> dict[str, Any]:
    """Return the fields of an answer that were changed in an editor.

    Raises:
        ValueError: the text is not TOML.

    Example:
        >>> edited_fields('prompt = "a dog"', 'prompt = "a red dog"')
        {'prompt': 'a red dog'}
    """
    old, new = tomllib.loads(before), tomllib.loads(after)
    changes = {name: value for name, value in new.items() if value != old.get(name)}
    if "verdicts" in changes:
        changed = {id: word for id, word in changes["verdicts"].items() if word != old["verdicts"].get(id)}
        changes["verdicts"] = {id: VERDICTS.get(word, word) for id, word in changed.items()}
    return changes
