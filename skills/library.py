"""The library of skills: the bundled ones and the user's."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from ..errors import SkillError
from .frontmatter import usable_name
from .skill import SKILL_FILE, SKIPPED_FOLDERS, Skill, SkillProblem, read_skill, skill_file

BUNDLED = Path(__file__).parent
SKILLS_VARIABLE = "GEMS_SKILLS"
MAX_DEPTH = 6
"""Levels of folders below a root that are searched for skills."""
MAX_LINKED_DEPTH = 2
"""Levels that are searched behind a link, which may lead anywhere."""
MAX_FOLDERS = 100_000
"""Folders of a root that are searched."""
MAX_NOTES = 20
"""Notes about skills in a run or a command."""


@dataclass(frozen=True)
class SkillLibrary:
    """The skills that a run may load, and the problems of those that were left out.

    Example:
        ```python
        skills = gems.SkillLibrary.load(["my-skills"])
        print(skills.catalog())
        result = gems.run("an origami crane", skills=skills)
        ```
    """

    skills: tuple[Skill, ...] = ()
    problems: tuple[SkillProblem, ...] = ()
    """Problems of skills that were left out."""
    warnings: tuple[SkillProblem, ...] = ()
    """Problems of skills that can be used, and of roots."""

    @classmethod
    def load(cls, folders: Sequence[Path | str] = ()) -> SkillLibrary:
        """Load the bundled skills, those of the variable `GEMS_SKILLS` and those of `folders`; of equal names the last one wins.

        A folder is a skill, or the root of a collection, in which `NAME`, `skills/NAME`, `plugins/P/skills/NAME`,
        `.claude/skills/NAME` and the like are found. A skill that deviates from the standard is loaded with a warning; one that
        cannot be used is left out and listed in `problems`.

        Raises:
            SkillError: a folder does not exist.
        """
        listed = [entry for entry in os.environ.get(SKILLS_VARIABLE, "").split(os.pathsep) if entry.strip()]
        roots = [require_folder(Path(entry), f", named in {SKILLS_VARIABLE},") for entry in listed]
        roots += [require_folder(Path(entry)) for entry in folders]
        own: dict[str, Skill] = {}
        problems: list[SkillProblem] = []
        warnings: list[SkillProblem] = []
        for root in roots:
            skills, root_problems, root_warnings = _load_root(root)
            problems += root_problems
            warnings += root_warnings
            for skill in skills:
                if skill.name in own and own[skill.name].path != skill.path:
                    place = f"{skill.path.parent.name}/{skill.path.name}"
                    warnings.append(_problem(own[skill.name], f"the skill {skill.name!r} of {place} is used in its place"))
                own[skill.name] = skill
        by_name = {skill.name: skill for skill in _load_root(BUNDLED)[0]} | own
        return cls(tuple(by_name[name] for name in sorted(by_name)), tuple(problems), tuple(warnings))

    @classmethod
    def of(cls, skills: SkillLibrary | Sequence[Path | str] | None) -> SkillLibrary:
        """Return a library unchanged, and folders as a library with the bundled skills.

        Raises:
            SkillError: a folder does not exist, or the folders are no list.
        """
        if isinstance(skills, str | Path):
            raise SkillError(f"skills={str(skills)!r}: give a list of folders, such as [{str(skills)!r}]")
        return skills if isinstance(skills, SkillLibrary) else cls.load(skills or ())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the skills, sorted."""
        return tuple(skill.name for skill in self.skills)

    def notes(self, *, paths: bool = True) -> tuple[str, ...]:
        """Return a line for each problem and warning, the most severe first, at most `MAX_NOTES` of them.

        Args:
            paths: give each file with its whole path; False, for what is stored, with the name of its folder only.
        """

        def line(problem: SkillProblem) -> str:
            return str(problem if paths else replace(problem, file=Path(problem.file.parent.name, problem.file.name)))

        lines = [f"skill left out: {line(problem)}" for problem in self.problems]
        lines += [f"skill: {line(warning)}" for warning in sorted(self.warnings, key=lambda warning: warning.cosmetic)]
        more = len(lines) - MAX_NOTES
        end = [f"skills: {more} more such notes, see `gems skills validate FOLDER`"] if more > 0 else []
        return (*lines[:MAX_NOTES], *end)

    def get(self, name: str) -> Skill:
        """Return a skill by its name.

        Raises:
            SkillError: there is none; the message lists the names.
        """
        for skill in self.skills:
            if skill.name == name:
                return skill
        raise SkillError(f"unknown skill {name!r}: choose one of {', '.join(self.names) or '(none)'}")

    def catalog(self) -> str:
        """Return the catalog for the planner: a line with name and description for each skill."""
        return "\n".join(f"- {skill.name}: {skill.description}" for skill in self.skills)

    def __len__(self) -> int:
        return len(self.skills)

    def __iter__(self) -> Iterator[Skill]:
        return iter(self.skills)


