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

from .context import PRESETS
from .errors import GemsError

if TYPE_CHECKING:
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
eval_app = typer.Typer(help="Measure presets on benchmarks.", no_args_is_help=True)
app.add_typer(skills_app, name="skills")
app.add_typer(eval_app, name="eval")

RUNS = Path("runs")
Runs = Annotated[Path, typer.Option("--runs", envvar="GEMS_RUNS", help="Folder of runs: checkpoints, images, reports.")]
Chat = Annotated[str, typer.Option(envvar="GEMS_CHAT", help="Chat model: shapes, openai:MODEL or http://HOST/v1#MODEL.")]
ImageSpec = Annotated[
    str, typer.Option("--image", envvar="GEMS_IMAGE", help="Image model: shapes, diffusers:REPOSITORY or diffusers:FOLDER.")
]
Skills = Annotated[list[Path] | None, typer.Option("--skills", help="Folder with skills of your own; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs, and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _set_debug(debug: bool) -> None:
    if debug:
        os.environ["GEMS_DEBUG"] = "1"


@app.command("run")
def run_command(
    prompt: Annotated[str, typer.Argument(help="What to draw, in plain words.")],
    preset: Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = "default",
    rounds: Annotated[int | None, typer.Option(help="Most rounds.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Images in each round.")] = None,
    recall: Annotated[str | None, typer.Option(help="What the refiner is shown of the memory.")] = None,
    verify: Annotated[str | None, typer.Option(help="batch: all checks in one call; each: a call for each.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first image.")] = None,
    thread: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    chat: Chat = "shapes",
    image: ImageSpec = "shapes",
    skills: Skills = None,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw a request: plan, draw, check, remember and refine."""
    _set_debug(debug)
    from .graph.run import run
    from .progress import Progress

    given = {"max_rounds": rounds, "candidates": candidates, "recall": recall, "verify": verify, "seed": seed}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    show = Progress(Console(quiet=as_json))
    library = _library(skills)

    def work() -> RunResult:
        return run(
            prompt, preset_name=preset, thread=thread, runs=runs, chat=chat, image=image, skills=library, on_event=show, **settings
        )

    _finish(show, runs, as_json, work)


@app.command("resume")
def resume_command(
    thread: Annotated[str, typer.Argument(help="Name of the run.")],
    chat: Annotated[str | None, typer.Option(help="Another chat model than the run was started with.")] = None,
    image: Annotated[str | None, typer.Option(help="Another image model than the run was started with.")] = None,
    skills: Skills = None,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Go on with a run that was interrupted, from its last finished step."""
    _set_debug(debug)
    from .graph.run import resume
    from .progress import Progress

    show = Progress(Console(quiet=as_json))
    library = _library(skills)
    _finish(show, runs, as_json, lambda: resume(thread, runs=runs, chat=chat, image=image, skills=library, on_event=show))


def _finish(show: Progress, runs: Path, as_json: bool, work: Callable[[], RunResult]) -> None:
    def again() -> str:
        return f"go on with `gems resume {show.thread}{'' if runs == RUNS else f' --runs {runs}'}`"

    try:
        result = work()
    except KeyboardInterrupt:
        show.status.stop()
        _fail(f"interrupted: {again()}" if show.thread else "interrupted", None, code=130)
    except GemsError:
        show.status.stop()
        raise
    except Exception as error:  # a model's client raises its own kinds: nothing is lost, and that is what to say
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
        "usage": {**total.model_dump(), "roles": {name: role.model_dump() for name, role in result.usage.roles.items()}},
        "notes": result.state.notes,
    }


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


@eval_app.command("shapes")
def eval_shapes(
    presets: Annotated[str, typer.Option(help="Presets to compare, with commas.")] = "original,best-of-n,paper,default",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many prompts, spread evenly over the benchmark.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="Requests of your own instead, one a line, in the shapes grammar.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every run's first image.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the table as JSON too.")] = None,
    runs: Runs = RUNS,
    debug: Debug = False,
) -> None:
    """Compare presets on the shapes benchmark: 200 seeded prompts, scored by questions the loop never sees."""
    _set_debug(debug)
    from .evaluation.runner import compare, table, to_json

    names = [name.strip() for name in presets.split(",") if name.strip()]
    console = Console(stderr=True)
    results = compare(names, limit=limit, prompts=prompts, seed=seed, runs=runs, console=console)
    Console().print(table(results))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")


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
