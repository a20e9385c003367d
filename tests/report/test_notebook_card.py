"""What a notebook shows of a run: the card and the contact sheet."""

import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from gems import GemsError, RunResult, contact_sheet, run
from gems.context import RunContext
from gems.memory.state import Attempt, Check, GemsState, ImageRef, Result, Score, Usage, Verdict
from gems.report import RunHistory, render_card

HOSTILE = '</style><script>alert(1)</script>" onerror="alert(2)\' <img src=http://evil.example/x> {{ 7*7 }}'
NOWHERE = ImageRef(sha256="0" * 64, width=128, height=128)


class Tags(HTMLParser):
    """Collects tags and text, and that every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def a_state(text="a red circle", rounds=2, checks=2):
    """A run that has failed its first check in every round but the last."""
    asked = [Check(id=f"c{i}", kind="object", question=f"{text} {i}?") for i in range(checks)]
    attempts = []
    for number in range(1, rounds + 1):
        verdicts = tuple(Verdict(check=c.id, passed=number == rounds or i > 0, reason=text) for i, c in enumerate(asked))
        attempts.append(
            Attempt(
                round=number, prompt=f"{text} {number}", seed=number, image=NOWHERE, verdicts=verdicts, score=Score.of(verdicts)
            )
        )
    result = Result(decision="accept", reason=text, best_round=rounds)
    return GemsState(prompt=text, skills=[text], checks=asked, attempts=attempts, result=result, usage=Usage())


def missing(ref):
    raise LookupError(ref.sha256)


def card_of(state, **more):
    return render_card(RunHistory("t", state, RunContext(), missing, **more))


def test_a_notebook_shows_the_image_the_decision_and_each_check_by_round(sketcher):
    result = run("three red circles above a blue square", preset="loop", image=sketcher, seed=3, thread="shown")
    html = result._repr_html_()
    tags = Tags(html)
    assert not tags.open
    assert result.state.round > 1
    assert all(check.question in tags.text for check in result.checks)
    assert f"{result.best.score.passed} of {result.best.score.total}" in tags.text
    assert f"{result.usage.images} images" in tags.text
    pictures = [attrs for tag, attrs in tags.tags if tag == "img"]
    assert len(pictures) == 1 + len(result.attempts)
    assert all(attrs["src"].startswith("data:image/") and attrs["alt"] for attrs in pictures)
    assert len(html) < 60_000
    assert "shown" in repr(result)
    assert result.decision in repr(result)
    assert "0x" not in repr(result)


def test_the_same_run_has_the_same_card(sketcher, make_sketcher):
    first = run("two red circles", image=sketcher, seed=3, thread="same", runs="one")
    second = run("two red circles", image=make_sketcher(seconds=0.05), seed=3, thread="same", runs="two")
    assert first._repr_html_() == second._repr_html_()


def test_hostile_text_stays_text():
    html = card_of(a_state(HOSTILE), cost=HOSTILE)
    tags = Tags(html)
    assert not tags.open
    assert {tag for tag, _ in tags.tags}.isdisjoint({"script", "style", "img", "iframe", "link"})
    assert not any(name.startswith("on") for _, attrs in tags.tags for name in attrs)
    assert "{{ 7*7 }}" in tags.text


def test_the_card_takes_its_colours_from_the_notebook():
    html = card_of(a_state())
    assert "<style" not in html
    assert not re.search(r"(?<!-)color\s*:", html)  # text keeps the notebook's own, light or dark


def test_much_of_everything_scrolls_in_the_card():
    html = card_of(a_state("ש🎨" + "x" * 5000, rounds=12, checks=40))
    tags = Tags(html)
    assert sum(tag == "td" for tag, _ in tags.tags) == 41 * 12
    assert "overflow:auto;max-height" in html
    assert "overflow-wrap:anywhere" in html


def test_a_picture_that_is_gone_is_told_in_words():
    assert "image could not be read" in card_of(a_state())


def test_a_run_that_waits_says_so(sketcher):
    waits = run("two red circles", image=sketcher, review="plan", thread="asked")
    assert isinstance(waits, RunResult)
    assert "Waiting" in Tags(waits._repr_html_()).text
    assert "waiting" in repr(waits)


def test_a_plan_that_is_to_be_reviewed_is_on_the_card(sketcher):
    waits = run("two red circles", image=sketcher, review="plan", thread="asked")
    tags = Tags(waits._repr_html_())
    assert not tags.open
    assert waits.checks
    for check in waits.checks:
        assert check.question in tags.text
        assert check.expected == "yes" or f"({check.expected})" in tags.text
    assert f"Next prompt written, not drawn yet {waits.state.draft}" in tags.text


def test_the_card_reads_each_image_once_and_carries_only_small_copies(caplog):
    photo = BytesIO()
    Image.effect_noise((700, 700), 120).save(photo, "PNG")
    state = a_state(rounds=6)
    drawn = [
        a.model_copy(update={"image": ImageRef(sha256=f"{n:064x}", width=700, height=700)}) for n, a in enumerate(state.attempts)
    ]
    read = []

    def counted(ref):
        read.append(ref.sha256)
        if ref.sha256.endswith("3"):
            raise LookupError(ref.sha256)
        return photo.getvalue()

    html = render_card(RunHistory("t", state.model_copy(update={"attempts": drawn}), RunContext(), counted))
    assert sorted(read) == [a.image.sha256 for a in drawn]
    assert len(html) < len(photo.getvalue())
    assert "data:image/png" not in html
    assert len(caplog.records) == 1, "of the one that is lost"


def test_all_images_of_a_run_lie_side_by_side(sketcher):
    result = run("a red circle", preset="best-of-n", candidates=3, image=sketcher, thread="sheet")
    sheet = result.contact_sheet(edge=128)
    assert sheet.width == 3 * 128 + 2 * 12
    first = sheet.crop((0, 0, 128, 128)).convert("RGB")
    assert first.tobytes() == result.store.open(result.attempts[0].image).tobytes()
    assert sheet.crop((0, 129, 128, sheet.height)).getbbox() is not None  # its caption
    assert result.contact_sheet(edge=64, columns=2).width == 2 * 64 + 12


def test_a_lost_image_leaves_a_blank_on_the_sheet(sketcher):
    result = run("a red circle", preset="best-of-n", candidates=3, image=sketcher, thread="sheet")
    whole = result.contact_sheet(edge=64)
    lost = result.attempts[1].image.sha256
    next(path for path in result.folder.parent.rglob(f"{lost}*") if path.is_file()).unlink()
    sheet = result.contact_sheet(edge=64)
    assert sheet.size == whole.size
    assert sheet.crop((0, 0, 64, 64)).tobytes() == whole.crop((0, 0, 64, 64)).tobytes()
    assert sheet.getpixel((64 + 12 + 10, 10))[3] == 0, "nothing but a frame"
    assert sheet.getpixel((64 + 12, 10))[3] == 255


def test_the_best_image_is_told_from_the_others_in_any_size(sketcher, monkeypatch):
    from gems import report

    captions = []
    monkeypatch.setattr(report, "contact_sheet", lambda pictures, **_: captions.extend(words for words, _ in pictures))
    result = run("a red circle", preset="best-of-n", candidates=3, image=sketcher, thread="sheet")
    result.contact_sheet()
    assert sorted(c.startswith("best, round 1·") for c in captions) == [False, False, True]
    assert [re.sub("best, ", "", c)[:9] for c in captions] == ["round 1·1", "round 1·2", "round 1·3"]


def test_a_run_without_an_image_has_no_sheet_yet(sketcher):
    waits = run("two red circles", image=sketcher, review="plan", thread="asked")
    with pytest.raises(GemsError, match="run asked has no image yet: it waits for an answer"):
        waits.contact_sheet()


def test_a_contact_sheet_wraps_and_fits_pictures_of_any_size():
    pictures = [
        ("a caption that is far too wide for it" * 3, Image.new("RGB", (1000, 500), "red")),
        ("", Image.new("L", (8, 8))),
    ] * 2
    sheet = contact_sheet(pictures, edge=96, columns=3)
    assert sheet.width == 3 * 96 + 2 * 12
    assert sheet.height > 2 * 96
    assert sheet.getpixel((48, 48)) == (255, 0, 0, 255)
    assert sheet.getpixel((48, 2))[3] == 0  # beside a picture that is wider than it is high, nothing


def test_a_contact_sheet_of_nothing_is_refused():
    with pytest.raises(GemsError, match="at least one image"):
        contact_sheet([])
    for none in ({"edge": 0}, {"columns": 0}, {"columns": -1}):
        with pytest.raises(GemsError, match="take at least 1 of each"):
            contact_sheet([("", Image.new("L", (8, 8)))], **none)
