"""What the command line shows of runs: of one while it goes on or afterwards, and of all in a list."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .graph.past import Past
from .graph.run import Event, RunResult
from .memory.state import Attempt, Check, Experience, Result, Review, ShownLesson

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


class Progress:
    """Prints a run's events as they come: call it with each event, then `finish` with the result."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.checks: dict[str, Check] = {}
        self.thread = ""
        self.status = console.status("starting")

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.update is None:
            self.status.update(f"{DOING.get(event.role, event.role)} ...")
            self.status.start()
            return
        self.status.stop()
        shown = getattr(self, f"_{event.role}", None)
        if shown is not None:
            shown(event.update)

    def tell(self, result: RunResult, command: str) -> None:
        """Tell a run that was made before, as it was shown while it went on; its end only if there is one.

        Args:
            result: the run as it stands.
            command: what goes on with it in a shell, if it has not ended.
        """
        state = result.state
        self._started({"thread": result.thread})
        self._say("request", state.prompt)
        self._load_skill({"skills": state.skills})
        self._decomposer({"checks": state.checks})
        lessons = {e.round: e for e in state.experiences}
        self._reviews([r for r in state.reviews if r.round == 0])
        for round in dict.fromkeys(a.round for a in state.attempts):
            attempts = [a for a in state.attempts if a.round == round]
            self._generator({"attempts": attempts})
            self._planner({"draft": attempts[0].prompt, "lessons": [s for s in state.lessons if s.round == round]})
            self._verifier({"attempts": attempts})
            self._reviews([r for r in state.reviews if r.round == round])
            self._summarizer({"experiences": [lessons[round]] if round in lessons else []})
        if not state.attempts:
            self._planner({"draft": state.draft})
        if result.waiting is not None:
            self.wait(result, command)
        elif state.best is not None and state.result is not None and state.result.decision != "refine":
            self.finish(result)
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
        self._line(f"  cost    {used.images} images, {used.calls} chat calls, {tokens}, {used.seconds:.1f} s in the models")
        if result.cost is not None:
            self._line(f"  money   {escape(str(result.cost))}, by the prices that were given")
        for note in result.state.notes:
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

    def _started(self, update: dict[str, Any]) -> None:
        self.thread = update["thread"]
        self._say("run", self.thread)

    def _resumed(self, update: dict[str, Any]) -> None:
        self._decomposer(update)
        self._say("resumed", f"{len(update.get('attempts', ()))} images are there already")

    def _lessons(self, update: dict[str, Any]) -> None:
        shown: list[ShownLesson] = update.get("lessons", [])
        for lesson in shown:
            self._say("lesson", f"({lesson.kind}) {lesson.text}")

    def _planner(self, update: dict[str, Any]) -> None:
        if update.get("draft"):
            self._lessons(update)
            self._say("prompt", update["draft"])

    def _load_skill(self, update: dict[str, Any]) -> None:
        if names := update.get("skills"):
            self._say("skills", ", ".join(names))

    def _decomposer(self, update: dict[str, Any]) -> None:
        self.checks = {c.id: c for c in update.get("checks", ())}
        self._say("checks", f"{len(self.checks)} to pass")

    def _generator(self, update: dict[str, Any]) -> None:
        attempts: list[Attempt] = update.get("attempts", [])
        if attempts:
            seeds = ", ".join(str(a.seed) for a in attempts)
            self._line(f"\n[bold]round {attempts[0].round}[/]")
            self._say("image", f"{len(attempts)} drawn, seed {seeds}")

    def _verifier(self, update: dict[str, Any]) -> None:
        attempts: list[Attempt] = update.get("attempts", [])
        for attempt in attempts:
            if len(attempts) > 1:
                self._line(f"  [dim]candidate {attempt.candidate}[/]")
            for verdict in attempt.verdicts:
                check = self.checks.get(verdict.check)
                question = check.question if check else verdict.check
                why = f"  [dim]{escape(verdict.reason)}[/]" if verdict.passed is not True and verdict.reason else ""
                self._line(f"    [{COLORS[verdict.mark]}]{verdict.mark}[/] {escape(question)}{why}")

    def _selector(self, update: dict[str, Any]) -> None:
        result: Result | None = update.get("result")
        if result is not None:
            self._say("decision", f"{result.decision}: {result.reason}")

    def _review(self, update: dict[str, Any]) -> None:
        self._reviews(update.get("reviews", ()))
        if "checks" in update:
            self._decomposer(update)
        if update.get("draft"):
            self._say("prompt", update["draft"])

    def _reviews(self, reviews: Sequence[Review]) -> None:
        for said in reviews:
            self._say("a person", str(said))

    def _summarizer(self, update: dict[str, Any]) -> None:
        experiences: list[Experience] = update.get("experiences", [])
        for experience in experiences:
            self._say("learned", experience.text)

    def _refiner(self, update: dict[str, Any]) -> None:
        self._lessons(update)
        if update.get("draft"):
            self._say("next prompt", update["draft"])


def _example(question: Any) -> dict[str, str]:
    """Return an answer to be filled in; with the question's id, it is taken once and by no other question."""
    id = question.get("question") if isinstance(question, dict) else None
    return {**({"question": id} if id else {}), "action": "reject", "words": "..."}


def runs_table(found: Sequence[Past]) -> Table:
    """Return past runs as a table, a row each."""
    priced = any(past.cost is not None for past in found)
    out = Table(box=box.SIMPLE, pad_edge=False)
    out.add_column("run", overflow="fold")
    out.add_column("stands", no_wrap=True)
    out.add_column("last step", no_wrap=True)
    for name in ("rounds", "images", "calls", *(["cost"] if priced else [])):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("request", ratio=1)
    for past in found:
        color = {"accepted": "green", "damaged": "red", "gave up": "dim"}.get(past.standing, "yellow")
        cost = ["" if past.cost is None else f"{past.cost:.4f}"] if priced else []
        figures = [str(past.rounds), str(past.images), str(past.calls), *cost]
        when = f"{past.last.astimezone():%Y-%m-%d %H:%M}"
        out.add_row(
            escape(past.thread), f"[{color}]{past.standing}[/]", when, *figures, escape(past.told or past.prompt) + _from(past)
        )
    return out


def _from(past: Past) -> str:
    return f" [dim](from {escape(past.parent)})[/]" if past.parent else ""
