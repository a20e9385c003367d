import hashlib
import random
import subprocess
import sys
from collections import Counter

import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import JudgeAnswer
from gems.evaluation.benchmarks.shapes import Probe, Shapes, atomicity_of, judge_image, make_benchmark, samples_from_file
from gems.models.shapes.grammar import choose_colors, layouts, parse_request
from gems.models.shapes.questions import questions_about
from gems.models.shapes.world import DrawnThing, center_of, draw

FIRST = hashlib.sha256("\n".join(s.prompt for s in make_benchmark()).encode()).hexdigest()


def picture(prompt, changes=()):
    """Draw a prompt; `changes` are (index of the thing, field, value)."""
    parsed = parse_request(prompt)
    rng = random.Random(prompt)
    cells, colors = next(layouts(parsed, rng)), choose_colors(parsed, rng)
    owners = [i for i, g in enumerate(parsed.groups) for _ in range(g.count)]
    things = [DrawnThing(parsed.groups[o].shape, colors[o], c, *center_of(c), 13.5, o) for o, c in zip(owners, cells, strict=True)]
    for index, field, value in changes:
        things[index] = things[index]._replace(**{field: value})
    return draw(things)


def test_the_benchmark_is_fixed():
    assert [make_benchmark()[k].prompt for k in (0, 25, 175)] == [
        "two orange squares",
        "two stars and four triangles",
        "a blue circle below two yellow triangles and below two red squares",
    ]
    assert FIRST == "075aad05149be726a849cc3d3eaeb8767ce6bd2327ef96a5244ebe5508a8eb29"


def test_the_benchmark_does_not_hang_on_the_order_of_hashes():
    code = "import hashlib; from gems.evaluation.benchmarks.shapes import make_benchmark\n"
    code += "print(hashlib.sha256('\\n'.join(s.prompt for s in make_benchmark()).encode()).hexdigest())"
    told = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == FIRST


def test_the_benchmark_is_even_and_feasible():
    samples = make_benchmark()
    assert Counter(s.atomicity for s in samples) == dict.fromkeys(range(3, 11), 25)
    assert len({s.prompt for s in samples}) == len({s.id for s in samples}) == 200
    for sample in samples:
        parsed = parse_request(sample.prompt)
        assert atomicity_of(parsed) == sample.atomicity
        assert parsed.total <= 6
        assert len({g.shape for g in parsed.groups}) == len(parsed.groups) <= 3
        assert next(layouts(parsed), None) is not None


def test_a_smaller_benchmark_is_a_part_of_the_larger():
    assert {s.id: s for s in make_benchmark(20)}.items() <= {s.id: s for s in make_benchmark(40)}.items()
    assert len(make_benchmark(20)) == 20
    assert make_benchmark(20, seed=1) != make_benchmark(20)


def test_a_benchmark_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="one at least"):
        make_benchmark(0)


def test_questions_are_in_the_words_of_geneval2():
    sample = next(s for s in make_benchmark() if s.prompt == "a blue circle below two yellow triangles and below two red squares")
    assert [(p.skill, p.question, p.expected) for p in sample.questions] == [
        ("object", "Are there any circles in the image?", "yes"),
        ("count", "How many circles are in the image?", "one"),
        ("attribute", "Is the circle blue?", "yes"),
        ("object", "Are there any triangles in the image?", "yes"),
        ("count", "How many triangles are in the image?", "two"),
        ("attribute", "Are the triangles yellow?", "yes"),
        ("object", "Are there any squares in the image?", "yes"),
        ("count", "How many squares are in the image?", "two"),
        ("attribute", "Are the squares red?", "yes"),
        ("position", "Is the circle below the triangles?", "yes"),
        ("position", "Is the circle below the squares?", "yes"),
    ]


def test_the_loop_asks_in_its_own_words():
    for sample in make_benchmark(40):
        shared = {p.question for p in sample.questions} & {
            q.text for q in questions_about(parse_request(sample.prompt)) if q.kind == "object"
        }
        assert not shared


