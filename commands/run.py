"""The commands that draw: `gems run`, which may only tell what a run would take, and `gems resume`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..context import PRESETS, RunContext
from ..context import preset as settings_of
from ..errors import SettingError
from ..terminal import Console, echo
from .finish import finish, progress
from .options import (
    RUNS,
    AsEvents,
    AsJson,
    Batch,
    Candidates,
    Chat,
    ConfigFile,
    Debug,
    Device,
    Dtype,
    Images,
    ImageSpec,
    MaxCalls,
    MaxCost,
    MaxImages,
    MaxSeconds,
    MaxTokens,
    Offload,
    Patience,
    Runs,
    Set,
    Skills,
    Store,
    home_of,
    library,
    models_given,
    path_option,
    request_of,
    set_debug,
)
from .review_dialog import asker, read_answer

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..config import Config
    from ..runs.result import RunResult


def run_command(
    prompt: Annotated[str, typer.Argument(help="What to draw, in plain words; - reads it from standard input, @FILE from a file.")],
    preset: Annotated[str | None, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Most rounds.")] = None,
    candidates: Candidates = None,
    recall: Annotated[str | None, typer.Option(help="What the refiner is shown of the memory.")] = None,
    plan: Annotated[str | None, typer.Option(help="none, rewrite, or skills: what the planner does with the request.")] = None,
    verify: Annotated[
        str | None, typer.Option(help="batch: all checks in one call; each: a call for each; adaptive: the doubtful ones again.")
    ] = None,
    confirm: Annotated[bool | None, typer.Option("--confirm/--no-confirm", help="Read an image that passed a second time.")] = None,
    skip_children: Annotated[
        bool | None, typer.Option("--skip-children/--no-skip-children", help="Skip checks that depend on a failed one.")
    ] = None,
    checkers: Annotated[str | None, typer.Option(help="auto: checkers such as OCR answer their kinds of checks; or none.")] = None,
    verifier_noise: Annotated[
        str | None, typer.Option(help="For studies: share of verdicts turned over, such as fp=0.1,fn=0.05.")
    ] = None,
    verify_size: Annotated[int | None, typer.Option(help="Longest side, in pixels, of images as the verifier sees them.")] = None,
    votes: Annotated[int | None, typer.Option(help="Verify so many times where there are no log-probabilities.")] = None,
    edit: Annotated[str | None, typer.Option(help="auto: the refiner may edit the best image instead of drawing anew.")] = None,
    size: Annotated[str | None, typer.Option(help="Size of the images in pixels, WIDTHxHEIGHT.")] = None,
    negative_prompt: Annotated[str | None, typer.Option(help="What the image should not show.")] = None,
    review: Annotated[str | None, typer.Option(help="Ask me: plan (before anything is drawn), image (after each), both.")] = None,
    fuse: Annotated[bool | None, typer.Option("--fuse/--no-fuse", help="The refiner sums up the round too, in one call.")] = None,
    lessons: Annotated[
        str | None,
        typer.Option(help="Lessons across runs: keep, review (new ones wait for approval), read (none are learned), or none."),
    ] = None,
    accept_at: Annotated[float | None, typer.Option(help="Accept from this score on, up to 1, though checks are open.")] = None,
    patience: Patience = None,
    max_images: MaxImages = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_cost: MaxCost = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first image.")] = None,
    keep_seed: Annotated[
        bool | None, typer.Option("--keep-seed/--new-seeds", help="Draw every round with the seeds of the first.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what the run may take: calls and images by role.")] = False,
    checks: Annotated[int, typer.Option(min=1, help="With --dry-run: how many checks to reckon with.")] = 8,
    thread: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
    events: AsEvents = False,
    debug: Debug = False,
) -> None:
    """Draw a request: plan, draw, check, remember and refine."""
    set_debug(debug)
    from ..config import changed, load_config
    from ..evaluation.variants import parse_noise
    from ..runs.run import run

    prompt = request_of(prompt)
    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    noise = parse_noise(verifier_noise, "--verifier-noise") if verifier_noise is not None else {}
    given = {
        **{"max_rounds": rounds, "candidates": candidates, "recall": recall, "verify": verify, "seed": seed, "votes": votes},
        **{"verify_size": verify_size, "edit": edit, "negative_prompt": negative_prompt, **_size(size)},
        **{"plan": plan, "confirm": confirm, "skip_children": skip_children, "checkers": checkers, **noise},
        **{"review": review, "lessons": lessons, "fuse": fuse, "accept_at": accept_at, "patience": patience},
        **{"keep_seed": keep_seed, "max_images": max_images, "max_calls": max_calls, "max_tokens": max_tokens},
        **{"max_seconds": max_seconds, "max_cost": max_cost},
    }
    settings: dict[str, Any] = {**file.run, **{name: value for name, value in given.items() if value is not None}}
    if dry_run and events:
        raise SettingError("--dry-run and --events: nothing happens in a dry run; take --json")
    if dry_run:
        _tell_costs(prompt, settings_of(preset or file.preset, **settings), file, checks, as_json)
        return
    show = progress(as_json, events)
    home = home_of(runs, store, image_store)
    skill_library = library(skills, show)

    def work(control: RunControl) -> RunResult:
        return run(
            prompt,
            preset=preset or file.preset,
            thread=thread,
            runs=home,
            control=control,
            chat=file.chats,
            image=file.image,
            skills=skill_library,
            on_event=show,
            ask=asker(show, home, as_json or events, control),
            **settings,
        )

    finish(show, home, as_json, work)


def _tell_costs(prompt: str, context: RunContext, file: Config, checks: int, as_json: bool) -> None:
    """Print what a run may take, with its settings checked and nothing else done."""
    from ..nodes.budget import require_prices
    from ..runs.run import to_request
    from .estimates import remarks, run_table, run_told

    to_request(prompt)
    models = file.models
    require_prices(context, models)
    if as_json:
        echo(json.dumps(run_told(context, models, checks), indent=1, ensure_ascii=False))
    else:
        Console().print(run_table(context, models, checks))
        for line in remarks(context, models):
            Console().print(f" {escape(line)}", soft_wrap=True, highlight=False)


def resume_command(
    thread: Annotated[str, typer.Argument(help="Name of the run.")],
    answer: Annotated[
        str | None, typer.Option(help="What you say to a run that waits for you, as JSON, or @FILE; see docs/review.md.")
    ] = None,
    chat: Annotated[str | None, typer.Option(help="Another chat model than the run was started with.")] = None,
    image: Annotated[str | None, typer.Option(help="Another image model than the run was started with.")] = None,
    config: Annotated[
        Path | None, path_option(help="TOML file with other models, or other options, than the run was started with.")
    ] = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    store: Store = None,
    image_store: Images = None,
    as_json: AsJson = False,
    events: AsEvents = False,
    debug: Debug = False,
) -> None:
    """Go on with a run that was interrupted, from its last finished step, or that waits for your answer."""
    set_debug(debug)
    from ..runs.run import resume

    show = progress(as_json, events)
    skill_library = library(skills, show)
    home = home_of(runs, store, image_store)
    models = models_given(thread, home, chat, image, config)
    said = read_answer(answer) if answer is not None else None

    def work(control: RunControl) -> RunResult:
        ask = asker(show, home, as_json or events, control) if said is None else None
        return resume(thread, runs=home, skills=skill_library, on_event=show, control=control, ask=ask, answer=said, **models)

    finish(show, home, as_json, work)


def _size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SettingError(f"--size {size}: write WIDTHxHEIGHT in pixels, such as 1024x1024")
    return {"width": int(width), "height": int(height)}
