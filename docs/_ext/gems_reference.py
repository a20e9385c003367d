"""The reference, generated from the code: each function returns Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

OPTION_OF = {"max_rounds": "--rounds", "width": "--size", "height": "--size"}
"""Options of `gems run` with another name than their setting."""


def settings(model: type[BaseModel], roles: Iterable[str], options: Iterable[str]) -> str:
    """Return tables of the settings of a run, one for each role that reads them.

    Args:
        model: the settings, `RunContext`.
        roles: all roles, in order.
        options: the options of `gems run`.
    """
    known = set(options)
    parts = []
    for role in roles:
        rows = []
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, Mapping) and role in extra.get("langgraph_nodes", ()):  # type: ignore[operator]
                option = OPTION_OF.get(name, f"--{name.replace('_', '-')}")
                values = _field(model, name)
                rows.append([f"`{name}`", f"`{option}`" if option in known else "", *values, _escape(field.description)])
        if rows:
            parts.append(f"## {role}\n\n" + _table(["setting", "option", "values", "default", "description"], rows))
    return "\n".join(parts)


def presets(model: type[BaseModel], named: Mapping[str, Mapping[str, Any]], about: Mapping[str, str]) -> str:
    """Return a table of the presets and the settings that differ from the defaults."""
    rows = []
    for name, values in named.items():
        differs = [f"`{k}={_literal(v)}`" for k, v in values.items() if v != model.model_fields[k].default]
        rows.append([f"`{name}`", about[name], ", ".join(differs) or "nothing"])
    return _table(["preset", "method", "settings that differ from the defaults"], rows)


def fields(model: type[BaseModel]) -> str:
    """Return a table of the fields of a model: type, bounds, default and description."""
    rows = [
        [f"`{field.alias or name}`", *_field(model, field.alias or name), _escape(field.description)]
        for name, field in model.model_fields.items()
    ]
    return _table(["field", "type", "default", "description"], rows)


def backends(options: Iterable[Any]) -> str:
    """Return a section for each backend, with its options."""
    return "\n".join(f"### {b.about[0].upper()}{b.about[1:]}: `{b.spec}`\n\n{fields(b)}" for b in options)


def models(shown: Iterable[type[BaseModel]], level: int = 2) -> str:
    """Return a section for each model, with its docstring and fields."""
    return "\n".join(f"{'#' * level} {m.__name__}\n\n{_docstring(m)}\n\n{fields(m) if m.model_fields else ''}" for m in shown)


def events(union: Any) -> str:
    """Return a section for each type of event in a union of models."""
    return models(get_args(union))


def missing_names(page: str, public: Mapping[str, Any], package: str) -> str:
    """Return directives (reStructuredText) for the public names that an API page lacks; empty if it has all."""
    shown = set(re.findall(r"^\.\. (?:auto|py:)\w+:: (?:\S+\.)?(\w+)$", page, re.MULTILINE))
    parts = []
    for name in (name for name in public if name not in shown):
        kind = "autoclass" if inspect.isclass(public[name]) else "autofunction" if callable(public[name]) else "autodata"
        parts.append(f".. {kind}:: {package}.{name}\n" + ("   :members:\n" if kind == "autoclass" else ""))
    return "\n".join(["", "Others", "------", "", *parts]) if parts else ""


def commands(app: typer.Typer, program: str) -> str:
    """Return a section for each command of a Typer program, with its arguments and options."""
    return "\n".join(_commands(typer.main.get_command(app), program))


def options_of(app: typer.Typer) -> dict[tuple[str, ...], set[str]]:
    """Return the options, such as `--seed`, of each command by its path; the empty path is the program itself."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], set[str]]]:
        yield path, {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")} | {"--help"}
        for name, sub in getattr(command, "commands", {}).items():
            yield from walk(sub, (*path, name))

    return dict(walk(typer.main.get_command(app), ()))


def environment(app: typer.Typer) -> str:
    """Return a table of the environment variables that set options."""
    options: dict[str, set[str]] = {}
    for command in _walk_commands(typer.main.get_command(app)):
        for p in command.params:
            if p.envvar and p.opts[0].startswith("--"):
                options.setdefault(str(p.envvar), set()).add(p.opts[0])
    rows = [[f"`{name}`", ", ".join(f"`{option}`" for option in sorted(options[name]))] for name in sorted(options)]
    return _table(["variable", "option"], rows)


def _walk_commands(command: Any) -> Iterable[Any]:
    yield command
    for sub in getattr(command, "commands", {}).values():
        yield from _walk_commands(sub)


def _group_aliases(commands: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the first command of each function, with the names of the other commands of that function."""
    first: dict[Any, str] = {}
    aliases: dict[str, list[str]] = {}
    for name, command in commands.items():
        function = command.callback and inspect.unwrap(command.callback)
        representative = first.setdefault(function or name, name)
        aliases.setdefault(representative, [])
        if representative != name:
            aliases[representative].append(name)
    return aliases


def _commands(command: Any, name: str, aliases: Iterable[str] = ()) -> Iterable[str]:
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if below:
        if " " in name:
            yield f"## {name}\n\n{_escape(command.help)}\n"
        for sub, others in _group_aliases(below).items():
            yield from _commands(below[sub], f"{name} {sub}", others)
        return
    hints = get_type_hints(inspect.unwrap(command.callback))
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    usage = " ".join([name, *(_argument(p) for p in arguments), "[OPTIONS]" if len(arguments) < len(command.params) else ""])
    rows = [[_names(p), _value(hints[p.name], p), _default(p), _help(p)] for p in command.params]
    table = _table(["", "value", "default", "description"], rows) if rows else ""
    same = f"\n\nThese commands have the same options: {', '.join(f'`{alias}`' for alias in aliases)}." if aliases else ""
    heading = f"{'###' if name.count(' ') > 1 else '##'} {name}"
    yield f"{heading}\n\n{_escape(command.help)}{same}\n\n```sh\n{usage.strip()}\n```\n\n{table}"


def _argument(parameter: Any) -> str:
    shown = parameter.name.rstrip("_").upper() + ("..." if parameter.nargs != 1 else "")
    return shown if parameter.required else f"[{shown}]"


def _names(parameter: Any) -> str:
    if not parameter.opts[0].startswith("-"):
        return f"`{_argument(parameter)}`"
    return " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _value(hint: Any, parameter: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
    many = get_origin(hint) in (list, tuple)
    plain = get_args(hint)[0] if many else hint
    if plain is bool:
        return "switch"
    kind = {int: "whole number", float: "number", Path: "path"}.get(plain, "text")
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    kind += f", {_bounds({'minimum': low, 'maximum': high})}" if low is not None or high is not None else ""
    return kind + (", repeatable" if many else "")


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if parameter.required or value is None or callable(value) or isinstance(value, bool) else f"`{value}`"


def _help(parameter: Any) -> str:
    return _escape(parameter.help or "") + (f" Variable: `{parameter.envvar}`." if parameter.envvar else "")


def _field(model: type[BaseModel], name: str) -> tuple[str, str]:
    """Return the values that a field takes, and its default."""
    schema = model.model_json_schema()
    field = schema["properties"].get(name, {})
    if name in schema.get("required", ()):
        return _kind(field), ""
    default = field.get("default")
    if "default" not in field or "const" in field:
        return _kind(field), ""
    return _kind(field), "empty" if default == "" or isinstance(default, dict | list) else f"`{_literal(default)}`"


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _escape(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return ", ".join(f"`{_literal(v)}`" for v in schema["enum"])
    if "const" in schema:
        return f"`{_literal(schema['const'])}`"
    several = schema.get("anyOf") or schema.get("oneOf") or []
    if len(several) > 6:
        return "one of several types"
    if several:
        return " or ".join(dict.fromkeys(_kind(s) for s in several))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"table of {_kind(values)}" if isinstance(values, Mapping) and values else "table"
    kinds = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`", "string": "text", "null": "none"}
    return ", ".join(filter(None, [kinds.get(str(schema.get("type")), "anything"), _bounds(schema)]))


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = [f"from {low:g}" if low is not None else "", f"above {above:g}" if above is not None else ""]
    parts += [f"to {high:g}" if high is not None else "", f"below {below:,}".replace(",", " ") if below is not None else ""]
    parts += [f"at most {schema['maxLength']} characters" if "maxLength" in schema else ""]
    return " ".join(filter(None, parts))


def _literal(value: Any) -> str:
    return {True: "true", False: "false", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def _docstring(model: type[BaseModel]) -> str:
    text, _, example = (inspect.getdoc(model) or "").partition("\nExample:\n")
    return f"{_escape(text)}\n\n{textwrap.dedent(example)}".strip()


def _escape(text: str | None) -> str:
    """Return text with the characters escaped that Markdown reads as tags or emphasis."""
    return (text or "").replace("<", "&lt;").replace("*", "\\*")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
