"""What the command line shows of runs: of one while it goes on or afterwards, and of all in a list."""

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

DOING = {
    "planner": "planning",
    "load_skill": "loading skills",
    "decomposer": "writing checks",
    "review": "asking",
    "generator": "drawing",
    "verifier": "checking",
    "selector": "choosing",
    "summarizer": "summing up",
    "refiner": "refining",
    "learner": "learning",
}
COLORS = {"✓": "green", "✗": "red", "?": "yellow", "–": "dim"}


class TerminalProgress:
    """Prints a run's events as they come: call it with each event, then `finish` with the result."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.checks: dict[str, Check] = {}
        self.thread = ""
        self.round, self.images = 0, 0
        self.answered: tuple[int, int] | None = None
        self.said: frozenset[str] = frozenset()
        """Notes that the command has printed before the run began."""
        self.status = console.status("starting")

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, RoleStarted):
            self.status.update(f"{DOING.get(event.role, event.role)} ...")
            self.status.start()
            return
        self.status.stop()
        shown = getattr(self, f"_{event.event}", None)
        if shown is not None:
            shown(event)

    def tell(self, result: RunResult, command: str) -> None:
        """Tell a run that was made before, as it was shown while it went on; its end only if there is one.

        Args:
            result: the run as it stands.
            command: what goes on with it in a shell, if it has not ended.
        """
        state = result.state
        self._say("run", result.thread)
        self._say("request", state.prompt)
        for event in events_of(state):
            self(event)
        if result.waiting is not None:
            self.wait(result, command)
        elif state.best is not None and state.result is not None and state.result.decision != "refine":
            self.finish(result)
        elif result.failed:
            self._line(f"\n[bold red]failed[/]: {escape(result.failed)}")
            self._line(f"  once that is mended, go on with `{escape(command)}`")
        else:
            self._line(f"\n[bold]unfinished[/]: go on with `{escape(command)}`")

    def finish(self, result: RunResult) -> None:
        """Show the end: the best image, where it is, and what it has cost."""
        self.status.stop()
        score, used = result.best.score, result.usage.total
        passed = f"{score.passed} of {score.total} checks passed" if score else "no score"
        self._line("")
        self._line(f"[bold]{result.decision}[/]: {escape(result.state.result.reason if result.state.result else '')}")
        self._line(f"  best    round {result.best.round}, {passed}, seed {result.best.seed}")
        self._line(f"  image   {escape(str(result.image_path))}")
        self._line(f"  report  {escape(str(result.report_path))}")
        tokens = f"{used.input_tokens:,} tokens in, {used.output_tokens:,} out"
        made = f"{count_of(used.images, 'image')}, {count_of(used.calls, 'chat call')}"
        self._line(f"  cost    {made}, {tokens}, {used.seconds:.1f} s in the models")
        if result.cost is not None:
            self._line(f"  money   {escape(str(result.cost))}, by the prices that were given")
        for note in (note for note in result.state.notes if note not in self.said):
            self._line(f"  [yellow]note[/]    {escape(note)}")

    def wait(self, result: RunResult, command: str) -> None:
        """Show that a run waits for an answer, and the command that gives it."""
        self.status.stop()
        about = f"the image of round {result.state.round}" if result.attempts else "the plan"
        self._line(f"\n[bold yellow]waiting[/]: for your word on {about}")
        if result.attempts:
            self._line(f"  image   {escape(str(result.image_path))}")
        self._line(f"  report  {escape(str(result.report_path))}")
        example = json.dumps(_example(result.waiting))
        self._line(f"  answer  {escape(command)}")
        self._line(f"          {escape(command)} --answer {escape(repr(example))}")

    def _line(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)

    def _say(self, role: str, text: str) -> None:
        wrapped = textwrap.wrap(" ".join(text.split()), max(40, self.console.width - 16)) or [""]
        self._line(f"  [cyan]{role:<12}[/]{escape(wrapped[0])}")
        for more in wrapped[1:]:
            self._line(" " * 14 + escape(more))

    def _run_started(self, event: RunStarted) -> None:
        self.thread = event.thread
        self._say("run", self.thread)
        if event.resumed:
            self._list(event.checks)
            self._say("resumed", f"{event.images} images are there already")

    def _skills_loaded(self, event: SkillsLoaded) -> None:
        self._say("skills", ", ".join(event.names))

    def _checks_written(self, event: ChecksWritten) -> None:
        self._list(event.checks)

    def _list(self, checks: Sequence[Check]) -> None:
        self.checks = {c.id: c for c in checks}
        self._say("checks", f"{len(checks)} to pass")

    def _lessons_shown(self, event: LessonsShown) -> None:
        for lesson in event.lessons:
            self._say("lesson", f"({lesson.kind}) {lesson.text}")

    def _prompt_written(self, event: PromptWritten) -> None:
        self._say("next prompt" if event.role == "refiner" else "prompt", event.prompt)

    def _image_made(self, event: ImageMade) -> None:
        if event.round != self.round:
            self.round, self.images = event.round, 0
            self._line(f"\n[bold]round {event.round}[/]")
        self.images += 1
        self._say("image", f"drawn with seed {event.seed}")

    def _check_answered(self, event: CheckAnswered) -> None:
        if (event.round, event.candidate) != self.answered:
            self.answered = (event.round, event.candidate)
            if self.images > 1:
                self._line(f"  [dim]candidate {event.candidate}[/]")
        verdict = event.verdict
        check = self.checks.get(verdict.check)
        question = event.question or (check.question if check else verdict.check)
        why = f"  [dim]{escape(verdict.reason)}[/]" if verdict.passed is not True and verdict.reason else ""
        self._line(f"    [{COLORS[verdict.mark]}]{verdict.mark}[/] {escape(question)}{why}")

    def _decided(self, event: Decided) -> None:
        self._say("decision", f"{event.decision}: {event.reason}")

    def _person_said(self, event: PersonSaid) -> None:
        self._say("a person", str(event.review))

    def _experience_written(self, event: ExperienceWritten) -> None:
        self._say("learned", event.text)


class JsonLines(TerminalProgress):
    """Prints a run's events for programs, as JSON, a line each."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, RunStarted):
            self.thread = event.thread
        echo(event.model_dump_json(), flush=True)


