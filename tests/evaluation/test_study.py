"""A study from beginning to end: what its folder tells, by all its judges, and what keeps its figures from being compared."""

from pathlib import Path

import pytest

import gems.evaluation
from gems import GemsError
from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.shapes import Shapes
from gems.evaluation.downloads import fetch
from gems.evaluation.image_scores import answers_path
from gems.evaluation.judges.answer_log import open_answer_log
from gems.evaluation.judges.base import Judge
from gems.evaluation.judges.chat import ChatJudge
from gems.evaluation.judges.registry import judge_of
from gems.evaluation.runner import StudyProgress
from gems.evaluation.shards import Shard
from gems.evaluation.study import build_report, load_study, score_study, study_warnings
from gems.evaluation.variants import make_variants

from ..conftest import Sketcher
from .colours import Breaking, Colours, Says, records_in, timeless
from .small_studies import compare, plan, run_study

EMBEDDED = "the embedded models of the shapes world were used: these figures say nothing about real models."
TOY_JUDGE = "the judge shapes-perception is not Eyes-8B, the official one: this is a scale of its own."


def study(folder, bench=None, presets=("original",), image=None, **options):
    bench = bench or Colours(4)
    return compare(make_variants(presets), benchmark=bench, out=folder, image=image or Sketcher(0.0), **options)


def test_prompts_of_ones_own(tmp_path, sketcher):
    (tmp_path / "mine.txt").write_text("a red circle\ntwo blue stars above a green square\n")
    data = fetch(Shapes(), tmp_path / "mine.txt", say=print)
    study_result = compare(make_variants(["original"]), data=data, runs=tmp_path, image=sketcher)
    assert repr(study_result).startswith(f"StudyResult({study_result.benchmark.name}, variants: original, prompts: ")
    (result,) = study_result.results
    assert result.prompts == 2
    assert sum(len(Shapes().questions(s)) for s in study_result.samples) == 3 + 7
    assert list(study_result.study.data.values()) == list(data.digests.values())
    assert study_warnings(study_result) == []


def test_the_flat_options_of_before_belong_to_groups_now(tmp_path):
    options = {"benchmark": Colours(4), "limit": 2, "seed": 3, "concurrency": 2, "runs": tmp_path, "name": None, "stop": None}
    groups = "benchmark, limit, seed in prompts=Prompts.* and runs, name in files=StudyFiles.* and concurrency, stop in execution="
    with pytest.warns(DeprecationWarning, match=rf"{groups}StudyExecution\(...\) now") as warned:
        old = gems.evaluation.compare(make_variants(["original", "loop"]), base="loop", image=Sketcher(0.0), **options)
    assert [Path(warning.filename).name for warning in warned] == ["test_study.py"]
    new = study(tmp_path / "new", presets=["original", "loop"], base="loop", limit=2, seed=3)
    assert timeless(old) == timeless(new)
    assert old.folder.parent == tmp_path / "eval"


def test_a_variant_to_compare_with_must_be_there(tmp_path, sketcher):
    said = "--base loop: there is no such variant; choose one of original, default"
    with pytest.raises(GemsError, match=said):
        compare(make_variants(["original", "default"]), base="loop", runs=tmp_path, image=sketcher)
    assert sketcher.made == []
    study(tmp_path / "o", presets=["original", "default"])
    with pytest.raises(GemsError, match=said):
        load_study(tmp_path / "o", "loop", benchmark=Colours(4))


def test_another_base_turns_the_difference_round(tmp_path):
    study_result = study(tmp_path, presets=["original", "loop"], image=Sketcher(1.0))
    turned = load_study(tmp_path, "loop", benchmark=Colours(4))
    assert turned.results[0].gain.mean == -study_result.results[1].gain.mean
    assert turned.results[1].gain is None


def test_without_a_judge_images_are_made_and_the_table_waits(tmp_path):
    class Unjudged(Colours):
        judges = ("chat",)

    bench = Unjudged(3)
    study_result = study(tmp_path, bench)
    assert study_result.results == []
    assert len(records_in(tmp_path)) == 3
    assert build_report(study_result).results == []
    score_study(tmp_path, ChatJudge(Says(), "Eyes-8B"), benchmark=bench)
    (result,) = load_study(tmp_path, benchmark=bench).results
    assert (result.judge, result.metrics["share"].mean) == ("Eyes-8B", 100)


