"""`gems rm` and `gems prune` as a person uses them."""

import json

import pytest


def test_runs_are_removed_and_told(command):
    for name in ("a", "b"):
        assert command("run", "a red circle", "--thread", name, "--json")[0] == 0
    code, out, _ = command("prune", "--older-than", "0h", "--dry-run")
    assert code == 0
    assert "would be removed: a, b" in out
    assert " rows, 1 image (" in out
    code, out, _ = command("rm", "a")
    assert code == 0
    assert out.startswith("removed: a\nfreed: ")
    code, out, _ = command("prune", "--older-than", "0d", "--keep-best", "--json")
    assert json.loads(out)["trimmed"] == ["b"]
    assert "accepted" in command("show", "b")[1] or "accept" in command("show", "b")[1]
    assert command("prune", "--older-than", "30d")[1].startswith("freed: 0 rows, 0 images")


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1y", ""])
def test_an_age_that_is_none_is_told(command, age):
    code, _, err = command("prune", f"--older-than={age}")
    assert (code, "write a number of hours (h), days (d) or weeks (w)" in " ".join(err.split())) == (2, True)


def test_a_run_that_is_not_there_is_told(command):
    assert command("run", "a red circle", "--thread", "a", "--json")[0] == 0
    code, _, err = command("rm", "nobody")
    assert (code, "there is no run nobody: the latest are a" in err) == (2, True)