def test_right_pictures_score_full():
    for sample in make_benchmark(80):
        assert judge_image(sample, picture(sample.prompt)) == [1.0] * len(sample.questions), sample.prompt


def test_a_mistake_costs_the_question_it_breaks(tmp_path):
    (sample,) = read(tmp_path, "two red circles above a blue square")
    scores = dict(
        zip(
            (p.question for p in sample.questions),
            judge_image(sample, picture(sample.prompt, [(0, "color", "green")])),
            strict=True,
        )
    )
    assert [q for q, score in scores.items() if score == 0] == ["Are the circles red?"]
    scores = dict(
        zip(
            (p.question for p in sample.questions), judge_image(sample, picture(sample.prompt, [(2, "shape", "star")])), strict=True
        )
    )
    assert [q for q, score in scores.items() if score == 0] == [
        "Are there any squares in the image?",
        "How many squares are in the image?",
        "Is the square blue?",
        "Are the circles above the square?",
    ]


def test_an_empty_picture_scores_nothing():
    for sample in make_benchmark(16):
        assert judge_image(sample, draw([])) == [0.0] * len(sample.questions)


def read(folder, text):
    path = folder / "requests.txt"
    path.write_text(text, encoding="utf-8")
    return samples_from_file(path)


def test_requests_are_read_from_a_file(tmp_path):
    samples = read(
        tmp_path,
        "# mine\n\n  a red circle at the top left, a red circle at the bottom \n3 stars and a blue circle and a red circle\n",
    )
    assert [(s.id, s.prompt, s.atomicity) for s in samples] == [
        ("line-0003", "a red circle at the top left, a red circle at the bottom", 6),
        ("line-0004", "3 stars and a blue circle and a red circle", 6),
    ]
    assert (
        Probe(question="Is there a red circle at the bottom of the image?", expected="yes", skill="position")
        in samples[0].questions
    )
    assert Probe(question="How many circles are in the image?", expected="two", skill="count") in samples[0].questions
    assert Probe(question="How many red circles are in the image?", expected="one", skill="count") in samples[1].questions
    for sample in samples:
        assert judge_image(sample, picture(sample.prompt)) == [1.0] * len(sample.questions)


def test_a_line_outside_the_world_is_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r'requests\.txt, line 3: .*it cannot draw "dog"'):
        read(tmp_path, "a circle\n\na dog\n")


def test_files_without_requests_are_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="holds no request"):
        read(tmp_path, "# nothing\n")
    with pytest.raises(BenchmarkError, match=r"nowhere\.txt"):
        samples_from_file(tmp_path / "nowhere.txt")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(BenchmarkError, match=r"bad\.txt: cannot be read as UTF-8"):
        samples_from_file(tmp_path / "bad.txt")


def test_its_scores_are_soft_tifa_of_the_probes(tmp_path):
    (sample,) = read(tmp_path, "two red circles above a blue square")
    asked = Shapes().questions(sample)
    assert [q.text for q in asked] == [p.question for p in sample.questions]
    right = {q.key: [JudgeAnswer(text=p.expected)] for q, p in zip(asked, sample.questions, strict=True)}
    assert Shapes().score(sample, right) == {
        "gm": 1.0, "am": 1.0,
        "skill object": 2.0, "questions object": 2.0, "skill count": 2.0, "questions count": 2.0,
        "skill attribute": 2.0, "questions attribute": 2.0, "skill position": 1.0, "questions position": 1.0,
    }  # fmt: skip
    wrong = Shapes().score(sample, {**right, "1": [JudgeAnswer(text="three")]})
    assert (wrong["gm"], wrong["am"], wrong["skill count"]) == (0, pytest.approx(6 / 7), 1)
    nothing = Shapes().score(sample, {})
    assert (nothing["gm"], nothing["am"], nothing["skill count"], nothing["questions count"]) == (0, 0, 0, 2)


def test_an_answer_that_is_none_is_wrong(tmp_path):
    (sample,) = read(tmp_path, "a red circle")
    for text in ("", "unknown"):
        found = Shapes().score(sample, {q.key: [JudgeAnswer(text=text)] for q in Shapes().questions(sample)})
        assert found["am"] == 0
