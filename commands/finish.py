"""How a command ends that takes a run on: by its result, by an error that says how to go on, or by a signal."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import GemsError, SettingError
from ..terminal import Console, echo
from .fail import fail
from .options import reach

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..runs.result import RunResult
    from ..storage.workspace import Workspace
    from .progress import TerminalProgress


def progress(as_json: bool, events: bool) -> TerminalProgress:
    """Return what shows a run while it goes on: to people, or with `events` to programs, or to nobody.

    Raises:
        SettingError: both are asked for.
    """
    if as_json and events:
        raise SettingError("--json and --events: choose one; after --events, `gems show THREAD --json` tells the result")
    from .progress import JsonLines, TerminalProgress

    return JsonLines() if events else TerminalProgress(Console(quiet=as_json))


def finish(show: TerminalProgress, home: Workspace, as_json: bool, work: Callable[[RunControl], RunResult]) -> None:
    """Do the work and tell what came of it; every way to end leaves a run that can be gone on with, and says how."""
    from langgraph.runtime import RunControl

    from ..errors import ImageModelError, ModelCallError, RunStoppedError

    def again() -> str:
        return f"go on with `gems resume {show.thread}{reach(home)}`"

    def stopped(error: GemsError, option: str) -> NoReturn:
        show.status.stop()
        told = str(error).rstrip(".")
        hint = f" Nothing is lost: {again()}, with {option} for another model" if show.thread else ""
        fail(told + ("" if told.endswith("?") else ".") + hint, error)

    def at_once(code: int) -> NoReturn:  # not by an exception: a thread that waits for an answer would be waited for
        show.status.stop()
        Console(stderr=True).print(f"ended at once: {again()}" if show.thread else "ended at once", soft_wrap=True, highlight=False)
        os._exit(code)

    def tell() -> None:
        show.status.stop()
        Console(stderr=True).print("stopping when this step has ended; once more to end at once", highlight=False)

    control = RunControl()
    try:
        with _signals(control, tell, at_once):
            result = work(control)
    except RunStoppedError:
        fail(f"stopped after a finished step: {again()}", None, code=_code(control))
    except KeyboardInterrupt:
        show.status.stop()
        fail(f"interrupted: {again()}" if show.thread else "interrupted", None, code=_code(control))
    except ModelCallError as error:
        stopped(error, "--chat")
    except ImageModelError as error:
        stopped(error, "--image")
    except GemsError:
        show.status.stop()
        raise
    except Exception as error:  # a model of one's own raises its own kinds: nothing is lost, and that is what to say
        show.status.stop()
        hint = f"; mend it and {again()}" if show.thread else ""
        fail(f"{type(error).__name__}: {str(error)[:500]}{hint} (--debug shows the traceback)", error)
    if result.waiting is not None:
        show.wait(result, f"gems resume {show.thread}{reach(home)}")
    else:
        show.finish(result)
    if as_json:
        echo(json.dumps(summary(result), indent=1, ensure_ascii=False))
    if result.waiting is not None and control.drain_requested:
        sys.exit(_code(control))


@contextmanager
def _signals(control: RunControl, tell: Callable[[], None], at_once: Callable[[int], NoReturn]) -> Iterator[None]:
    """Have the first SIGINT or SIGTERM stop the run at its next step, and the second end the process."""

    def on(number: int, frame: FrameType | None) -> None:
        if control.drain_requested:
            at_once(128 + number)
        control.request_drain(signal.Signals(number).name)
        tell()

    before = {number: signal.signal(number, on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(control: RunControl) -> int:
    """Return the exit code of a command that a signal has ended: Ctrl-C, if none was noted down."""
    return 128 + signal.Signals[control.drain_reason or "SIGINT"]


def summary(result: RunResult) -> dict[str, Any]:
    """Return what programs are told of a run at its end, or where it waits for a person."""
    best = result.best if result.attempts else None
    found = {v.check: v for v in best.verdicts} if best else {}
    told = {**best.model_dump(include={"round", "candidate", "prompt", "seed"}), "sha256": best.image.sha256} if best else None
    total = result.usage.total
    return {
        "thread": result.thread,
        "decision": result.decision,
        "reason": result.state.result.reason if result.state.result else "",
        "failed": result.failed,
        "image": str(result.image_path) if result.image_path.exists() else None,
        "report": str(result.report_path) if result.report_path.exists() else None,
        "waiting": result.waiting,
        "best": told,
        "rounds": result.state.round,
        "skills": result.state.skills,
        "checks": [
            {**check.model_dump(), **found[check.id].model_dump(exclude={"check"})} for check in result.checks if check.id in found
        ],
        "cost": result.cost._asdict() if result.cost else None,
        "usage": {**total.model_dump(), "roles": {name: role.model_dump() for name, role in result.usage.roles.items()}},
        "notes": result.state.notes,
    }
