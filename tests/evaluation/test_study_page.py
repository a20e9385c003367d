"""The page of a study: the prompts that tell most, what the judge said of them, and how it behaves in a browser."""

import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gems.commands.evaluate_report import write_study_files
from gems.errors import ImageModelError
from gems.evaluation.benchmarks.base import JudgeAnswer, Metric, Sample
from gems.evaluation.benchmarks.geneval2 import GenEval2
from gems.evaluation.image_scores import ImageScore, answers_path
from gems.evaluation.judges.answer_log import AnswerKey, open_answer_log
from gems.evaluation.judges.chat import ChatJudge
from gems.evaluation.judges.registry import judge_of
from gems.evaluation.study import StudyResult, build_report, load_study, score_study
from gems.evaluation.study_page import MAX_PROMPTS, judged_answers, prompt_values, read_answers, render_study_page, write_study_page
from gems.evaluation.variants import make_variants
from gems.storage.image_store import ImageStore

from ..conftest import Sketcher
from ..report import test_browser as reports
from .colours import Breaking, Colours, Says, record
from .small_studies import compare, plan

browser = reports.browser


def page_of(study_result):
    return render_study_page(study_result, build_report(study_result))


def section(page, name):
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return found.group() if found else None


def headings(page, name):
    return re.findall(r"<h3[^>]*>(.*?)</h3>", section(page, name))


class Graded(Colours):
    """Scores each prompt by its number: by hand, whatever is in the image."""

    def __init__(self, values, **options):
        super().__init__(len(values), **options)
        self.values = values

    def score(self, sample, answers):
        return {"share": self.values[int(sample.id[1:])] if answers else 0.0}


def study(folder, bench, presets=("original", "loop"), image=None, **options):
    return compare(make_variants(presets), benchmark=bench, out=folder, image=image or Sketcher(0.0), **options)


def test_the_worst_and_the_best_are_found(tmp_path):
    values = [k / 40 for k in range(40)]
    study_result = study(tmp_path, Graded(values), ["original"])
    page = page_of(study_result)
    prompts = [s.prompt for s in study_result.samples]
    assert headings(page, "worst") == prompts[:MAX_PROMPTS]
    assert headings(page, "best") == prompts[::-1][:MAX_PROMPTS]
    assert section(page, "improved") is None  # there is nothing to compare with
    assert 'class="value">2.5</b>' in section(page, "worst")


def test_the_most_improved_are_those_with_the_largest_difference(tmp_path):
    bench = Colours(6)
    study_result = study(tmp_path, bench)
    scored = {("original", f"c{n:02d}", 0): ImageScore({"share": 0.5}) for n in range(6)}
    scored |= {("loop", f"c{n:02d}", 0): ImageScore({"share": value}) for n, value in enumerate((0.6, 0.4, 0.9, 0.5, 1.0, 0.2))}
    page = page_of(study_result._replace(scored={"shapes-perception": scored}))
    improved = section(page, "improved")
    assert headings(page, "improved") == ["a purple circle", "a green circle", "a red circle"]
    assert re.findall(r'class="up">(.*?)<', improved) == ["+50.0", "+40.0", "+10.0"]
    assert headings(page, "worst")[:2] == ["a orange circle", "a blue circle"]
    assert re.findall(r'class="(?:up|down)">(.*?)<', section(page, "worst"))[:2] == ["-30.0", "-10.0"]
    assert 'class="down"' in section(page, "worst")


def test_the_base_and_the_best_variant_stand_side_by_side_and_the_others_are_told(tmp_path):
    bench = Colours(2)
    study_result = study(tmp_path, bench, ["original", "loop", "paper"])
    scored = {
        (v, f"c{n:02d}", 0): ImageScore({"share": s})
        for v, s in (("original", 0.25), ("loop", 0.75), ("paper", 0.5))
        for n in range(2)
    }
    first = section(page_of(study_result._replace(scored={"shapes-perception": scored})), "improved")
    article = first.split("</article>")[0]
    assert re.findall(r'class="variant"><bdi>(.*?)</bdi>', article) == ["original", "loop"]
    assert re.findall(r'class="value">(.*?)</b>', article) == ["25.0", "75.0"]
    assert "<span><bdi>paper</bdi> 50.0</span>" in article
    assert "1 round" in article
    assert "checks" in article


