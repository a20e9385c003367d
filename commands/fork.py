"""The command that changes the past: `gems fork`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from ..errors import SettingError, what_is_wrong
from .finish import finish, progress
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
    home_of,
    library,
    models_given,
    path_option,
    set_debug,
)
from .review_dialog import asker

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..memory.state import Check
    from ..runs.result import RunResult

VERDICTS = {"pass": True, "fail": False, "unknown": None}


def fork_command(
    thread: Annotated[str, typer.Argument(help="Name of the run to branch off from; it stays as it is.")],
    round: Annotated[int, typer.Option("--round", help="Round at which the new run leaves the old one.")],
    prompt: Annotated[str | None, typer.Option(help="What this round is drawn from.")] = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="Another verdict for this round's image, such as c2=pass, c2=fail or c2=unknown; may be given again."),
    ] = None,
    candidate: Annotated[
        int | None, typer.Option(help="Which of the round's images the verdicts are of; the best by default.")
    ] = None,
    add_check: Annotated[list[str] | None, typer.Option(help="One more question about the image; may be given again.")] = None,
    drop_check: Annotated[list[str] | None, typer.Option(help="Id of a check to leave out; may be given again.")] = None,
    checks: Annotated[Path | None, path_option(help="File with all checks, as `gems show --json` has them.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new run.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Most rounds of the new run.")] = None,
    candidates: Candidates = None,
    patience: Patience = None,
    max_images: MaxImages = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_cost: MaxCost = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first image.")] = None,
    chat: Annotated[str | None, typer.Option(help="Another chat model.")] = None,
    image: Annotated[str | None, typer.Option(help="Another image model.")] = None,
    config: Annotated[Path | None, path_option(help="TOML file with other models, or other options.")] = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
    events: AsEvents = False,
    debug: Debug = False,
) -> None:
    """Begin a new run at a step of an old one, with another prompt, other checks or other verdicts."""
    set_debug(debug)
    from ..runs.fork import fork
    from ..runs.listing import get_run

    home = home_of(runs, store, image_store)
    verdicts = dict(_verdict(text) for text in verdict or ())
    edited: Sequence[Check] | None = None
    if checks is not None:
        edited = _read(checks)
    if add_check or drop_check:
        edited = _edited(edited or get_run(thread, home).checks, add_check or (), drop_check or ())
    told = {
        **{"max_rounds": rounds, "candidates": candidates, "patience": patience, "seed": seed, "max_images": max_images},
        **{"max_calls": max_calls, "max_tokens": max_tokens, "max_seconds": max_seconds, "max_cost": max_cost},
    }
    settings: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    models = models_given(thread, home, chat, image, config)
    show = progress(as_json, events)
    skill_library = library(skills, show)

    def work(control: RunControl) -> RunResult:
        return fork(
            thread,
            round=round,
            prompt=prompt,
            checks=edited,
            verdicts=verdicts,
            candidate=candidate,
            name=name,
            runs=home,
            skills=skill_library,
            on_event=show,
            control=control,
            ask=asker(show, home, as_json or events, control),
            **models,
            **settings,
        )

    finish(show, home, as_json, work)


def _verdict(text: str) -> tuple[str, bool | None]:
    check, equals, word = text.partition("=")
    if not equals or word not in VERDICTS:
        raise SettingError(f"--verdict {text}: write the id of a check and pass, fail or unknown, such as c2=pass")
    return check.strip(), VERDICTS[word]


def _read(path: Path) -> list[Check]:
    """Read checks from a file: a list of them, or what `gems show --json` printed."""
    from ..memory.state import Check

    try:
        told = json.loads(path.read_text(encoding="utf-8-sig"))
        told = told["checks"] if isinstance(told, dict) else told
        return TypeAdapter(list[Check]).validate_python([{k: v for k, v in one.items() if k in Check.model_fields} for one in told])
    except OSError as error:
        raise SettingError(f"--checks {path}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise SettingError(f"--checks {path}: {what_is_wrong(error, Check.model_fields)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"--checks {path}: it is no JSON list of checks; `gems show THREAD --json` prints one") from error


def _edited(checks: Sequence[Check], add: Sequence[str], drop: Sequence[str]) -> list[Check]:
    from ..memory.state import Check

    known = [check.id for check in checks]
    if unknown := [id for id in drop if id not in known]:
        raise SettingError(f"--drop-check {unknown[0]}: there is no such check; they are {', '.join(known)}")
    kept = [
        check.model_copy(update={"depends_on": tuple(id for id in check.depends_on if id not in drop)})
        for check in checks
        if check.id not in drop
    ]
    free = (f"p{number}" for number in range(1, len(known) + len(add) + 1) if f"p{number}" not in known)
    return [*kept, *(Check(id=next(free), kind="attribute", question=question) for question in add)]
