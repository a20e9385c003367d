"""The command `gems`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from .context import PRESETS, RunContext, SettingError
from .context import preset as settings_of
from .errors import GemsError
from .evaluation.cli import eval_app

if TYPE_CHECKING:
    from .config import Config
    from .graph.run import RunResult
    from .progress import Progress
    from .skills import SkillLibrary

app = typer.Typer(
    help="GEMS: draws an image, checks it, remembers what it learned and refines until every check passes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
skills_app = typer.Typer(help="The skills that the planner may load.", no_args_is_help=True)
app.add_typer(skills_app, name="skills")
app.add_typer(eval_app, name="eval")

RUNS = Path("runs")
Runs = Annotated[Path, typer.Option("--runs", envvar="GEMS_RUNS", help="Folder of runs: checkpoints, images, reports.")]
Chat = Annotated[str | None, typer.Option(envvar="GEMS_CHAT", help="Chat model: shapes, openai:MODEL or http://HOST/v1#MODEL.")]
ImageSpec = Annotated[
    str | None,
    typer.Option(
        "--image",
        envvar="GEMS_IMAGE",
        help="Image model: shapes, diffusers:REPOSITORY, diffusers:FOLDER, openai:MODEL or http://HOST/v1#MODEL.",
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", envvar="GEMS_CONFIG", help="TOML file: models by role, their options, settings.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Option of the image model's call, such as num_inference_steps=9; may be given again."),
]
Device = Annotated[str | None, typer.Option(help="diffusers: cpu, cuda, cuda:1, mps; the best there is by default.")]
Dtype = Annotated[str | None, typer.Option(help="diffusers: float32, bfloat16 or float16.")]
Offload = Annotated[str | None, typer.Option(help="diffusers: none, model, sequential or group.")]
Batch = Annotated[int | None, typer.Option(help="diffusers: most pictures in one call of the pipeline.")]
Skills = Annotated[list[Path] | None, typer.Option("--skills", help="Folder with skills of your own; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs, and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _set_debug(debug: bool) -> None:
    if debug:
        os.environ["GEMS_DEBUG"] = "1"


@app.command("run")
def run_command(
    prompt: Annotated[str, typer.Argument(help="What to draw, in plain words.")],
    preset: Annotated[str | None, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Most rounds.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Images in each round.")] = None,
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
    fuse: Annotated[bool | None, typer.Option("--fuse/--no-fuse", help="The refiner sums up the round too, in one call.")] = None,
    accept_at: Annotated[float | None, typer.Option(help="Accept from this score on, up to 1, though checks are open.")] = None,
    patience: Annotated[int | None, typer.Option(help="Give up after so many rounds without a better image; 0: never.")] = None,
    max_images: Annotated[int | None, typer.Option(help="Most images of the run.")] = None,
    max_calls: Annotated[int | None, typer.Option(help="No new round that would go past so many chat calls.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The same for tokens, in and out.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="The same for seconds of the models.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="The same for money, by the prices in the file of --config.")] = None,
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
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw a request: plan, draw, check, remember and refine."""
    _set_debug(debug)
    from .config import changed, load_config
    from .evaluation.studies import noise as read_noise
    from .graph.run import run
    from .progress import Progress

    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    noise = read_noise(verifier_noise, "--verifier-noise") if verifier_noise is not None else {}
    given = {
        **{"max_rounds": rounds, "candidates": candidates, "recall": recall, "verify": verify, "seed": seed, "votes": votes},
        **{"verify_size": verify_size, "edit": edit, "negative_prompt": negative_prompt, **_size(size)},
        **{"plan": plan, "confirm": confirm, "skip_children": skip_children, "checkers": checkers, **noise},
        **{"fuse": fuse, "accept_at": accept_at, "patience": patience, "keep_seed": keep_seed, "max_images": max_images},
        **{"max_calls": max_calls, "max_tokens": max_tokens, "max_seconds": max_seconds, "max_cost": max_cost},
    }
    settings: dict[str, Any] = {**file.run, **{name: value for name, value in given.items() if value is not None}}
    if dry_run:
        _tell_costs(prompt, settings_of(preset or file.preset, **settings), file, checks, as_json)
        return
    show = Progress(Console(quiet=as_json))
    library = _library(skills)

    def work() -> RunResult:
        return run(
            prompt,
            preset=preset or file.preset,
            thread=thread,
            runs=runs,
            chat=file.chats,
            image=file.image,
            skills=library,
            on_event=show,
            **settings,
        )

    _finish(show, runs, as_json, work)


