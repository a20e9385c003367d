"""Runs and studies that an earlier version has stored are read, gone on with and removed as by that version."""

import json
import shutil

import pytest

from . import steps

with steps.open_outputs() as file:
    BEFORE = json.load(file)
BEFORE["other"] = {step: output for step, output in BEFORE["other"].items() if "lessons" not in step}  # see the README
PLACES = ("sqlite", "postgres", "other")


@pytest.mark.parametrize(("place", "step"), [(place, step) for place in PLACES for step in BEFORE[place]])
def test_a_command_gives_what_it_gave(place, step, outputs):
    before, now = BEFORE[place][step], outputs(place).get(step)
    assert now is not None, "it was not written"
    assert now["code"] == before["code"], now["error"]
    assert steps.differences(before["written"], now["written"]) == []


def test_a_study_of_other_code_is_refused_and_left_as_it_is(stored, tmp_path, monkeypatch):
    shutil.copytree(stored / "finished", tmp_path / "finished")
    path = tmp_path / "finished" / "study.json"
    path.write_text(path.read_text("utf-8").replace(json.loads(path.read_text("utf-8"))["code"], "0" * 16), "utf-8")
    before = {path.name: path.read_bytes() for path in (tmp_path / "finished").iterdir() if path.suffix.startswith(".json")}
    code, _, error = steps.gems("eval", "shapes", "--limit", "2", "--presets", "original,default", "--out", "finished")
    assert (code, "the code of gems" in " ".join(error.split())) == (2, True)
    assert {name: (tmp_path / "finished" / name).read_bytes() for name in before} == before
