"""Parse a SKILL.md: the fields of its front matter, its body, and its problems with their lines.

Parsing is lenient: deviations from the standard are noted, and only a skill without a description is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from ..errors import FrontMatterError

MAX_NAME = 64
MAX_DESCRIPTION = 1024
MAX_LISTED_DESCRIPTION = 10_000
"""Characters of a description in the catalog, which is part of every planning call."""
MAX_COMPATIBILITY = 500
MAX_BODY_LINES = 500
KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")

_FENCE = "---"
_FIRST_LINE = 2  # the line after the opening fence
_NAME = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_USABLE_NAME = re.compile(r"(?=.*\w)[\w.+-]{1,128}")
_CLOSING = re.compile(r"^---[ \t]*", re.MULTILINE)
_INDENTED_CLOSING = re.compile(r"^[ \t]+---[ \t]*$", re.MULTILINE)
_ENTRY = re.compile(r"^([A-Za-z][\w.-]*):(?=[ \t]|$)", re.MULTILINE)
_OLD_FORM = re.compile(
    r"\s*# Skill:[ \t]*(?P<name>[^\n]+)\n+## Description[ \t]*\n(?P<description>.+?)\n(?:-{3,}[ \t]*\n+)?"
    r"## Instructions[ \t]*\n(?P<body>.+)",
    re.DOTALL,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TOOL = re.compile(r"[^\s,(]+(?:\([^)]*\))?")


class FrontMatterNote(NamedTuple):
    """A problem on a line. With a fatal one the skill cannot be used; a cosmetic one breaks no standard."""

    line: int
    reason: str
    cosmetic: bool = False
    fatal: bool = False


@dataclass(frozen=True)
class FrontMatter:
    """The parts of a SKILL.md."""

    name: str
    description: str
    license: str
    compatibility: str
    metadata: Mapping[str, str]
    allowed_tools: tuple[str, ...]
    body: str
    notes: tuple[FrontMatterNote, ...]
    name_line: int = 1


def name_problem(name: str) -> str | None:
    """Return the problem of a skill's name by the standard; None if it is valid."""
    if not name:
        return "name is empty: give the skill the name of its folder"
    if len(name) > MAX_NAME:
        return f"name has {len(name)} characters: at most {MAX_NAME} are allowed"
    if not _NAME.fullmatch(name) or name != name.lower():
        return f"name {name!r} may hold lowercase letters, digits and single hyphens between them, nothing else"
    return None


def usable_name(*names: str) -> str:
    """Return the first name that is a single word, as catalog and tools need it; else the words of one, joined."""
    plain = [unicodedata.normalize("NFKC", name) for name in names]
    joined = ("-".join(re.findall(r"\w+", name))[:MAX_NAME] for name in plain)
    return next((name for name in [*plain, *joined] if _USABLE_NAME.fullmatch(name)), "skill")


def parse_skill_text(text: str) -> FrontMatter:
    """Parse a SKILL.md, and collect all problems rather than the first.

    Raises:
        FrontMatterError: there is no front matter, or it has no line of the form key: value.
    """
    if match := _OLD_FORM.match(text):
        return _parse_old_form(match)
    front, body, body_line, notes = _split(text)
    fields = _Fields(front)
    fields.notes += notes
    name = fields.text("name", required=True)
    if name and (problem := name_problem(name)):
        fields.note("name", problem)
    description = " ".join(fields.text("description", MAX_DESCRIPTION, required=True).split())
    if len(description) > MAX_LISTED_DESCRIPTION:
        fields.note("description", f"only the first {MAX_LISTED_DESCRIPTION} characters of description are used")
        description = description[:MAX_LISTED_DESCRIPTION]
    license_, compatibility = fields.text("license"), fields.text("compatibility", MAX_COMPATIBILITY)
    metadata, tools = fields.mapping("metadata"), fields.words("allowed-tools")
    fields.note_unknown()
    return FrontMatter(
        name,
        description,
        license_,
        compatibility,
        metadata,
        tools,
        body.strip(),
        (*fields.notes, *_body_notes(body, body_line)),
        fields.lines.get("name", 1),
    )


def body_of(text: str) -> str:
    """Return the text below the front matter.

    Raises:
        FrontMatterError: there is no front matter.
    """
    match = _OLD_FORM.match(text)
    return match["body"].strip() if match else _split(text)[1].strip()


