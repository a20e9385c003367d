"""The study of the released answers to DSG-1k, on answers and a function of the tests' own."""

import csv
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "evaluation" / "benchmarks" / "data" / "dsg" / "dsg-1k-anns.csv"
OFFICIAL = """
import a_package_that_nobody_has

def calc_vqa_score(answers, parents):
    right = {key: answer == "yes" for key, answer in answers.items()}
    kept = deepcopy(right)
    for key, above in parents.items():
        if any(parent and not right[parent] for parent in above):
            kept[key] = False
    return {"average_score_with_dependency": sum(kept.values()) / len(right)}
"""


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("dsg_parity", ROOT / "studies" / "dsg_parity.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_answers_are_scored_by_both_and_a_yes_with_more_behind_it_only_by_ours(study, tmp_path, capsys):
    (tmp_path / "vqa_utils.py").write_text(OFFICIAL)
    with DATA.open(newline="") as file:
        asked = list(csv.DictReader(file))
    for model, first in (("plain", "yes"), ("wordy", "yes 1000")):
        with (tmp_path / f"{model}_dsg.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["t2i_model", "item_id", "question_id", "answer"])
            for number, row in enumerate(asked):
                said = {0: first, 1: "no"}.get(number, "yes")
                table.writerow(["sd2dot1", row["item_id"], row["proposition_id"], said])
                table.writerow(["another", row["item_id"], row["proposition_id"], "no"])
    plain, wordy = study.main(
        ["--answers", str(tmp_path), "--data", str(DATA), "--official", str(tmp_path / "vqa_utils.py")]
    )  # fmt: skip
    assert (plain.differ, plain.differ_exact, wordy.differ, wordy.differ_exact) == (0, 0, 1, 0)
    assert (plain.ours, plain.exact, plain.official) == (93.75, 93.75, 93.75)
    assert (wordy.ours, wordy.exact, wordy.official) == (93.75, 87.5, 87.5)
    assert "wordy" in capsys.readouterr().out
