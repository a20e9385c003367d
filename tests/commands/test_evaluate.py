"""`gems eval BENCHMARK` before anything is drawn: what it may take, and what it refuses."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent / "evaluation" / "benchmarks" / "data"
GENEVAL2 = ("geneval2", "--data", DATA / "geneval2")


def test_a_dry_run_tells_what_a_study_may_take_and_does_nothing(command):
    args = ("--presets", "original,default", "--limit", 4, "--images-per-prompt", 2, "--checks", 6, "--dry-run")
    code, out, _ = command("eval", *GENEVAL2, *args, "--judge", "http://127.0.0.1:9/v1#nobody")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "8 to 8" in rows["original"]
    assert "8 to 40" in rows["default"]  # five rounds at most
    assert "Nothing was called or written" in out
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((*GENEVAL2, "--against", "original"), "only paper has published rows here; variants are compared with --base original"),
        ((*GENEVAL2, "--engine", "slurm"), "--engine slurm: choose local or ray"),
        ((*GENEVAL2, "--address", "auto"), "--address is of a Ray cluster: add --engine ray"),
        ((*GENEVAL2, "--shard", "9/8"), "write PART/PARTS, such as 3/8"),
        ((*GENEVAL2, "--judge", "rapidocr"), "GenEval2 is not judged by RapidOCR, but by a chat model that sees images"),
        ((*GENEVAL2, "--judge", "perception"), "GenEval2 is not judged by shapes-perception"),
        (("geneval", "--data", DATA / "geneval", "--judge", "shapes"), "judged by its official scorer only: leave --judge out"),
        (("geneval2",), "add --accept-licence CC-BY-NC-4.0; or name your own copy with --data"),
        (("geneval2", "--data", "nowhere"), "there is no such file or folder"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_drawn(command, monkeypatch, tmp_path, args, said):
    monkeypatch.setenv("GEMS_CACHE", str(tmp_path / "cache"))
    code, out, err = command("eval", *args)
    assert code == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err
    assert not list(Path().rglob("*.png"))


def test_a_judge_that_cannot_be_reached_is_told_before_anything_is_drawn(command):
    code, _, err = command("eval", *GENEVAL2, "--limit", 1, "--presets", "original", "--judge", "http://127.0.0.1:9/v1#nobody")
    assert code == 2
    assert "cannot be reached" in err
    assert not list(Path().rglob("*.png"))
