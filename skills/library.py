"""The library: the bundled skills, and the user's own on top of them."""

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
"""How deep below a root skills are looked for."""
MAX_LINKED_DEPTH = 2
"""How deep behind a link: it may lead anywhere."""
MAX_FOLDERS = 100_000
"""Most folders of a root that are looked at."""
MAX_NOTES = 20
"""Most lines that a run or a command says about skills."""


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
    """Why a skill was left out."""
    warnings: tuple[SkillProblem, ...] = ()
    """What is wrong with a skill that can be used all the same, or with a root."""

    @classmethod
    def load(cls, folders: Sequence[Path | str] = ()) -> SkillLibrary:
        """Load the bundled skills, then those of the variable `GEMS_SKILLS`, then those of `folders`; later ones win by name.

        A folder is a skill itself, or the root of a collection: whatever lies in it, such as `NAME`, `skills/NAME`,
        `plugins/P/skills/NAME` and `.claude/skills/NAME`, is found. A skill that departs from the standard is loaded with a
        warning; one that cannot be used is left out and told in `problems`.

        Raises:
            SkillError: a folder does not exist.
        """
        roots = [require_folder(Path(entry), f", named in {SKILLS_VARIABLE},") for entry in _folders_of_environment()]
        roots += [require_folder(Path(entry)) for entry in folders]
        own: dict[str, Skill] = {}
        problems: list[SkillProblem] = []
        warnings: list[SkillProblem] = []
        for root in roots:
            found, left_out, noted = _load_root(root)
            problems += left_out
            warnings += noted
            for skill in found:
                if skill.name in own and own[skill.name].path != skill.path:
                    place = f"{skill.path.parent.name}/{skill.path.name}"
                    warnings.append(_problem(own[skill.name], f"the skill {skill.name!r} of {place} is used in its place"))
                own[skill.name] = skill
        skills = {skill.name: skill for skill in _load_root(BUNDLED)[0]} | own
        return cls(tuple(skills[name] for name in sorted(skills)), tuple(problems), tuple(warnings))

    @classmethod
    def of(cls, skills: SkillLibrary | Sequence[Path | str] | None) -> SkillLibrary:
        """Return a library as it is, and folders as a library with the bundled skills.

        Raises:
            SkillError: a folder does not exist.
        """
        return skills if isinstance(skills, SkillLibrary) else cls.load(skills or ())

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the skills, in order."""
        return tuple(skill.name for skill in self.skills)

    def notes(self, *, paths: bool = True) -> tuple[str, ...]:
        """Return what a command or a run says of the library: a line for each problem and warning, the gravest first, not too many.

        Args:
            paths: name each file with its whole path, or, for what is kept, with its folder's name only.
        """

        def line(problem: SkillProblem) -> str:
            return str(problem if paths else replace(problem, file=Path(problem.file.parent.name, problem.file.name)))

        lines = [f"skill left out: {line(problem)}" for problem in self.problems]
        lines += [f"skill: {line(warning)}" for warning in sorted(self.warnings, key=lambda warning: warning.cosmetic)]
        more = len(lines) - MAX_NOTES
        end = [f"skills: {more} more such notes, see `gems skills validate FOLDER`"] if more > 0 else []
        return (*lines[:MAX_NOTES], *end)

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


def skill_folders(root: Path) -> list[Path]:
    """Return the skills' folders in a root, the root itself among them, the nearest first.

    What lies below a skill's folder is part of that skill, but for collections: its folders `skills` and `plugins`, and hidden
    ones. Links are followed, not far, and no folder is entered twice.
    """
    found: list[Path] = []
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
            found.append(Path(folder))
            inner = [entry for entry in inner if entry.name in {"skills", "plugins"} or entry.name.startswith(".")]
        if depth > 0:
            queue.extend((entry.path, min(depth - 1, MAX_LINKED_DEPTH) if entry.is_symlink() else depth - 1) for entry in inner)
    return found


def require_folder(folder: Path, origin: str = "") -> Path:
    """Return a folder of skills, with `~` spelled out.

    Raises:
        SkillError: it is not there.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise SkillError(f"the folder of skills {folder}{origin} {what}: create it, or leave it out")
    return folder


def no_skill_problem(folder: Path) -> SkillProblem:
    """Return what is wrong with a folder in which no skill was found."""
    return SkillProblem(folder / SKILL_FILE, 1, f"no skill here: neither this folder nor one in it has a {SKILL_FILE}")


def _load_root(root: Path) -> tuple[list[Skill], list[SkillProblem], list[SkillProblem]]:
    """Return the skills of a root, each under a name of its own, why others were left out, and what else is wrong."""
    skills: dict[str, Skill] = {}
    problems: list[SkillProblem] = []
    warnings: list[SkillProblem] = []
    folders = skill_folders(root)
    for folder in folders:
        skill, faults = read_skill(folder)
        if skill is None:
            problems += [fault for fault in faults if not fault.cosmetic]
            continue
        warnings += faults
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
    """Return a free name for a skill whose own is taken: with the collection that it is from, else with a number."""
    above = [part for part in skill.path.relative_to(root.absolute()).parts[:-1] if part != "skills" and not part.startswith(".")]
    names = chain([f"{usable_name(above[-1])}-{skill.name}"] if above else [], (f"{skill.name}-{n}" for n in count(2)))
    return next(name for name in names if name not in taken)


def _problem(skill: Skill, reason: str) -> SkillProblem:
    return SkillProblem(skill_file(skill.path), 1, reason)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _folders_of_environment() -> list[str]:
    return [entry for entry in os.environ.get(SKILLS_VARIABLE, "").split(os.pathsep) if entry.strip()]
