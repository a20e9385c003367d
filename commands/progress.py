"""Progress of a run in the terminal or as JSON, and the table of runs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from ..events import (
    CheckAnswered,
    ChecksWritten,
    Decided,
    Event,
    ExperienceWritten,
    ImageMade,
    LessonsShown,
    PersonSaid,
    PromptWritten,
    RoleStarted,
    RunStarted,
    SkillsLoaded,
    events_of,
)
from ..memory.state import Check
from ..report.text import count_of
from ..runs.listing import RunSummary
from ..runs.result import RunResult
from ..terminal import Console, echo

ACTIVITIES = {
    "planner": "planning",
    "load_skill": "loading skills",
    "decomposer": "writing checks",
    "review": "asking for a review",
    "generator": "generating",
    "verifier": "verifying",
    "selector": "selecting",
    "summarizer": "summarizing",
    "refiner": "refining",
    "learner": "learning",
}
"""What each role does, for the status line."""

COLORS = {"✓": "green", "✗": "red", "?": "yellow", "–": "dim"}


class RunProgress:
    """Receives the events of a run and prints nothing, as for `--json`; subclasses print them."""

    def __init__(self) -> None:
        self.thread = ""
        """Name of the run, once it has started."""
        self.printed_notes: frozenset[str] = frozenset()
        """Notes that the command printed before the run started."""

    def __call__(self, event: Event) -> None:
        """Receive an event."""
        if isinstance(event, RunStarted):
            self.thread = event.thread

    def pause(self) -> None:
        """Clear the status line, so that something else can be printed."""

    def show_result(self, result: RunResult) -> None:
        """Print the result of a finished run."""

    def show_waiting(self, result: RunResult, command: str) -> None:
        """Print that the run waits for a review, and the shell command that answers it."""


class JsonEvents(RunProgress):
    """Prints each event as a line of JSON."""

    def __call__(self, event: Event) -> None:
        """Print an event."""
        super().__call__(event)
        echo(event.model_dump_json(), flush=True)


class TerminalProgress(RunProgress):
    """Prints the events of a run for people, with a status line of what is being done."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.checks: dict[str, Check] = {}
        self.round, self.images = 0, 0
        self.candidate: tuple[int, int] | None = None
        """Round and candidate whose verdicts were printed last."""
        self.named = False
        """Whether the run's name was printed: a run that is refused at its start does not exist."""
        self.status = console.status("starting")

    def __call__(self, event: Event) -> None:
        """Print an event."""
        super().__call__(event)
        if isinstance(event, RoleStarted):
            self.status.update(f"{ACTIVITIES.get(event.role, event.role)} ...")
            self.status.start()
        else:
            self.pause()
            self._print_event(event)

    def pause(self) -> None:
        """Clear the status line."""
        self.status.stop()

    def show_run(self, result: RunResult, command: str) -> None:
        """Print an existing run as if it were running now, and its result if it has finished.

        Args:
            result: the run.
            command: the shell command that resumes it.
        """
        state = result.state
        self._labeled("run", result.thread)
        self._labeled("request", state.prompt)
        for event in events_of(state):
            self(event)
        if result.waiting is not None:
            self.show_waiting(result, command)
        elif state.best is not None and state.result is not None and state.result.decision != "refine":
            self.show_result(result)
        elif result.failed:
            self._line(f"\n[bold red]failed[/]: {escape(result.failed)}")
            self._line(f"  fix the cause, then resume it with `{escape(command)}`")
        else:
            self._line(f"\n[bold]unfinished[/]: resume it with `{escape(command)}`")

    def show_result(self, result: RunResult) -> None:
        """Print the decision, the best image, its files, the usage and the notes."""
        self.pause()
        score, used = result.best.score, result.usage.total
        passed = f"{score.passed} of {score.total} checks passed" if score else "no score"
        self._line("")
        self._line(f"[bold]{result.decision}[/]: {escape(result.state.result.reason if result.state.result else '')}")
        self._line(f"  best    round {result.best.round}, {passed}, seed {result.best.seed}")
        self._line(f"  image   {escape(str(result.image_path))}")
        self._line(f"  report  {escape(str(result.report_path))}")
        tokens = f"{used.input_tokens:,} input and {used.output_tokens:,} output tokens"
        counts = f"{count_of(used.images, 'image')}, {count_of(used.calls, 'chat call')}"
        self._line(f"  usage   {counts}, {tokens}, {used.seconds:.1f} s in the models")
        if result.cost is not None:
            self._line(f"  cost    {escape(str(result.cost))}, by the given prices")
        for note in (note for note in result.state.notes if note not in self.printed_notes):
            self._line(f"  [yellow]note[/]    {escape(note)}")

    def show_waiting(self, result: RunResult, command: str) -> None:
        """Print that the run waits for a review, and the shell command that answers it."""
        self.pause()
        subject = f"the image of round {result.state.round}" if result.attempts else "the plan"
        self._line(f"\n[bold yellow]waiting[/]: for your review of {subject}")
        if result.attempts:
            self._line(f"  image   {escape(str(result.image_path))}")
        self._line(f"  report  {escape(str(result.report_path))}")
        example = json.dumps(_example_answer(result.waiting))
        self._line(f"  answer  {escape(command)}")
        self._line(f"          {escape(command)} --answer {escape(repr(example))}")

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)

    def _labeled(self, label: str, text: str) -> None:
        wrapped = textwrap.wrap(" ".join(text.split()), max(40, self.console.width - 16)) or [""]
        self._line(f"  [cyan]{label:<12}[/]{escape(wrapped[0])}")
        for more in wrapped[1:]:
            self._line(" " * 14 + escape(more))

    def _print_event(self, event: Event) -> None:
        """Print an event of one of the types below; the others are not printed."""
        if self.thread and not self.named and not (isinstance(event, RunStarted) and not event.resumed):
            self.named = True
            self._labeled("run", self.thread)
        match event:
            case RunStarted():
                if event.resumed:
                    self._set_checks(event.checks)
                    self._labeled("resumed", f"with {count_of(event.images, 'image')}")
            case SkillsLoaded():
                self._labeled("skills", ", ".join(event.names))
            case ChecksWritten():
                self._set_checks(event.checks)
            case LessonsShown():
                for lesson in event.lessons:
                    self._labeled("lesson", f"({lesson.kind}) {lesson.text}")
            case PromptWritten():
                self._labeled("next prompt" if event.role == "refiner" else "prompt", event.prompt)
            case ImageMade():
                if event.round != self.round:
                    self.round, self.images = event.round, 0
                    self._line(f"\n[bold]round {event.round}[/]")
                self.images += 1
                self._labeled("image", f"generated with seed {event.seed}")
            case CheckAnswered():
                self._print_verdict(event)
            case Decided():
                self._labeled("decision", f"{event.decision}: {event.reason}")
            case PersonSaid():
                self._labeled("review", str(event.review))
            case ExperienceWritten():
                self._labeled("experience", event.text)

    def _set_checks(self, checks: Sequence[Check]) -> None:
        self.checks = {check.id: check for check in checks}
        self._labeled("checks", f"{len(checks)} to pass")

    def _print_verdict(self, event: CheckAnswered) -> None:
        if (event.round, event.candidate) != self.candidate:
            self.candidate = (event.round, event.candidate)
            if self.images > 1:
                self._line(f"  [dim]candidate {event.candidate}[/]")
        verdict = event.verdict
        check = self.checks.get(verdict.check)
        question = event.question or (check.question if check else verdict.check)
        reason = f"  [dim]{escape(verdict.reason)}[/]" if verdict.passed is not True and verdict.reason else ""
        self._line(f"    [{COLORS[verdict.mark]}]{verdict.mark}[/] {escape(question)}{reason}")


