"""`gems eval` as its users meet it."""

import json
import sys
from pathlib import Path

import pytest

from gems.errors import ImageModelError
from gems.models.image.diffusers import DiffusersImage


@pytest.fixture
def command(command):
    """Run `gems eval ...` in this process; return exit code, standard output and standard error."""
    return lambda *args: command("eval", *args)


def told_in(folder):
    return json.loads(Path(folder, "result.json").read_text())


def test_a_study_leaves_tables_results_records_and_a_plot(command):
    args = ("shapes", "--limit", 2, "--presets", "loop", "--sweep", "rounds=1,2", "--out", "mine", "--base", "rounds=2")
    code, out, _ = command(*args)
    assert code == 0
    assert "rounds=1" in out
    told = told_in("mine")
    measured = told["judges"]["shapes-perception"]
    assert list(measured) == list(told["study"]["variants"]) == ["rounds=1", "rounds=2"]
    assert told["study"]["variants"]["rounds=2"]["max_rounds"] == 2
    assert measured["rounds=1"]["difference"]["against"] == "rounds=2"
    assert told["warnings"] == ["2 of 200 prompts were used; the others are left out."]
    assert len(Path("mine/samples.jsonl").read_text().splitlines()) == 4
    assert "| rounds=2 |" in Path("mine/table.md").read_text()
    assert Path("mine/table.csv").read_text().startswith("variant,judge,metric,value,low,high,n,source\nrounds=1,")
    assert Path("mine/plot.png").exists()
    assert '<h2 id="worst-title">Worst</h2>' in Path("mine/gallery.html").read_text()
    _, out, _ = command(*args)
    assert "4 recorded images were reused" in out


def test_without_a_folder_named_the_study_is_by_its_name(command):
    command("shapes", "--limit", 1, "--presets", "loop", "--sweep", "rounds=1,2", "--ablate", "fuse")
    (folder,) = Path("runs/eval").iterdir()
    assert folder.name.startswith("shapes-sweep-rounds-ablate-fuse-")


def test_the_table_is_shown_again_against_another_base_and_the_paper(command):
    command("shapes", "--limit", 2, "--presets", "original,loop", "--out", "mine")
    before = {p.name: p.stat().st_mtime_ns for p in Path("mine/images").rglob("*")}
    code, out, _ = command("table", "mine", "--base", "loop", "--against", "paper", "--json", "told.json")
    assert code == 0
    assert "Δ is the paired difference to loop" in " ".join(out.split())
    assert json.loads(Path("told.json").read_text())["judges"] == told_in("mine")["judges"]
    assert told_in("mine")["judges"]["shapes-perception"]["original"]["difference"]["against"] == "loop"
    assert {p.name: p.stat().st_mtime_ns for p in Path("mine/images").rglob("*")} == before


def test_scoring_again_asks_nothing_that_is_known(command):
    command("shapes", "--limit", 2, "--presets", "original", "--out", "mine")
    before, answers = told_in("mine"), Path("mine/answers-shapes-perception.jsonl").read_bytes()
    code, out, _ = command("score", "mine")
    assert code == 0
    assert "warning: 2 of 200 prompts were used" in out
    assert Path("mine/answers-shapes-perception.jsonl").read_bytes() == answers
    assert told_in("mine") == before


def test_shards_are_added_up(command):
    args = ("shapes", "--limit", 2, "--presets", "original", "--out", "mine")
    code, out, _ = command(*args, "--shard", "1/2")
    assert code == 0
    assert "images that are not generated or not judged yet do not count: original 1." in out
    command(*args, "--shard", "2/2")
    both = told_in("mine")["judges"]
    command(*args[:-1], "alone")
    alone = told_in("alone")["judges"]
    for told in (both, alone):
        told["shapes-perception"]["original"].pop("seconds_per_run")
        told["shapes-perception"]["original"]["intervals"].pop("seconds_per_run")
    assert both == alone


def test_without_matplotlib_all_but_the_plots_is_there(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = command("shapes", "--limit", 1, "--presets", "original", "--out", "mine")
    assert code == 0
    assert 'pip install -c constraints.txt -e ".[plots]"' in err
    assert {p.name for p in Path("mine").glob("[a-z]*")} == {
        "table.md", "table.csv", "result.json", "samples.jsonl", "prompts.jsonl", "study.json", "images",
        "answers-shapes-perception.jsonl", "scores-shapes-perception.json", "gallery.html",
    }  # fmt: skip


def test_a_failed_run_is_told_and_the_same_command_tries_it_again(command, monkeypatch):
    args = ("shapes", "--limit", 2, "--presets", "original", "--out", "mine")
    with monkeypatch.context() as patch:
        patch.setattr(DiffusersImage, "generate", _broken)
        code, out, _ = command(*args)
    assert code == 1  # no image at all
    assert "runs failed, and count as images that show nothing: original 2." in " ".join(out.split())
    assert "why runs failed: out of memory (2 times)." in " ".join(out.split())
    assert told_in("mine")["judges"]["shapes-perception"]["original"]["failed"] == 2
    code, out, _ = command(*args)
    assert code == 0
    assert told_in("mine")["judges"]["shapes-perception"]["original"]["failed"] == 0
    assert "runs failed" not in out


def _broken(self, requests):
    raise ImageModelError("out of memory")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--sweep", "round=1..8"], "unknown setting 'round'"),
        (["--ablate", "rounds"], "rounds has no list of values"),
        (["--set", "plan=all"], "plan=all: Input should be"),
        (["--set", "max_cost=1"], "max_cost is not a setting of a study: use max_calls or max_tokens"),
        (["--presets", "loop", "--base", "paper"], "there is no such variant; choose one of loop"),
        (["--presets", "loop", "--against", "default"], "variants are compared with --base default"),
        (["--shard", "3/2"], "--shard 3/2: write PART/PARTS, such as 3/8"),
        (["--judge", "rapidocr"], "Shapes is not judged by RapidOCR, but by the shapes world's perception"),
        (["--data", "nowhere.txt"], "nowhere.txt"),
        (["--engine", "spark"], "--engine spark: choose local or ray"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_drawn(command, args, said):
    code, out, err = command("shapes", *args)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert said in err
    assert "Traceback" not in out + err
    assert not Path("runs").exists()


@pytest.mark.parametrize("args", [["score", "nowhere"], ["table", "nowhere"], ["export", "nowhere"], ["import", "nowhere", "x"]])
def test_a_folder_without_a_study_is_told(command, args):
    code, _, err = command(*args)
    assert code == 2
    assert "nowhere holds no study: name the folder that `gems eval` printed, or its --out" in " ".join(err.split())


def test_ctrl_c_says_how_to_go_on(command, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gems.evaluation.study.compare", interrupted)
    code, _, err = command("shapes", "--limit", 1)
    assert code == 130
    assert "interrupted: the same command goes on with what is left" in err
