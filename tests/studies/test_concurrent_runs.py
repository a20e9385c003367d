"""The study of many runs at once, with few."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    before = set(sys.modules)
    import studies.concurrent_runs

    yield studies.concurrent_runs
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "studies":
            del sys.modules[name]


def test_every_run_ends_and_draws_each_picture_once(study, tmp_path, capsys):
    study.main(["--runs", "6", "--rounds", "2", "--json", str(tmp_path / "told.json")])
    told = json.loads((tmp_path / "told.json").read_text())
    assert {name: told[name] for name in ("runs", "ok", "failed", "doubled", "errors")} == {
        "runs": 6, "ok": 6, "failed": 0, "doubled": 0, "errors": {}
    }  # fmt: skip
    assert told["images"] > 6
    assert "6 runs at once in one process" in capsys.readouterr().out


def test_a_run_that_fails_is_counted_and_the_command_fails(study, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study.QuickImageModel, "_draw", lambda *args: 1 / 0)
    with pytest.raises(SystemExit) as ended:
        study.main(["--runs", "2"])
    assert ended.value.code == 1
    assert "2 times: " in capsys.readouterr().out
