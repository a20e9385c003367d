import io
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer
from gems.evaluation.benchmarks.oneig import BENCHMARKS, OneIG, alignment_score, compare_texts, normalize_text, strip_noise
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data"
EN, ZH = OneIG("en"), OneIG("zh")


def files(benchmark):
    return {source.file: DATA / benchmark.name / source.file for source in benchmark.sources}


def samples_of(benchmark):
    return {s.id: s for s in benchmark.read(files(benchmark))}


def png(color, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, format="PNG")
    return buffer.getvalue()


def table(benchmark, samples, rows):
    draws = BootstrapSample(rows, [s.group for s in samples], np.arange(len(samples))[None])
    return {m.name: float(m.of(draws)[0]) for m in benchmark.metrics(samples)}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_ids_that_repeat_between_categories_are_told_apart(benchmark):
    samples = samples_of(benchmark)
    assert {"anime_000", "human_000", "object_000", "text_000", "reasoning_000"} <= set(samples)
    assert ("multilingualism_000" in samples) == (benchmark.name == "oneig-zh")
    assert len(samples) == 8
    for sample in samples.values():
        parse_request(sample.prompt)


def test_each_set_is_asked_what_it_is_scored_by():
    samples = samples_of(EN)
    questions = EN.questions(samples["anime_000"])
    assert [q.key for q in questions] == ["1", "2", "3", "4"]
    assert questions[0].text == "Is there a circle? Answer yes or no."
    (question,) = EN.questions(samples["text_000"])
    assert (question.kind, question.max_tokens) == ("read", 128)
    assert EN.questions(samples["reasoning_000"]) == []
    assert EN.score(samples["reasoning_000"], {}) == {}
    assert ZH.questions(samples_of(ZH)["multilingualism_000"])[0].text.startswith("有")


def test_prompts_are_read_without_the_files_for_scoring():
    samples = EN.read({EN.table: files(EN)[EN.table]})
    assert len(samples) == 8
    assert not any(EN.questions(s) for s in samples)
    assert all(EN.score(s, {}) == {} for s in samples)
    assert [s.file for s in EN.sources if not s.optional] == ["OneIG-Bench.csv"]


def test_a_question_whose_parent_failed_counts_nothing():
    parents = {"1": [], "2": ["1"], "3": [], "4": ["1", "3"]}
    assert alignment_score(dict.fromkeys("1234", True), parents) == 1
    assert alignment_score({"1": False, "2": True, "3": True, "4": True}, parents) == 0.25  # only 3 is left
    assert alignment_score({"1": True, "2": False, "3": False, "4": True}, parents) == 0.25  # only 1 is left


def test_only_the_parents_own_answer_counts_not_the_grandparents():
    assert alignment_score({"1": False, "2": True, "3": True}, {"1": [], "2": ["1"], "3": ["2"]}) == pytest.approx(1 / 3)
    assert alignment_score({"1": True}, {"1": ["7"]}) == 1  # a parent that is no question


def test_alignment_of_an_image():
    sample = samples_of(EN)["anime_000"]
    answers = {"1": "Yes", "2": "no", "3": " yes.", "4": "**Yes**, it is"}
    assert EN.score(sample, {key: [JudgeAnswer(text=text)] for key, text in answers.items()}) == {"alignment": 0.75}
    del answers["3"]  # not answered: no, and 4 depends on it
    assert EN.score(sample, {key: [JudgeAnswer(text=text)] for key, text in answers.items()}) == {"alignment": 0.25}
    assert EN.score(sample, {}) == {"alignment": 0.0}
    assert EN.score(sample, {"1": [JudgeAnswer(text="Yesterday")]}) == {"alignment": 0.0}


