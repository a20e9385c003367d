"""The signature of a command: groups of options, and flags made from the settings of a run, as Typer reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from ..context import PROMPT_SETTINGS, RunContext
from ..errors import SettingError
from .error_exit import SHOW_TRACEBACKS

FLAG_NAMES = {"max_rounds": "--rounds", "keep_seed": "--keep-seed/--new-seeds"}
"""Flags with another name than their setting."""

BUDGETS = ("patience", "max_images", "max_calls", "max_tokens", "max_seconds", "max_cost")
"""Settings whose flags stand in a help panel of their own."""

WITHOUT_FLAG = ("soft", "width", "height", *PROMPT_SETTINGS)
"""Settings without a flag of their own; `--size` sets width and height."""

ALL_FLAGS = tuple(name for name in RunContext.model_fields if name not in WITHOUT_FLAG)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Output")]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTHxHEIGHT", help="Size of the images in pixels; by default the model's own.", rich_help_panel="Settings"
    ),
]


@dataclass(frozen=True)
class SettingFlags:
    """Flags of the settings of a run; the parameter gets the settings that are given, by name.

    Example:
        ```python
        @command
        def fork_command(settings: Annotated[dict[str, Any], SettingFlags(("max_rounds", "seed"))]) -> None: ...
        ```
    """

    names: tuple[str, ...] = ALL_FLAGS
    size: bool = False
    """Whether there is `--size` too."""

    def parameters(self) -> Iterator[inspect.Parameter]:
        """Return a parameter for each flag."""
        for name in self.names:
            yield _parameter(name, _setting_flag(name), None)
        if self.size:
            yield _parameter("size", Size, None)

    def __call__(self, size: str | None = None, **flags: Any) -> dict[str, Any]:
        """Return the settings of the flags that are given.

        Raises:
            SettingError: the size is not WIDTHxHEIGHT.
        """
        settings = {name: value for name, value in flags.items() if value is not None}
        if size is None:
            return settings
        width, _, height = size.lower().partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise SettingError(f"--size {size}: write WIDTHxHEIGHT in pixels, such as 1024x1024")
        return {**settings, "width": int(width), "height": int(height)}


Function = Callable[..., None]


def command(function: Function) -> Function:
    """Give Typer the options of a command's groups one by one, and `--debug`.

    A group is a dataclass whose fields are annotated with `typer.Option`, with the title of their help panel as `PANEL`, or
    `SettingFlags`. The function gets one object for each group.

    Example:
        ```python
        @command
        def runs_command(find: Find = None, *, workspace: WorkspaceArgs) -> None: ...
        ```
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, tuple[Callable[..., Any], list[inspect.Parameter]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = hints[name]
        group: Any = hint if is_dataclass(hint) else None
        make = next((mark for mark in get_args(hint) if isinstance(mark, SettingFlags)), group)
        own = [*_parameters_of(make)] if make else [_parameter(name, hint, parameter.default)]
        if make:
            groups[name] = (make, own)
        parameters += own

    def call(debug: bool, **given: Any) -> None:
        SHOW_TRACEBACKS.set(debug)
        for name, (make, own) in groups.items():
            given[name] = make(**{parameter.name: given.pop(parameter.name) for parameter in own})
        function(**given)

    parameters.append(_parameter("debug", Debug, False))
    call.__name__, call.__module__, call.__doc__ = function.__name__, function.__module__, function.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _parameters_of(group: Any) -> Iterator[inspect.Parameter]:
    if isinstance(group, SettingFlags):
        return group.parameters()
    hints = get_type_hints(group, include_extras=True)
    return (_parameter(field.name, _in_panel(hints[field.name], group.PANEL), field.default) for field in fields(group))


def _in_panel(annotation: Any, panel: str) -> Any:
    """Return the annotation of an option that stands in a help panel, if it names no other."""
    option = copy(annotation.__metadata__[0])
    option.rich_help_panel = option.rich_help_panel or panel
    return Annotated[annotation.__origin__, option]


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _setting_flag(name: str) -> Any:
    """Return the type and the option of a setting's flag; `RunContext` checks the value when the run is made."""
    field = RunContext.model_fields[name]
    types = get_args(field.annotation) or (field.annotation,)
    kind: Any = next((t for t in types if t in (bool, int, float)), str)
    flag = FLAG_NAMES.get(name, f"--{name}/--no-{name}" if kind is bool else f"--{name}").replace("_", "-")
    help = field.description or ""
    if get_origin(field.annotation) is Literal and not all(f"{choice}:" in help for choice in types):
        help += f" One of {', '.join(types)}."
    panel = "Budget" if name in BUDGETS else "Switches" if kind is bool else "Settings"
    return Annotated[kind | None, typer.Option(flag, help=help, rich_help_panel=panel)]
