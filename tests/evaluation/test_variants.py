"""Variants from what is typed: sweeps, ablations, and clear errors."""

import shutil
from pathlib import Path

import pytest

import gems
from gems.context import PRESETS, preset
from gems.errors import SettingError
from gems.evaluation.study_definition import code_digest
from gems.evaluation.variants import make_variants, parse_axis, parse_changes


def settings(made, setting):
    return {v.name: getattr(v.context, setting) for v in made}


def test_presets_are_the_variants_where_nothing_is_swept():
    made = make_variants(list(PRESETS))
    assert {v.name: v.context for v in made} == {name: preset(name) for name in PRESETS}
    assert [v.name for v in make_variants(["paper", "original", "paper"])] == [
        "paper",
        "original",
    ]


@pytest.mark.parametrize(
    ("text", "setting", "values"),
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
def test_an_axis_is_a_setting_and_its_values(text, setting, values):
    found = parse_axis(text)
    assert (found.setting, found.values) == (setting, values)


def test_a_sweep_changes_its_setting_and_nothing_else():
    made = make_variants(["default"], [parse_axis("rounds=1..3")])
    assert settings(made, "max_rounds") == {"rounds=1": 1, "rounds=2": 2, "rounds=3": 3}
    assert all(v.context.model_copy(update={"max_rounds": 5}) == preset("default") for v in made)
    assert {v.line for v in made} == {"default"}
    assert [v.at for v in made] == [1, 2, 3]


def test_axes_and_presets_are_combined():
    made = make_variants(["loop", "paper"], [parse_axis("candidates=1,2"), parse_axis("fuse")])
    assert len(made) == 8
    assert settings(made, "candidates")["paper candidates=2 fuse=true"] == 2
    assert settings(made, "fuse")["loop candidates=1 fuse=false"] is False
    assert {v.line for v in made} == {f"{p} fuse={f}" for p in ("loop", "paper") for f in ("true", "false")}


def test_fixed_changes_hold_for_all():
    made = make_variants(
        ["loop", "paper"],
        [parse_axis("verify")],
        parse_changes(["patience=none", "rounds=7"]),
    )
    assert set(settings(made, "patience").values()) == {None}
    assert set(settings(made, "max_rounds").values()) == {7}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: parse_axis("round=1..8"), "unknown setting 'round': did you mean rounds"),
        (lambda: parse_axis("colour"), "unknown setting 'colour'"),
        (lambda: parse_axis("rounds"), "rounds has no list of values"),
        (
            lambda: parse_axis("rounds=0..3"),
            "rounds=0: Input should be greater than or equal to 1",
        ),
        (lambda: parse_axis("rounds=3..1"), "a range goes upwards, such as 1..3"),
        (lambda: parse_axis("rounds=1..100000000"), "too many"),
        (lambda: parse_axis("rounds="), "rounds="),
        (lambda: parse_axis("rounds=none"), "rounds=none"),
        (
            lambda: parse_axis("verify=twice"),
            "verify=twice: Input should be 'batch', 'each' or 'adaptive'",
        ),
        (lambda: parse_axis("seed=1,2"), "use --seed and --seeds"),
        (lambda: parse_changes(["patience"]), "write setting=value"),
        (lambda: make_variants([]), "no preset to measure"),
        (lambda: make_variants(["worst"]), "unknown preset 'worst'"),
        (
            lambda: make_variants(["loop"], [parse_axis("rounds=1,2")], {"max_rounds": 3}),
            "rounds is set twice",
        ),
        (
            lambda: make_variants(["loop"], [parse_axis("rounds=1,2"), parse_axis("max_rounds=3")]),
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
