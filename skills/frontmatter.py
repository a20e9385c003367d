"""A SKILL.md as text: the fields of its front matter, its body, and what is wrong, each with its line in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
MAX_NAME = 64
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500
MAX_BODY_LINES = 500
KEYS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")

_FENCE = "---"
_FIRST_LINE = 2  # the front matter's own first line stands below the opening fence


class UnreadableError(Exception):
    """A text that cannot be read or taken apart at all."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Note(NamedTuple):
    """Something wrong on a line; a cosmetic fault does not keep the skill from being used."""

    line: int
    reason: str
    cosmetic: bool = False


@dataclass(frozen=True)
class Document:
    """The parts of a SKILL.md."""

    name: str
    description: str
    license: str
    compatibility: str
    metadata: Mapping[str, str]
    allowed_tools: tuple[str, ...]
    body: str
    notes: tuple[Note, ...]
    lines: Mapping[str, int] = field(default_factory=dict)
    """The line of each key of the front matter."""


def name_fault(name: str) -> str | None:
    """Say what is wrong with a skill's name; None where nothing is."""
    if not name:
        return "name is empty: give the skill the name of its folder"
    if len(name) > MAX_NAME:
        return f"name has {len(name)} characters: at most {MAX_NAME} are allowed"
    if not NAME.fullmatch(name):
        return f"name {name!r} may hold lowercase letters a-z, digits and single hyphens between them, nothing else"
    return None


def read(text: str) -> Document:
    """Take a SKILL.md apart, collecting every fault rather than the first.

    Raises:
        UnreadableError: there is no front matter, or it is not a YAML mapping.
    """
    front, body, body_line = _split(text)
    fields = _Fields(front)
    name = fields.text("name", required=True)
    if name and (fault := name_fault(name)):
        fields.note("name", fault)
    description = " ".join(fields.text("description", MAX_DESCRIPTION, required=True).split())
    license_, compatibility = fields.text("license"), fields.text("compatibility", MAX_COMPATIBILITY)
    metadata, tools = fields.mapping("metadata"), fields.words("allowed-tools")
    fields.note_unknown()
    notes = (*fields.notes, *_body_notes(body, body_line))
    return Document(name, description, license_, compatibility, metadata, tools, body.strip(), notes, fields.lines)


def body_of(text: str) -> str:
    """Return the text below the front matter.

    Raises:
        UnreadableError: there is no front matter.
    """
    return _split(text)[1].strip()


def _split(text: str) -> tuple[str, str, int]:
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        raise UnreadableError(1, f"the file must begin with a line {_FENCE}, then name and description, then {_FENCE} again")
    end = next((i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == _FENCE), None)
    if end is None:
        raise UnreadableError(1, f"the front matter opened here has no end: close it with a line {_FENCE}")
    return "\n".join(lines[1:end]), "\n".join(lines[end + 1 :]), end + 2


def _body_notes(body: str, line: int) -> list[Note]:
    if not body.strip():
        return [Note(line - 1, "the body is empty: write the instructions below the front matter", True)]
    first = line + len(body) - len(body.lstrip("\n"))
    count = len(body.strip().split("\n"))
    if count > MAX_BODY_LINES:
        reason = f"the body has {count} lines: keep it under {MAX_BODY_LINES} and move detail to references/"
        return [Note(first + MAX_BODY_LINES, reason, True)]
    return []


class _Fields:
    """The front matter, read key by key. All scalars are text: a name 2024 or a description yes means what it says."""

    def __init__(self, front: str) -> None:
        self.notes: list[Note] = []
        self.lines: dict[str, int] = {}
        self._values: dict[str, yaml.Node] = {}
        for key, value in _pairs(_compose(front), "the front matter"):
            if key.value in self.lines:
                self.notes.append(Note(_line(key), f"{key.value} is given twice: keep one"))
            self.lines.setdefault(key.value, _line(key))
            self._values.setdefault(key.value, value)

    def note(self, key: str, reason: str, cosmetic: bool = False) -> None:
        """Note a fault of a key's value; of a missing key on the first line."""
        self.notes.append(Note(self.lines.get(key, 1), reason, cosmetic))

    def text(self, key: str, limit: int | None = None, required: bool = False) -> str:
        """Return the text of a key, empty where it is missing or is no text."""
        node = self._values.get(key)
        if node is None:
            if required:
                self.note(key, f"{key} is missing: add a line {key}: ... to the front matter")
            return ""
        if not isinstance(node, yaml.ScalarNode):
            self.note(key, f"{key} must be text, not {_kind(node)}")
            return ""
        value = str(node.value).strip()
        if required and not value:
            self.note(key, f"{key} is empty")
        if limit is not None and len(value) > limit:
            self.note(key, f"{key} has {len(value)} characters: at most {limit} are allowed")
        return value

    def mapping(self, key: str) -> dict[str, str]:
        """Return a map of texts."""
        node = self._values.get(key)
        if node is None:
            return {}
        try:
            pairs = _pairs(node, key)
        except UnreadableError as error:
            self.notes.append(Note(error.line, error.reason))
            return {}
        for name, value in pairs:
            if not isinstance(value, yaml.ScalarNode):
                self.notes.append(Note(_line(name), f"{key}.{name.value} must be text, not {_kind(value)}"))
        return {str(name.value): str(value.value) for name, value in pairs if isinstance(value, yaml.ScalarNode)}

    def words(self, key: str) -> tuple[str, ...]:
        """Return words given with spaces between them; a YAML list is taken too, as a cosmetic fault."""
        node = self._values.get(key)
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self.note(key, f"{key} should be one line of words with spaces between them, not a list", True)
            return tuple(str(item.value) for item in node.value)
        return tuple(self.text(key).split())

    def note_unknown(self) -> None:
        """Note the keys that the standard does not know."""
        for key in self.lines:
            if key not in KEYS:
                self.note(key, f"unknown key {key!r} is ignored: the standard knows {', '.join(KEYS)}", True)


def _compose(front: str) -> yaml.Node:
    try:
        node = yaml.compose(front, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error) from error
    except yaml.reader.ReaderError as error:
        line = front.count("\n", 0, error.position) + _FIRST_LINE
        raise UnreadableError(line, "the front matter holds a character that YAML does not allow") from error
    except RecursionError as error:
        raise UnreadableError(_FIRST_LINE, "the front matter is nested too deeply") from error
    if node is None:
        raise UnreadableError(1, "the front matter is empty: give name and description")
    return node


def _not_yaml(error: yaml.MarkedYAMLError) -> UnreadableError:
    problem = error.problem or "it cannot be read"
    mark = error.problem_mark or error.context_mark
    if "end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark  # a quote never closed: the line that opened it is the one to mend
    hint = "; put a value that holds a colon in quotes" if "mapping values" in problem else ""
    context = f" {error.context}:" if error.context else ""
    return UnreadableError((mark.line if mark else 0) + _FIRST_LINE, f"the front matter is not YAML:{context} {problem}{hint}")


def _pairs(node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise UnreadableError(_line(node), f"{what} must hold lines of the form key: value")
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableError(_line(key), f"{what} has a key that is not a plain word")
    return list(node.value)


def _kind(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + _FIRST_LINE
