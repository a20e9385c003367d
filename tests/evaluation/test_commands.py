"""`gems eval` as its users meet it."""

import json
import sys
from pathlib import Path

import pytest


@pytest.fixture
def command(command):
    """Run `gems eval ...` in this process; return exit code, standard output and standard error."""
    return lambda *args: command("eval", *args)


def test_a_study_leaves_tables_results_records_and_a_plot(command):
    args = ("shapes", "--limit", 2, "--presets", "loop", "--sweep", "rounds=1,2", "--out", "mine", "--against", "rounds=2")
    code, out, _ = command(*args)
    assert code == 0
    assert "rounds=1" in out
    told = json.loads(Path("mine/result.json").read_text())
    assert list(told["presets"]) == list(told["study"]["variants"]) == ["rounds=1", "rounds=2"]
    assert told["study"]["variants"]["rounds=2"]["max_rounds"] == 2
    assert told["presets"]["rounds=1"]["gm_difference"]["against"] == "rounds=2"
    assert len(Path("mine/samples.jsonl").read_text().splitlines()) == 4
    assert "| rounds=2 |" in Path("mine/table.md").read_text()
    assert Path("mine/plot.png").exists()
    _, out, _ = command(*args)
    assert "4 runs were found in the records and not made again" in out


def test_the_memory_study_takes_all_its_rounds(command):
    code, _, _ = command("memory", "--limit", 1, "--rounds", 3, "--presets", "paper,default", "--out", "mine", "--concurrency", 2)
    assert code == 0
    told = json.loads(Path("mine/result.json").read_text())["presets"]
    for name in ("paper", "default"):
        assert told[name]["rounds_per_prompt"] == 3
        first, second = told[name]["refiner_input_by_round"]["tokens"]
        assert first < second
    assert Path("mine/memory.png").exists()


def test_without_matplotlib_all_but_the_plots_is_there(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = command("shapes", "--limit", 1, "--presets", "original", "--out", "mine")
    assert code == 0
    assert 'pip install -c constraints.txt -e ".[plots]"' in err
    assert {p.name for p in Path("mine").glob("[a-z]*")} == {"table.md", "result.json", "samples.jsonl", "study.json"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--sweep", "round=1..8"], "unknown knob 'round'"),
        (["--ablate", "rounds"], "rounds has no list of values"),
        (["--set", "plan=all"], "plan=all: Input should be"),
        (["--noise", "2"], "less than or equal to 1"),
        (["--noise", "much"], "--noise much: write a share such as 0.1"),
        (["--noise", "0.1", "--set", "noise_fp=0.2"], "--set noise_fp: --noise sets it too"),
        (["--set", "max_cost=1"], "max_cost is not a knob of a study: use max_calls or max_tokens"),
        (["--presets", "loop", "--against", "paper"], "there is no such variant; choose one of loop"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_drawn(command, args, said):
    code, out, err = command("shapes", *args)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert said in err
    assert "Traceback" not in out + err
    assert not Path("runs").exists()


def test_points_of_two_knobs_keep_both_names():
    from gems.evaluation.plots import _short

    assert _short(["verify=batch", "verify=each"]) == ["batch", "each"]
    assert _short(["fuse=true verify=batch", "fuse=false verify=each"]) == ["fuse=true verify=batch", "fuse=false verify=each"]


def test_ctrl_c_says_how_to_go_on(command, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gems.evaluation.runner.compare", interrupted)
    code, _, err = command("shapes", "--limit", 1)
    assert code == 130
    assert "interrupted: the same command goes on with what is left" in err
