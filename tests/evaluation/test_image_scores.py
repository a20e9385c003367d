"""From images to numbers: kept scores, and what official scorers gave, laid over them."""

import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.artimuse import ArtiMuse
from gems.evaluation.benchmarks.base import ImportedScores
from gems.evaluation.image_scores import (
    ImageScore,
    ImportedRows,
    JudgeScores,
    merge_imported,
    official_scores,
    read_imported,
    read_scores,
    require_judge,
    safe_file_name,
    save_imported,
    save_scores,
)
from gems.evaluation.judges.registry import judge_of

from .colours import Colours, record

SAMPLES = Colours(3).read({})
KEYS = [("original", f"c{n:02d}", k) for n in range(3) for k in range(2)]


class Named:
    name, remarks = "Some One/Eyes: 8B", ["It squints."]


def test_kept_scores_are_those_of_the_same_image(tmp_path):
    records = {key: record(key[1], index=key[2], image="ab"[key[2]]) for key in KEYS}
    save_scores(tmp_path, JudgeScores.of(Named(), records, {key: ImageScore({"share": 0.5}, 1) for key in KEYS}))
    (kept,) = read_scores(tmp_path)
    assert (kept.judge, kept.remarks) == ("Some One/Eyes: 8B", ("It squints.",))
    assert kept.scored(records) == {key: ImageScore({"share": 0.5}, 1) for key in KEYS}
    another = {**records, KEYS[0]: record("c00", image="c"), KEYS[1]: record("c00", index=1, image=None)}
    assert set(kept.scored(another)) == set(KEYS[2:])
    assert kept.scored({}) == {}


def test_two_judges_have_a_file_each(tmp_path):
    for name in ("One", "Two"):
        save_scores(tmp_path, JudgeScores(judge=name, rows=()))
    assert [kept.judge for kept in read_scores(tmp_path)] == ["One", "Two"]
    save_scores(tmp_path, JudgeScores(judge="Two", remarks=("again",), rows=()))
    assert [kept.remarks for kept in read_scores(tmp_path)] == [(), ("again",)]


def test_the_same_file_imported_again_takes_its_own_place(tmp_path):
    save_imported(tmp_path, "original", "r.json", [ImportedScores("c00", 0, {"share": 0.1})])
    save_imported(tmp_path, "original", "r.json", [ImportedScores("c00", None, {"share": 0.2})])
    save_imported(tmp_path, "original", "style.json", [ImportedScores("c00", None, {"style": 0.3})])
    assert {one.file: one.rows for one in read_imported(tmp_path)} == {
        "r.json": (("c00", None, {"share": 0.2}),),
        "style.json": (("c00", None, {"style": 0.3}),),
    }
    (tmp_path / "imported-original-r.json.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="is damaged: delete it and import its file again"):
        read_imported(tmp_path)


def rows(*told):
    return [ImportedRows(variant="original", file="r", rows=tuple(told))]


class Styled(Colours):
    official_only = frozenset({"style"})


def test_of_what_was_imported_a_judge_takes_only_what_no_judge_can_give():
    records = {key: record(key[1], index=key[2]) for key in KEYS[:4]}
    scores = {key: ImageScore({"share": 0.5, "other": 1.0}, 2) for key in KEYS[:3]}
    given = rows(("c00", 1, {"share": 0.9}), ("c01", None, {"share": 0.7, "style": 0.1}))
    assert merge_imported(Colours(3), records, scores, given) == scores
    assert merge_imported(Styled(3), records, scores, given) == {
        KEYS[0]: ImageScore({"share": 0.5, "other": 1.0}, 2),
        KEYS[1]: ImageScore({"share": 0.5, "other": 1.0}, 2),
        KEYS[2]: ImageScore({"share": 0.5, "other": 1.0, "style": 0.1}, 2),
    }  # of the fourth the judge knows nothing
    assert scores[KEYS[2]].values == {"share": 0.5, "other": 1.0}
    assert official_scores(Styled(3), SAMPLES, records, given) == {
        KEYS[1]: ImageScore({"share": 0.9}),
        KEYS[2]: ImageScore({"share": 0.7, "style": 0.1}),
        KEYS[3]: ImageScore({"share": 0.7, "style": 0.1}),
    }


def test_no_two_names_share_a_file(tmp_path):
    pairs = [("negative_prompt=中文", "r.json"), ("negative_prompt=日本", "r.json"), ("a", "b-c"), ("a-b", "c"), ("a b", "c"),
             ("a/b", "c"), ("x" * 300, "c"), ("x" * 301, "c"), ("..", "c"), ("original", "r.json")]  # fmt: skip
    made = {save_imported(tmp_path, *pair, [ImportedScores("c00", None, {"share": 0.5})]) for pair in pairs}
    assert len(made) == len(pairs)
    assert {path.parent for path in made} == {tmp_path}
    assert {(one.variant, one.file) for one in read_imported(tmp_path)} == set(pairs)
    assert [safe_file_name(name) for name in ("original", "best-of-n", "Qwen3-VL-8B-Instruct", "rounds=1")] == [
        "original", "best-of-n", "Qwen3-VL-8B-Instruct", "rounds=1",
    ]  # fmt: skip


def test_of_two_files_the_one_that_was_imported_last_counts(tmp_path):
    records = {KEYS[0]: record("c00", image="a")}
    for file, share in (("z.json", 0.1), ("a.json", 0.9)):
        save_imported(tmp_path, "original", file, [ImportedScores("c00", None, {"share": share})])
    assert official_scores(Colours(3), SAMPLES, records, read_imported(tmp_path))[KEYS[0]].values["share"] == 0.9


def test_it_counts_failed_runs_of_its_variant_as_nothing_in_the_numbers_that_it_gives():
    records = {key: record(key[1], index=key[2], image=None if key[2] else "a") for key in KEYS[:2]}
    records["loop", "c00", 0] = record("c00", "loop", image=None)
    given = rows(("c00", None, {"share": 0.8}), ("c01", None, {"share": 0.1}))
    found = official_scores(Colours(3), SAMPLES, records, given)
    assert found == {KEYS[0]: ImageScore({"share": 0.8}), KEYS[1]: ImageScore({"share": 0.0})}
    found = official_scores(Colours(3), SAMPLES, records, rows(("c00", None, {"tifa": 0.8})))
    assert found == {KEYS[0]: ImageScore({"tifa": 0.8}), KEYS[1]: ImageScore({})}  # no share of 0 that no scorer gave


def test_a_benchmark_without_a_judge_of_ours_says_what_to_do():
    with pytest.raises(BenchmarkError, match="by its official scorer only: leave --judge out, then `gems eval export`"):
        require_judge(ArtiMuse(), judge_of("perception"))
