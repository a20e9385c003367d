"""One skill: a folder with a SKILL.md, as the Agent Skills standard has it (agentskills.io)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import GemsError
from .frontmatter import Document, Note, UnreadableError, body_of, read

SKILL_FILE = "SKILL.md"
REFERENCES = "references"
MAX_FILE_BYTES = 200_000
"""Largest file read: what is read ends up in a prompt."""

_MENTION = re.compile(rf"\b{REFERENCES}/[\w./-]*\w")


class SkillError(GemsError, ValueError):
    """A skill, a file of one, or a folder of skills that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class SkillProblem:
    """Something wrong with a skill, and where. A cosmetic one does not keep the skill from being used."""

    file: Path
    line: int
    reason: str
    cosmetic: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Skill:
    """A skill of a library. Only the front matter is kept; the body and the files are read from disk when asked for."""

    name: str
    description: str
    path: Path
    """The skill's folder."""
    license: str = ""
    compatibility: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    allowed_tools: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """The instructions: SKILL.md without its front matter.

        Raises:
            SkillError: the file cannot be read any more.
        """
        try:
            return body_of(_text(self.path / SKILL_FILE))
        except UnreadableError as error:
            raise SkillError(f"skill {self.name!r}: {SKILL_FILE}:{error.line}: {error.reason}") from error

    @property
    def files(self) -> tuple[str, ...]:
        """The files that may be read, by their names relative to the skill's folder. Hidden files and ways out are left out."""
        home = self.path.resolve()
        inside = [path for path in self.path.rglob("*") if path.is_file() and path.resolve().is_relative_to(home)]
        names = [path.relative_to(self.path) for path in inside]
        return tuple(sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)))

    @property
    def references(self) -> tuple[str, ...]:
        """The files under references/, by their names relative to the skill's folder."""
        return tuple(name for name in self.files if name.startswith(f"{REFERENCES}/"))

    def read(self, file: str) -> str:
        """Return the text of one of the skill's files.

        Raises:
            SkillError: the name is not one of `files`, or the file is not text of a reasonable size.
        """
        # A list of what is allowed needs no cleverness about what is not: "..", "/", drives and links simply are not in it.
        if file not in self.files:
            names = self.references or self.files
            raise SkillError(f"skill {self.name!r} has no file {file!r}: choose one of {', '.join(names) or '(none)'}")
        try:
            return _text(self.path / file)
        except UnreadableError as error:
            raise SkillError(f"skill {self.name!r}: {file}:{error.line}: {error.reason}") from error


def read_skill(folder: Path) -> tuple[Skill | None, tuple[SkillProblem, ...]]:
    """Read a skill's folder: the skill, None where it cannot be used, and everything that is wrong with it."""
    file = folder / SKILL_FILE
    try:
        document = read(_text(file))
    except UnreadableError as error:
        return None, (SkillProblem(file, error.line, error.reason),)
    notes = sorted([*document.notes, *_folder_notes(folder, document)], key=lambda note: note.line)
    problems = tuple(SkillProblem(file, *note) for note in notes)
    if not all(problem.cosmetic for problem in problems):
        return None, problems
    return _skill(folder, document), problems


def _skill(folder: Path, document: Document) -> Skill:
    return Skill(
        name=document.name,
        description=document.description,
        path=folder.absolute(),
        license=document.license,
        compatibility=document.compatibility,
        metadata=document.metadata,
        allowed_tools=document.allowed_tools,
    )


def _folder_notes(folder: Path, document: Document) -> list[Note]:
    notes = []
    own = folder.resolve().name if folder.name in {"", ".."} else folder.name
    if document.name and document.name != own:
        notes.append(
            Note(document.lines["name"], f"name {document.name!r} differs from the folder's name {own!r}: make them equal")
        )
    present = _skill(folder, document).references
    for mention in dict.fromkeys(_MENTION.findall(document.body)):
        if mention not in present:
            notes.append(Note(_line_of(mention, folder), f"the body names {mention}, which the skill does not have", True))
    return notes


def _line_of(words: str, folder: Path) -> int:
    text = _text(folder / SKILL_FILE)
    return text.count("\n", 0, text.rfind(words)) + 1


def _text(file: Path) -> str:
    """Read a text file; what stands in the way is told with its line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableError(1, f"the file cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableError(1, f"the file has {len(data)} bytes: at most {MAX_FILE_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(data.count(b"\n", 0, error.start) + 1, "the file is not UTF-8 text") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
