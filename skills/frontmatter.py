"""Parse a SKILL.md: the fields of its front matter, its body, and its problems with their lines.

Parsing is lenient: deviations from the standard are noted, and only a skill without a description is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from ..errors import FrontMatterError

MAX_NAME = 64
MAX_LISTED_DESCRIPTION = 10_000
"""Characters of a description in the catalog, which is part of every planning call."""
MAX_BODY_LINES = 500

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
_OLD_FORM_HINT = (
    "this is the form before the standard: begin with a line ---, then `name: ...` and `description: ...` with the text below "
    "`## Description`, then --- again, and remove the three headings"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TOOL = re.compile(r"[^\s,(]+(?:\([^)]*\))?")


class FrontMatterNote(NamedTuple):
    """A problem on a line. With a fatal one the skill cannot be used; a cosmetic one breaks no standard."""

    line: int
    reason: str
    cosmetic: bool = False
    fatal: bool = False


class SkillText(NamedTuple):
    """The parts of a SKILL.md."""

    fields: dict[str, Any]
    """The fields of a `Skill`, as far as they can be used."""
    body: str
    notes: list[FrontMatterNote]
    name_line: int


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


def _line_of_text(text: str) -> str:
    """Return a text in one line, without control characters; surrogate pairs, as JSON writes them, are joined."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(_CONTROL.sub(" ", whole).split())


def _require_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(problem)
    return name


class _Standard(BaseModel):
    """The front matter by the standard, whose errors are the notes. Scalars are text: the name 2024 is not a number."""

    name: Annotated[str, Field(min_length=1), AfterValidator(_require_name)]
    description: str = Field(min_length=1, max_length=1024)
    license: str = ""
    compatibility: str = Field(default="", max_length=500)
    metadata: dict[str, str] = {}
    allowed_tools: str = Field(default="", alias="allowed-tools")


KEYS = tuple(field.alias or name for name, field in _Standard.model_fields.items())
_REASONS = {
    "missing": "{key} is missing: add a line {key}: ... to the front matter",
    "string_too_short": "{key} is empty",
    "string_too_long": "{key} has {length} characters: at most {max_length} are allowed",
    "string_type": "{key} must be text, not {form}",
    "dict_type": "{key} must hold lines of the form key: value",
    "value_error": "{error}",
}
"""By the type of pydantic's error."""


def parse_skill_text(text: str) -> SkillText:
    """Parse a SKILL.md, and collect all problems rather than the first.

    Raises:
        FrontMatterError: there is no front matter, or it has no line of the form key: value.
    """
    lines: dict[str, int] = {}
    values: dict[str, Any]
    if old := _OLD_FORM.match(text):
        values = {"name": old["name"], "description": old["description"]}
        body, body_line, notes = old["body"], 1, [FrontMatterNote(1, _OLD_FORM_HINT)]
    else:
        front, body, body_line, notes = _split(text)
        values = _load(front, lines, notes)
    fields: dict[str, Any] = {key: _text_of(values.get(key)) for key in ("name", "description", "license", "compatibility")}
    metadata, tools = values.get("metadata"), values.get("allowed-tools")
    own = metadata if isinstance(metadata, dict) else {}
    fields["metadata"] = {_line_of_text(key): _line_of_text(value) for key, value in own.items() if isinstance(value, str)}
    fields["allowed_tools"] = tuple(map(str, tools) if isinstance(tools, list) else _TOOL.findall(_text_of(tools)))
    notes += [*_standard_notes(values, lines, fields["description"]), *_body_notes(body, body_line)]
    fields["description"] = fields["description"][:MAX_LISTED_DESCRIPTION]
    return SkillText(fields, body.strip(), notes, lines.get("name", 1))