def _tell_costs(prompt: str, context: RunContext, file: Config, checks: int, as_json: bool) -> None:
    """Print what a run may take, with its settings checked and nothing else done."""
    from .estimates import remarks, run_table, run_told
    from .graph.run import to_request
    from .nodes.budget import require_prices

    to_request(prompt)
    models = file.models
    require_prices(context, models)
    if as_json:
        print(json.dumps(run_told(context, models, checks), indent=1, ensure_ascii=False))  # noqa: T201
    else:
        Console().print(run_table(context, models, checks))
        for line in remarks(context, models):
            Console().print(f" {escape(line)}", soft_wrap=True, highlight=False)


@app.command("runs")
def runs_command(
    state: Annotated[str | None, typer.Option(help="Only these: running, accepted, 'gave up', unfinished or damaged.")] = None,
    find: Annotated[str | None, typer.Option(help="Only those with this in their name or request.")] = None,
    runs: Runs = RUNS,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, the latest last: how each stands, and what it has taken."""
    from .graph.past import STANDINGS, past_runs
    from .progress import runs_table

    if state is not None and state not in STANDINGS:
        raise SettingError(f"--state {state}: choose one of {', '.join(STANDINGS)}")
    wanted = (find or "").casefold()
    found = [
        past for past in past_runs(runs) if state in (None, past.standing) and wanted in f"{past.thread} {past.prompt}".casefold()
    ]
    if as_json:
        print(json.dumps([{**p._asdict(), "last": p.last.isoformat(timespec="seconds")} for p in found], indent=1))  # noqa: T201
    elif found:
        Console().print(runs_table(found))
    else:
        Console(stderr=True).print("no such run here: begin one with `gems run`, or name their folder with --runs", markup=False)


@app.command("show")
def show_command(
    thread: Annotated[str, typer.Argument(help="Name of the run; see `gems runs`.")],
    open_page: Annotated[bool, typer.Option("--open", help="Open its report page in the browser.")] = False,
    runs: Runs = RUNS,
    as_json: AsJson = False,
) -> None:
    """Show a run as it stands: every round, its checks, what was learned and what it took."""
    from .graph.past import past_run
    from .progress import Progress

    result = past_run(thread, runs)
    if as_json:
        print(json.dumps(summary(result), indent=1, ensure_ascii=False))  # noqa: T201
    else:
        Progress(Console()).tell(result)
    if open_page:
        if not result.report_path.exists():
            raise SettingError(f"the run {thread} has no page yet: `gems resume {thread}` brings it to its end and writes it")
        typer.launch(str(result.report_path.resolve()))


@app.command("presets")
def presets_command(
    checks: Annotated[int, typer.Option(min=1, help="How many checks of a request to reckon with.")] = 8,
    as_json: AsJson = False,
) -> None:
    """List the presets: what each is, and what it may take."""
    from .estimates import presets_table, presets_told

    if as_json:
        print(json.dumps(presets_told(checks), indent=1, ensure_ascii=False))  # noqa: T201
    else:
        Console().print(presets_table(checks))


@app.command("resume")
def resume_command(
    thread: Annotated[str, typer.Argument(help="Name of the run.")],
    chat: Annotated[str | None, typer.Option(help="Another chat model than the run was started with.")] = None,
    image: Annotated[str | None, typer.Option(help="Another image model than the run was started with.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with other models than the run was started with.")] = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Go on with a run that was interrupted, from its last finished step."""
    _set_debug(debug)
    from .config import changed, load_config
    from .graph.run import resume
    from .progress import Progress

    show = Progress(Console(quiet=as_json))
    library = _library(skills)
    models: dict[str, Any] = {"chat": chat, "image": image}
    if config is not None:
        file = changed(load_config(config), chat, image, None)
        models = {"chat": file.chats, "image": file.image}
    _finish(show, runs, as_json, lambda: resume(thread, runs=runs, skills=library, on_event=show, **models))


def _size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise SettingError(f"--size {size}: write WIDTHxHEIGHT in pixels, such as 1024x1024")
    return {"width": int(width), "height": int(height)}


def _finish(show: Progress, runs: Path, as_json: bool, work: Callable[[], RunResult]) -> None:
    from .models.call import ModelCallError
    from .models.image import ImageModelError

    def again() -> str:
        return f"go on with `gems resume {show.thread}{'' if runs == RUNS else f' --runs {runs}'}`"

    def stopped(error: GemsError, option: str) -> NoReturn:
        show.status.stop()
        told = str(error).rstrip(".")
        hint = f" Nothing is lost: {again()}, with {option} for another model" if show.thread else ""
        _fail(told + ("" if told.endswith("?") else ".") + hint, error)

    try:
        result = work()
    except KeyboardInterrupt:
        show.status.stop()
        _fail(f"interrupted: {again()}" if show.thread else "interrupted", None, code=130)
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
        _fail(f"{type(error).__name__}: {str(error)[:500]}{hint} (--debug shows the traceback)", error)
    show.finish(result)
    if as_json:
        print(json.dumps(summary(result), indent=1, ensure_ascii=False))  # noqa: T201


def summary(result: RunResult) -> dict[str, Any]:
    """Return what programs are told of a finished run."""
    best = result.best
    found = {v.check: v for v in best.verdicts}
    total = result.usage.total
    return {
        "thread": result.thread,
        "decision": result.decision,
        "reason": result.state.result.reason if result.state.result else "",
        "image": str(result.image_path),
        "report": str(result.report_path),
        "best": {**best.model_dump(include={"round", "candidate", "prompt", "seed"}), "sha256": best.image.sha256},
        "rounds": result.state.round,
        "skills": result.state.skills,
        "checks": [
            {**check.model_dump(), **found[check.id].model_dump(exclude={"check"})} for check in result.checks if check.id in found
        ],
        "cost": result.cost._asdict() if result.cost else None,
        "usage": {**total.model_dump(), "roles": {name: role.model_dump() for name, role in result.usage.roles.items()}},
        "notes": result.state.notes,
    }


@app.command("serve")
def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 30000,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the key that clients must send; none by default.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open-to-all", help="Serve other machines without a key.")] = False,
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    debug: Debug = False,
) -> None:
    """Serve the chat model and the image model by an OpenAI-compatible HTTP API."""
    _set_debug(debug)
    from .config import changed, load_config
    from .models.call import model_name
    from .models.registry import chat_model, image_model
    from .serve import serve

    key = os.environ.get(key_env, "") if key_env else None
    if key_env and not key:
        raise SettingError(f"--key-env {key_env}: this environment variable is not set; put the key into it")
    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    drawer = image_model(file.image)
    talker = chat_model(file.chat)

    def ready(url: str) -> None:
        print(f"serving {model_name(talker)} and {drawer.name} at {url} (Ctrl-C ends)", flush=True)  # noqa: T201

    serve(talker, drawer, host=host, port=port, key=key, open_to_all=open_to_all, on_ready=ready)


