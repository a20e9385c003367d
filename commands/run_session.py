"""Execution of a run by a command: progress, signals, errors and the result."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..errors import GemsError, SettingError
from ..terminal import Console, echo, signal_handlers
from .error_exit import fail
from .options import SessionArgs, load_skills, workspace_options
from .review_dialog import terminal_reviewer

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..runs.result import RunResult
    from .progress import RunProgress


def progress_printer(as_json: bool, events: bool) -> RunProgress:
    """Return what prints the progress of a run: nothing with `--json`, lines of JSON with `--events`, else text for people.

    Raises:
        SettingError: both options are given.
    """
    from .progress import JsonEvents, RunProgress, TerminalProgress

    if as_json and events:
        raise SettingError("--json and --events: choose one; after --events, `gems show THREAD --json` prints the result")
    if events:
        return JsonEvents()
    return RunProgress() if as_json else TerminalProgress(Console())


def run_session(args: SessionArgs, start: Callable[..., RunResult], ask: bool = True) -> None:
    """Execute a run and print its result; on a signal or an error, print the command that resumes it and exit.

    Args:
        args: where the run is stored, with which skills it is executed, and how it is printed.
        start: starts or resumes the run with the arguments `runs`, `skills`, `on_event`, `control` and `ask`; returns its result.
        ask: whether the user at a terminal is asked for reviews.
    """
    from langgraph.runtime import RunControl

    from ..errors import ImageModelError, ModelCallError, RunStoppedError

    def resume_command() -> str:
        return f"gems resume {progress.thread}{workspace_options(workspace)}"

    def resume_hint(prefix: str) -> str:
        return f"{prefix}resume it with `{resume_command()}`" if progress.thread else ""

    progress = progress_printer(args.as_json, args.events)
    library = load_skills(args.skills, progress)
    workspace = args.open()
    control = RunControl()
    reviewer = terminal_reviewer(progress, workspace, control) if ask else None

    def on_signal(number: int, frame: FrameType | None) -> None:
        progress.pause()
        console = Console(stderr=True)
        if control.drain_requested:
            console.print(f"stopped at once{resume_hint(': ')}", soft_wrap=True, highlight=False)
            os._exit(128 + number)  # an exception would wait for threads that wait for answers
        control.request_drain(signal.Signals(number).name)
        console.print("stopping after the current step; press Ctrl-C again to stop at once", highlight=False)

    try:
        with signal_handlers({signal.SIGINT: on_signal, signal.SIGTERM: on_signal}):
            try:
                result = start(runs=workspace, skills=library, on_event=progress, control=control, ask=reviewer)
            finally:
                progress.pause()
    except RunStoppedError:
        fail(f"stopped after a finished step{resume_hint(': ')}", None, code=_signal_exit_code(control))
    except KeyboardInterrupt:
        fail(f"interrupted{resume_hint(': ')}", None, code=_signal_exit_code(control))
    except (ModelCallError, ImageModelError) as error:
        message = str(error).rstrip(".")
        message += "" if message.endswith("?") else "."
        option = "--image" if isinstance(error, ImageModelError) else "--chat"
        hint = resume_hint(" Nothing is lost: ")
        fail(message + (f"{hint}, with {option} for another model" if hint else ""), error)
    except GemsError:
        raise
    except Exception as error:  # a user's own model or node may raise anything, and the run can be resumed all the same
        hint = resume_hint("; fix the cause, then ")
        fail(f"{type(error).__name__}: {str(error)[:500]}{hint} (--debug shows the traceback)", error)
    if result.waiting is not None:
        progress.show_waiting(result, resume_command())
    else:
        progress.show_result(result)
    if args.as_json:
        echo(json.dumps(result_summary(result), indent=1, ensure_ascii=False))
    if result.waiting is not None and control.drain_requested:
        sys.exit(_signal_exit_code(control))


def _signal_exit_code(control: RunControl) -> int:
    """Return the exit code of a command that a signal ended: 128 + the signal's number, by default that of Ctrl-C."""
    return 128 + signal.Signals[control.drain_reason or "SIGINT"]


def result_summary(result: RunResult) -> dict[str, Any]:
    """Return what `--json` prints of a finished or waiting run."""
    best = result.best if result.attempts else None
    verdicts = {verdict.check: verdict for verdict in best.verdicts} if best else {}
    total = result.usage.total
    fields = {"round", "candidate", "prompt", "seed"}
    return {
        "thread": result.thread,
        "decision": result.decision,
        "reason": result.state.result.reason if result.state.result else "",
        "failed": result.failed,
        "image": str(result.image_path) if result.image_path.exists() else None,
        "report": str(result.report_path) if result.report_path.exists() else None,
        "waiting": result.waiting,
        "best": {**best.model_dump(include=fields), "sha256": best.image.sha256} if best else None,
        "rounds": result.state.round,
        "skills": result.state.skills,
        "checks": [
            {**check.model_dump(), **verdicts[check.id].model_dump(exclude={"check"})}
            for check in result.checks
            if check.id in verdicts
        ],
        "cost": result.cost._asdict() if result.cost else None,
        "usage": {**total.model_dump(), "roles": {name: role.model_dump() for name, role in result.usage.roles.items()}},
        "notes": result.state.notes,
    }
