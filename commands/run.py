"""The commands `gems run` and `gems resume`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markup import escape

from ..context import PRESETS, RecallPolicy, RunContext
from ..context import preset as settings_of
from ..errors import SettingError
from ..terminal import Console, echo
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
    load_skills,
    path_option,
    read_request,
    replacement_models,
    set_debug,
    workspace_of,
)
from .review_dialog import read_answer, terminal_reviewer
from .run_session import progress_printer, run_session

if TYPE_CHECKING:
    from langgraph.runtime import RunControl

    from ..config import Config
    from ..runs.result import RunResult


def run_command(
    prompt: Annotated[str, typer.Argument(help="Request in plain words; - reads it from standard input, @FILE from a file.")],
    preset: Annotated[str | None, typer.Option(help=f"Start from the settings of this preset: {', '.join(PRESETS)}.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Stop after this many rounds.")] = None,
    candidates: Candidates = None,
    recall: Annotated[
        str | None, typer.Option(help=f"Show the refiner this part of the memory: {', '.join(get_args(RecallPolicy))}.")
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            help="none: use the request as it is; rewrite: let the planner rewrite it; skills: rewrite it with loaded skills."
        ),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            help="batch: verify all checks in one call; each: one call per check; adaptive: one call, then doubtful checks again."
        ),
    ] = None,
    confirm: Annotated[
        bool | None, typer.Option("--confirm/--no-confirm", help="Verify a passing image a second time before accepting it.")
    ] = None,
    skip_children: Annotated[
        bool | None,
        typer.Option("--skip-children/--no-skip-children", help="Skip checks that depend on a failed check; they count as failed."),
    ] = None,
    checkers: Annotated[
        str | None, typer.Option(help="auto: let checkers such as OCR answer the checks they support; none: ask the model only.")
    ] = None,
    verifier_noise: Annotated[
        str | None, typer.Option(help="For studies: flip this share of the verdicts at random, such as fp=0.1,fn=0.05.")
    ] = None,
    verify_size: Annotated[
        int | None, typer.Option(help="Scale images for the verifier so that the longest side has at most this many pixels.")
    ] = None,
    votes: Annotated[
        int | None, typer.Option(help="Ask the verifier this many times per check if the endpoint gives no log-probabilities.")
    ] = None,
    edit: Annotated[
        str | None, typer.Option(help="auto: let the refiner edit the best image instead of generating a new one; none: never.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Generate images of this size in pixels: WIDTHxHEIGHT.")] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="Describe what the image must not show, if the image model supports it.")
    ] = None,
    review: Annotated[
        str | None,
        typer.Option(help="Ask for your review before the first image (plan), after each decision (image), both or none."),
    ] = None,
    fuse: Annotated[
        bool | None, typer.Option("--fuse/--no-fuse", help="Let the refiner also write the experience of the round, in one call.")
    ] = None,
    lessons: Annotated[
        str | None,
        typer.Option(
            help="keep: use lessons of earlier runs and learn new ones; review: new ones wait for approval; "
            "read: learn none; none: use none."
        ),
    ] = None,
    accept_at: Annotated[
        float | None, typer.Option(help="Accept an image without unknown checks from this score on, up to 1.")
    ] = None,
    patience: Patience = None,
    max_images: MaxImages = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_cost: MaxCost = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first image; later images count up from it.")] = None,
    keep_seed: Annotated[
        bool | None, typer.Option("--keep-seed/--new-seeds", help="Use the seeds of the first round in every round.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many chat calls and images each role may use, and run nothing.")
    ] = False,
    checks: Annotated[int, typer.Option(min=1, help="With --dry-run: number of checks to assume.")] = 8,
    thread: Annotated[str | None, typer.Option(help="Name of the run; by default made from the time and the request.")] = None,
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
    """Generate an image from a request: plan, generate, verify, remember and refine."""
    set_debug(debug)
    from ..config import apply_options, load_config
    from ..evaluation.variants import parse_noise
    from ..runs.client import Gems

    prompt = read_request(prompt)
    file = apply_options(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    noise = parse_noise(verifier_noise, "--verifier-noise") if verifier_noise is not None else {}
    overrides = {
        **{"max_rounds": rounds, "candidates": candidates, "recall": recall, "verify": verify, "seed": seed, "votes": votes},
        **{"verify_size": verify_size, "edit": edit, "negative_prompt": negative_prompt, **_parse_size(size)},
        **{"plan": plan, "confirm": confirm, "skip_children": skip_children, "checkers": checkers, **noise},
        **{"review": review, "lessons": lessons, "fuse": fuse, "accept_at": accept_at, "patience": patience},
        **{"keep_seed": keep_seed, "max_images": max_images, "max_calls": max_calls, "max_tokens": max_tokens},
        **{"max_seconds": max_seconds, "max_cost": max_cost},
    }
    settings: dict[str, Any] = {**file.run, **{name: value for name, value in overrides.items() if value is not None}}
    if dry_run and events:
        raise SettingError("--dry-run and --events: a dry run has no events; use --json")
    if dry_run:
        _print_estimate(prompt, settings_of(preset or file.preset, **settings), file, checks, as_json)
        return
    progress = progress_printer(as_json, events)
    workspace = workspace_of(runs, store, image_store)
    client = Gems(file.chats, file.image, runs=workspace, skills=load_skills(skills, progress))

    def start(control: RunControl) -> RunResult:
        ask = terminal_reviewer(progress, workspace, control)
        name = preset or file.preset
        return client.run(prompt, preset=name, thread=thread, on_event=progress, control=control, ask=ask, **settings)

    run_session(progress, workspace, as_json, start)


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


def resume_command(
    thread: Annotated[str, typer.Argument(help="Name of the run, as `gems runs` lists it.")],
    answer: Annotated[
        str | None, typer.Option(help="Answer the review that the run waits for, as JSON or @FILE; see docs/review.md.")
    ] = None,
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
    """Resume a run that was interrupted, from its last finished step, or that waits for your review."""
    set_debug(debug)
    from ..runs.client import Gems

    progress = progress_printer(as_json, events)
    workspace = workspace_of(runs, store, image_store)
    models = replacement_models(thread, workspace, chat, image, config)
    client = Gems(**models, runs=workspace, skills=load_skills(skills, progress))
    given = read_answer(answer) if answer is not None else None

    def start(control: RunControl) -> RunResult:
        ask = terminal_reviewer(progress, workspace, control) if given is None else None
        return client.resume(thread, answer=given, on_event=progress, control=control, ask=ask)

    run_session(progress, workspace, as_json, start)


def _parse_size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SettingError(f"--size {size}: write WIDTHxHEIGHT in pixels, such as 1024x1024")
    return {"width": int(width), "height": int(height)}