def test_texts_are_compared_without_signs_and_spaces_too_many():
    assert normalize_text("['Three Shapes', \"Don't touch, it's wet.\"]") == "Three Shapes Dont touch its wet"
    assert normalize_text(" Café\n\n 24 ") == "Café 24"
    assert normalize_text("['三个 图形', 'A B，左边']") == "三个图形AB左边"
    assert strip_noise("No text recognized.") == strip_noise("NONE") == strip_noise('"NONE".') == ""
    assert strip_noise("<think>hm</think>MENU\naddCriterion") == "MENU\n"


def test_english_is_compared_by_words_and_chinese_by_characters():
    # MENU of the -> MENU of teh: two letters are exchanged; the words MENU, of are in both, of three
    assert compare_texts("MENU of the", "MENU of teh") == {"ed": 2, "cr": 0, "matched": 2, "words": 3}
    assert compare_texts("a a b", "a b b") == {"ed": 1, "cr": 0, "matched": 2, "words": 3}
    assert compare_texts("MENU", "MENU") == {"ed": 0, "cr": 1, "matched": 1, "words": 1}
    assert compare_texts("三个图形", "三个圆形") == {"ed": 1, "cr": 0, "matched": 3, "words": 4}
    assert compare_texts("MENU", "") == {"ed": 4, "cr": 0, "matched": 0, "words": 1}


@pytest.mark.parametrize(("benchmark", "most"), [(EN, 100), (ZH, 50)])
def test_the_text_score_is_made_of_means(benchmark, most):
    samples = [samples_of(benchmark)[id] for id in ("text_000", "text_001")]
    rows = [{"ed": 10.0, "cr": 0.0, "matched": 3.0, "words": 6.0}, {"ed": 0.0, "cr": 1.0, "matched": 2.0, "words": 2.0}]
    # ED 5, CR 0.5, WAC 5 / 8
    assert table(benchmark, samples, rows)["text"] == pytest.approx(1 - 5 * 0.5 * 0.375 / most)
    rows = [{"ed": 300.0, "cr": 0.0, "matched": 0.0, "words": 6.0}] * 2
    assert table(benchmark, samples, rows)["text"] == 0  # the distance counts up to MAX


def test_missing_images_have_no_text():
    samples = [samples_of(EN)[id] for id in ("text_000", "text_001")]
    rows = [EN.score(sample, {}) for sample in samples]
    assert rows[0] == {"ed": 100, "cr": 0, "matched": 0, "words": 6}
    assert table(EN, samples, rows)["text"] == 0
    read = EN.score(samples[1], {"read": [JudgeAnswer(text="MENU")]})
    assert read == {"ed": 0, "cr": 1, "matched": 1, "words": 1}


def test_overall_is_the_mean_of_five_and_empty_until_all_are_there():
    samples = [samples_of(EN)[id] for id in ("anime_000", "anime_001", "text_000", "reasoning_000")]
    rows = [
        {"alignment": 0.5, "diversity": 0.2},
        {"alignment": 1.0, "diversity": 0.4, "style": 0.3},
        {"ed": 50.0, "cr": 0.0, "matched": 3.0, "words": 6.0, "diversity": 0.3},
        {"diversity": 0.1},
    ]
    found = table(EN, samples, rows)
    assert np.isnan(found["overall"])
    assert (found["alignment"], found["text"]) == (0.75, 0.75)  # 1 - 50 * 1 * 0.5 / 100
    rows[3]["reasoning"] = 0.2
    found = table(EN, samples, rows)
    assert found["overall"] == pytest.approx((0.75 + 0.75 + 0.2 + 0.3 + 0.25) / 5)
    assert found["diversity anime"] == pytest.approx(0.3)


