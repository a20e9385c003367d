"""Variants from what is typed: sweeps, ablations, noise, and clear errors."""

import shutil
from pathlib import Path

import pytest

import gems
from gems.context import PRESETS, preset
from gems.errors import SettingError
from gems.evaluation.variants import axis, changes, code_digest, noise, variants


def settings(made, knob):
    return {v.name: getattr(v.context, knob) for v in made}


def test_presets_are_the_variants_where_nothing_is_swept():
    made = variants(list(PRESETS))
    assert {v.name: v.context for v in made} == {name: preset(name) for name in PRESETS}
    assert [v.name for v in variants(["paper", "original", "paper"])] == [
        "paper",
        "original",
    ]


@pytest.mark.parametrize(
    ("text", "knob", "values"),
    [
        ("rounds=1..4", "max_rounds", (1, 2, 3, 4)),
        ("candidates=1,2,4", "candidates", (1, 2, 4)),
        ("rounds=1..2,8", "max_rounds", (1, 2, 8)),
        ("accept_at=0.5,none", "accept_at", (0.5, None)),
        ("patience=1,none", "patience", (1, None)),
        ("verify=batch,each", "verify", ("batch", "each")),
        ("skills", "plan", ("none", "rewrite", "skills")),
        (
            "recall",
            "recall",
            (
                "none",
                "last",
                "feedback",
                "images",
                "thoughts",
                "experiences",
                "default",
            ),
        ),
        ("fuse", "fuse", (False, True)),
        ("skip_children", "skip_children", (False, True)),
    ],
)
def test_an_axis_is_a_knob_and_its_values(text, knob, values):
    found = axis(text)
    assert (found.knob, found.values) == (knob, values)


def test_a_sweep_changes_its_knob_and_nothing_else():
    made = variants(["default"], [axis("rounds=1..3")])
    assert settings(made, "max_rounds") == {"rounds=1": 1, "rounds=2": 2, "rounds=3": 3}
    assert all(v.context.model_copy(update={"max_rounds": 5}) == preset("default") for v in made)
    assert {v.line for v in made} == {"default"}
    assert [v.at for v in made] == [1, 2, 3]


def test_axes_and_presets_are_combined():
    made = variants(["loop", "paper"], [axis("candidates=1,2"), axis("fuse")])
    assert len(made) == 8
    assert settings(made, "candidates")["paper candidates=2 fuse=true"] == 2
    assert settings(made, "fuse")["loop candidates=1 fuse=false"] is False
    assert {v.line for v in made} == {f"{p} fuse={f}" for p in ("loop", "paper") for f in ("true", "false")}


def test_fixed_changes_and_noise_hold_for_all():
    made = variants(
        ["loop", "paper"],
        [axis("verify")],
        {**changes(["patience=none", "rounds=7"]), **noise("fp=0.2")},
    )
    assert set(settings(made, "patience").values()) == {None}
    assert set(settings(made, "max_rounds").values()) == {7}
    assert {(v.context.noise_fp, v.context.noise_fn) for v in made} == {(0.2, 0.0)}
    assert noise("0.1") == {"noise_fp": 0.1, "noise_fn": 0.1}
    assert noise("fp=0.1, fn=0.05") == {"noise_fp": 0.1, "noise_fn": 0.05}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: axis("round=1..8"), "unknown setting 'round': did you mean rounds"),
        (lambda: axis("colour"), "unknown setting 'colour'"),
        (lambda: axis("rounds"), "rounds has no list of values"),
        (
            lambda: axis("rounds=0..3"),
            "rounds=0: Input should be greater than or equal to 1",
        ),
        (lambda: axis("rounds=3..1"), "a range goes upwards, such as 1..3"),
        (lambda: axis("rounds=1..100000000"), "too many"),
        (lambda: axis("rounds="), "rounds="),
        (lambda: axis("rounds=none"), "rounds=none"),
        (
            lambda: axis("verify=twice"),
            "verify=twice: Input should be 'batch', 'each' or 'adaptive'",
        ),
        (lambda: axis("seed=1,2"), "use --seed and --seeds"),
        (lambda: changes(["patience"]), "write knob=value"),
        (lambda: noise("2"), "less than or equal to 1"),
        (lambda: noise("fq=0.1"), "or fp=0.1,fn=0.05"),
        (lambda: variants([]), "no preset to measure"),
        (lambda: variants(["worst"]), "unknown preset 'worst'"),
        (
            lambda: variants(["loop"], [axis("rounds=1,2")], {"max_rounds": 3}),
            "rounds is set twice",
        ),
        (
            lambda: variants(["loop"], [axis("rounds=1,2"), axis("max_rounds=3")]),
            "set twice",
        ),
    ],
)
def test_what_cannot_be_is_one_clear_line(make, said):
    with pytest.raises(SettingError) as error:
        make()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_changed_code_is_another_study(tmp_path):
    root = Path(gems.__file__).parent
    for part in ("nodes", "evaluation"):
        shutil.copytree(root / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    before = code_digest(tmp_path)
    (tmp_path / "evaluation" / "tables.py").write_text("# only how it is shown\n")
    assert code_digest(tmp_path) == before
    with (tmp_path / "nodes" / "refiner.py").open("a") as file:
        file.write("# another refiner\n")
    assert code_digest(tmp_path) != before
