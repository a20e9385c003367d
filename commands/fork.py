"""The command `gems fork`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from pydantic import TypeAdapter, ValidationError

from ..errors import SettingError, what_is_wrong
from .options import NewModelArgs, SessionArgs, path_option
from .run_session import run_session
from .signature import BUDGETS, SettingFlags, command

if TYPE_CHECKING:
    from ..memory.state import Check
    from ..runs.result import RunResult
    from ..skills import SkillLibrary
    from ..storage.workspace import Workspace

VERDICTS = {"pass": True, "fail": False, "unknown": None}


@dataclass(frozen=True)
class EditArgs:
    """What is changed in the round that a run is forked at."""

    PANEL: ClassVar = "Changes"

    prompt: Annotated[str | None, typer.Option(help="Generate this round from this prompt.")] = None
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Set the verdict of a check on this round's image: c2=pass, c2=fail or c2=unknown; repeatable."),
    ] = None
    candidate: Annotated[
        int | None, typer.Option(help="Set the verdicts of this candidate of the round, from 0; by default the best one.")
    ] = None
    add_check: Annotated[list[str] | None, typer.Option(help="Add a check with this question about the image; repeatable.")] = None
    drop_check: Annotated[list[str] | None, typer.Option(help="Drop the check with this id; repeatable.")] = None
    checks: Annotated[Path | None, path_option(help="Replace the checks by those in this file; `gems show --json` prints one.")] = (
        None
    )


@command
def fork_command(
    thread: Annotated[str, typer.Argument(help="Name of the run to fork; it is not changed.")],
    round: Annotated[int, typer.Option("--round", help="Fork the run at this round, from 1.")],
    *,
    edits: EditArgs,
    name: Annotated[str | None, typer.Option(help="Name of the new run; by default generated.")] = None,
    settings: Annotated[dict[str, Any], SettingFlags(("max_rounds", "candidates", "seed", *BUDGETS))],
    models: NewModelArgs,
    session: SessionArgs,
) -> None:
    """Start a new run from a round of an existing run, with another prompt, other checks or other verdicts."""
    from ..runs.client import Gems

    workspace = session.open()
    verdicts = dict(_parse_verdict(text) for text in edits.verdict or ())
    checks: Sequence[Check] | None = None if edits.checks is None else _read_checks(edits.checks)
    if edits.add_check or edits.drop_check:
        checks = _change_checks(checks or Gems(runs=workspace).get(thread).checks, edits.add_check or (), edits.drop_check or ())
    changes: dict[str, Any] = {"prompt": edits.prompt, "checks": checks, "verdicts": verdicts, "candidate": edits.candidate}
    replaced = models.models_of(thread, workspace)

    def start(runs: Workspace, skills: SkillLibrary, **session: Any) -> RunResult:
        client = Gems(**replaced, runs=runs, skills=skills)
        made = client.fork(thread, round=round, name=name, execute=False, **changes, **settings)
        return client.resume(made.thread, **session)

    run_session(session, start)


def _parse_verdict(text: str) -> tuple[str, bool | None]:
    check, equals, word = text.partition("=")
    if not equals or word not in VERDICTS:
        raise SettingError(f"--verdict {text}: write CHECK=VERDICT with the verdict pass, fail or unknown, such as c2=pass")
    return check.strip(), VERDICTS[word]


def _read_checks(path: Path) -> list[Check]:
    """Read checks from a JSON file: a list of checks, or the output of `gems show --json`."""
    from ..memory.state import Check

    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        items = content["checks"] if isinstance(content, dict) else content
        checks = [{name: value for name, value in item.items() if name in Check.model_fields} for item in items]
        return TypeAdapter(list[Check]).validate_python(checks)
    except OSError as error:
        raise SettingError(f"--checks {path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise SettingError(f"--checks {path}: {what_is_wrong(error, Check.model_fields)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"--checks {path}: this is not a JSON list of checks; `gems show THREAD --json` prints one") from error


def _change_checks(checks: Sequence[Check], add: Sequence[str], drop: Sequence[str]) -> list[Check]:
    """Return the checks without those to drop, followed by one for each question to add."""
    from ..memory.state import Check

    known = [check.id for check in checks]
    if unknown := [id for id in drop if id not in known]:
        raise SettingError(f"--drop-check {unknown[0]}: there is no such check; the checks are {', '.join(known)}")
    remaining = [
        check.model_copy(update={"depends_on": tuple(id for id in check.depends_on if id not in drop)})
        for check in checks
        if check.id not in drop
    ]
    free = (f"p{number}" for number in range(1, len(known) + len(add) + 1) if f"p{number}" not in known)
    return [*remaining, *(Check(id=next(free), kind="attribute", question=question) for question in add)]