def test_of_several_images_the_lowest_is_shown(tmp_path):
    bench = Colours(1, per_prompt=3)
    study_result = study(tmp_path, bench, ["original"], image=Sketcher(1.0))
    scored = {("original", "c00", k): ImageScore({"share": value}) for k, value in enumerate((0.5, 0.1, 0.9))}
    page = page_of(study_result._replace(scored={"shapes-perception": scored}))
    shown = study_result.records["original", "c00", 1].image
    assert re.findall(r'<symbol id="small-(\w+)"', page) == [shown.sha256[:16]]
    assert "the lowest of 3 images" in page
    assert 'class="value">50.0</b>' in page


def test_answers_stand_by_their_image_and_wrong_ones_are_marked(tmp_path):
    bench = Colours(1, secret="Is there a zebra in the image?")
    study_result = study(tmp_path, bench, ["original"], judge=ChatJudge(Says(says="Yes."), "Eyes-8B"))
    page = page_of(study_result)
    assert "3 of 3 answers scored" in page
    assert 'Is there a zebra in the image? Answer in one word.</bdi> <b dir="auto">Yes.</b>' in page
    score_study(tmp_path, judge_of("perception"), benchmark=bench)
    toy = load_study(tmp_path, benchmark=bench)
    toy = toy._replace(scored={"shapes-perception": toy.scored["shapes-perception"]})
    page = page_of(toy)
    assert "2 of 3 answers scored" in page
    wrong = re.search(r'<li class="wrong">.*?</li>', page, re.DOTALL).group()
    assert "zebra" in wrong
    assert "no answer" in wrong


def test_an_answer_is_wrong_if_it_scored_nothing():
    bench = Colours(1)
    (sample,) = bench.read({})
    told = list(judged_answers(bench, sample, {"0": [JudgeAnswer(text="yes")], "1": [JudgeAnswer(text="no, blue")]}))
    assert [(one.answer, one.wrong) for one in told] == [("yes", False), ("no, blue", True)]
    assert list(judged_answers(bench, sample, {})) == []


def test_of_a_word_the_likeliest_token_says_whether_it_is_wrong():
    truth = {"atom_count": 3, "vqa_list": [["How many cats are in the image?", "two"]] * 2, "skills": ["count", "count"]}
    sample = Sample(id="0", prompt="two cats", group="03", truth=truth)
    answers = {
        "0": [JudgeAnswer(text="three", top=(("three", 0.7), ("two", 0.3)))],
        "1": [JudgeAnswer(text="two", top=(("two", 0.6),))],
    }
    told = list(judged_answers(GenEval2(), sample, answers))
    assert [one.wrong for one in told] == [True, False]
    assert told[0].chances == (("three", 0.7), ("two", 0.3))


def test_the_answers_of_a_file_are_found_by_prompt_and_image(tmp_path):
    def line(sample, image, key, rollout, text, question="q"):
        return (
            f'{{"judge": "J", "sample": "{sample}", "key": "{key}", "rollout": {rollout}, "image": "{image}", '
            f'"question": "{question}", "text": "{text}", "top": []}}\n'
        )

    file = tmp_path / "answers-j.jsonl"
    file.write_text(
        line("a", "1", "0", 1, "late")
        + line("a", "1", "0", 0, "early")
        + line("a", "2", "0", 0, "other image")
        + line("b", "1", "0", 0, "not asked for")
        + line("a", "2", "0", 0, "in other words", "r")
        + '{"judge": "J", "sam'
    )
    found = read_answers(file, {"a"})
    assert {place: {k: {n: a.text for n, a in told.items()} for k, told in keys.items()} for place, keys in found.items()} == {
        ("a", "1"): {"0": {0: "early", 1: "late"}},
        ("a", "2"): {"0": {0: "in other words"}},
    }


def test_the_answer_that_counted_is_shown_and_not_the_attempts_before_it(tmp_path):
    class YesOrNo(Colours):
        def readable(self, question, answer):
            return answer.text in ("yes", "no")

    class Second(Says):
        """Says nothing of use to a question about a colour until it is asked again."""

        def _generate(self, messages, *args, **kwargs):
            text = messages[-1].content[-1]["text"]
            self.says = "yes" if text in self.asked or "any circles" in text else "hm"
            return super()._generate(messages, *args, **kwargs)

    study_result = study(tmp_path, YesOrNo(2), ["original"], judge=ChatJudge(Second(asked=[]), "Eyes-8B"), concurrency=1)
    (result,) = study_result.results
    assert (result.unanswered, result.metrics["share"].mean) == (0, 100)
    page = page_of(study_result)
    assert page.count("2 of 2 answers scored") == 2
    assert ">hm" not in page


