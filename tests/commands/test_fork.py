"""`gems fork` as a person uses it."""

import json
from pathlib import Path

import pytest

from gems import Gems

PROMPT = "three red circles above a blue square and to the left of a green star"


@pytest.fixture
def parent(command):
    code, out, err = command("run", PROMPT, "--thread", "p", "--preset", "paper", "--rounds", "1", "--seed", "11", "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_round_is_drawn_from_another_prompt(command, parent):
    code, out, err = command("fork", "p", "--round", "1", "--prompt", "a red circle", "--name", "f", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["thread"], told["image"]) == ("f", "runs/f/best.png")
    assert told["notes"][0] == "Forked from the run p at round 1: other prompt."
    _, out, _ = command("runs")
    assert "(fork of p)" in out


def test_verdicts_and_checks_are_edited(command, parent):
    verdicts = [word for check in parent["checks"] for word in ("--verdict", f"{check['id']}=pass")]
    code, out, _ = command("fork", "p", "--round", "1", *verdicts, "--json")
    assert (code, json.loads(out)["decision"]) == (0, "accept")
    _, out, _ = command(
        "fork", "p", "--round", "1", "--drop-check", "c3", "--add-check", "Is there a star?", "--rounds", "1", "--json"
    )
    asked = {check["id"]: check["question"] for check in json.loads(out)["checks"]}
    assert "c3" not in asked
    assert asked["p1"] == "Is there a star?"


def test_checks_come_from_a_file_that_show_has_written(command, parent, tmp_path):
    _, out, _ = command("show", "p", "--json")
    told = json.loads(out)
    told["checks"] = told["checks"][:2]
    (tmp_path / "checks.json").write_text(json.dumps(told))
    code, out, err = command("fork", "p", "--round", "1", "--checks", "checks.json", "--rounds", "1", "--json")
    assert code == 0, err
    assert [check["id"] for check in json.loads(out)["checks"]] == ["c1", "c2"]


def test_budgets_of_the_new_run_are_given_and_other_settings_stay(command, parent):
    Path("prices.toml").write_text("[image]\nprice = 0.5\n")
    values = {"--rounds": 3, "--candidates": 2, "--patience": 2, "--max-images": 2, "--max-calls": 99, "--max-tokens": 99999}
    values |= {"--max-seconds": 600, "--max-cost": 9, "--config": "prices.toml"}
    args = [str(word) for pair in values.items() for word in pair]
    code, out, err = command("fork", "p", "--round", "1", *args, "--name", "f", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["usage"]["images"], told["cost"]["amount"]) == (2, 1.0)
    changed = {"max_rounds": 3, "candidates": 2, "patience": 2, "max_images": 2, "max_calls": 99, "max_tokens": 99999}
    changed |= {"max_seconds": 600, "max_cost": 9}
    assert Gems().get("f").context.model_dump() == {**Gems().get("p").context.model_dump(), **changed}
    code, _, err = command("fork", "p", "--round", "1", "--max-cost", "9")
    assert (code, "of the file of --config" in err) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--round", "7"], "the run p has 1 round: there is no round 7"),
        (["--round", "1", "--verdict", "c1"], "write CHECK=VERDICT with the verdict pass, fail or unknown, such as c2=pass"),
        (["--round", "1", "--verdict", "c99=pass"], "there is no check c99: the checks are c1"),
        (["--round", "1", "--drop-check", "c99"], "--drop-check c99: there is no such check"),
        (["--round", "1", "--checks", "none.json"], "--checks none.json: cannot be read"),
        (["--round", "1", "--checks", "bad.json"], "this is not a JSON list of checks; `gems show THREAD --json` prints one"),
        (["--round", "1", "--checks", "wrong.json"], "--checks wrong.json: "),
    ],
)
def test_what_cannot_be_is_one_line(command, parent, tmp_path, options, told):
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "wrong.json").write_text('[{"id": "c1", "kind": "smell", "question": "Is it?"}]')
    code, _, err = command("fork", "p", *options)
    assert code == 2
    assert told in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
