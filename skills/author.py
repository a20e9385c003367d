"""Tools for authors of skills: a template, and a validator."""

from __future__ import annotations

from pathlib import Path

from ..errors import SkillError
from .frontmatter import name_problem
from .library import no_skill_problem, require_folder, skill_folders
from .skill import SKILL_FILE, SkillProblem, read_skill

TEMPLATE = """\
---
name: {name}
description: What this skill adds to a prompt, in one sentence. Use it when the request ... Do not use it when ...
license: Say whose text it is, or its licence.
metadata:
  version: "1"
---

# {title}

## Use it, or leave it

Use it when the request ...
Leave it when ... A rewrite that is not needed changes the style of a short prompt: then keep the user's words.

## Method

1. Keep every object, number, name and quoted string of the request.
2. Say what is seen, in concrete nouns: ...

## Examples

Request: ...

Prompt: ...

Request: ... (leave it) -> Prompt: the same words

## When a check fails

- What is seen: what to change.

## Check yourself

- Is everything the user asked for still there?
- Is anything there that the user would not want?
"""


def validate(folder: Path) -> list[SkillProblem]:
    """Return the problems of a skill, or of all skills in a folder, by the standard; cosmetic ones too.

    Raises:
        SkillError: the folder does not exist.
    """
    folders = skill_folders(require_folder(folder))
    return [problem for path in folders for problem in read_skill(path)[1]] if folders else [no_skill_problem(folder)]


def new(name: str, parent: Path) -> Path:
    """Write a template of a skill to a new folder in `parent`; return the folder.

    Raises:
        SkillError: the name is not valid for a skill, or the folder exists.
    """
    if problem := name_problem(name):
        raise SkillError(problem)
    folder = parent / name
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise SkillError(f"{folder} exists: choose another name, or remove it") from error
    except OSError as error:
        raise SkillError(f"{folder} cannot be created: {error.strerror}") from error
    title = name.replace("-", " ").capitalize()
    (folder / SKILL_FILE).write_text(TEMPLATE.format(name=name, title=title), encoding="utf-8")
    return folder
