"""LongText-Bench: words and characters counted by hand, English and Chinese."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import BenchmarkImage, BootstrapSample, JudgeAnswer, Sample
from gems.evaluation.benchmarks.longtext import BENCHMARKS, LongText, matches, units
from gems.models.shapes.grammar import parse_request

DATA = Path(__file__).parent / "data" / "longtext"
EN, ZH = BENCHMARKS


def read(benchmark: LongText, folder: Path = DATA) -> list[Sample]:
    file = benchmark.sources[0].file
    return benchmark.read({file: folder / file})


def said(text: str) -> dict[str, list[JudgeAnswer]]:
    return {"text": [JudgeAnswer(text=text)]}


def test_english_words_lose_case_and_signs() -> None:
    assert units("Don't STOP: 9–5,\nCrème　brûlée & more!", "en") == ["dont", "stop", "95", "crème", "brûlée", "more"]


def test_chinese_characters_are_compared_one_by_one_in_their_case() -> None:
    assert units("每日 新鲜，WiFi！\n１9〇", "zh") == ["每", "日", "新", "鲜", "W", "i", "F", "i", "9"]


def test_english_by_hand() -> None:
    texts = ["The sun rises; the sun sets.", "The sun rises"]
    # wanted: the x3, sun x3, rises x2, sets x1 = 9. Read: the x2, sun x4, sets x1, moon: matched 2 + 3 + 0 + 1 = 6
    assert matches(texts, "SUN sets\nthe sun, the sun sun moon", "en") == (6, 9)
    assert matches(texts, "sets rises rises sun sun sun the the the", "en") == (9, 9), "the order does not count"


def test_chinese_by_hand() -> None:
    texts = ["太阳升起，太阳落下。", "太阳升起"]
    # wanted: 太x3 阳x3 升x2 起x2 落x1 下x1 = 12. Read: 太x2 阳x2 升x1 起x1 月x1: matched 2 + 2 + 1 + 1 = 6
    assert matches(texts, "太阳 升起。\n太阳，月", "zh") == (6, 12)
    assert matches(["始于1998 WiFi"], "始于1998wifi", "zh") == (8, 10), "W and F are not w and f"


def test_an_answer_of_no_text_matches_nothing() -> None:
    for text in ("", "No text recognized", "No text recognized.", " no text recognized\n"):
        assert matches(["No text today"], text, "en") == (0, 3)


def test_an_image_is_scored_in_all_and_for_its_length() -> None:
    sample = read(EN)[0]
    assert sample.truth["text"] == ["FRESH BREWS, EVERY MORNING", "EVERY DAY"]
    assert EN.score(sample, said("fresh brews every day")) == {
        **{"matched": 4.0, "wanted": 6.0},
        **{"matched short": 4.0, "wanted short": 6.0},
    }
    assert EN.score(sample, {})["matched"] == 0
    assert EN.score(sample, {})["wanted"] == 6, "a failed prompt counts"


def test_the_score_is_a_ratio_of_sums() -> None:
    samples = read(EN)[:3]  # sign short, sign long, label short
    rows = [
        {"matched": 4.0, "wanted": 6.0, "matched short": 4.0, "wanted short": 6.0},
        {"matched": 6.0, "wanted": 12.0, "matched long": 6.0, "wanted long": 12.0},
        EN.score(samples[2], {}),
    ]
    draws = BootstrapSample(rows, [s.group for s in samples], np.array([[0, 1, 2]]))
    found = {(m.part, m.name): float(m.of(draws)[0]) for m in EN.metrics(samples)}
    assert found == {
        ("", "score"): pytest.approx(10 / 20),
        ("by category", "sign"): pytest.approx(10 / 18),
        ("by category", "label"): 0.0,
        ("by length", "length short"): pytest.approx(4 / 8),
        ("by length", "length long"): pytest.approx(6 / 12),
    }


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_lines_become_samples_with_one_thing_to_read(benchmark: LongText) -> None:
    samples = read(benchmark)
    assert [s.id for s in samples] == ["0000", "0001", "0020", "0040", "0060", "0100", "0140", "0199"]
    assert samples[-1].group == "dialogue"
    assert all(parse_request(s.prompt) for s in samples)
    assert [(q.key, q.kind) for q in benchmark.questions(samples[0])] == [("text", "read")]


@pytest.mark.parametrize("text", [[], [1], "one"])
def test_texts_are_a_list_of_texts(tmp_path: Path, text: object) -> None:
    line = {"category": "sign", "length": "short", "prompt": "a red circle", "text": text, "prompt_id": 0}
    (tmp_path / "text_prompts.jsonl").write_text(json.dumps(line))
    with pytest.raises(BenchmarkError, match="line 1: 'text' is"):
        read(EN, tmp_path)


def test_the_export_is_what_the_official_script_reads(tmp_path: Path) -> None:
    samples = read(ZH)[-2:]
    told = ZH.export(
        tmp_path, [BenchmarkImage(s, n, None if (s.id, n) == ("0140", 0) else b"x") for s in samples for n in range(4)]
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"0140_{n}.png" for n in (2, 3, 4)] + [
        f"0199_{n}.png" for n in (1, 2, 3, 4)
    ]
    assert any("1 images are missing" in text for text in told)
    assert "--mode zh" in told[0]


def result(path: Path, samples: list[Sample], **changes: object) -> Path:
    lines = [
        {
            "image": f"images/{s.id}_{n}.png",
            "prompt": s.prompt,
            "ocr_gt": s.truth["text"],
            "ocr_results": "每日新鲜" if n == 1 else "",
        }
        for s in samples
        for n in (1, 2)
    ]
    lines[1] |= changes
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def test_the_official_result_is_read_and_scored(tmp_path: Path) -> None:
    samples = read(ZH)[:2]
    rows = ZH.imported(result(tmp_path / "results.jsonl", samples), samples)
    assert [(r.id, r.index) for r in rows] == [("0000", 0), ("0000", 1), ("0001", 0), ("0001", 1)]
    assert rows[0].values == {"matched": 4.0, "wanted": 12.0, "matched short": 4.0, "wanted short": 12.0}
    assert rows[1].values["matched"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "images/first.png"}, "not of the form"),
        ({"image": "images/0000_0.png"}, "not of the form"),
        ({"image": "images/0150_1.png"}, "there is no prompt 0150 in this run"),
        ({"prompt": "a cow"}, "not of these samples"),
        ({"image": "other/0000_1.png"}, "there twice"),
        ({"ocr_results": None}, "'ocr_results' is NoneType"),
    ],
)
def test_a_result_of_something_else_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    samples = read(ZH)[:2]
    with pytest.raises(BenchmarkError, match=words):
        ZH.imported(result(tmp_path / "results.jsonl", samples, **changes), samples)


@pytest.mark.skipif("GEMS_BENCHMARKS" not in os.environ, reason="GEMS_BENCHMARKS names no folder of benchmark files")
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_the_full_file(benchmark: LongText) -> None:
    samples = read(benchmark, Path(os.environ["GEMS_BENCHMARKS"]) / "longtext_bench")
    assert Counter(Counter(s.group for s in samples).values()) == {20: 8}
    assert samples[-1].id == "0199"
    for sample in samples:
        perfect = benchmark.score(sample, said("\n".join(sample.truth["text"])))
        assert perfect["matched"] == perfect["wanted"] > 0