def test_failed_runs_are_told_with_their_reason(tmp_path):
    class Sick(Breaking):
        def generate(self, requests):
            if "blue" in requests[0].prompt:
                raise ImageModelError("/home/someone/models/x.bin is damaged")
            return super().generate(requests)

    page = page_of(study(tmp_path, Colours(4), ["original"], image=Sick()))
    failed = section(page, "failed")
    assert "1 run failed" in failed
    assert "a blue circle" in failed
    assert "x.bin is damaged" in failed
    assert "/home/someone" not in page
    assert headings(page, "worst")[0] == "a blue circle"
    assert "This run failed" in section(page, "worst")


def test_of_many_failed_runs_some_are_shown(tmp_path):
    study_result = study(tmp_path, Colours(2), ["original"])
    records = {("original", f"x{n}", 0): record(f"x{n}", image=None) for n in range(100)}
    failed = section(page_of(study_result._replace(records={**study_result.records, **records})), "failed")
    assert failed.count("<li>") == MAX_PROMPTS
    assert f"and {100 - MAX_PROMPTS} more" in failed


def test_a_metric_of_several_prompts_together_has_no_single_prompts(tmp_path):
    class Together(Colours):
        def metrics(self, samples):
            def spread(draws):
                mean, counted = draws.mean("share"), draws.ratio("one", None)
                return np.where(counted > 0, mean, np.nan)

            return [Metric("spread", "Spread", spread)]

    assert (
        prompt_values(
            Together().metrics([])[0], "original", Colours(1).read({}), {("original", "c00", 0): ImageScore({"share": 1})}
        )
        == {}
    )
    page = page_of(study(tmp_path, Together(3), ["original"]))
    assert "Spread is computed over several prompts together" in page
    assert "<article" not in page


def test_warnings_table_and_plot_are_on_top(tmp_path):
    study_result = study(tmp_path, Colours(4), limit=3)
    report = build_report(study_result)
    write_study_files(study_result, report)
    page = (tmp_path / "gallery.html").read_text()
    for warning in report.warnings:
        assert warning.replace("'", "&#39;") in page
    assert '<th scope="row"><bdi>loop</bdi></th>' in page
    assert 'class="plot" src="data:image/' in page
    assert page.index("warnings") < page.index("<table>") < page.index('class="plot"') < page.index('id="worst"')
    (tmp_path / "plot.png").unlink()
    assert 'class="plot"' not in page_of(study_result)


def test_an_image_that_is_lost_leaves_a_blank(tmp_path, caplog):
    study_result = study(tmp_path, Colours(2), ["original"])
    for path in (tmp_path / "images").rglob("*.png"):
        path.unlink()
    assert page_of(load_study(tmp_path, benchmark=study_result.benchmark)).count("it could not be read") == 2
    assert "could not be read" in caplog.text


def by_hand(folder, bench, names, draw, values, answer="yes"):
    """Return a study that nobody ran: an image of each prompt by each variant, and the judge's answers in their file."""
    samples = bench.read({})
    made = [replace(v, name=name) for v, name in zip(make_variants(["original", "loop"]), names, strict=True)]
    store = ImageStore(folder / "images")
    records, scored = {}, {}
    with open_answer_log(answers_path(folder, "J")) as book:
        for v, name in enumerate(names):
            for n, sample in enumerate(samples):
                one = record(sample.id, name, prompt=sample.prompt, rounds=10**6)
                ref = draw(store, v, n)
                one = one.model_copy(
                    update={"image": ref} if ref else {"image": None, "error": answer * 3, "decision": "", "checks": None}
                )
                records[one.key], scored[one.key] = one, ImageScore({"share": values[v][n]})
                for question in bench.questions(sample) if ref else ():
                    book.put(
                        AnswerKey("J", question.key, ref.sha256, 0),
                        JudgeAnswer(text=answer, top=((answer[:200], 0.5),)),
                        sample=sample.id,
                        name=question.key,
                    )
    planned = plan(bench, made, image=Sketcher())
    return StudyResult(planned.study, bench, samples, made, records, {"J": scored}, {"J": (answer,)}, names[0], folder, store)


