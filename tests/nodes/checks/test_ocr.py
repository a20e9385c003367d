"""OCR of pictures of text, with the engine's own models. Nothing is downloaded."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from gems import Check, ImageModel, run
from gems.errors import GemsError
from gems.nodes.checks import ocr
from gems.nodes.checks.checkers import Checker, installed_checkers
from gems.nodes.checks.ocr import OcrChecker

from ...moody_chat import Moody

pytest.importorskip("rapidocr", reason="the extra ocr is not installed")

DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FONTS = [None, *(f"DejaVu{style}.ttf" for style in ("Sans", "Serif", "SansMono"))]


def font(name, size):
    if name is None:
        return ImageFont.load_default(size)
    path = Path(name) if Path(name).is_absolute() else DEJAVU / name
    return ImageFont.truetype(str(path), size) if path.exists() else pytest.skip(f"there is no font {name}")


def sign(*texts, name=None, height=48, size=(320, 320), turned=0):
    """Draw texts, given as (text, x, y) or as a text alone."""
    image = Image.new("RGB", size, "white")
    for text, x, y in [(t, size[0] // 10, size[1] // 4) if isinstance(t, str) else t for t in texts]:
        ImageDraw.Draw(image).multiline_text((x, y), text, fill="navy", font=font(name, height))
    return image.rotate(turned, fillcolor="white") if turned else image


@pytest.fixture(scope="module")
def checker():
    return OcrChecker()


@pytest.fixture
def told(checker):
    """Have one picture checked for texts; return (passed, reason) for each, None for those left to the model."""

    def go(image, *expected, question="What does the sign say?"):
        checks = [Check(id=f"c{i}", kind="text", question=question, expected=e) for i, e in enumerate(expected)]
        return [v and (v.passed, v.reason) for v in checker.check(image, checks)]

    return go


@pytest.mark.parametrize("name", FONTS)
def test_text_is_read_letter_for_letter(told, name):
    image = sign(("OPEN 24/7", 20, 30), ("GALLREY", 40, 120), ("OEPN", 60, 220), name=name)
    assert told(image, "OPEN 24/7", "GALLERY", "OPEN 7") == [
        (True, ""),
        (False, 'read "GALLREY" instead of "GALLERY": 2 of 7 characters differ'),
        (False, 'read "OPEN 24/7" instead of "OPEN 7": 3 of 9 characters differ'),
    ]


def test_a_misspelling_fails_and_the_nearer_one_is_worth_more(checker):
    checks = [Check(id=f"c{i}", kind="text", question="?", expected=e) for i, e in enumerate(("OPEN", "OEPNS"))]
    far, near = checker.check(sign("OEPN"), checks)
    assert (far.passed, far.reason) == (False, 'read "OEPN" instead of "OPEN": 2 of 4 characters differ')
    assert 0.5 > near.probability > far.probability > 0


def test_text_over_several_lines_and_on_several_signs(told):
    image = sign(("GRAND\nOPENING", 10, 60), ("FRESH\nFISH", 220, 60), height=32, size=(360, 320))
    assert told(image, "GRAND OPENING", "FRESH FISH", "GRAND OPENNING") == [
        (True, ""),
        (True, ""),
        (False, 'read "GRAND OPENING" instead of "GRAND OPENNING": 1 of 14 characters differ'),
    ]


def test_chinese(told):
    listed = (
        subprocess.run(["fc-list", ":lang=zh", "file"], capture_output=True, text=True).stdout if shutil.which("fc-list") else ""
    )
    if not listed.strip():
        pytest.skip("there is no font with Chinese signs")
    name = listed.split(":")[0].strip()
    image = sign("开门大吉", name=name)
    mistaken = (False, 'read "开门大吉" instead of "开门大喜": 1 of 4 characters differ')
    assert told(image, "开门大吉", "开门", "开门大喜") == [(True, ""), (True, ""), mistaken]


@pytest.mark.parametrize("turned", [90, 180])
def test_text_that_stands_on_its_side_or_head_does_not_pass(told, turned):
    assert told(sign("OPEN", turned=turned), "OPEN") == [None]


def test_a_tilted_sign_is_read(told):
    assert told(sign("OPEN", turned=12), "OPEN") == [(True, "")]


@pytest.mark.parametrize("side", [8, 128, 512])
def test_no_text_is_left_to_the_model(told, side):
    assert told(Image.new("RGB", (side, side), "white"), "OPEN") == [None]


def test_another_text_says_nothing_of_one_that_may_have_been_missed(told):
    assert told(sign("12:45"), "OPEN") == [None]


@pytest.mark.parametrize(("drawn", "expected"), [("COOL 24/7", "CooL24/7"), ("0151", "O151"), ("ОТКРЫТО", "ОТКРЫТО")])
def test_what_ocr_cannot_tell_is_left_to_the_model(told, drawn, expected):
    """Signs that look alike, spaces, and scripts that it does not know."""
    assert told(sign(drawn, name="DejaVuSans.ttf"), expected) == [None]


def test_the_case_of_letters_counts_where_it_shows(told):
    assert told(sign("OPEN"), "Open") == [(False, 'read "OPEN" instead of "Open": upper and lower case differ')]


def test_questions_of_its_kind_that_are_not_for_reading_are_left_to_the_model(told):
    assert told(sign("OPEN"), "yes", "OPEN", question="Is the text legible?") == [None, (True, "")]


@pytest.mark.parametrize(("side", "height"), [(128, 14), (2400, 260)])
def test_small_and_large_pictures(told, side, height):
    assert told(sign("OPEN", size=(side, side // 2), height=height), "OPEN") == [(True, "")]


def test_any_mode_of_picture_will_do(told):
    assert told(sign("OPEN").convert("LA"), "OPEN") == [(True, "")]


def test_threads_do_not_mix_up_their_pictures(told):
    words = ["OPEN", "FISH", "GALLERY", "TRAIN"]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda word: told(sign(word), word), words))
    assert found == [[(True, "")]] * len(words)


def test_it_is_among_the_installed_checkers_and_answers_texts():
    (found,) = installed_checkers()
    assert isinstance(found, Checker)
    assert found.kinds == {"text"}


def test_without_the_extra_there_is_none_and_making_one_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ocr.importlib.util, "find_spec", lambda name: None)
    assert installed_checkers() == ()
    with pytest.raises(GemsError, match=r'pip install -c constraints\.txt -e "\.\[ocr\]"'):
        OcrChecker()


def test_it_is_loaded_only_when_a_text_is_to_be_read_and_says_nothing():
    code = """