def test_a_second_judge_adds_rows_and_asks_only_what_is_new(tmp_path):
    bench, chat = Colours(3), Says(says="no", asked=[])
    first = study(tmp_path, bench)
    judge = ChatJudge(chat, "Eyes-8B")
    score_study(tmp_path, judge, benchmark=bench)
    asked = len(chat.asked)
    assert asked == 3 * 2 + 1  # each question once, after a first one about a small picture, to see whether it can answer
    both = load_study(tmp_path, benchmark=bench)
    assert {r.judge: r.metrics["share"].mean for r in both.results} == {"shapes-perception": 100, "Eyes-8B": 0}
    told = []
    score_study(tmp_path, judge, benchmark=bench, progress=StudyProgress(answered=told.append))
    assert told == [True] * 6
    assert len(chat.asked) == asked
    assert timeless(load_study(tmp_path, benchmark=bench)) == timeless(both)
    mine = [r for r in both.results if r.judge == "shapes-perception"]
    assert [r.metrics for r in mine] == [r.metrics for r in first.results]


def test_a_picture_that_two_variants_share_is_asked_about_once(tmp_path):
    bench, chat = Colours(2), Says(asked=[])
    study_result = study(tmp_path, bench, ["original", "loop"])
    assert len({r.image.sha256 for r in records_in(tmp_path)}) == 2  # without a mistake the loop ends with the first picture
    score_study(tmp_path, ChatJudge(chat, "Eyes-8B"), benchmark=bench)
    assert len(chat.asked) == 2 * 2 + 1
    assert len(study_result.results) == 2


def test_scores_of_an_image_that_was_made_anew_are_not_used(tmp_path):
    bench = Colours(2)
    study(tmp_path, bench, image=Breaking("blue"))
    (before,) = load_study(tmp_path, benchmark=bench).results
    assert (before.failed, before.missing, before.metrics["share"].mean) == (1, 0, 50)
    run_study(plan(bench, make_variants(["original"]), image=Breaking()), tmp_path)
    (between,) = load_study(tmp_path, benchmark=bench).results
    assert (between.failed, between.missing, between.metrics["share"].mean) == (0, 1, 100)  # there, and not judged yet
    score_study(tmp_path, judge_of("perception"), benchmark=bench)
    (after,) = load_study(tmp_path, benchmark=bench).results
    assert (after.failed, after.missing, after.prompts, after.metrics["share"].mean) == (0, 0, 2, 100)


def test_the_judge_is_tried_before_a_picture_is_made(tmp_path):
    class Unable(Judge):
        name, kind = "unable", "chat"

        def ask(self, question, png, rollout=0):
            raise BenchmarkError("the judge is away: start it")

    model = Sketcher(0.0)
    with pytest.raises(BenchmarkError, match="the judge is away"):
        study(tmp_path / "o", image=model, judge=Unable())
    with pytest.raises(GemsError, match="not judged by RapidOCR, but by the shapes world's perception or a chat model"):
        study(tmp_path / "o", image=model, judge=judge_of("rapidocr"))
    assert model.made == []
    assert not (tmp_path / "o").exists()


def test_a_judge_that_only_chats_is_refused_before_a_picture_is_made(tmp_path):
    class YesOrNo(Colours):
        def readable(self, question, answer):
            return answer.text in ("yes", "no")

        def cautions(self, values):
            return [f"{len(values)} images were judged."]

    bench, model = YesOrNo(4), Sketcher(0.0)
    chat = Says(says="The image is nice. I would give it a good mark.", asked=[])
    with pytest.raises(GemsError, match="3 of the first 3 answers of the judge Eyes-8B cannot be read, such as 'The image is nice"):
        study(tmp_path / "o", bench, image=model, judge=ChatJudge(chat, "Eyes-8B"))
    assert (model.made, (tmp_path / "o").exists()) == ([], False)
    study_result = study(tmp_path / "o", bench, image=model, judge=ChatJudge(Says(), "Eyes-8B"))
    assert study_warnings(study_result) == [EMBEDDED, "Eyes-8B: 4 images were judged."]


def test_a_folder_of_another_benchmark_is_told(tmp_path, sketcher):
    compare(make_variants(["original"]), limit=1, out=tmp_path, image=sketcher)
    with pytest.raises(BenchmarkError, match="holds a study of shapes, not of colours"):
        load_study(tmp_path, benchmark=Colours())
    with pytest.raises(GemsError, match="holds no study"):
        load_study(tmp_path / "nowhere")


