"""A skill: a folder with a SKILL.md, by the Agent Skills standard (agentskills.io)."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from ..errors import FrontMatterError, SkillError
from .frontmatter import FrontMatterNote, parse_skill_text, usable_name

SKILL_FILE = "SKILL.md"
REFERENCES = "references"
MAX_FILE_BYTES = 500_000
"""Size of the largest file that is read: its text goes into a prompt."""
MAX_FILES = 200
"""Files that are listed of a skill, and of each of its folders."""
MAX_FILE_NAME = 300
"""Characters of a mentioned file's name; longer text is not looked up."""
SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__"})
"""Folders without texts for people or models."""

_MENTION = re.compile(
    r"`([^`\n]{1,200})`|\]\(<?([^()<>\n]{1,200})"
    r"|(?<![\w.-])(?<![\w.-]/)((?:[\w.-]+/)*[\w-]+(?:\.\w+)+|(?:[\w.-]+/)+)"  # a run of characters starts only once
)
_FILE_IN_REFERENCES = re.compile(rf"{REFERENCES}/[\w./-]{{0,{MAX_FILE_NAME}}}\w\.\w+")


@dataclass(frozen=True)
class SkillProblem:
    """A problem of a skill, with its place. With a fatal one the skill cannot be used; a cosmetic one breaks no standard."""

    file: Path
    line: int
    reason: str
    cosmetic: bool = False
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Skill:
    """A skill of a library. It holds the front matter only; body and files are read from disk on demand."""

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
            SkillError: the file can no longer be read.
        """
        try:
            return parse_skill_text(_read_text(skill_file(self.path), self.path)).body
        except FrontMatterError as error:
            raise SkillError(f"skill {self.name!r}: {SKILL_FILE}:{error.line}: {error.reason}") from error

    @property
    def files(self) -> tuple[str, ...]:
        """The text files that the body mentions and those in references/, relative to the skill's folder.

        Hidden files, files outside the folder and binary files are left out.

        Raises:
            SkillError: the body can no longer be read.
        """
        names = [*_mentioned_names(self.body, self.path.name), f"{REFERENCES}/"]
        files = {file for name in names for file in _files_at(self.path, name) if _is_text(self.path / file)}
        return tuple(sorted(files - {SKILL_FILE})[:MAX_FILES])

    @property
    def has_files(self) -> bool:
        """Whether the folder contains anything besides SKILL.md that is not hidden."""
        try:
            with os.scandir(self.path) as entries:
                names = (entry.name for entry in entries if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS)
                return any(name.upper() != SKILL_FILE.upper() for name in names)
        except OSError:
            return False

    @property
    def references(self) -> tuple[str, ...]:
        """The files in references/, relative to the skill's folder."""
        return tuple(name for name in self.files if name.startswith(f"{REFERENCES}/"))

    def read(self, file: str) -> str:
        """Return the text of a file in the skill's folder. Scripts are read like other files and never run.

        Raises:
            SkillError: the file does not exist, is hidden, is outside the folder, is not text, or is too large.
        """
        if not _is_inside(self.path, file):
            raise SkillError(f"skill {self.name!r} has no file {file!r}: choose one of {', '.join(self.files) or '(none)'}")
        try:
            return _read_text(self.path / file, self.path)
        except FrontMatterError as error:
            raise SkillError(f"skill {self.name!r}: {file}:{error.line}: {error.reason}") from error


def skill_file(folder: Path) -> Path:
    """Return the SKILL.md of a folder, whose name may differ in case."""
    if (folder / SKILL_FILE).exists():
        return folder / SKILL_FILE
    try:
        names = sorted(name for name in os.listdir(folder) if name.upper() == SKILL_FILE.upper())  # noqa: PTH208, names are enough
    except OSError:
        names = []
    return folder / (names[0] if names else SKILL_FILE)