def test_a_large_study_of_photos_stays_light(tmp_path):
    noise = Image.effect_noise((64, 64), 120)

    def draw(store, v, n):
        photo = Image.merge("RGB", [noise.rotate(7 * n + 30 * v + 60 * i) for i in range(3)])
        return store.put(photo.resize((256, 256), Image.Resampling.BICUBIC))

    study_result = by_hand(tmp_path, Colours(60), ["a", "b"], draw, [[k / 80 for k in range(60)], [k / 60 for k in range(60)]])
    path = write_study_page(study_result, build_report(study_result))
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.png")) > 10_000_000
    assert path.read_text().count("<symbol") <= 3 * 2 * MAX_PROMPTS
    assert path.stat().st_size < 1_000_000  # noise is the heaviest there is


# In a browser

WORDS = reports.WORDS


class Hostile(Colours):
    """A benchmark with hostile words wherever words can be."""

    title, remarks = WORDS[0], WORDS

    def read(self, files):
        update = [{"prompt": WORDS[n % 7], "group": WORDS[(n + 1) % 7][:300], "id": f"{n}{WORDS[n % 7][:90]}"} for n in range(8)]
        return [s.model_copy(update=u) for s, u in zip(super().read(files), update, strict=True)]

    def questions(self, sample):
        return [q.model_copy(update={"text": WORDS[n] + sample.prompt}) for n, q in enumerate(super().questions(sample))]

    def metrics(self, samples):
        return [super().metrics(samples)[0]._replace(title=WORDS[0])]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of a real study, one of a study of one prompt and variant, and one that is full of hostile words."""
    folder = tmp_path_factory.mktemp("studies")
    bench = Colours(6, per_prompt=2)
    real = study(folder / "real", bench, ["original", "loop", "default"], image=Breaking("blue", mistakes=0.6), limit=5)
    write_study_files(real, build_report(real))
    small = study(folder / "small", Colours(1), ["original"])
    write_study_files(small, build_report(small))

    def draw(store, v, n):
        return None if n in (1, 5) else store.put(Image.new("RGB", ((64, 64), (2000, 100), (90, 900))[n % 3], "teal"))

    names = [f"{v}{WORDS[0]}{WORDS[v + 1][:300]}" for v in range(2)]
    hostile = by_hand(
        folder / "hostile", Hostile(8), names, draw, [[0.1] * 8, [n / 8 for n in range(8)]], WORDS[0] + WORDS[1][:600]
    )
    write_study_page(hostile, build_report(hostile))
    return {name: folder / name / "gallery.html" for name in ("real", "small", "hostile")}


look_at = reports.look


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("name", ["real", "small", "hostile"])
def test_nothing_runs_overflows_or_is_cut(look_at, name, width):
    seen = look_at(name, width, "dark" if width == 360 else "light")
    assert seen.page.evaluate(reports.LAYOUT) == []
    seen.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert seen.page.evaluate(reports.LAYOUT) == []
    assert seen.wrong == []
    assert seen.page.evaluate(reports.PARTS) == {
        "hacked": None, "doubled": [], "dangling": [], "unsaid": 0, "blank": 0, "small": 0, "outside": [], "first": 1, "jumps": 0,
        "handlers": 0, "scripts": 0, "empty": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["real", "hostile"])
def test_in_print_everything_is_open_and_nothing_is_cut(look_at, name):
    seen = look_at(name, 688, "dark")
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 27, 30)", "ink on white, also by night"
    assert not seen.page.locator(".theme").is_visible()
    assert seen.page.locator("details li").first.is_visible()
    assert seen.page.evaluate(reports.LAYOUT) == []


def test_by_keyboard_every_section_is_reached_and_answers_open(look_at):
    page = look_at("real").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = []
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        where, outline = page.evaluate("""() => {
          const node = document.activeElement;
          return [node.closest("main > section")?.id || "", getComputedStyle(node).outlineStyle];
        }""")
        assert outline != "none"
        reached.append(where)
    assert list(dict.fromkeys(filter(None, reached)))[:3] == ["table", "improved", "worst"]
    answers = page.locator("details").first
    assert not answers.locator("li").first.is_visible()
    answers.locator("summary").focus()
    page.keyboard.press("Enter")
    assert answers.locator("li").first.is_visible()


def test_images_are_seen_side_by_side_and_are_no_blanks(look_at):
    page = look_at("real", 360).page
    first, second = (page.locator("#improved svg.thumb").nth(n) for n in (0, 1))
    assert first.bounding_box()["y"] == second.bounding_box()["y"]
    shot = Image.open(BytesIO(first.screenshot())).convert("RGB")
    assert len(shot.getcolors(100_000)) > 3


def test_colours_are_chosen_without_a_script(look_at):
    page = look_at("real", java_script_enabled=False).page
    page.get_by_label("dark").check()
    assert page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(18, 19, 22)"