def test_a_damaged_file_of_scores_is_named(tmp_path):
    study(tmp_path)
    (tmp_path / "scores-shapes-perception.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"scores-shapes-perception\.json is damaged: delete it and score again"):
        load_study(tmp_path, benchmark=Colours(4))


def test_a_variant_that_is_not_in_the_table_is_told(tmp_path):
    bench = Colours(2)
    planned = plan(bench, make_variants(["original", "loop"]), image=Sketcher(0.0))
    run_study(planned._replace(variants=planned.variants[:1]), tmp_path)
    score_study(tmp_path, judge_of("perception"), benchmark=bench)
    said = study_warnings(load_study(tmp_path, benchmark=bench))
    assert "shapes-perception has judged nothing of loop yet: not in the table." in said


def test_an_image_that_is_lost_can_be_made_anew(tmp_path):
    bench = Colours(2)
    whole = study(tmp_path, bench)
    record = records_in(tmp_path)[0]
    (tmp_path / record.path).unlink()
    (tmp_path / "answers-shapes-perception.jsonl").unlink()
    with pytest.raises(GemsError, match=r"prompt c00.*restore it.*--image-store; or delete its lines from samples\.jsonl"):
        study(tmp_path, bench)
    lines = (tmp_path / "samples.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text("".join(line for line in lines if record.image.sha256 not in line))
    assert timeless(study(tmp_path, bench)) == timeless(whole)
    assert (tmp_path / record.path).is_file()


# What stands above the tables


def test_there_is_nothing_to_warn_of_in_the_toy_itself(tmp_path, sketcher):
    class Few(Shapes):
        def read(self, files):
            return super().read(files)[:8]

    study_result = compare(make_variants(["original"]), benchmark=Few(), out=tmp_path, image=sketcher)
    assert study_warnings(study_result) == []


def test_embedded_models_and_a_judge_that_is_not_the_official_one(tmp_path):
    assert study_warnings(study(tmp_path)) == [EMBEDDED, TOY_JUDGE]


def test_the_official_judge_is_known_by_its_last_name(tmp_path):
    bench = Colours(2)
    study_result = study(tmp_path / "a", bench, judge=ChatJudge(Says(), "someone/eyes-8b"))
    assert study_warnings(study_result) == [EMBEDDED]


def test_a_judge_that_is_the_verifier_too(tmp_path):
    study_result = study(tmp_path, Colours(2), judge=judge_of("shapes"))
    assert "the judge shapes-chat is also the loop's verifier: the loop was guided by the model that scores it." in study_warnings(
        study_result
    )


def test_prompts_that_were_left_out_and_another_number_of_images(tmp_path):
    study_result = study(tmp_path, Colours(4, per_prompt=2), limit=3, per_prompt=1)
    said = study_warnings(study_result)
    assert "3 of 4 prompts were used; the others are left out." in said
    assert "each prompt has 1 images, where the official protocol has 2." in said
    assert build_report(study_result).title == "Colours, 3 of 4 prompts"


def test_what_is_missing_failed_or_unanswered(tmp_path):
    bench = Colours(4, secret="Is there a zebra in the image?")
    half = study(tmp_path / "half", bench, shard=Shard(1, 2))
    assert "images that are not generated or not judged yet do not count: original 2." in study_warnings(half)
    failed = study(tmp_path / "failed", bench, image=Breaking("blue"))
    said = study_warnings(failed)
    assert "why runs failed: the image model is gone: start it again (1 times)." in said
    assert "runs failed, and count as images that show nothing: original 1." in said
    assert (
        "answers that are missing or cannot be read, however often they were asked for, count as wrong: original 3." in said
    )  # perception knows no zebra
    assert [r.unanswered for r in failed.results] == [3]


def test_what_is_to_be_said_of_how_a_judge_was_asked_is_kept(tmp_path):
    class Remarked(ChatJudge):
        remarks = ("Eyes-8B takes no temperature: it answers at its own.",)

    study(tmp_path, Colours(2), judge=Remarked(Says(), "Eyes-8B"))
    assert "Eyes-8B: Eyes-8B takes no temperature: it answers at its own." in study_warnings(
        load_study(tmp_path, benchmark=Colours(2))
    )


def test_the_answers_are_kept_for_people_too(tmp_path):
    study(tmp_path, Colours(2))
    with open_answer_log(answers_path(tmp_path, "shapes-perception")) as log:
        assert len(log) == 4
    assert '"sample": "c01", "key": "1", "rollout": 0' in (tmp_path / "answers-shapes-perception.jsonl").read_text().replace(
        '"judge": "shapes-perception", ', ""
    )
