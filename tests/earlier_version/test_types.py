"""What a checkpoint names, `gems.memory.state.NAME`, is read back as that class: LangGraph makes a dict of what it cannot find."""

import json
import re
import shutil
import sqlite3

import pytest

from gems import Workspace
from gems.memory import state

from . import steps

with steps.open_outputs() as file:
    BEFORE = json.load(file)["types"]
TYPES = {
    *("ImageRef", "Check", "Verdict", "Score", "Attempt", "Experience", "Review", "ShownLesson", "RoleUsage", "Usage"),
    "Result",
}
"""The names that are in checkpoints, with the module `gems.memory.state`."""
CHANNELS = {"checks": "Check", "attempts": "Attempt", "experiences": "Experience", "reviews": "Review", "lessons": "ShownLesson"}


def checkpoints(folder, store=None):
    """Return the values of all checkpoints in a database, as they are before a state is made of them."""
    with Workspace(folder, store=store).database.open() as opened:
        return [found.checkpoint["channel_values"] for found in opened.saver.list(None)]


@pytest.fixture
def types(stored, tmp_path):
    """Read the checkpoint that holds one of each type."""
    shutil.copytree(stored / "types", tmp_path / "types")
    return next(values["items"] for values in checkpoints(tmp_path / "types") if values.get("items"))


def test_every_type_of_a_checkpoint_comes_back_as_its_class(types):
    assert {entry["type"] for entry in BEFORE} == TYPES == {type.__name__ for type in state.STATE_TYPES}
    assert [type(item) for item in types] == [getattr(state, entry["type"]) for entry in BEFORE]
    assert [item.model_dump(mode="json") for item in types] == [entry["value"] for entry in BEFORE]


def test_what_is_inside_of_a_type_comes_back_as_its_class(types):
    attempt = next(item for item in types if isinstance(item, state.Attempt))
    inside = [attempt.image, attempt.source, attempt.score, *attempt.verdicts, *attempt.said]
    assert [type(part) for part in inside] == [state.ImageRef, state.ImageRef, state.Score, state.Verdict, state.Verdict]


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_checkpoints_of_runs_hold_no_plain_dict_where_a_type_was_stored(stored, tmp_path, place, request):
    folder = shutil.copytree(stored / place, tmp_path / place)
    every = checkpoints(folder, request.getfixturevalue("database") if place == "postgres" else None)
    seen = set()
    for values in every:
        for channel, name in CHANNELS.items():
            assert all(type(item) is getattr(state, name) for item in values.get(channel) or ()), channel
            seen |= {channel} if values.get(channel) else set()
        assert type(values.get("usage", state.Usage())) is state.Usage
        assert type(values.get("result")) in (state.Result, type(None))
    assert seen >= set(CHANNELS) - ({"lessons"} if place == "postgres" else set())


def test_the_archive_names_no_place_and_holds_no_key(stored, tmp_path):
    shutil.copytree(stored / "sqlite", tmp_path / "sqlite")
    texts = [path.read_text("utf-8") for path in stored.rglob("*") if path.suffix in (".json", ".jsonl", ".csv", ".md", ".sql")]
    with sqlite3.connect(tmp_path / "sqlite" / "gems.sqlite") as connection:
        texts += [str(row) for row in connection.execute("SELECT * FROM store")]
    connection.close()
    texts += [str(values) for values in checkpoints(tmp_path / "sqlite")]
    for text in texts:
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users|var)/|\bsk-[\w-]{8}|api_key|password", text)