def _example(question: Any) -> dict[str, str]:
    """Return an answer to be filled in; with the question's id, it is taken once and by no other question."""
    id = question.get("question") if isinstance(question, dict) else None
    return {**({"question": id} if id else {}), "action": "reject", "words": "..."}


def show_runs(console: Console, found: Sequence[RunSummary]) -> None:
    """Print past runs as a table, a row each; where the names do not fit into it, as blocks of lines.

    Where nobody looks on, as in a pipe, a row has all the width that it needs.
    """
    if console.is_terminal and console.width < max(len(past.thread) for past in found) + 80:
        for past in found:
            stands = f"[{_color(past)}]{past.standing}[/], {past.last.astimezone():%Y-%m-%d %H:%M}"
            cost = "" if past.cost is None else f", cost {past.cost:.4f}"
            console.print(f"[bold]{escape(past.thread)}[/]", soft_wrap=True, highlight=False)
            took = f"{count_of(past.rounds, 'round')}, {count_of(past.images, 'image')}, {count_of(past.calls, 'chat call')}{cost}"
            console.print(f"  {stands}: {took}", soft_wrap=True, highlight=False)
            console.print(Padding(_about(past), (0, 0, 0, 2)), highlight=False)
        return
    wide = console if console.is_terminal else Console(file=console.file, width=100_000)
    wide.print(_runs_table(found), highlight=False)


def _color(past: RunSummary) -> str:
    return {"accepted": "green", "damaged": "red", "failed": "red", "gave up": "dim"}.get(past.standing, "yellow")


def _runs_table(found: Sequence[RunSummary]) -> Table:
    priced = any(past.cost is not None for past in found)
    out = Table(box=box.SIMPLE, pad_edge=False)
    out.add_column("run", no_wrap=True)
    out.add_column("stands", no_wrap=True)
    out.add_column("last step", no_wrap=True)
    for name in ("rounds", "images", "calls", *(["cost"] if priced else [])):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("request")
    for past in found:
        cost = ["" if past.cost is None else f"{past.cost:.4f}"] if priced else []
        figures = [str(past.rounds), str(past.images), str(past.calls), *cost]
        when = f"{past.last.astimezone():%Y-%m-%d %H:%M}"
        out.add_row(
            escape(past.thread),
            f"[{_color(past)}]{past.standing}[/]",
            when,
            *figures,
            _about(past),
        )
    return out


def _about(past: RunSummary) -> str:
    """Return what was asked for, where it comes from, and what is wrong with it."""
    asked = " ".join(filter(None, (escape(past.prompt), f"[dim](from {escape(past.parent)})[/]" if past.parent else "")))
    return ": ".join(filter(None, (asked, f"[red]{escape(past.told)}[/]" if past.told else "")))
