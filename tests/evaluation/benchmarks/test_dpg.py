"""DPG-Bench and DSG-1k: answers in a graph, zeroed by hand; the grid, and the official result file."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer, Sample
from gems.evaluation.benchmarks.dpg import BENCHMARKS, QuestionGraph, zero_children
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data"
DPG, DSG = BENCHMARKS
HEAD = ["item_id", "text", "keywords", "proposition_id", "dependency", "category_broad", "category_detailed", "tuple"]


def read(benchmark: QuestionGraph, folder: Path | None = None) -> list[Sample]:
    file = benchmark.sources[0].file
    return benchmark.read({file: (folder or DATA / benchmark.name) / file})


def rows(folder: Path, benchmark: QuestionGraph, *lines: Sequence[str]) -> list[Sample]:
    """Read lines of item_id, text, proposition_id, dependency, category, question."""
    with (folder / benchmark.sources[0].file).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*HEAD, "question_natural_language"])
        for item, text, number, dependency, category, question in lines:
            table.writerow([item, text, "", number, dependency, category, "", "", question])
    return read(benchmark, folder)


def said(answers: Mapping[str, str]) -> dict[str, list[JudgeAnswer]]:
    return {key: [JudgeAnswer(text=text)] for key, text in answers.items()}


CHAIN = [
    ("1", "a red circle", "1", "0", "entity", "Is there a circle?"),
    ("1", "a red circle", "2", "1", "attribute", "Is the circle red?"),
    ("1", "a red circle", "3", "2", "attribute", "Is the red bright?"),
    ("1", "a red circle", "4", "0", "global", "Is this a drawing?"),
]


def test_a_no_reaches_grandchildren_in_dpg_and_children_alone_in_dsg() -> None:
    raw = {1: False, 2: True, 3: True, 4: True}
    parents = {1: [], 2: [1], 3: [2], 4: []}
    assert zero_children(raw, parents, cascade=True) == {1: False, 2: False, 3: False, 4: True}
    assert zero_children(raw, parents, cascade=False) == {1: False, 2: False, 3: True, 4: True}


def test_dpg_looks_at_a_later_parent_as_it_was_answered() -> None:
    # 1 depends on 2, which is zeroed only after it, as 3 is no
    assert zero_children({1: True, 2: True, 3: False}, {1: [2], 2: [3], 3: []}, cascade=True) == {1: True, 2: False, 3: False}


def test_one_of_two_parents_is_enough() -> None:
    assert zero_children({1: True, 2: False, 3: True}, {1: [], 2: [], 3: [1, 2]}, cascade=False)[3] is False


def test_a_failed_parent_by_hand(tmp_path: Path) -> None:
    answers = said({"1": "no", "2": "yes", "3": "yes", "4": "yes"})
    dpg = DPG.score(rows(tmp_path, DPG, *CHAIN)[0], answers)
    assert dpg == {
        "score": 1 / 4,  # 4 alone
        **{
            "yes entity": 0,
            "questions entity": 1,
            "yes attribute": 2,
            "questions attribute": 2,
            "yes global": 1,
            "questions global": 1,
        },
    }
    assert DSG.score(rows(tmp_path, DSG, *CHAIN)[0], answers)["score"] == 2 / 4  # 3 and 4


def test_a_missing_or_unclear_answer_counts_as_no(tmp_path: Path) -> None:
    sample = rows(tmp_path, DPG, *CHAIN)[0]
    assert DPG.score(sample, said({"1": "yes", "2": "yes", "3": "I cannot tell", "4": "yes"}))["score"] == 3 / 4
    assert DPG.score(sample, said({"1": "yes", "3": "yes", "4": "yes"}))["score"] == 2 / 4
    nothing = DPG.score(sample, {})
    assert (nothing["score"], nothing["yes entity"], nothing["questions entity"]) == (0, 0, 1)


def test_the_table_weighs_prompts_and_categories_weigh_questions() -> None:
    samples = [
        Sample(id=i, prompt="x", group="", truth={"questions": [{"id": 1, "parents": [], "category": c, "question": "?"}]})
        for i, c in (("0", "entity"), ("1", "entity"))
    ]
    numbers = [
        {"score": 0.25, "yes entity": 1.0, "questions entity": 1.0},
        {"score": 0.75, "yes entity": 1.5, "questions entity": 4.0},
    ]
    found = {m.name: float(m.of(BootstrapSample(numbers, ["", ""], np.array([[0, 1]])))[0]) for m in DPG.metrics(samples)}
    assert found == {"score": 50.0, "entity": 50.0}  # (1 + 1.5) / (1 + 4)


def test_dsg_is_told_by_source_too() -> None:
    samples = read(DSG)
    draws = BootstrapSample([DSG.score(s, {}) for s in samples], [s.group for s in samples], np.array([range(8)]))
    names = {m.name: float(m.of(draws)[0]) for m in DSG.metrics(samples) if m.part == "by source"}
    assert set(names) == {f"source {s}" for s in ("whoops", "vrd", "countbench", "drawtext", "midjourney", "posescript")}
    assert set(names.values()) == {0.0}


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_lines_become_samples_and_questions(benchmark: QuestionGraph) -> None:
    samples = read(benchmark)
    assert len(samples) == 8
    assert all(parse_request(s.prompt) for s in samples)
    asked = benchmark.questions(samples[2])
    assert [q.key for q in asked] == ["1", "2", "3", "4", "5"]
    assert asked[-1].text == "Is the triangle above the star? Answer with yes or no only."
    assert samples[2].truth["questions"][-1]["parents"] == [1, 3]
    everything = said({str(n): "Yes." for n in range(1, 10)})
    assert benchmark.score(samples[2], everything)["score"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("1", "a red circle", "2", "1", "attribute", "Is it red?"), "line 6: item 1 has question 2 twice"),
        (("1", "another", "5", "0", "entity", "Is it?"), "line 6: item 1 stands in two places or has two prompts"),
        (("../1", "a red circle", "5", "0", "entity", "Is it?"), "line 6: item_id or proposition_id"),
        (("1", "a red circle", "five", "0", "entity", "Is it?"), "line 6: item_id or proposition_id"),
        (("1", "a red circle", "5", "0", "entity", ""), "line 6: the prompt or the question is empty"),
        (("1", "a red circle", "5", "1, air", "entity", "Is it?"), "item 1: 'dependency' is not numbers"),
    ],
)
def test_a_bad_line_is_refused(tmp_path: Path, change: Sequence[str], words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        rows(tmp_path, DPG, *CHAIN, change)


def test_dsg_drops_all_dependencies_of_an_item_with_an_unreadable_one(tmp_path: Path) -> None:
    sample = rows(tmp_path, DSG, *CHAIN[:3], ("1", "a red circle", "4", "1, air", "relation", "In the air?"))[0]
    assert DSG.score(sample, said({"1": "no", "2": "yes", "3": "yes", "4": "yes"}))["score"] == 3 / 4


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_a_missing_parent_counts_as_no(tmp_path: Path, benchmark: QuestionGraph) -> None:
    sample = rows(tmp_path, benchmark, *CHAIN[1:])[0]  # 2 depends on 1, which is not there
    answers = said({"2": "yes", "3": "yes", "4": "yes"})
    assert benchmark.score(sample, answers)["score"] == pytest.approx(1 / 3 if benchmark is DPG else 2 / 3)


def png(color: str, size: tuple[int, int] = (4, 4)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def test_dpg_exports_grids(tmp_path: Path) -> None:
    samples = read(DPG)[:3]
    colors = ["red", "lime", "blue", "white"]
    images = [
        BenchmarkImage(s, n, None if s.id == "10" or (s.id, n) == ("1", 1) else png(c))
        for s in samples
        for n, c in enumerate(colors)
    ]
    told = DPG.export(tmp_path, images)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png"]
    with Image.open(tmp_path / "1.png") as whole:
        assert whole.size == (8, 8)
        assert [whole.getpixel(at) for at in ((0, 0), (4, 0), (0, 4), (4, 4))] == [
            (255, 0, 0),
            (0, 0, 0),
            (0, 0, 255),
            (255, 255, 255),
        ]
    assert "--resolution 4 --pic-num 4" in told[0]
    assert any("1 images are missing" in text for text in told)
    assert any("1 prompts have no image" in text for text in told)


def test_dpg_with_one_image_a_prompt_is_no_grid_and_other_shapes_are_told(tmp_path: Path) -> None:
    samples = read(DPG)[:2]
    told = DPG.export(
        tmp_path, [BenchmarkImage(samples[0], 0, png("red", (4, 4))), BenchmarkImage(samples[1], 0, png("red", (6, 4)))]
    )
    with Image.open(tmp_path / "0.png") as whole:
        assert whole.size == (4, 4)
    assert "--pic-num 1" in told[0]
    assert any("4 x 4, 6 x 4" in text for text in told)


def test_dsg_exports_a_flat_folder(tmp_path: Path) -> None:
    told = DSG.export(tmp_path, [BenchmarkImage(s, 0, None if s.id == "vrd_0" else b"x") for s in read(DSG)])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{s.id}.png" for s in read(DSG) if s.id != "vrd_0")
    assert told == ["1 prompts have no image: they count as 0"]


RESULT = """images/run, one/0.png, 1.0, 0.5, 0.25, 0.25, 0.5
images/run, one/diffusiondb12.png, 0.0, 0.0, 1e-1, 0.3, 0.1
Model: one
L1 category scores:
\tentity: 87.5
L2 category scores:
\tentity - whole: 87.5
Image path: images/run, one
Save results to: images/run, one/dpg-bench_20250101-101010_results.txt
DPG-Bench score: 30.0
"""


def test_the_official_result_is_read(tmp_path: Path) -> None:
    (tmp_path / "results.txt").write_text(RESULT)
    found = DPG.imported(tmp_path / "results.txt", read(DPG))
    assert [(r.id, r.index, r.values["score"]) for r in found] == [
        *(("0", n, s) for n, s in enumerate((1.0, 0.5, 0.25, 0.25))),
        *(("diffusiondb12", n, s) for n, s in enumerate((0.0, 0.0, 0.1, 0.3))),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no results"),
        ("images/7.png, 1.0, 1.0\n", "there is no prompt 7 in this run"),
        ("images/0.png, 1.0, 0.5\n", "not scores from 0 to 1 and their mean"),
        ("images/0.png, 2.0, 2.0\n", "not scores from 0 to 1 and their mean"),
        ("images/0.png, 1.0, 1.0\nimages/0.png, 1.0, 1.0\n", "line 2: image 0 of prompt 0 is there twice"),
        ("images/0.png, 1.0.0, 1.0\n", "line 1"),
    ],
)
def test_another_result_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "results.txt").write_text(text)
    with pytest.raises(BenchmarkError, match=words):
        DPG.imported(tmp_path / "results.txt", read(DPG))


def test_dsg_has_no_official_result_file(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="gems eval score"):
        DSG.imported(tmp_path / "x", read(DSG))


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of benchmark files")
def test_the_full_dsg_file() -> None:
    path = Path(os.environ["GEMS_BENCHMARKS"]) / "dsg1k"
    samples = read(DSG, path)
    assert len(samples) == 1060
    assert sum(len(DSG.questions(s)) for s in samples) == 8182
    with (path / "dsg-1k-anns.csv").open(newline="", encoding="utf-8") as file:
        unreadable = {
            row["item_id"]
            for row in csv.DictReader(file)
            if not all(part.strip().isdecimal() for part in row["dependency"].split(","))
        }
    assert len(unreadable) == 8
    assert all(not q["parents"] for s in samples if s.id in unreadable for q in s.truth["questions"])
    everything = said({str(n): "yes" for n in range(1, 100)})
    assert [s.id for s in samples if DSG.score(s, everything)["score"] < 1] == ["tifa160_134"]
    assert DSG.score(next(s for s in samples if s.id == "tifa160_134"), everything)["score"] == 0


def test_a_score_that_is_no_number_is_not_passed_over(tmp_path: Path) -> None:
    samples = read(DPG)
    (tmp_path / "r.txt").write_text(f"out/{samples[0].id}.png, 0.5, nan, nan\n")
    with pytest.raises(BenchmarkError, match="line 1: these are not scores from 0 to 1"):
        DPG.imported(tmp_path / "r.txt", samples)