def test_official_grids_are_lossless_and_by_set(tmp_path):
    samples = samples_of(EN)
    pictures = [
        BenchmarkImage(s, n, png(c)) for s in list(samples.values())[:1] for n, c in enumerate(["red", "lime", "blue", "white"])
    ]
    pictures += [BenchmarkImage(samples["text_000"], n, png("red") if n == 1 else None) for n in range(4)]
    pictures += [BenchmarkImage(samples["human_000"], n, None) for n in range(4)]
    told = EN.export(tmp_path, pictures)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.webp")) == [
        "images/anime/gems/000.webp",
        "images/text/gems/000.webp",
    ]
    whole = Image.open(tmp_path / "images/anime/gems/000.webp").convert("RGB")
    assert (whole.size, whole.getpixel((12, 4)), whole.getpixel((4, 12))) == ((16, 16), (0, 255, 0), (0, 0, 255))
    partial = Image.open(tmp_path / "images/text/gems/000.webp").convert("RGB")
    assert partial.crop((0, 0, 8, 8)).getextrema() == ((0, 0),) * 3
    assert "MODE=EN" in told[0]
    assert "IMAGE_GRID=(2)" in told[0]
    assert "1 prompts have no image" in told[1]


def test_one_image_a_prompt_is_no_grid(tmp_path):
    told = ZH.export(tmp_path, [BenchmarkImage(s, 0, png("red")) for s in samples_of(ZH).values()])
    with Image.open(tmp_path / "images/multilingualism/gems/000.webp") as image:
        assert image.size == (8, 8)
    assert "MODE=ZH" in told[0]
    assert "IMAGE_GRID=(1)" in told[0]
    assert "diversity needs more than one image" in told[1]
    assert told[2] == "run_alignment.sh and run_diversity.sh leave multilingualism out: add it to their --class_items"


def test_official_scores_are_read_back(tmp_path):
    samples = list(samples_of(EN).values())

    def give(name, *lines):
        path = tmp_path / f"{name}_prompt_score_EN_2026-01-01_00-00-00.csv"
        path.write_text(",gems\n" + "\n".join(lines) + "\n")
        return {row.id: dict(row.values) for row in EN.imported(path, samples)}

    assert give("reasoning", "000,0.25") == {"reasoning_000": {"reasoning": 0.25}}
    assert give("style", "001,0.5", "000,") == {"anime_001": {"style": 0.5}}
    assert give("diversity", "anime_000,0.3", "text_001,0.4") == {"anime_000": {"diversity": 0.3}, "text_001": {"diversity": 0.4}}
    assert give("alignment", "human_000,0.75") == {"human_000": {"alignment": 0.75}}
    assert give("text", '000,"[12.5, 0.25, 0.5]"') == {"text_000": {"ed": 12.5, "cr": 0.25, "matched": 3, "words": 6}}
    # the official files have a line for every prompt of the benchmark, also where a study took some of them
    assert give("text", "150,", '000,"[12.5, 0.25, 0.5]"', "151,") == {
        "text_000": {"ed": 12.5, "cr": 0.25, "matched": 3, "words": 6}
    }
    assert give("alignment", "human_099,", "human_000,0.75") == {"human_000": {"alignment": 0.75}}
    for name, line, message in (
        ("reasoning", "000," + "+" * 5_000, r"line 2: '\++' is no score of reasoning"),
        ("reasoning", "000," + "-" * 20_000, "is no score of reasoning"),
        ("reasoning", "000," + "9" * 400, "is out of the range of reasoning"),
        ("text", "000," + "[" * 20_000, "is no score of text"),
        ("reasoning", "009,0.25", "no prompt reasoning_009"),
        ("reasoning", "000,much", "'much' is no score of reasoning"),
        ("text", "000,0.5", "is no score of text"),
        ("style", "001,0.5\n001,0.5", "twice"),
    ):
        with pytest.raises(BenchmarkError, match=message):
            give(name, line)
    path = tmp_path / "style_score_EN_2026.csv"
    path.write_text(",style\ngems,0.5\n")
    with pytest.raises(BenchmarkError, match="single prompts is wanted"):
        EN.imported(path, samples)
    path = tmp_path / "style_prompt_score_ZH_2026.csv"
    path.write_text(",gems\n001,0.5\n")
    with pytest.raises(BenchmarkError, match="scores of the ZH prompts"):
        EN.imported(path, samples)
    path = tmp_path / "style_prompt_score_EN_2026.csv"
    path.write_text(",gems,other\n001,0.5,0.6\n")
    with pytest.raises(BenchmarkError, match="of one model are wanted"):
        EN.imported(path, samples)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"question": '{"1": "Is it?"}', "dependency": '{"2": [0]}'}, "do not belong together"),
        ({"question": '{"1": "Is it?"', "dependency": '{"1": [0]}'}, "JSON in a string"),
        ({"question": '{"1": "Is it?"}', "dependency": '{"1": 0}'}, "a list of numbers"),
        ({"question": "{}", "dependency": "{}"}, "do not belong together"),
        ({"question": '{"1": "Is it?"}'}, "'dependency' is missing"),
    ],
)
def test_a_question_graph_that_is_not_official_is_refused(tmp_path, graph, message):
    path = tmp_path / "human.json"
    path.write_text(json.dumps({"000": graph}))
    with pytest.raises(BenchmarkError, match=message):
        EN.read(files(EN) | {EN.graphs["human"]: path})


