"""The pages in a real browser: what they show, that nothing in them runs or overflows, and that they can be used by keyboard."""

import hashlib
import os
import shutil
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from PIL import Image
from pypdfium2 import PdfDocument

from gems import Gems, RunContext, run, write_gallery
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
from gems.report import RunHistory, write_report
from gems.report.gallery import GalleryCard, render_gallery
from gems.report.history import ForkNode, RefinerInput, Step
from gems.report.inline_images import InlineImage

from ..conftest import Sketcher

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run")
PROMPT = "three red circles above a blue square and to the left of a green star"

SCRIPT = "<script>window.hacked = 1; alert(1)</script>"
HOSTILE = (
    f"</style></title></textarea>{SCRIPT}<img src=x onerror='window.hacked = 2'><svg onload=window.hacked=3>"
    "<a href='javascript:window.hacked=4'>x</a> \" onfocus=\"window.hacked=5\" autofocus ' {{ 7*7 }} &lt;b&gt; ]]> <!-- -->"
)
WORDS = (
    HOSTILE,
    "W" * 5000,
    "👩‍👩‍👧‍👦🏳️‍🌈" * 60,
    "مرحبا بالعالم שלום עולם \u202eabc\u202c " * 12,
    "zero\u200bwidth\u200djoined\ufeff" * 40,
    "a/very/long/file/name-" * 30 + ".png",
    "a b " * 300,
)
WIDTHS = (360, 1440)


