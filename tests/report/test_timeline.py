"""What the page tells beside the state: its times, the memory word for word, and its family."""

import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from gems import Gems, GemsError, Workspace, run
from gems.memory.lessons import Lessons, StoredLesson
from gems.runs.write_page import page_as_text, refresh_page

from ..moody_chat import Moody

PROMPT = "three red circles above a blue square and to the left of a green star"
POLICIES = ("none", "last", "feedback", "images", "thoughts", "experiences", "default")


class Memory(HTMLParser):
    """Collects what each sheet of the page shows: its texts, and its images by the begin of their hash."""

    def __init__(self, page):
        super().__init__()
        self.sheets, self.inside, self.text = [], False, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("class") == "sheet":
            self.sheets.append([])
            self.inside = True
        elif attrs.get("class") == "seen":
            self.text = ""
        elif tag == "use" and self.inside:
            self.sheets[-1].append(("image", attrs["href"].removeprefix("#small-")))

    def handle_endtag(self, tag):
        if tag == "div" and self.text is not None:
            self.sheets[-1].append(("text", self.text))
            self.text = None
        elif tag == "details":
            self.inside = False

    def handle_data(self, data):
        if self.text is not None:
            self.text += data


def sent(messages):
    """Return what a model was sent of the memory: all of its last message but the closing line, which says what to write."""
    (content,) = [m.content for m in messages if m.type == "human"]
    if isinstance(content, str):
        memory, _, closing = content.rpartition("\n\n")
        parts = [("text", memory)]
    else:
        *blocks, last = content
        closing = last["text"]
        parts = [("text", b["text"]) if b["type"] == "text" else ("image", _name(b["base64"])) for b in blocks]
    assert closing.startswith("Write the prompt of round")
    return parts


def _name(data):
    return hashlib.sha256(base64.b64decode(data)).hexdigest()[:16]


def shown(page, like):
    """Return what the page shows, its texts joined where the model got them as one."""
    sheets = Memory(page).sheets
    return [
        [("text", "\n\n".join(text for _, text in sheet))] if len(parts) == 1 else sheet
        for sheet, parts in zip(sheets, like, strict=True)
    ]


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("recall", POLICIES)
def test_the_memory_on_the_page_is_what_the_refiner_was_sent(tmp_path, make_sketcher, recall, fuse):
    chat = Moody(mood={})
    with (home := Workspace(tmp_path)).database.open() as opened:
        Lessons(opened.store).add(StoredLesson(kind="count", text='Name each one, <b>singly</b> & "apart".'))
    result = run(
        PROMPT, thread="t", runs=home, chat=chat, image=make_sketcher(1.0), plan="none", recall=recall, fuse=fuse,
        candidates=2, max_rounds=4, seed=5, lessons="keep",
    )  # fmt: skip
    asked = [sent(messages) for name, messages in chat.heard if "Refinement" in name]
    assert len(asked) == result.state.round - 1 == 3
    assert shown(result.report_path.read_text(), asked) == asked
    assert "Name each one" in asked[0][-1][1]


def test_what_a_person_said_is_in_the_memory_too(tmp_path, make_sketcher):
    chat, models = Moody(mood={}), {"image": make_sketcher(0.0)}
    run("a red circle", thread="t", runs=tmp_path, chat=chat, review="image", max_rounds=2, **models)
    said = {"action": "reject", "words": "the circle must be <i>smaller</i>"}
    result = Gems(runs=tmp_path, chat=chat, **models).resume("t", answer=said)
    asked = [sent(messages) for name, messages in chat.heard if "Refinement" in name]
    assert "smaller" in str(asked)
    assert shown(result.report_path.read_text(), asked) == asked


def test_of_a_swapped_refiner_nothing_is_claimed(tmp_path, make_sketcher):
    nodes = {"refiner": lambda state: {"draft": "a red circle", "thought": ""}}
    result = run(PROMPT, runs=tmp_path, image=make_sketcher(1.0), preset="loop", max_rounds=2, nodes=nodes)
    page = result.report_path.read_text()
    assert 'id="timeline"' in page
    assert "What the refiner was shown" not in page


def text(path):
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", path.read_text(), flags=re.DOTALL).split())


def test_the_timeline_tells_each_round(home, make_sketcher):
    result = run(PROMPT, runs=home, image=make_sketcher(1.0), preset="loop-memory", max_rounds=2, seed=3)
    told = text(result.report_path)
    timeline = told[told.index("Timeline From") : told.index("Checks Which check")]
    assert re.search(r"Plan .* planner \+ decomposer .* Round 1 .* generator .* refiner .* Round 2", timeline)
    assert re.search(r"verifier \d\.\d\d s \d+ calls [\d,]+ tokens", timeline)
    assert "waiting" not in timeline


def test_forks_are_on_the_pages_of_both(tmp_path, make_sketcher):
    models = {"image": make_sketcher(1.0)}
    parent = run(PROMPT, thread="p", runs=tmp_path, preset="loop", max_rounds=2, **models)
    assert "Forks" not in text(parent.report_path)
    child = Gems(runs=tmp_path, **models).fork("p", round=2, name="c", seed=9)
    Gems(runs=tmp_path, **models).fork("c", round=2, name="cc", seed=10)
    page = child.report_path.read_text()
    assert 'href="../p/report.html"' in page
    assert "Forked from p at round 2." in page
    assert "The rounds before 2 are those of the run p." in text(child.report_path)
    assert 'href="../c/report.html"' in parent.report_path.read_text(), "the parent's page is written anew"
    assert "cc" in text(refresh_page("p", tmp_path))
    Gems(runs=tmp_path).remove("p")
    for name in ("c", "cc"):
        assert 'href="../p/' not in (tmp_path / name / "report.html").read_text(), "a page leads nowhere else than to pages"
    assert re.search(r"Forks p removed c this run", text(child.report_path))
    Gems(runs=tmp_path).remove("cc")
    assert 'href="../cc/' not in child.report_path.read_text()


def test_the_page_of_a_pruned_run_stays_as_it_is(tmp_path, make_sketcher):
    run(PROMPT, thread="t", runs=tmp_path, image=make_sketcher(1.0), preset="loop", max_rounds=2, seed=3)
    home = Workspace(tmp_path)
    kept = (tmp_path / "t/report.html").read_text(encoding="utf-8")
    Gems(runs=tmp_path).prune(timedelta(0), keep_best=True)
    assert 'id="timeline"' in kept
    assert refresh_page("t", tmp_path).read_text(encoding="utf-8") == kept
    with home.database.open() as opened:
        assert page_as_text("t", opened, home) == kept
        (tmp_path / "t/report.html").unlink()
        assert "image could not be read" in page_as_text("t", opened, home), "what is left of it, where there is nothing better"
    with pytest.raises(GemsError, match="was pruned"):
        refresh_page("t", tmp_path)


def test_show_opens_the_page_of_a_run_that_has_none_yet(tmp_path, command, monkeypatch, make_sketcher):
    opened = []
    monkeypatch.setattr("typer.launch", opened.append)

    class Dying(make_sketcher):
        def generate(self, requests):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("a red circle", thread="t", image=Dying())
    assert command("show", "t", "--open")[0] == 0
    assert opened == [str(tmp_path / "runs/t/report.html")]
    assert "Unfinished" in (tmp_path / "runs/t/report.html").read_text()
