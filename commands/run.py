"""The commands `gems run` and `gems resume`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..context import PRESETS, RunContext
from ..context import preset as settings_of
from ..errors import SettingError
from ..terminal import Console, echo
from .options import DryRunArgs, ModelArgs, NewModelArgs, SessionArgs, ThreadArgument, read_request
from .review_dialog import read_answer
from .run_session import run_session
from .signature import SettingFlags, command

if TYPE_CHECKING:
    from ..config import Config
    from ..runs.result import RunResult
    from ..skills import SkillLibrary
    from ..storage.workspace import Workspace


@command
def run_command(
    prompt: Annotated[str, typer.Argument(help="Request in plain words; - reads it from standard input, @FILE from a file.")],
    *,
    preset: Annotated[
        str | None,
        typer.Option(help=f"Start from the settings of this preset: {', '.join(PRESETS)}.", show_default="default"),
    ] = None,
    thread: Annotated[str | None, typer.Option(help="Name of the run; by default made from the time and the request.")] = None,
    estimate: DryRunArgs,
    settings: Annotated[dict[str, Any], SettingFlags(size=True)],
    models: ModelArgs,
    session: SessionArgs,
) -> None:
    """Generate an image from a request: plan, generate, verify, remember and refine."""
    from ..runs.client import Gems

    prompt = read_request(prompt)
    file = models.config_of()
    preset, settings = preset or file.preset, {**file.run, **settings}
    if estimate.dry_run and session.events:
        raise SettingError("--dry-run and --events: a dry run has no events; use --json")
    if estimate.dry_run:
        _print_estimate(prompt, settings_of(preset, **settings), file, estimate.checks, session.as_json)
        return

    def start(runs: Workspace, skills: SkillLibrary, **session: Any) -> RunResult:
        client = Gems(file.chats, file.image, runs=runs, skills=skills)
        return client.run(prompt, preset=preset, thread=thread, **session, **settings)

    run_session(session, start)


def _print_estimate(prompt: str, context: RunContext, file: Config, checks: int, as_json: bool) -> None:
    """Check the settings and print how many chat calls and images a run may use."""
    from ..nodes.budget import require_prices
    from ..runs.manifest import to_request
    from .estimates import estimate_notes, estimate_table, run_estimate

    to_request(prompt)
    models = file.models
    require_prices(context, models)
    if as_json:
        echo(json.dumps(run_estimate(context, models, checks), indent=1, ensure_ascii=False))
    else:
        Console().print(estimate_table(context, models, checks))
        for line in estimate_notes(context, models):
            Console().print(f" {escape(line)}", soft_wrap=True, highlight=False)


@command
def resume_command(
    thread: ThreadArgument,
    answer: Annotated[
        str | None, typer.Option(help="Answer the review that the run waits for, as JSON or @FILE; see docs/review.md.")
    ] = None,
    *,
    models: NewModelArgs,
    session: SessionArgs,
) -> None:
    """Resume a run that was interrupted, from its last finished step, or that waits for your review."""
    from ..runs.client import Gems

    replaced = models.models_of(thread, session.open())
    given = read_answer(answer) if answer is not None else None

    def start(runs: Workspace, skills: SkillLibrary, **session: Any) -> RunResult:
        return Gems(**replaced, runs=runs, skills=skills).resume(thread, answer=given, **session)

    run_session(session, start, ask=given is None)
