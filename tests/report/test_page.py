"""The page of a run: what it shows, that nothing hostile gets through, and that it is one file of its own."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from gems.context import RunContext
from gems.memory.state import (
    Attempt,
    Check,
    Experience,
    GemsState,
    ImageRef,
    Result,
    Review,
    RoleUsage,
    Score,
    ShownLesson,
    Usage,
    Verdict,
)
from gems.privacy import without_paths
from gems.report import RunHistory, render_report, write_report
from gems.report import page as page_module
from gems.report.diff import DiffSegment, similar, word_diff
from gems.report.inline_images import fitted_size, inline_image
from gems.report.text import duration

HOSTILE = '</style><script>alert(1)</script>" onerror="alert(2)\' <img src=http://evil.example/x> {{ 7*7 }} javascript:x'


class Pictures:
    """An image store in memory."""

    def __init__(self):
        self.files = {}

    def draw(self, color="red", size=128):
        image = Image.new("RGB", (size, size), "white")
        ImageDraw.Draw(image).ellipse((size // 4, size // 4, size // 2, size // 2), fill=color)
        return self.put(image)

    def put(self, image):
        out = BytesIO()
        image.save(out, "PNG")
        name = hashlib.sha256(out.getvalue()).hexdigest()
        self.files[name] = out.getvalue()
        return ImageRef(sha256=name, width=image.width, height=image.height)

    def read(self, ref):
        return self.files[ref.sha256]


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.texts = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]

    def classed(self, name):
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


@pytest.fixture
def pictures():
    return Pictures()


def attempt(pictures, number, verdicts, *, prompt="a red circle", candidate=0, scored=True, **more):
    return Attempt(
        round=number,
        candidate=candidate,
        prompt=prompt,
        seed=number - 1,
        image=more.pop("image", None) or pictures.draw(),
        verdicts=tuple(verdicts),
        score=Score.of(verdicts) if scored else None,
        **more,
    )


def verdict(check, passed, **more):
    return Verdict(check=check, passed=passed, answer={True: "yes", False: "no", None: ""}[passed], **more)


def finished(pictures, decision="accept"):
    checks = [
        Check(id="c1", kind="count", question="How many circles?", expected="3"),
        Check(id="c2", kind="attribute", question="Are they red?", depends_on=("c1",)),
    ]
    first = attempt(pictures, 1, [verdict("c1", False, reason="Only two."), verdict("c2", None)], thought="Say it plainly.")
    second = attempt(
        pictures,
        2,
        [verdict("c1", True, probability=0.91), verdict("c2", True)],
        prompt="a red circle in a row of three",
        thought="Name the row.",
        image=pictures.draw("blue"),
    )
    return GemsState(
        prompt="Three red circles",
        skills=["counting"],
        checks=checks,
        attempts=[first, second],
        experiences=[Experience(round=1, text="A row helps to count.")],
        notes=["The prompt was cut at 77 tokens."],
        usage=Usage(
            roles={
                "generator": RoleUsage(images=2, seconds=3.25),
                "verifier": RoleUsage(calls=2, input_tokens=12_345, output_tokens=67, seconds=1),
            }
        ),
        result=Result(decision=decision, reason="All checks pass.", best_round=2),
    )


def render(state, pictures, context=None, *, thread="red-circles", models=None, read_image=None):
    models = models or {"chat": "shapes-chat", "image": "shapes-image"}
    return render_report(RunHistory(thread, state, context or RunContext(), read_image or pictures.read, models=models))


def hostile(pictures, rounds=2, checks=3):
    listed = [Check(id=f"c{i}" + HOSTILE, kind="text", question=HOSTILE + str(i), expected=HOSTILE) for i in range(checks)]
    found = [Verdict(check=c.id, passed=False, answer=HOSTILE, reason=HOSTILE) for c in listed]
    return GemsState(
        prompt=HOSTILE,
        skills=[HOSTILE],
        draft=HOSTILE * 2,
        thought=HOSTILE,
        checks=listed,
        attempts=[attempt(pictures, n, found, prompt=HOSTILE + str(n), thought=HOSTILE) for n in range(1, rounds + 1)],
        experiences=[Experience(round=1, text=HOSTILE)],
        lessons=[ShownLesson(round=1, id="x", kind="count", text=HOSTILE)],
        notes=[HOSTILE],
        usage=Usage(roles={HOSTILE: RoleUsage(calls=1)}),
        result=Result(decision="refine", reason=HOSTILE, best_round=1),
    )


def test_what_a_person_said_is_told_where_it_was_said(pictures):
    said = [
        Review(stage="plan", round=0, action="reject", words="more air"),
        Review(stage="image", round=1, about=1, action="edit", edited=("verdicts",), words=HOSTILE),
        Review(stage="image", round=2, about=1, action="accept"),
    ]
    tags = Tags(render(finished(pictures).model_copy(update={"reviews": said}), pictures))
    assert sum(attrs.get("aria-label") == "Said by a person" for attrs in tags.of("aside")) == 3
    for words in ("plan: rejected: more air", "image of round 1: edited verdicts:", "image of round 1: accepted"):
        assert words in tags.text
    assert not tags.of("script")


def test_the_verdicts_that_a_person_gave_are_marked(pictures):
    state = finished(pictures)
    assert "said by a person" not in Tags(render(state, pictures)).text
    first = state.attempts[0]
    own = Verdict(check=first.verdicts[0].check, passed=False, reason="a person said so")
    ruled = first.model_copy(update={"verdicts": (own, *first.verdicts[1:]), "said": (own,)})
    review = Review(stage="image", round=1, about=1, action="edit", edited=("verdicts",), verdicts=(own,))
    state = state.model_copy(update={"attempts": [ruled, *state.attempts[1:]], "reviews": [review]})
    tags = Tags(render(state, pictures))
    assert tags.text.count("failed, said by a person") == 2  # in the matrix, and with the image
    assert f"image of round 1: edited verdicts ({own.check} ✗)" in tags.text
    assert "framed: a person said so" in tags.text


def test_shows_what_a_run_knows(pictures):
    text = Tags(render(finished(pictures), pictures)).text
    for words in (
        "Three red circles", "Accepted", "in round 2 of at most 5", "All checks pass.", "counting", "How many circles?",
        "Only two.", "Say it plainly.", "Name the row.", "A row helps to count.", "The prompt was cut at 77 tokens.",
        "12,345", "shapes-chat", "shapes-image", "max rounds", "probability 0.91", "geometric mean", "arithmetic mean",
        "red-circles", "2/2", "0/2",
    ):  # fmt: skip
        assert words in text, words


def test_lesson_follows_its_round(pictures):
    text = Tags(render(finished(pictures), pictures)).text
    assert text.index("Only two.") < text.index("A row helps to count.") < text.index("Name the row.")


def test_lessons_of_earlier_runs_are_shown_with_the_round_they_were_used_in(pictures):
    shown = [ShownLesson(round=2, id="x", kind="count", text="Name them singly.")]
    page = render(finished(pictures).model_copy(update={"lessons": shown}), pictures)
    assert page.index('aria-label="Round 2"') < page.index("count: Name them singly.")
    assert "Lessons of earlier runs" not in render(finished(pictures), pictures)


def test_best_is_marked(pictures):
    state = finished(pictures)
    page = Tags(render(state, pictures))
    (card,) = [attrs for attrs in page.of("article") if "chosen" in attrs["class"].split()]
    assert card["id"] == "attempt-2-0"
    assert "★ Best attempt" in page.text
    hero = page.of("img")[0]
    assert hero["width"] == "384", "128 pixels, enlarged by a whole factor"
    assert "crisp" in hero["class"].split()


@pytest.mark.parametrize(
    ("decision", "word"), [("accept", "Accepted"), ("give up", "Gave up after 2 rounds"), ("refine", "Still refining")]
)
def test_says_how_it_ended(pictures, decision, word):
    assert word in Tags(render(finished(pictures, decision), pictures)).text


def test_a_skipped_check_is_shown_as_such_after_what_failed(pictures):
    state = finished(pictures)
    skipped = Verdict(check="c2", skipped=True, reason="not asked: How many circles? failed")
    first = state.attempts[0].judged([skipped, verdict("c1", False, reason="Only two.")])
    tags = Tags(render(state.model_copy(update={"attempts": [first]}), pictures))
    assert [f["class"] for f in tags.classed("finding")] == ["finding fail", "finding skipped"]
    assert "not asked: How many circles? failed" in tags.text
    assert len([i for i in tags.of("i") if i.get("class") == "skipped"]) == 2  # its share of the bar, in the matrix and the card
    assert "–" in tags.texts


def test_unknown_is_not_failed(pictures):
    check = Check(id="c1", kind="object", question="Is there a cat?")
    state = GemsState(prompt="a cat", checks=[check], attempts=[attempt(pictures, 1, [verdict("c1", None)])])
    page = render(state, pictures)
    tags = Tags(page)
    matrix = page[page.index("<tbody>") : page.index("</tbody>")]
    assert ">?<" in matrix
    assert "✗" not in matrix
    assert tags.classed("finding") == [{"class": "finding unknown"}]


def test_hostile_words_are_text(pictures):
    page = render(
        hostile(pictures), pictures, thread=HOSTILE, models={HOSTILE: HOSTILE}, context=RunContext(negative_prompt=HOSTILE)
    )
    tags = Tags(page)
    assert "<script" not in page
    assert "{{ 7*7 }}" in tags.text
    assert all(not name.startswith("on") for _, attrs in tags.tags for name in attrs)
    assert all(attrs["src"].startswith("data:image/") for attrs in tags.of("img"))
    assert page.count("</style>") == 1


def test_nothing_comes_from_elsewhere(pictures):
    page = render(finished(pictures), pictures)
    tags = Tags(page)
    links = [value for _, attrs in tags.tags for name, value in attrs.items() if name in ("src", "href", "srcset", "action")]
    assert links
    assert all(link.startswith(("#", "data:image/")) for link in links)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in tags.tags}
    assert not re.search(r"@import|url\(|https?://", page)
    (policy,) = [attrs["content"] for attrs in tags.of("meta") if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'none'")


def test_links_have_targets_and_images_words(pictures):
    tags = Tags(render(finished(pictures), pictures))
    ids = [attrs["id"] for _, attrs in tags.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in tags.of("a")} <= set(ids)
    assert all(attrs["alt"] for attrs in tags.of("img"))


def test_prompt_differences_are_marked(pictures):
    page = render(finished(pictures), pictures)
    assert "a red circle <ins>in a row of three</ins>" in page
    state = finished(pictures)
    shorter = attempt(pictures, 3, [], prompt="a red circle in a row of <four>")
    page = render(state.model_copy(update={"attempts": [*state.attempts, shorter]}), pictures)
    assert "in a row of <del>three</del><ins>&lt;four&gt;</ins>" in page


def test_candidates_share_their_words(pictures):
    both = [attempt(pictures, 1, [], candidate=n, thought="Once is enough.") for n in range(2)]
    text = Tags(render(GemsState(prompt="a dog", attempts=both), pictures)).text
    assert "Round 1, image 2 of 2" in text
    assert text.count("Once is enough.") == 1


@pytest.mark.parametrize(
    "state",
    [
        GemsState(prompt="a cat"),
        GemsState(prompt="a cat", draft="a tabby cat", thought="Say which.", skills=["animals"]),
        GemsState(prompt="a cat", checks=[Check(id="c1", kind="object", question="A cat?")]),
        GemsState(prompt="a cat", experiences=[Experience(round=1, text="Lonely.")]),
    ],
)
def test_runs_without_an_image(pictures, state):
    text = Tags(render(state, pictures)).text
    assert "Unfinished" in text
    assert "no image yet" in text
    assert state.draft in text


def test_unfinished_run_shows_the_latest_and_what_comes_next(pictures):
    checks = [Check(id="c1", kind="object", question="A cat?")]
    state = GemsState(prompt="a cat", checks=checks, draft="a tabby cat", attempts=[attempt(pictures, 1, [], scored=False)])
    text = Tags(render(state, pictures)).text
    assert "Latest attempt" in text
    assert "not checked" in text
    assert "Next prompt" in text
    assert "tabby" in text
    assert "★" not in text


def test_scored_attempt_is_best_so_far_before_a_decision(pictures):
    state = finished(pictures).model_copy(update={"result": None})
    assert "★ Best so far" in Tags(render(state, pictures)).text


def test_run_without_checks(pictures):
    state = GemsState(
        prompt="a cat", attempts=[attempt(pictures, 1, [])], result=Result(decision="accept", reason="No checks.", best_round=1)
    )
    text = Tags(render(state, pictures)).text
    assert "Accepted" in text
    assert "no checks" in text


def test_verdict_of_an_unlisted_check_is_shown(pictures):
    state = GemsState(prompt="a cat", attempts=[attempt(pictures, 1, [verdict("stray", False)])])
    assert "stray not in the list of checks" in Tags(render(state, pictures)).text


def test_lost_image_leaves_a_blank_that_says_so(pictures, caplog):
    page = render(finished(pictures), pictures, read_image=Pictures().read)
    assert "image could not be read" in page
    assert "<img" not in page
    assert "could not be read" in caplog.text


def test_long_runs(pictures):
    checks = [Check(id=f"c{i}", kind="object", question="W" * 5000 if i == 0 else f"Thing {i}?") for i in range(40)]
    found = [verdict(c.id, (True, False, None)[i % 3], reason="R" * 200) for i, c in enumerate(checks)]
    words = " ".join(f"w{i % 97}" for i in range(900))
    attempts = [attempt(pictures, n, found, prompt=f"{words} {n} مرحبا 👩‍👩‍👧", image=pictures.draw(size=64)) for n in range(1, 13)]
    tags = Tags(render(GemsState(prompt="P" * 5000, checks=checks, attempts=attempts), pictures, RunContext(max_rounds=12)))
    assert len(tags.of("article")) == 12
    assert len([attrs for attrs in tags.of("th") if attrs.get("scope") == "row"]) == 40
    assert len(tags.of("td")) == 40 * 12


def test_heavy_images_are_previewed(pictures):
    noise = Image.effect_noise((1024, 1024), 80).convert("RGB")
    ref = pictures.put(noise)
    state = GemsState(prompt="noise", attempts=[attempt(pictures, 1, [], image=ref)])
    sources = [attrs["src"] for attrs in Tags(render(state, pictures)).of("img")]
    assert [source[:16] for source in sources] == ["data:image/webp;"] * 2, "the best one and the attempt's"
    assert len(sources[1]) < len(sources[0])


def test_a_best_image_of_middling_weight_is_the_file_itself(pictures):
    ref = pictures.put(Image.effect_noise((300, 300), 80).convert("RGB"))
    state = GemsState(prompt="noise", attempts=[attempt(pictures, 1, [], image=ref)])
    source = Tags(render(state, pictures)).of("img")[0]["src"]
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == pictures.read(ref)


def test_unreadable_heavy_image_goes_in_as_it_is(pictures):
    ref = pictures.draw()
    shown = inline_image(ref, lambda _: b"x" * 100_000, alt="a", edge=64)
    assert shown.source.startswith("data:image/png;base64,eHh4")


@pytest.mark.parametrize(
    ("size", "edge", "shown"),
    [
        ((128, 128), 480, (384, 384)),
        ((1024, 1024), 480, (480, 480)),
        ((128, 128), 64, (64, 64)),
        ((2048, 1024), 320, (320, 160)),
        ((400, 300), 480, (400, 300)),
        ((8000, 1), 320, (320, 1)),
    ],
)
def test_size_shown(size, edge, shown):
    assert fitted_size(*size, edge) == shown


def test_no_absolute_paths(pictures):
    state = finished(pictures).model_copy(
        update={
            "notes": [
                "Read /home/someone/models/z/weights.bin; see https://example.org/a/b and /v1/images/generations, 3/4 and/or."
            ],
            "result": Result(decision="give up", reason=r"Lost C:\Users\someone\runs\x.png", best_round=2),
        }
    )
    page = render(state, pictures, models={"image": "/home/someone/models/z-image", "chat": "Qwen/Qwen3-VL"})
    text = Tags(page).text
    assert "someone" not in page
    assert "Read …/weights.bin; see https://example.org/a/b and /v1/images/generations, 3/4 and/or." in text
    assert "z-image" in text
    assert "Qwen/Qwen3-VL" in text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("at file:///srv/data/x.png.", "at …/x.png."),
        ('"/tmp/a/b"', '"…/b"'),
        (r"\\server\share\x", "…/x"),
        ("path=/opt/me/x", "path=…/x"),
        ("./here/too", "./here/too"),
        ("black/white cat", "black/white cat"),
        ("saved to /root.", "saved to …/root."),
        ("日本/home/me/x", "日本…/x"),
        ("/v1/../home/me/x", "…/x"),
        ("/home/John Smith/My Pictures/x", "…/x"),
        (r"C:\Users\John Smith\x", "…/x"),
        ("/home/me and /srv/x", "…/me and …/x"),
        ("赤/青/緑, 1/2, and/or/etc, /roots", "赤/青/緑, 1/2, and/or/etc, /roots"),
        ("https://example.org/home/me/x, /v1/images/edits", "https://example.org/home/me/x, /v1/images/edits"),
    ],
)
def test_paths_are_cut(text, kept):
    assert without_paths(text) == kept


def test_the_request_is_left_alone(pictures):
    state = GemsState(prompt='a screen that reads "/usr/local/bin/cat"')
    assert "/usr/local/bin/cat" in Tags(render(state, pictures)).text


@pytest.mark.parametrize(
    ("old", "new", "segments"),
    [
        ("a cat", "a cat", [("equal", "a cat")]),
        ("a cat", "a red cat", [("equal", "a "), ("insert", "red "), ("equal", "cat")]),
        ("a red cat", "a cat", [("equal", "a "), ("delete", "red "), ("equal", "cat")]),
        ("a red cat", "a blue cat", [("equal", "a "), ("delete", "red "), ("insert", "blue "), ("equal", "cat")]),
        ("a cat on grass", "a cat", [("equal", "a cat"), ("delete", " on grass")]),
        ("a cat", "a cat, asleep", [("equal", "a cat"), ("insert", ", asleep")]),
        ("a\n cat", "a cat", [("equal", "a cat")]),
        ("東京の夜", "東京の朝", [("equal", "東京の"), ("delete", "夜"), ("insert", "朝")]),
        ("", "a cat", [("insert", "a cat")]),
        ("a cat", "", [("delete", "a cat")]),
        ("", "", []),
    ],
)
def test_word_diff(old, new, segments):
    found = word_diff(old, new)
    assert found == [DiffSegment(*s) for s in segments]
    assert "".join(s.text for s in found if s.op != "delete") == new


def test_word_diff_of_long_repetitive_prompts():
    old, new = "a " * 4000, "a " * 3999 + "b"
    assert "".join(s.text for s in word_diff(old, new) if s.op != "delete") == new


def test_kindred():
    assert similar("three red circles above a square", "three red circles in a row above a square")
    assert not similar("a cat", "three red circles above one big blue square")


@pytest.mark.parametrize(("seconds", "said"), [(0, "0.0 s"), (59.96, "1 min 00 s"), (83, "1 min 23 s"), (7260, "2 h 01 min")])
def test_duration(seconds, said):
    assert duration(seconds) == said


def test_write_is_atomic(pictures, tmp_path, monkeypatch):
    path = tmp_path / "runs" / "t" / "report.html"
    written = write_report(path, RunHistory("t", finished(pictures), RunContext(), pictures.read))
    assert written == path
    assert path.read_text("utf-8").startswith("<!doctype html>")
    before = path.read_bytes()

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(path, RunHistory("t", GemsState(prompt="other"), RunContext(), pictures.read))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_failed_render_leaves_the_old_page(pictures, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise RuntimeError("no")

    monkeypatch.setattr(page_module, "build_timeline", fail)
    with pytest.raises(RuntimeError):
        write_report(path, RunHistory("t", finished(pictures), RunContext(), pictures.read))
    assert path.read_text() == "old"


def test_same_run_same_page(pictures):
    assert render(finished(pictures), pictures) == render(finished(pictures), pictures)


def test_the_first_image_is_set_against_the_best(pictures):
    text = Tags(render(finished(pictures), pictures)).text
    assert "From the first image to the best" in text
    assert "Passed only by the best 2 ✓ How many circles?✓ Are they red?" in text
    one = finished(pictures).model_copy(update={"attempts": finished(pictures).attempts[:1], "result": None})
    assert "From the first image to the best" not in Tags(render(one, pictures)).text, "they are one"


def test_a_lost_check_is_told_too(pictures):
    state = finished(pictures)
    worse = state.attempts[1].model_copy(update={"verdicts": (verdict("c1", True), verdict("c2", False))})
    better = state.attempts[0].model_copy(update={"verdicts": (verdict("c1", False), verdict("c2", True))})
    text = Tags(render(state.model_copy(update={"attempts": [better, worse]}), pictures)).text
    assert "Passed only by the first 1 ✗ Are they red?" in text


def test_checks_that_neither_image_passes_are_told(pictures):
    state = finished(pictures)
    both = [a.model_copy(update={"verdicts": (verdict("c1", a.round == 2), verdict("c2", False))}) for a in state.attempts]
    text = Tags(render(state.model_copy(update={"attempts": both}), pictures)).text
    assert "Passed only by the best 1 ✓ How many circles? Passed by neither 1 – Are they red?" in text


def test_each_image_is_read_once_and_a_lost_one_is_told_once(pictures, caplog):
    state, read = finished(pictures), []

    def counted(ref):
        read.append(ref.sha256)
        if ref == state.attempts[0].image:
            raise LookupError(ref.sha256)
        return pictures.read(ref)

    page = render(state, pictures, read_image=counted)
    assert sorted(read) == sorted(a.image.sha256 for a in state.attempts)
    assert page.count("image could not be read") == 2, "in the pair and with the attempt"
    assert len(caplog.records) == 1


def test_an_edit_says_which_image_it_was_made_from(pictures):
    state = finished(pictures)
    first, second = state.attempts
    edited = second.model_copy(update={"source": first.image})
    page = render(state.model_copy(update={"attempts": [first, edited]}), pictures)
    assert "edited from the image of round 1" in Tags(page).text
    assert 'edited from the image of <a href="#attempt-1-0">' in page
    assert "edited from the image" not in Tags(render(state, pictures)).text
    lost = second.model_copy(update={"source": pictures.draw("green")})
    alone = render(state.model_copy(update={"attempts": [first, lost]}), pictures)
    assert "edited from an image that is not on this page" in Tags(alone).text


def test_small_images_are_in_the_page_once(pictures):
    ref = pictures.draw()
    attempts = [attempt(pictures, n, [], image=ref) for n in range(1, 9)]
    page = render(GemsState(prompt="a dog", checks=[Check(id="c1", kind="object", question="A dog?")], attempts=attempts), pictures)
    assert page.count("<symbol") == 1
    assert page.count('<use href="#small-') == 8


def test_a_run_without_steps_has_no_timeline(pictures):
    page = render(finished(pictures), pictures)
    assert 'id="timeline"' not in page
    assert "What the refiner was shown" not in page
    assert 'id="forks"' not in page


def test_the_settings_that_differ_come_first(pictures):
    text = Tags(render(finished(pictures), pictures, context=RunContext(max_rounds=12, seed=4))).text
    assert "preset default, with other max rounds" in text
    assert text.index("Other than the default 2") < text.index("At the default")