def _text_of(value: Any) -> str:
    """Return a value of YAML as text in one line; a list of texts with commas, and nothing of any other."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    return _line_of_text(value) if isinstance(value, str) else ""


def _standard_notes(values: Mapping[str, Any], lines: Mapping[str, int], description: str) -> Iterator[FrontMatterNote]:
    """Yield what departs from the standard, with the line of its key; a skill without a description is of no use."""
    try:
        _Standard.model_validate({key: _text_of(value) if isinstance(value, str) else value for key, value in values.items()})
    except ValidationError as error:
        for item in error.errors():
            key, given = str(item["loc"][0]), item["input"]
            if key == "allowed-tools" and isinstance(given, list):
                yield FrontMatterNote(lines[key], f"{key} should be one line of words with spaces between them, not a list", True)
                continue
            facts = {"form": "a list" if isinstance(given, list) else "a mapping", **item.get("ctx", {})}
            reason = _REASONS[item["type"]].format(key=".".join(map(str, item["loc"])), length=len(given), **facts)
            yield FrontMatterNote(lines.get(key, 1), reason, fatal=key == "description" and not description)
    if len(description) > MAX_LISTED_DESCRIPTION:
        reason = f"only the first {MAX_LISTED_DESCRIPTION} characters of description are used"
        yield FrontMatterNote(lines.get("description", 1), reason)
    if unknown := [key for key in lines if key not in KEYS]:
        names, are = ", ".join(map(repr, unknown)), "keys {} are" if len(unknown) > 1 else "key {} is"
        reason = f"unknown {are.format(names)} ignored: the standard knows {', '.join(KEYS)}"
        yield FrontMatterNote(lines[unknown[0]], reason, True)


def _body_notes(body: str, line: int) -> Iterator[FrontMatterNote]:
    count = len(body.strip().split("\n"))
    if not body.strip():
        yield FrontMatterNote(line, "the body is empty: write the instructions below the front matter", True)
    elif count > MAX_BODY_LINES:
        first = line + body.count("\n", 0, len(body) - len(body.lstrip()))
        reason = f"the body has {count} lines: keep it under {MAX_BODY_LINES} and move detail to references/"
        yield FrontMatterNote(first + MAX_BODY_LINES, reason, True)


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
    if body and not body.startswith("\n"):
        notes.append(FrontMatterNote(line, f"the closing {_FENCE} has other text on its line: give it a line of its own"))
    return "\n" * opened + front, body, line, notes


def _load(front: str, lines: dict[str, int], notes: list[FrontMatterNote]) -> dict[str, Any]:
    """Return the values by key, all scalars as text, and add the lines of the keys and notes of what is no YAML.

    If the whole is no YAML, each key is read by itself, and a value that is none is taken as plain text.
    """
    try:
        return _load_mapping(front, lines, notes)
    except (yaml.YAMLError, RecursionError) as error:
        starts = [*_ENTRY.finditer(front)]
        if not starts:
            raise _yaml_error(front, error) from error
    lines.clear()
    values: dict[str, Any] = {}
    for start, end in zip(starts, [*(m.start() for m in starts[1:]), len(front)], strict=True):
        key, text = start[1], front[start.start() : end]
        lines[key] = front.count("\n", 0, start.start()) + _FIRST_LINE
        try:
            values[key] = yaml.BaseLoader(text).get_single_data()[key]
        except (yaml.YAMLError, RecursionError) as error:
            values[key] = {} if key == "metadata" else _unquoted(front[start.end() : end])
            wrong = _yaml_error(text, error, lines[key])
            how = "left out" if key == "metadata" else "read as plain text"
            notes.append(FrontMatterNote(wrong.line, f"{wrong.reason}; {key} is {how}"))
    return values


def _load_mapping(front: str, lines: dict[str, int], notes: list[FrontMatterNote]) -> dict[str, Any]:
    loader = yaml.BaseLoader(front)  # safe: it builds only texts, lists and mappings
    node = loader.get_single_node()
    if node is None:
        raise FrontMatterError(1, "the front matter is empty: give name and description")
    if not isinstance(node, yaml.MappingNode):
        raise FrontMatterError(_FIRST_LINE + node.start_mark.line, "the front matter must hold lines of the form key: value")
    values = dict(loader.construct_document(node))  # refuses keys that are lists or mappings
    for key, _ in node.value:
        line = key.start_mark.line + _FIRST_LINE
        if key.value in lines:
            notes.append(FrontMatterNote(line, f"{key.value} is given twice: the last one counts, keep one"))
        lines[key.value] = line
    return values


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