def skill_folders(root: Path) -> list[Path]:
    """Return the folders of skills in a root, perhaps the root itself, the nearest first.

    Folders below a skill's folder belong to that skill, except collections in it: `skills`, `plugins` and hidden folders. Links
    are followed for `MAX_LINKED_DEPTH` levels, and no folder is entered twice.
    """
    folders: list[Path] = []
    seen: set[tuple[int, int]] = set()
    queue = deque([(str(root), MAX_DEPTH)])
    while queue and len(seen) < MAX_FOLDERS:
        folder, depth = queue.popleft()
        try:
            status = os.stat(folder)  # noqa: PTH116, strings: a Path for each of many thousand folders takes seconds
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError:
            continue
        inner = [entry for entry in entries if entry.name not in SKIPPED_FOLDERS and _is_folder(entry)]
        if any(entry.name.upper() == SKILL_FILE.upper() and not _is_folder(entry) for entry in entries):
            folders.append(Path(folder))
            inner = [entry for entry in inner if entry.name in {"skills", "plugins"} or entry.name.startswith(".")]
        if depth > 0:
            queue.extend((entry.path, min(depth - 1, MAX_LINKED_DEPTH) if entry.is_symlink() else depth - 1) for entry in inner)
    return folders


def require_folder(folder: Path, origin: str = "") -> Path:
    """Return a folder of skills with `~` expanded.

    Raises:
        SkillError: it does not exist.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise SkillError(f"the folder of skills {folder}{origin} {what}: create it, or leave it out")
    return folder


def no_skill_problem(folder: Path) -> SkillProblem:
    """Return the problem of a folder without skills."""
    return SkillProblem(folder / SKILL_FILE, 1, f"no skill here: neither this folder nor one in it has a {SKILL_FILE}")


def _load_root(root: Path) -> tuple[list[Skill], list[SkillProblem], list[SkillProblem]]:
    """Return the skills of a root under unique names, the problems of those left out, and warnings."""
    skills: dict[str, Skill] = {}
    problems: list[SkillProblem] = []
    warnings: list[SkillProblem] = []
    folders = skill_folders(root)
    for folder in folders:
        skill, found = read_skill(folder)
        if skill is None:
            problems += [problem for problem in found if not problem.cosmetic]
            continue
        warnings += found
        other = skills.get(skill.name)
        place = other.path.relative_to(root.absolute()) if other else None
        if other is not None and other.description == skill.description:
            warnings.append(_problem(skill, f"a copy of the skill {skill.name!r} of {place}, which is used"))
            continue
        if other is not None:
            name = _free_name(skill, root, skills)
            reason = f"another skill, of {place}, is named {skill.name!r}: this one is listed as {name!r}"
            warnings.append(_problem(skill, reason))
            skill = replace(skill, name=name)
        skills[skill.name] = skill
    if not folders:
        warnings.append(no_skill_problem(root))
    return list(skills.values()), problems, warnings


def _free_name(skill: Skill, root: Path, taken: Container[str]) -> str:
    """Return an unused name for a skill whose name is taken: with the name of its collection, else with a number."""
    above = [part for part in skill.path.relative_to(root.absolute()).parts[:-1] if part != "skills" and not part.startswith(".")]
    names = chain([f"{usable_name(above[-1])}-{skill.name}"] if above else [], (f"{skill.name}-{n}" for n in count(2)))
    return next(name for name in names if name not in taken)


def _problem(skill: Skill, reason: str) -> SkillProblem:
    return SkillProblem(skill_file(skill.path), 1, reason)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circular link
        return False
