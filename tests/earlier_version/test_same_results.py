"""Every preset draws the same images, pixel by pixel, with as many calls and the same scores as an earlier version."""

import importlib.util
import sys
from pathlib import Path

import pytest

import gems

from . import steps

TABLE = Path(__file__).parent / "same_results.csv"
FILE = Path(gems.__file__).parent / "studies" / "same_results.py"


@pytest.fixture(scope="module")
def study():
    """Load the command, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("same_results", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_every_preset_on_sixty_prompts(study):
    rows = study.read(TABLE)
    assert len({row.key for row in rows}) == len(rows) == 60 * len(study.PRESETS)
    assert {row.preset for row in rows} == set(study.PRESETS) == set(gems.PRESETS)


def test_a_part_of_the_prompts_gives_the_same_images_calls_and_scores(study, tmp_path):
    assert steps.gems(*study.arguments(tmp_path / "study", 60, study.PRESETS, "7/30"))[0] == 0
    rows = study.rows_of(tmp_path / "study")
    assert len(rows) == 2 * len(study.PRESETS)
    assert study.differences(study.read(TABLE), rows) == []


def test_what_differs_is_said_and_ends_in_an_error(study, tmp_path, monkeypatch, capsys):
    rows = study.read(TABLE)
    changed = [rows[0]._replace(calls="99"), *rows[1:]]
    monkeypatch.setattr(study.subprocess, "run", lambda *command, **options: None)
    monkeypatch.setattr(study, "rows_of", lambda folder: changed)
    monkeypatch.setattr(sys, "argv", ["same_results", "--against", str(TABLE)])
    with pytest.raises(SystemExit) as end:
        study.main()
    assert end.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{rows[0].preset}, {rows[0].prompt}: calls was {rows[0].calls}, is 99", "479 of 480 rows are the same"]
    assert study.differences(rows[1:], rows) == [f"{rows[0].preset}, {rows[0].prompt}: no such row before"]
