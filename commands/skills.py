"""The commands `gems skills`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import echo
from .options import Skills, load_skills, path_option

SkillName = Annotated[str, typer.Argument(help="Name of the skill.")]

skills_app = typer.Typer(help="List, show, check and create the skills that the planner may load.", no_args_is_help=True)


@skills_app.command("list")
def skills_list(skills: Skills = None) -> None:
    """List the name and description of each skill, as the planner sees them."""
    for skill in load_skills(skills):
        echo(f"{skill.name}: {skill.description}")


@skills_app.command("show")
def skills_show(name: SkillName, skills: Skills = None) -> None:
    """Print the instructions of a skill."""
    skill = load_skills(skills).get(name)
    echo(skill.body)
    if files := skill.files:
        echo("\nFiles: " + ", ".join(files))


@skills_app.command("validate")
def skills_validate(folder: Annotated[Path, typer.Argument(help="Folder of a skill, or of several skills.")]) -> None:
    """Check a skill, or every skill in a folder. Exit with code 2 if one is invalid."""
    from ..skills import validate

    problems = validate(folder)
    for problem in problems:
        echo(problem)
    if any(not problem.cosmetic for problem in problems):
        raise typer.Exit(2)
    echo(f"{folder}: valid")


@skills_app.command("new")
def skills_new(
    name: SkillName, folder: Annotated[Path, path_option("--in", help="Folder to create it in.")] = Path("my-skills")
) -> None:
    """Create a skill from a template."""
    from ..skills import new

    path = new(name, folder)
    echo(f"{path}: edit SKILL.md in it, then use it with --skills {folder}")