def test_files_of_different_versions_are_refused(tmp_path):
    path = tmp_path / "human.json"
    path.write_text("{}")
    with pytest.raises(BenchmarkError, match="no questions for 000"):
        EN.read(files(EN) | {EN.graphs["human"]: path})
    path = tmp_path / "text_content.csv"
    path.write_text(",id,text_content\n0,000,['MENU']\n")
    with pytest.raises(BenchmarkError, match="no text for 001"):
        EN.read(files(EN) | {EN.texts: path})
    path = tmp_path / "OneIG-Bench.csv"
    path.write_text("category,id,prompt_en,type,prompt_length,class\nOther,000,a circle,NP,short,\n")
    with pytest.raises(BenchmarkError, match="line 2: the category 'Other' is unknown"):
        EN.read(files(EN) | {EN.table: path})
    with pytest.raises(BenchmarkError, match="no column 'prompt_cn'"):
        ZH.read({ZH.table: files(EN)[EN.table]})


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of official files")
def test_the_official_files():
    sets = {"anime": 245, "human": 244, "object": 206, "text": 200, "reasoning": 225}
    for benchmark, wanted in ((EN, sets), (ZH, sets | {"multilingualism": 200})):
        samples = benchmark.read({benchmark.table: Path(os.environ["GEMS_BENCHMARKS"]) / "oneig" / benchmark.table})
        assert Counter(s.group for s in samples) == wanted


@pytest.mark.parametrize("value", ["1e999", "nan", "-3", "7"])
def test_a_score_out_of_its_range_is_refused(tmp_path, value):
    path = tmp_path / "reasoning_prompt_score_EN_2026.csv"
    path.write_text(f",gems\n000,{value}\n")
    with pytest.raises(BenchmarkError, match=r"line 2: .*reasoning"):
        EN.imported(path, list(samples_of(EN).values()))


@pytest.mark.parametrize("id", ["../../x", "a/b", ""])
def test_an_id_that_is_no_file_name_is_refused(tmp_path, id):
    (tmp_path / "p.csv").write_text(f"category,id,prompt_en,class\nPortrait,{id},a red circle,\n")
    with pytest.raises(BenchmarkError, match="is no name of a file"):
        EN.read({EN.table: tmp_path / "p.csv"})


def test_a_question_in_chinese_may_be_answered_in_chinese():
    sample = samples_of(ZH)["multilingualism_000"]
    keys = list(sample.truth["questions"])
    assert ZH.score(sample, {key: [JudgeAnswer(text="是的。")] for key in keys}) == {"alignment": 1.0}
    assert ZH.score(sample, {key: [JudgeAnswer(text="不是")] for key in keys}) == {"alignment": 0.0}