def _example_answer(question: Any) -> dict[str, str]:
    """Return an answer for the user to fill in; the question's id makes it valid for this question only, and once."""
    id = question.get("question") if isinstance(question, dict) else None
    return {**({"question": id} if id else {}), "action": "reject", "words": "..."}


def show_runs(console: Console, runs: Sequence[RunSummary]) -> None:
    """Print runs as a table, or as blocks of lines in a terminal too narrow for their names.

    In a pipe, rows are as wide as they need to be.
    """
    if console.is_terminal and console.width < max(len(run.thread) for run in runs) + 80:
        for run in runs:
            usage = f"{count_of(run.rounds, 'round')}, {count_of(run.images, 'image')}, {count_of(run.calls, 'chat call')}"
            cost = "" if run.cost is None else f", cost {run.cost:.4f}"
            console.print(f"[bold]{escape(run.thread)}[/]", soft_wrap=True, highlight=False)
            console.print(f"  {_state(run)}, {_last_step(run)}: {usage}{cost}", soft_wrap=True, highlight=False)
            console.print(Padding(_request_and_fault(run), (0, 0, 0, 2)), highlight=False)
        return
    priced = any(run.cost is not None for run in runs)
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("run", "state", "last step"):
        table.add_column(name, no_wrap=True)
    for name in ("rounds", "images", "calls", *(["cost"] if priced else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("request")
    for run in runs:
        costs = ["" if run.cost is None else f"{run.cost:.4f}"] if priced else []
        counts = [str(run.rounds), str(run.images), str(run.calls), *costs]
        table.add_row(escape(run.thread), _state(run), _last_step(run), *counts, _request_and_fault(run))
    wide = console if console.is_terminal else Console(file=console.file, width=100_000)
    wide.print(table, highlight=False)


def _state(run: RunSummary) -> str:
    color = {"accepted": "green", "damaged": "red", "failed": "red", "gave up": "dim"}.get(run.state, "yellow")
    return f"[{color}]{run.state}[/]"


def _last_step(run: RunSummary) -> str:
    return f"{run.last_step.astimezone():%Y-%m-%d %H:%M}"


def _request_and_fault(run: RunSummary) -> str:
    """Return the request of a run, the run that it is a fork of, and why it failed or is damaged."""
    request = " ".join(filter(None, (escape(run.prompt), f"[dim](fork of {escape(run.parent)})[/]" if run.parent else "")))
    return ": ".join(filter(None, (request, f"[red]{escape(run.error)}[/]" if run.error else "")))