def words(number):
    """Return hostile words; those of 5,000 characters only now and then, or the page would take long to open."""
    found = WORDS[number % len(WORDS)]
    return found if number % 70 < len(WORDS) else found[:400]


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path  # there after `playwright install chromium`
        named = (os.environ.get("GEMS_CHROMIUM"), *map(shutil.which, CHROMIUM), own if Path(own).exists() else None)
        found = next(filter(None, named), None)
        if not found:  # no Python package carries a browser: whoever has none can still see the other tests pass
            missing = (
                "no Chromium: install it (apt-get install chromium, playwright install chromium), or name one in GEMS_CHROMIUM"
            )
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        started = playwright.chromium.launch(executable_path=found, args=ARGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages that are looked at, by name: those of real runs, and some that are full of hostile and very long things."""
    folder = tmp_path_factory.mktemp("runs")
    model = Sketcher(1.0)
    first = run(PROMPT, thread="run", runs=folder, image=model, preset="loop-memory", max_rounds=3, seed=11)
    run(PROMPT, thread="candidates", runs=folder, image=model, preset="loop", max_rounds=2, candidates=3)
    forked = Gems(runs=folder, image=Sketcher(0.0)).fork("run", round=2, name="fork", seed=5, max_rounds=3)
    made = {"run": first.report_path, "fork": forked.report_path, "candidates": folder / "candidates" / "report.html"}
    made["waiting"] = run("a red circle", thread="waiting", runs=folder, image=model, review="image").report_path
    made["gallery"] = write_gallery(runs=folder)
    made["hostile"] = hostile_page(folder)
    made["empty"] = write_report(folder / "empty.html", RunHistory("t", GemsState(prompt="a cat"), RunContext(), lost))
    made["hostile gallery"] = folder / "hostile-gallery.html"
    made["hostile gallery"].write_text(render_gallery([hostile_card(n) for n in range(12)]), "utf-8", "replace")
    return made


def lost(ref):
    raise FileNotFoundError(ref.sha256)


def hostile_page(folder):
    """A page of 12 rounds, one with 8 candidates, 40 checks, and hostile words wherever words can be; some images are lost."""
    files = {}

    def draw(number, size):
        out = BytesIO()
        Image.new("RGB", size, f"hsl({number * 37 % 360}, 60%, 60%)").save(out, "PNG")
        name = hashlib.sha256(out.getvalue()).hexdigest()
        files[name] = out.getvalue()
        return ImageRef(sha256=name, width=size[0], height=size[1])

    def read(ref):
        return files[ref.sha256]

    kinds = ("object", "count", "attribute", "relation", "text", "style", "knowledge")
    checks = [
        Check(
            id=words(n)[:400] + str(n), kind=kinds[n % 7], question=words(n + 1), expected=words(n + 2),
            depends_on=(words(n - 1)[:400] + str(n - 1),) if n else (),
        )
        for n in range(40)
    ]  # fmt: skip
    sizes = ((64, 64), (2000, 100), (90, 900))
    attempts = []
    for round in range(1, 13):
        for candidate in range(8 if round == 3 else 1):
            n = 8 * round + candidate
            passed = [(True, False, None)[(n + i) % 3] for i in range(40)]
            verdicts = tuple(
                Verdict(check=c.id, passed=p, answer=words(n + i)[:90], probability=(n % 11) / 10, reason=words(n + i + 3)[:900])
                for i, (c, p) in enumerate(zip(checks, passed, strict=True))
            )
            ref = draw(n, sizes[n % 3]) if n % 7 else ImageRef(sha256=f"{n:064x}", width=64, height=64)
            attempts.append(
                Attempt(
                    round=round, candidate=candidate, prompt=words(n), seed=2**31 - 1, image=ref, verdicts=verdicts,
                    score=Score.of(verdicts), thought=words(n + 4), said=verdicts[:2],
                )
            )  # fmt: skip
    usage = Usage(roles={words(n)[:200]: RoleUsage(calls=10**9, input_tokens=10**12, seconds=9e5 * n) for n in range(8)})
    state = GemsState(
        prompt=SCRIPT + "P" * 5000, skills=[words(n) for n in range(7)], checks=checks, attempts=attempts, draft=words(2) + "!",
        thought=words(1), experiences=[Experience(round=n, text=words(n)) for n in range(1, 12)],
        reviews=[Review(stage="image", round=n, about=n, action="reject", words=words(n)) for n in range(1, 8)],
        lessons=[ShownLesson(round=n, id=str(n), kind="count", text=words(n)) for n in range(1, 8)],
        notes=[words(n) for n in range(7)], usage=usage,
        result=Result(decision="refine", reason=words(0), best_round=9),
    )  # fmt: skip
    began = datetime(2026, 1, 2, tzinfo=UTC)
    steps = [
        Step(n // 9, (words(n)[:300],) if n % 5 == 0 else ("generator",), began + timedelta(hours=n), 10.0 ** (n % 6), 0.0, usage)
        for n in range(9 * 13)
    ]
    shown = [RefinerInput(n, (words(n), attempts[n].image, words(n + 1), attempts[0].image)) for n in range(2, 14)]
    family = [ForkNode("t", 0, 0, "accepted", 3, True)] + [
        ForkNode(f"t{n}".ljust(100, "x"), n, 3, "gave up" if n % 2 else None, 3, False) for n in range(1, 40)
    ]
    context = RunContext(max_rounds=12, candidates=8, negative_prompt=words(1))
    models = {"chat": words(0), "image": words(5)}
    history = RunHistory(
        words(5), state, context, read, models=models, cost=words(0), began=began, parent=("t".ljust(100, "y"), 3), steps=steps,
        refiner_inputs=shown, forks=family,
    )  # fmt: skip
    return write_report(folder / "hostile" / "report.html", history)


def hostile_card(number):
    standing = ("accepted", "gave up", "waiting", "unfinished", "running", "failed", "damaged")[number % 7]
    return GalleryCard(
        thread=f"run-{number}".ljust(100, "x"), request=words(number), standing=standing, message=words(number + 1), page="",
        image=InlineImage("", words(number), 288, 288, False) if number % 2 else None, passed=10**6, total=10**6, rounds=10**9,
        images=10**9, calls=10**9, cost=1e12, preset="default", changed=words(number + 2),
        models={"chat": words(number), "image": words(number + 3)}, last="2026-01-02 03:04", when=float(number),
        parent="p".ljust(100, "z"), forked_at=10**6, forks=10**6, root="f", position=number,
    )  # fmt: skip


@pytest.fixture
def look(browser, pages):
    """Open a page; whatever it does that it should not is in `wrong`."""
    opened = []

    def go(name, width=1440, scheme="light", **more):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        context.set_default_timeout(10_000)
        opened.append(context)
        page, wrong = context.new_page(), []
        page.on("console", lambda said: wrong.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:80]}"))
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(f"asked for {r.url[:80]}"))
        page.goto(pages[name].as_uri())
        return SimpleNamespace(page=page, wrong=wrong, path=pages[name])

    yield go
    for context in opened:
        context.close()


LAYOUT = """() => {
  const wrong = [];
  const SPACE = 8;  // a space at the end of a line may hang over
  const say = (what, node) => wrong.push(`${what}: <${node.localName} class="${node.getAttribute("class") || ""}">`
    + node.textContent.trim().slice(0, 40));
  const scrolls = (style, way) => ["auto", "scroll"].includes(style[way]);
  const root = document.scrollingElement;
  if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} wide, the window ${innerWidth}`);
  const boxes = new Map();
  const box = (node) => {
    if (!boxes.has(node)) boxes.set(node, { style: getComputedStyle(node), rect: node.getBoundingClientRect() });
    return boxes.get(node);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (walker.nextNode()) {
    const text = walker.currentNode, parent = text.parentElement;
    if (!text.data.trim() || parent.closest(".unseen, script, style, option, svg, [hidden], .skip, title") ) continue;
    if (!parent.checkVisibility()) continue;
    range.selectNodeContents(text);
    const rect = range.getBoundingClientRect();
    if (!rect.width) continue;
    let node = parent, left = rect.left, right = rect.right, top = rect.top, bottom = rect.bottom;
    for (; node && node !== document.body; node = node.parentElement) {
      const { style, rect: own } = box(node);
      if (scrolls(style, "overflowX")) { left = right = own.left; }
      if (scrolls(style, "overflowY")) { top = bottom = own.top; }
      const hides = (way) => ["hidden", "clip"].includes(style[way]);
      if (hides("overflowX") && (left < own.left - SPACE || right > own.right + SPACE)) { say("cut sideways", parent); break; }
      if (hides("overflowY") && (top < own.top - 2 || bottom > own.bottom + 2)) { say("cut below", parent); break; }
    }
    if (!node || node === document.body) if (left < -SPACE || right > innerWidth + SPACE) say("outside", parent);
  }
  return [...new Set(wrong)].slice(0, 12);
}"""

PARTS = """() => {
  const all = (what) => [...document.querySelectorAll(what)];
  const ids = all("[id]").map((node) => node.id);
  const levels = all("h1, h2, h3, h4, h5").map((node) => Number(node.localName[1]));
  return {
    doubled: ids.filter((id, place) => ids.indexOf(id) !== place),
    dangling: all('a[href^="#"]').map((a) => a.getAttribute("href")).filter((to) => !ids.includes(to.slice(1))),
    unsaid: all('img, [role="img"]').filter((i) => !(i.alt || i.getAttribute("aria-label"))).length,
    blank: all("img").filter((i) => i.complete && !i.naturalWidth).length,
    small: all("use").filter((u) => !ids.includes(u.getAttribute("href").slice(1))).length,
    outside: all("a[href]").map((a) => a.getAttribute("href")).filter((to) => !to.startsWith("#")),
    first: levels.filter((level) => level === 1).length,
    jumps: levels.filter((level, place) => place && level > levels[place - 1] + 1).length,
    handlers: all("*").filter((node) => [...node.attributes].some((a) => a.name.startsWith("on"))).length,
    scripts: all("script").length,
    hacked: window.hacked,
    empty: all("a, summary, button").filter((node) => !node.textContent.trim() && !node.querySelector("[aria-label]")).length,
  };
}"""

NAMES = ("run", "fork", "candidates", "waiting", "gallery", "hostile", "empty", "hostile gallery")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_runs_overflows_or_is_cut(look, name, width):
    seen = look(name, width, "dark" if width == WIDTHS[0] else "light")
    seen.page.evaluate("document.querySelectorAll('#runs > li').forEach((li) => { li.style.contentVisibility = 'visible' })")
    assert seen.page.evaluate(LAYOUT) == []
    seen.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert seen.page.evaluate(LAYOUT) == []
    assert seen.wrong == []
    parts = seen.page.evaluate(PARTS)
    outside = parts.pop("outside")
    assert parts == {
        "hacked": None, "doubled": [], "dangling": [], "unsaid": 0, "blank": 0, "small": 0, "first": 1, "jumps": 0, "handlers": 0,
        "scripts": int("gallery" in name), "empty": 0,
    }  # fmt: skip
    if not name.startswith("hostile"):
        assert [to for to in outside if not (seen.path.parent / unquote(to)).exists()] == []
    else:
        assert [to for to in outside if not to.startswith("../t")] == []


@pytest.mark.parametrize("name", ["run", "hostile", "gallery"])
def test_in_print_everything_is_open_and_nothing_is_cut(look, name):
    seen = look(name, 688, "dark")  # A4 without its margins
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 27, 30)", "ink on white, also by night"
    assert not seen.page.locator(".theme").is_visible()
    assert (
        seen.page.evaluate("""() => [...document.querySelectorAll("details > :not(summary)")]
        .filter((node) => node.getBoundingClientRect().height === 0 && node.textContent.trim()).length""")
        == 0
    )
    assert seen.page.evaluate(LAYOUT) == []
    assert seen.wrong == []


@pytest.mark.parametrize("name", ["candidates", "hostile"])
def test_on_paper_the_matrix_has_one_head_and_room_for_its_questions(look, name, tmp_path):
    seen = look(name, 688)
    seen.page.emulate_media(media="print")
    widths = seen.page.evaluate("[...document.querySelectorAll('.matrix thead th')].map((n) => n.getBoundingClientRect().width)")
    assert widths[0] > 0.3 * 688
    seen.page.evaluate("document.getElementById('attempts').remove()")  # behind the matrix, 780 of the hostile page's 920 sheets
    seen.page.pdf(path=tmp_path / "page.pdf", format="A4")
    with PdfDocument(tmp_path / "page.pdf") as document:
        told = [page.get_textpage().get_text_range() for page in document]
    pages = [page for page in told if "Whattheimagemustshow" in "".join(page.split())]
    assert len(pages) == 1, "a head that Chromium repeats on each page has lost its images"


def test_colours_that_tell_something_stay_where_colours_are_forced(look):
    page = look("run", forced_colors="active").page
    colours = page.evaluate(
        "[...document.querySelectorAll('.track i, .swatch, .bar i')].map((n) => getComputedStyle(n).backgroundColor)"
    )
    assert len(set(colours)) >= 4


def test_by_keyboard_every_section_is_reached_in_order_and_seen(look):
    seen = look("fork")
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        where, outline = page.evaluate("""() => {
          const node = document.activeElement;
          return [node.closest("main > section")?.id || "", getComputedStyle(node).outlineStyle];
        }""")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert outline != "none"
        reached.append(where)
    sections = list(dict.fromkeys(filter(None, reached)))
    assert sections == ["change", "timeline", "checks", "attempts", "cost", "forks", "settings"]


def test_colours_are_chosen_without_a_script(look):
    page = look("run", java_script_enabled=False).page
    assert page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(251, 251, 250)"
    page.get_by_label("dark").check()
    assert page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(18, 19, 22)"
    page.emulate_media(color_scheme="dark")
    page.get_by_label("light").check()
    assert page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(251, 251, 250)"


def test_what_the_refiner_was_shown_opens_by_keyboard_with_its_images(look):
    page = look("run").page
    sheet = page.locator(".memory").first
    assert not sheet.locator(".sheet").is_visible()
    sheet.locator("summary").focus()
    page.keyboard.press("Enter")
    assert sheet.locator(".sheet").is_visible()
    image = sheet.locator("svg.seen-image").first
    assert image.get_attribute("aria-label").startswith("Image ")
    shot = Image.open(BytesIO(image.screenshot())).convert("RGB")
    assert len(shot.getcolors(100_000)) > 3, "a picture, not a blank"


def test_matrix_scrolls_in_itself_and_keeps_its_questions(look):
    page = look("candidates", 360).page
    box = page.locator("#checks .scroll")
    box.evaluate("node => { node.scrollLeft = 2000 }")
    assert box.evaluate("node => node.scrollLeft") > 50
    left = page.locator(".matrix tbody .what").first.evaluate("node => node.getBoundingClientRect().left")
    assert left == box.evaluate("node => node.getBoundingClientRect().left")


def test_a_long_run_of_real_size_stays_light(tmp_path):
    noise = Image.effect_noise((64, 64), 120)
    files = {}

    def draw(number):
        out = BytesIO()
        photo = Image.merge("RGB", [noise.rotate(90 * number + 30 * i) for i in range(3)])
        photo.resize((1024, 1024), Image.Resampling.BICUBIC).save(out, "PNG", compress_level=1)
        name = hashlib.sha256(out.getvalue() + bytes([number])).hexdigest()
        files[name] = out.getvalue()
        return ImageRef(sha256=name, width=1024, height=1024)

    checks = [Check(id=f"c{n}", kind="object", question=f"Thing {n}?") for n in range(10)]
    found = tuple(Verdict(check=c.id, passed=True) for c in checks)
    attempts = [Attempt(round=n, prompt="p " * 200, seed=n, image=draw(n), verdicts=found) for n in range(1, 13)]
    shown = [RefinerInput(n, tuple(part for a in attempts[: n - 1] for part in ("text " * 100, a.image))) for n in range(2, 13)]
    state = GemsState(prompt="a photo", checks=checks, attempts=attempts)
    history = RunHistory("t", state, RunContext(), lambda ref: files[ref.sha256], refiner_inputs=shown)
    path = write_report(tmp_path / "r.html", history)
    assert sum(map(len, files.values())) > 12_000_000
    assert path.stat().st_size < 2_000_000


def test_the_gallery_finds_filters_and_sorts(look):
    seen = look("gallery")
    from playwright.sync_api import expect

    page = seen.page
    shown = page.locator("#runs > li:visible")
    said = page.locator("#said")
    expect(said).to_have_text("4 runs")
    page.get_by_label("Find").fill("RED fork")
    expect(said).to_have_text("2 of 4 runs")
    page.get_by_label("Find").fill("")
    page.get_by_label("outcome").select_option("waiting")
    assert [item.get_attribute("id") for item in shown.all()] == ["run-waiting"]
    page.get_by_role("button", name="Reset").click()
    expect(shown).to_have_count(4)
    page.get_by_label("preset").select_option("default")
    assert [item.get_attribute("id") for item in shown.all()] == ["run-waiting"]
    page.get_by_label("preset").select_option("")
    page.get_by_label("sort").select_option("oldest")
    assert shown.first.get_attribute("id") == "run-run"
    page.get_by_label("sort").select_option("rounds")
    rounds = [int(item.get_attribute("data-rounds")) for item in shown.all()]
    assert rounds == sorted(rounds, reverse=True)
    assert seen.wrong == []


def test_the_gallery_is_whole_without_its_script(look):
    page = look("gallery", java_script_enabled=False).page
    assert page.locator("#runs > li:visible").count() == 4
    assert not page.locator("#filters").is_visible()
    page.get_by_role("link", name="candidates", exact=True).click()
    assert page.url.endswith("/candidates/report.html")


def test_a_fork_stands_by_its_parent_and_leads_to_it(look):
    page = look("gallery").page
    order = [item.get_attribute("id") for item in page.locator("#runs > li").all()]
    assert order.index("run-fork") == order.index("run-run") + 1
    page.locator("#run-fork .kin a").click()
    assert page.url.endswith("#run-run")


def test_a_filter_does_not_hide_the_parent_that_a_fork_leads_to(look):
    page = look("gallery").page
    page.get_by_label("sort").select_option("oldest")
    page.get_by_label("outcome").select_option("accepted")
    page.get_by_label("Find").fill("fork")
    assert not page.locator("#run-run").is_visible()
    page.locator("#run-fork .kin a").click()
    assert page.locator("#run-run").is_visible()
    assert page.locator("#said").inner_text() == "4 runs"
    assert page.get_by_label("sort").input_value() == "oldest"


def test_one_run_is_one_run(look, pages, tmp_path):
    pages["one"] = tmp_path / "one.html"
    pages["one"].write_text(render_gallery([hostile_card(1)]), "utf-8", "replace")
    assert look("one").page.locator("#said").inner_text() == "1 run"


def test_the_shortest_round_has_something_on_its_bar(look, pages, tmp_path):
    began = datetime(2026, 1, 2, tzinfo=UTC)
    steps = [Step(n, (role,), began, seconds, 0.0, Usage()) for n, role, seconds in ((0, "planner", 0.1), (1, "generator", 600.0))]
    history = RunHistory("t", GemsState(prompt="a cat"), RunContext(), lost, steps=steps)
    pages["short"] = write_report(tmp_path / "short.html", history)
    widths = look("short").page.evaluate("[...document.querySelectorAll('.track i')].map((n) => n.getBoundingClientRect().width)")
    assert len(widths) == 2
    assert min(widths) >= 3


def test_only_the_gallerys_own_script_may_run(look, pages, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(pages["gallery"].read_text().replace("let left = 0;", "let left = 0; window.hacked = 1;"))
    pages["changed"] = changed
    seen = look("changed")
    assert seen.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in said for said in seen.wrong)