def _parse_old_form(match: re.Match[str]) -> FrontMatter:
    """Return a skill in the form before the standard, which the paper's own code uses."""
    name, body = match["name"].strip(), match["body"].strip()
    hint = (
        "this is the form before the standard: begin with a line ---, then `name: ...` and `description: ...` with the text below "
        "`## Description`, then --- again, and remove the three headings"
    )
    notes = [FrontMatterNote(1, hint), *_body_notes(body, 1)]
    description = " ".join(match["description"].split())
    if len(description) > MAX_DESCRIPTION:
        notes.append(_too_long("description", description, MAX_DESCRIPTION, 1))
    return FrontMatter(name, description, "", "", {}, (), body, tuple(notes))


def _split(text: str) -> tuple[str, str, int, list[FrontMatterNote]]:
    """Return the front matter, the body, the line of the body, and notes of what was corrected."""
    blank = len(text) - len(text.lstrip())
    opened = text.count("\n", 0, blank)
    if not re.match(r"---[ \t]*(?:\n|$)", text[blank:]):
        raise FrontMatterError(1, f"the file must begin with a line {_FENCE}, then name and description, then {_FENCE} again")
    start = blank + len(_FENCE)
    closing = _CLOSING.search(text, start) or _INDENTED_CLOSING.search(text, start)
    if closing is None:
        raise FrontMatterError(1, f"the front matter opened here has no end: close it with a line {_FENCE}")
    front, body = text[start + text[start:].find("\n") + 1 : closing.start()], text[closing.end() :]
    line = text.count("\n", 0, closing.end()) + 1
    notes = [FrontMatterNote(1, f"{opened} empty lines stand above the front matter: it must begin the file")] if opened else []
    if not body.startswith("\n") and body:
        notes.append(FrontMatterNote(line, f"the closing {_FENCE} has other text on its line: give it a line of its own"))
    return "\n" * opened + front, body, line, notes


def _body_notes(body: str, line: int) -> list[FrontMatterNote]:
    if not body.strip():
        return [FrontMatterNote(line, "the body is empty: write the instructions below the front matter", True)]
    first = line + body.count("\n", 0, len(body) - len(body.lstrip()))
    count = len(body.strip().split("\n"))
    if count > MAX_BODY_LINES:
        reason = f"the body has {count} lines: keep it under {MAX_BODY_LINES} and move detail to references/"
        return [FrontMatterNote(first + MAX_BODY_LINES, reason, True)]
    return []


def _too_long(key: str, value: str, limit: int, line: int) -> FrontMatterNote:
    return FrontMatterNote(line, f"{key} has {len(value)} characters: at most {limit} are allowed")