@app.command("doctor")
def doctor_command(
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    draw: Annotated[bool, typer.Option(help="Make pictures too: two, or three where the model edits.")] = True,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check that the models do what GEMS needs of them, and say what to change. Exit code 1 if something essential fails."""
    _set_debug(debug)
    from .config import changed, load_config
    from .doctor import diagnose, table
    from .models.registry import Models

    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    found = []
    with Console(stderr=True).status("asking ...") as status:
        for one in diagnose(Models.choose(file.chats, file.image), draw=draw):
            found.append(one)
            status.update(f"{one.subject}: {one.probe} done ...")
    if as_json:
        print(json.dumps([one._asdict() for one in found], indent=1, ensure_ascii=False))  # noqa: T201
    else:
        Console().print(table(found))
    if any(one.state == "fault" for one in found):
        raise typer.Exit(1)


@skills_app.command("list")
def skills_list(skills: Skills = None) -> None:
    """List the skills: name and description, as the planner sees them."""
    library = _library(skills)
    for skill in library:
        print(f"{skill.name}: {skill.description}")  # noqa: T201


@skills_app.command("show")
def skills_show(name: str, skills: Skills = None) -> None:
    """Print a skill's instructions."""
    skill = _library(skills).get(name)
    print(skill.body)  # noqa: T201
    if skill.references:
        print("\nReferences: " + ", ".join(skill.references))  # noqa: T201


@skills_app.command("validate")
def skills_validate(folder: Path) -> None:
    """Check a skill's folder, or every skill in a folder."""
    from .skills import validate

    problems = validate(folder)
    for problem in problems:
        print(problem)  # noqa: T201
    if any(not problem.cosmetic for problem in problems):
        raise typer.Exit(2)
    print(f"{folder}: valid")  # noqa: T201


@skills_app.command("new")
def skills_new(name: str, folder: Annotated[Path, typer.Option("--in", help="Where to make it.")] = Path("my-skills")) -> None:
    """Make a new skill from a template."""
    from .skills import new

    path = new(name, folder)
    print(f"{path}: edit its SKILL.md, then use it with --skills {folder}")  # noqa: T201


def _library(folders: Sequence[Path] | None) -> SkillLibrary:
    from .skills import SkillLibrary

    library = SkillLibrary.load(list(folders or ()))
    for problem in library.problems:
        Console(stderr=True).print(f"[yellow]skill left out:[/] {escape(str(problem))}", soft_wrap=True)
    return library


def main() -> None:
    """Run the command line. An error that people can mend is one line on standard error, and exit code 2."""
    try:
        app()
    except GemsError as error:
        _fail(str(error), error)
    except KeyboardInterrupt:
        _fail("interrupted", None, code=130)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), error)


def _fail(message: str, error: BaseException | None, code: int = 2) -> NoReturn:
    if error is not None and os.environ.get("GEMS_DEBUG"):
        raise error
    Console(stderr=True).print(f"[red]error:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
