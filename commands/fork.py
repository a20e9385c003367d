"""The command `gems fork`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from ..errors import SettingError, what_is_wrong
from .options import (
    RUNS,
    AsEvents,
    AsJson,
    Candidates,
    Debug,
    Images,
    MaxCalls,
    MaxCost,
    MaxImages,
    MaxSeconds,
    MaxTokens,
    Patience,
    Runs,
    Skills,
    Store,
    load_skills,
    path_option,
    replacement_models,
    set_debug,
    workspace_of,
)
from .review_dialog import terminal_reviewer
from .run_session import progress_printer, run_session

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..memory.state import Check
    from ..runs.result import RunResult

VERDICTS = {"pass": True, "fail": False, "unknown": None}


def fork_command(
    thread: Annotated[str, typer.Argument(help="Name of the run to fork; it is not changed.")],
    round: Annotated[int, typer.Option("--round", help="Fork the run at this round, from 1.")],
    prompt: Annotated[str | None, typer.Option(help="Generate this round from this prompt.")] = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Set the verdict of a check on this round's image: c2=pass, c2=fail or c2=unknown; repeatable."),
    ] = None,
    candidate: Annotated[
        int | None, typer.Option(help="Set the verdicts of this candidate of the round, from 0; by default the best one.")
    ] = None,
    add_check: Annotated[list[str] | None, typer.Option(help="Add a check with this question about the image; repeatable.")] = None,
    drop_check: Annotated[list[str] | None, typer.Option(help="Drop the check with this id; repeatable.")] = None,
    checks: Annotated[
        Path | None, path_option(help="Replace the checks by those in this file; `gems show --json` prints one.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run; by default generated.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Stop after this many rounds of the new run.")] = None,
    candidates: Candidates = None,
    patience: Patience = None,
    max_images: MaxImages = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_cost: MaxCost = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first image; later images count up from it.")] = None,
    chat: Annotated[str | None, typer.Option(help="Replace the chat model of the run.")] = None,
    image: Annotated[str | None, typer.Option(help="Replace the image model of the run.")] = None,
    config: Annotated[Path | None, path_option(help="TOML file with models and model options to replace.")] = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
    events: AsEvents = False,
    debug: Debug = False,
) -> None:
    """Start a new run from a round of an existing run, with another prompt, other checks or other verdicts."""
    set_debug(debug)
    from ..runs.client import Gems

    workspace = workspace_of(runs, store, image_store)
    verdicts = dict(_parse_verdict(text) for text in verdict or ())
    edited: Sequence[Check] | None = None
    if checks is not None:
        edited = _read_checks(checks)
    if add_check or drop_check:
        edited = _change_checks(edited or Gems(runs=workspace).get(thread).checks, add_check or (), drop_check or ())
    overrides = {
        **{"max_rounds": rounds, "candidates": candidates, "patience": patience, "seed": seed, "max_images": max_images},
        **{"max_calls": max_calls, "max_tokens": max_tokens, "max_seconds": max_seconds, "max_cost": max_cost},
    }
    settings: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    models = replacement_models(thread, workspace, chat, image, config)
    progress = progress_printer(as_json, events)
    client = Gems(**models, runs=workspace, skills=load_skills(skills, progress))

    def start(control: RunControl) -> RunResult:
        made = client.fork(
            thread,
            round=round,
            prompt=prompt,
            checks=edited,
            verdicts=verdicts,
            candidate=candidate,
            name=name,
            execute=False,
            **settings,
        )
        ask = terminal_reviewer(progress, workspace, control)
        return client.resume(made.thread, on_event=progress, control=control, ask=ask)

    run_session(progress, workspace, as_json, start)


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
