"""The commands `gems skills`: the skills that the planner may load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import echo
from .options import Skills, library, path_option

skills_app = typer.Typer(help="The skills that the planner may load.", no_args_is_help=True)


@skills_app.command("list")
def skills_list(skills: Skills = None) -> None:
    """List the skills: name and description, as the planner sees them."""
    for skill in library(skills):
        echo(f"{skill.name}: {skill.description}")


@skills_app.command("show")
def skills_show(name: str, skills: Skills = None) -> None:
    """Print a skill's instructions."""
    skill = library(skills).get(name)
    echo(skill.body)
    if files := skill.files:
        echo("\nFiles: " + ", ".join(files))


@skills_app.command("validate")
def skills_validate(folder: Path) -> None:
    """Check a skill's folder, or every skill in a folder."""
    from ..skills import validate

    problems = validate(folder)
    for problem in problems:
        echo(problem)
    if any(not problem.cosmetic for problem in problems):
        raise typer.Exit(2)
    echo(f"{folder}: valid")


@skills_app.command("new")
def skills_new(name: str, folder: Annotated[Path, path_option("--in", help="Where to make it.")] = Path("my-skills")) -> None:
    """Make a new skill from a template."""
    from ..skills import new

    path = new(name, folder)
    echo(f"{path}: edit its SKILL.md, then use it with --skills {folder}")
