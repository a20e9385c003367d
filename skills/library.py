"""The library: the bundled skills, and the user's own on top of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from .skill import SKILL_FILE, Skill, SkillError, SkillProblem, read_skill

BUNDLED = Path(__file__).parent
VARIABLE = "GEMS_SKILLS"


@dataclass(frozen=True)
class SkillLibrary:
    """The skills a run may use, by name, and what was wrong with those that were left out."""

    skills: tuple[Skill, ...] = ()
    problems: tuple[SkillProblem, ...] = ()
    """Why a skill was left out."""
    warnings: tuple[SkillProblem, ...] = ()
    """What is cosmetically wrong with a skill that can be used all the same."""

    @classmethod
    def load(cls, folders: Sequence[Path | str] = ()) -> SkillLibrary:
        """Load the bundled skills, then those of the variable `GEMS_SKILLS`, then those of `folders`; later ones win by name.

        A folder holds skill folders or is one itself. A broken skill is left out and told in `problems`.

        Raises:
            SkillError: a folder does not exist.
        """
        own = [_existing(Path(entry), f", named in {VARIABLE},") for entry in _from_environment()]
        own += [_existing(Path(entry)) for entry in folders]
        found = [skill_folders(folder) for folder in own]
        empty = [_no_skills(folder) for folder, inside in zip(own, found, strict=True) if not inside]
        return cls._of([*skill_folders(BUNDLED), *chain(*found)], empty)

    @classmethod
    def of(cls, skills: SkillLibrary | Sequence[Path | str] | None) -> SkillLibrary:
        """Return a library as it is, and folders as a library with the bundled skills.

        Raises:
            SkillError: a folder does not exist.
        """
        return skills if isinstance(skills, SkillLibrary) else cls.load(skills or ())

    @classmethod
    def _of(cls, folders: Iterable[Path], warnings: list[SkillProblem]) -> SkillLibrary:
        skills: dict[str, Skill] = {}
        problems: list[SkillProblem] = []
        for folder in folders:
            skill, found = read_skill(folder)
            if skill is not None:
                skills[skill.name] = skill
            problems += [problem for problem in found if not problem.cosmetic]
            warnings = [*warnings, *(problem for problem in found if problem.cosmetic)]
        return cls(tuple(skills[name] for name in sorted(skills)), tuple(problems), tuple(warnings))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the skills, in order."""
        return tuple(skill.name for skill in self.skills)

    def get(self, name: str) -> Skill:
        """Return the skill of a name.

        Raises:
            SkillError: there is none; the message lists those there are.
        """
        for skill in self.skills:
            if skill.name == name:
                return skill
        raise SkillError(f"unknown skill {name!r}: choose one of {', '.join(self.names) or '(none)'}")

    def catalog(self) -> str:
        """Return what a planner needs to choose: a line with name and description for each skill."""
        return "\n".join(f"- {skill.name}: {skill.description}" for skill in self.skills)

    def __len__(self) -> int:
        return len(self.skills)

    def __iter__(self) -> Iterator[Skill]:
        return iter(self.skills)


def _from_environment() -> list[str]:
    return [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry.strip()]


def _existing(folder: Path, origin: str = "") -> Path:
    folder = folder.expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise SkillError(f"the folder of skills {folder}{origin} {what}: create it, or leave it out")
    return folder


def skill_folders(folder: Path) -> list[Path]:
    """Return the folder itself where it is a skill's, else the skills' folders in it."""
    if (folder / SKILL_FILE).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{SKILL_FILE}") if not file.parent.name.startswith("."))


def _no_skills(folder: Path) -> SkillProblem:
    return SkillProblem(
        folder / SKILL_FILE, 1, f"no skill here: neither this folder nor one in it has a {SKILL_FILE}", cosmetic=True
    )
