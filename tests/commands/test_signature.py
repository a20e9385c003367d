"""Options declared in groups, and flags made from the settings, as Typer reads them."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from gems.cli import app
from gems.commands.signature import WITHOUT_FLAG, SettingFlags, command
from gems.context import RunContext
from gems.tests.conftest import COMMAND_TREE


@dataclass(frozen=True)
class Size:
    PANEL = "Frame"

    width: Annotated[int, typer.Option(help="Pixels.")]
    loud: Annotated[bool, typer.Option("--loud", rich_help_panel="Noise")] = False


@pytest.fixture
def call():
    """Call a command with groups; return what its function gets, or what is printed."""
    given = {}

    @command
    def draw(
        name: str,
        settings: Annotated[dict[str, Any], SettingFlags(("max_rounds", "confirm", "recall"), size=True)],
        *,
        picture: Size,
    ) -> None:
        """Draw."""
        given.update(name=name, picture=picture, settings=settings)

    program = typer.Typer()
    program.command()(draw)

    def invoke(*args):
        given.clear()
        output = CliRunner().invoke(program, args, env={"COLUMNS": "100"}).output
        return dict(given) or output

    return invoke


def test_a_group_is_one_object_and_settings_are_those_that_are_given(call):
    assert call("fox", "--width", "9") == {"name": "fox", "picture": Size(9), "settings": {}}
    given = call("fox", "--width", "9", "--loud", "--rounds", "3", "--no-confirm", "--size", "64X32", "--debug")
    assert given["picture"] == Size(9, loud=True)
    assert given["settings"] == {"max_rounds": 3, "confirm": False, "width": 64, "height": 32}
    assert "Missing option '--width'" in call("fox")


def test_the_help_is_that_of_the_function_and_of_the_settings(call):
    shown = " ".join(call("--help").split())
    for words in (
        "Draw.",
        "Frame",
        "Noise",
        "Rounds after which the run ends",
        "One of none, last, feedback",
        "--no-confirm",
        "--debug",
    ):
        assert words in shown


def test_every_setting_has_its_flag_but_those_named():
    flags = {parameter.name for parameter in COMMAND_TREE(app).commands["run"].params}
    assert set(RunContext.model_fields) - flags == set(WITHOUT_FLAG)