import sys, socket
def closed(*a, **k): raise SystemExit("it opened a connection")
socket.socket.connect = closed
import gems
from gems.nodes.checks.checkers import installed_checkers
from gems.nodes.checks.ocr import OcrChecker
from PIL import Image
(checker,) = installed_checkers()
heavy = {"rapidocr", "onnxruntime", "cv2"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert checker.check(Image.new("RGB", (64, 64)), [gems.Check(id="c1", kind="text", question="?", expected="A")]) == [None]
assert heavy <= set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class SignPainter(ImageModel):
    """Paints one sign after the other, whatever it is asked for."""

    name = "sign painter"

    def __init__(self, *signs):
        self.signs, self.prompts = list(signs), []

    def generate(self, requests):
        self.prompts += [request.prompt for request in requests]
        return [sign(self.signs.pop(0)) for _ in requests]


def test_a_run_keeps_the_nearest_sign_and_its_refiner_is_told_the_difference(tmp_path):
    painter = SignPainter("GALXXXY", "GALLREY", "GALLXXX")
    said = {
        "tools": "a shop",
        "Plan": {"thought": "", "prompt": "a shop"},
        "Checks": {"checks": [{"kind": "text", "question": 'Does the sign say "GALLERY"?', "expected": "yes"}]},
        "Findings": {"findings": [{"id": "c1", "answer": "GALLERY"}]},
        "Lesson": {"experience": "It misspells."},
        "Refinement": {"strategy": "spell it", "prompt": "a shop with a sign"},
    }
    chat = Moody(mood={name: text if isinstance(text, str) else json.dumps(text) for name, text in said.items()}, heard=[])
    result = run('a shop with a sign that says "GALLERY"', chat=chat, image=painter, runs=tmp_path, max_rounds=3, patience=None)
    (check,) = result.state.checks
    assert "GALLERY" not in check.question
    told = [verdict for attempt in result.state.attempts for verdict in attempt.verdicts]
    assert [v.reason.partition(" instead")[0] for v in told] == [f'OCR: read "{s}"' for s in ("GALXXXY", "GALLREY", "GALLXXX")]
    assert result.best.round == 2
    assert all('"GALLERY"' in prompt for prompt in painter.prompts)
    assert 'read "GALLREY" instead of "GALLERY": 2 of 7 characters differ' in str(chat.turn("Refinement", 2))
    assert not any(name == "Findings" for name, _ in chat.heard)