class _Fields:
    """The fields of a front matter. All scalars are text: the name 2024 is not a number, the description yes not a boolean."""

    def __init__(self, front: str) -> None:
        self.notes: list[FrontMatterNote] = []
        self.lines: dict[str, int] = {}
        try:
            self._values = self._load(front)
        except (yaml.YAMLError, RecursionError) as error:
            self._values = self._repair(front, error)

    def _load(self, front: str) -> dict[str, Any]:
        loader = yaml.BaseLoader(front)  # safe: it builds only texts, lists and mappings
        node = loader.get_single_node()
        if node is None:
            raise FrontMatterError(1, "the front matter is empty: give name and description")
        if not isinstance(node, yaml.MappingNode):
            raise FrontMatterError(_FIRST_LINE + node.start_mark.line, "the front matter must hold lines of the form key: value")
        values = loader.construct_document(node)
        for key, _ in node.value:
            line = key.start_mark.line + _FIRST_LINE
            if key.value in self.lines:
                self.notes.append(FrontMatterNote(line, f"{key.value} is given twice: the last one counts, keep one"))
            self.lines[key.value] = line
        return dict(values)

    def _repair(self, front: str, error: Exception) -> dict[str, Any]:
        """Parse each key by itself; a value that is not YAML is taken as plain text."""
        starts = [*_ENTRY.finditer(front)]
        if not starts:
            raise _yaml_error(front, error) from error
        values: dict[str, Any] = {}
        for start, end in zip(starts, [*(m.start() for m in starts[1:]), len(front)], strict=True):
            key, line = start[1], front.count("\n", 0, start.start()) + _FIRST_LINE
            self.lines[key] = line
            try:
                values[key] = yaml.BaseLoader(front[start.start() : end]).get_single_data()[key]
            except (yaml.YAMLError, RecursionError) as value_error:
                values[key] = {} if key == "metadata" else _unquoted(front[start.end() : end])
                wrong = _yaml_error(front[start.start() : end], value_error, line)
                how = "left out" if key == "metadata" else "read as plain text"
                self.notes.append(FrontMatterNote(wrong.line, f"{wrong.reason}; {key} is {how}"))
        return values

    def note(self, key: str, reason: str, cosmetic: bool = False, fatal: bool = False) -> None:
        """Note a problem of a key; a missing key has the first line."""
        self.notes.append(FrontMatterNote(self.lines.get(key, 1), reason, cosmetic, fatal))

    def text(self, key: str, limit: int | None = None, required: bool = False) -> str:
        """Return the text of a key in one line; empty if it is missing or not text."""
        given = self._values.get(key, "")
        if isinstance(given, list) and all(isinstance(item, str) for item in given):
            self.note(key, f"{key} must be text, not a list")
            given = ", ".join(given)
        value = _line_of_text(given) if isinstance(given, str) else ""
        fatal = not value and key == "description"  # without one no planner could choose the skill
        if not isinstance(given, str):
            self.note(key, f"{key} must be text, not a mapping or a list of such", fatal=fatal)
        elif required and not value:
            missing = f"{key} is empty" if key in self.lines else f"{key} is missing: add a line {key}: ... to the front matter"
            self.note(key, missing, fatal=fatal)
        if limit is not None and len(value) > limit:
            self.note(key, f"{key} has {len(value)} characters: at most {limit} are allowed")
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """Return the texts of a mapping, without its other values."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            self.note(key, f"{key} must hold lines of the form key: value")
            return {}
        for name in (name for name, item in value.items() if not isinstance(item, str)):
            self.note(key, f"{key}.{name} must be text, not {_yaml_kind(value[name])}")
        return {_line_of_text(name): _line_of_text(item) for name, item in value.items() if isinstance(item, str)}

    def words(self, key: str) -> tuple[str, ...]:
        """Return words separated by spaces; a YAML list is accepted too, as a cosmetic problem."""
        value = self._values.get(key)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            self.note(key, f"{key} should be one line of words with spaces between them, not a list", True)
            return tuple(value)
        return tuple(_TOOL.findall(self.text(key)))

    def note_unknown(self) -> None:
        """Note the keys that are not in the standard."""
        unknown = [key for key in self.lines if key not in KEYS]
        if unknown:
            names, are = ", ".join(map(repr, unknown)), "keys {} are" if len(unknown) > 1 else "key {} is"
            self.note(unknown[0], f"unknown {are.format(names)} ignored: the standard knows {', '.join(KEYS)}", True)


def _yaml_error(front: str, error: Exception, first: int = _FIRST_LINE) -> FrontMatterError:
    """Return the error of YAML that begins on the line `first` of the file."""
    if isinstance(error, yaml.reader.ReaderError):
        line = front.count("\n", 0, error.position) + first
        return FrontMatterError(line, "the front matter holds a character that YAML does not allow")
    if not isinstance(error, yaml.MarkedYAMLError):
        return FrontMatterError(first, "the front matter is nested too deeply")
    problem, mark = error.problem or "it cannot be read", error.problem_mark or error.context_mark
    if "end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark  # a quote that is never closed: report the line that opens it
    hint = "; put a value that holds a colon in quotes" if "mapping values" in problem else ""
    context = f" {error.context}:" if error.context else ""
    return FrontMatterError((mark.line if mark else 0) + first, f"the front matter is not YAML:{context} {problem}{hint}")


def _unquoted(value: str) -> str:
    """Return a value that is not YAML as text, without its quotes or the sign of a block."""
    text = value.strip()
    quote = text[:1]
    if quote in {'"', "'"} and (text.endswith(quote) or quote not in text[1:]):
        return text[1:].removesuffix(quote)
    return re.sub(r"\A[>|][-+]?\s*\n", "", text)


def _line_of_text(text: str) -> str:
    """Return a text in one line, without control characters; surrogate pairs, as JSON writes them, are joined."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(_CONTROL.sub(" ", whole).split())


def _yaml_kind(value: object) -> str:
    return "a list" if isinstance(value, list) else "a mapping"