def read_skill(folder: Path) -> tuple[Skill | None, tuple[SkillProblem, ...]]:
    """Return the skill in a folder, None if it cannot be used, and all its problems."""
    file = skill_file(folder)
    try:
        text = _read_text(file, folder)
        document = parse_skill_text(text)
    except FrontMatterError as error:
        return None, (SkillProblem(file, error.line, error.reason, fatal=True),)
    own = folder.resolve().name if folder.name in {"", ".."} else folder.name
    given = document.fields["name"]
    name = usable_name(given, own)
    notes = [*document.notes, *_mention_notes(folder, text, document.body)]
    if unicodedata.normalize("NFKC", given) not in {"", unicodedata.normalize("NFKC", own)}:
        listed = "" if name == given else f"; it is listed as {name!r}"
        reason = f"name {given!r} differs from the folder's name {own!r}: make them equal{listed}"
        notes.append(FrontMatterNote(document.name_line, reason))
    if file.name != SKILL_FILE:
        notes.append(FrontMatterNote(1, f"the file is named {file.name}: the standard's name is {SKILL_FILE}"))
    problems = tuple(SkillProblem(file, *note) for note in sorted(notes, key=lambda note: note.line))
    usable = not any(problem.fatal for problem in problems)
    return Skill(**document.fields | {"name": name}, path=folder.absolute()) if usable else None, problems


def _mention_notes(folder: Path, text: str, body: str) -> list[FrontMatterNote]:
    notes = []
    for name in dict.fromkeys(_FILE_IN_REFERENCES.findall(unquote(body))):
        if not any(_files_at(folder, name)):
            reason = "which the skill does not have"
            if os.path.lexists(folder / name):
                reason = "which is no file in the skill's folder"
            line = text.count("\n", 0, max(0, unquote(text).rfind(name))) + 1
            notes.append(FrontMatterNote(line, f"the body names {name}, {reason}", True))
    return notes


def _mentioned_names(body: str, own: str) -> Iterator[str]:
    """Yield the names in a body that may be files or folders of the skill: in code, in links and in plain text."""
    mentions = dict.fromkeys("".join(match) for match in _MENTION.findall(body))
    for mention in (text for text in mentions if len(text) <= MAX_FILE_NAME):
        name = mention.split("#")[0].strip().removeprefix("./")
        yield name
        yield unquote(name)
        if f"{own}/" in name:
            yield name.split(f"{own}/", 1)[1]
        yield from re.findall(r"(?:[\w.-]+/)+[\w.-]*\w", name)  # in a command line, or after a variable


def _files_at(folder: Path, name: str) -> Iterator[str]:
    """Yield the name if it is a file of the folder, or the files in it if it is a folder; references/ is listed recursively."""
    if _is_inside(folder, name):
        yield name
    elif name.endswith("/") and _is_inside(folder, name.rstrip("/"), os.path.isdir):
        for at, folders, files in os.walk(folder / name):
            folders[:] = [] if not name.startswith(f"{REFERENCES}/") else sorted(set(folders) - SKIPPED_FOLDERS)
            inside = [PurePosixPath(Path(at, file).relative_to(folder)).as_posix() for file in sorted(files)[:MAX_FILES]]
            yield from (file for file in inside if _is_inside(folder, file))


def _is_inside(folder: Path, name: str, there: Callable[[str], bool] = os.path.isfile) -> bool:
    """Return whether a name is a file inside a folder, and neither hidden nor a path out of it."""
    parts = PurePosixPath(name).parts
    if not name or name != "/".join(parts) or any(part.startswith(".") or part in SKIPPED_FOLDERS for part in parts):
        return False
    whole = os.path.join(folder, name)  # noqa: PTH118, a Path for each of thousands of words takes seconds
    return there(whole) and os.path.realpath(whole).startswith(os.path.realpath(folder) + os.sep)


def _is_text(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return b"\0" not in opened.read(1024)
    except OSError:
        return False


def _read_text(file: Path, folder: Path) -> str:
    """Return the text of a file in a skill's folder.

    Raises:
        FrontMatterError: it is not a text file of the folder; with the line, if it has one.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FrontMatterError(1, "this is not a regular file: replace it by a text file")
        if not file.resolve().is_relative_to(folder.resolve()):
            raise FrontMatterError(1, "this is a link out of the skill's folder: replace it by the file")
        if status.st_size > MAX_FILE_BYTES:
            raise FrontMatterError(1, f"the file has {status.st_size} bytes: at most {MAX_FILE_BYTES} are read")
        data = file.read_bytes()
    except OSError as error:
        raise FrontMatterError(1, f"the file cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FrontMatterError(data.count(b"\n", 0, error.start) + 1, "the file is not UTF-8 text") from error
    if "\0" in text:
        raise FrontMatterError(text.count("\n", 0, text.index("\0")) + 1, "the file is no text: it holds a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n")
