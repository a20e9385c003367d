"""One run and its record: what it tells, what a failure costs, and what the run never sees."""

import pytest

from gems.errors import ImageModelError
from gems.evaluation.sample_run import WorkItem
from gems.evaluation.variants import make_variants
from gems.models.options import ChatOptions, ModelOptions, without_hosts_and_folders
from gems.models.shapes.chat import ShapesChat

from ..conftest import Sketcher
from .colours import Breaking, Colours, records_in
from .small_studies import compare


def test_a_record_tells_what_the_run_reached_and_took(tmp_path, make_sketcher):
    study_result = compare(make_variants(["loop-memory"]), limit=4, runs=tmp_path, image=make_sketcher(0.5))
    record = max(records_in(study_result.folder), key=lambda r: r.rounds)
    assert record.rounds > 1
    assert (study_result.folder / record.path).is_file()
    assert (study_result.folder / "images" / record.image.sha256[:2] / f"{record.image.sha256}.png").samefile(
        study_result.folder / record.path
    )
    assert record.decision in ("accept", "give up")
    assert (record.checks.passed == record.checks.total) == (record.decision == "accept")
    assert 0 <= record.checks.gm <= record.checks.am <= 1
    assert record.images == record.rounds  # of one candidate each
    assert len(record.refiner_input_tokens) == record.rounds - 1
    assert 0 < sum(record.refiner_input_tokens) < record.input_tokens
    assert record.refiner_pictures == tuple(range(1, record.rounds))  # all rounds' pictures are shown
    sample = next(s for s in study_result.samples if s.id == record.id)
    assert record.prompt == sample.prompt
    assert record.cost is None
    assert not record.error


def test_where_no_image_passes_every_run_takes_all_its_rounds(tmp_path, make_sketcher):
    fixed = {"max_rounds": 4, "patience": None}
    study_result = compare(make_variants(["paper", "default"], (), fixed), limit=2, runs=tmp_path, image=make_sketcher(1.0))
    for result in study_result.results:
        assert result.rounds.mean == 4
        assert result.accepted.mean == 0
        assert len(result.refiner_input_tokens) == 3
    paper, default = study_result.results
    assert paper.refiner_pictures == (1, 2, 3)
    assert default.refiner_pictures[-1] <= 2


def test_a_run_that_fails_says_why_and_what_it_took(tmp_path):
    study_result = compare(make_variants(["loop"]), benchmark=Colours(2), runs=tmp_path, image=Breaking("blue"))
    good, failed = sorted(records_in(study_result.folder), key=lambda r: r.id)
    assert (good.error, good.decision) == ("", "accept")
    assert failed.error == "the image model is gone: start it again"
    assert (failed.image, failed.path, failed.decision, failed.checks, failed.images) == (None, None, "", None, 0)
    assert failed.calls > 0  # what was asked before it failed has been paid for


def test_whatever_a_model_of_ones_own_raises_costs_one_image(tmp_path):
    class Own(Sketcher):
        def generate(self, requests):
            if "blue" in requests[0].prompt:
                raise ZeroDivisionError("my own\nmistake " + "x" * 1000)
            return super().generate(requests)

    study_result = compare(make_variants(["original"]), benchmark=Colours(3), runs=tmp_path, image=Own(0.0))
    by_id = {r.id: r for r in records_in(study_result.folder)}
    assert [bool(by_id[i].image) for i in ("c00", "c01", "c02")] == [True, False, True]
    assert "my own mistake" in by_id["c01"].error
    assert len(by_id["c01"].error) < 700


def test_an_image_elsewhere_has_no_path_in_the_folder(tmp_path, sketcher):
    from gems.storage.image_store import ImageStore

    study_result = compare(
        make_variants(["original"]),
        benchmark=Colours(1),
        out=tmp_path / "o",
        image=sketcher,
        store=ImageStore(tmp_path / "elsewhere"),
    )
    (record,) = records_in(tmp_path / "o")
    assert record.path is None
    assert study_result.store.read(record.image).startswith(b"\x89PNG")
    assert [r.failed for r in study_result.results] == [0]  # the judge found it


def test_the_loop_never_sees_the_benchmarks_questions(tmp_path, sketcher):
    heard = []

    class Listening(ShapesChat):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            heard.extend(str(m.content) for m in messages)
            return super()._generate(messages, stop, run_manager, **kwargs)

    bench = Colours(4, secret="Is there a zebra in the image?")
    (result,) = compare(make_variants(["paper"]), benchmark=bench, runs=tmp_path, image=sketcher, chat=Listening()).results
    assert result.metrics["share"].high <= 100 * 2 / 3 + 1e-9  # the judge asked it, and there is no zebra
    assert heard
    assert not [text for text in heard if "zebra" in text]


def test_a_cell_has_nothing_that_only_the_scorer_may_know():
    (sample, *_) = Colours(secret="Is there a zebra in the image?").read({})
    assert "zebra" in str(sample)
    assert "zebra" not in str(WorkItem.of(sample, 0, 1))


def test_a_picture_that_another_variant_drew_is_counted_and_not_drawn_again(tmp_path, sketcher):
    study_result = compare(make_variants(["original", "best-of-n"]), benchmark=Colours(2), runs=tmp_path, image=sketcher)
    original, best = study_result.results
    assert (original.images.mean, best.images.mean) == (1, 5)
    assert len(sketcher.made) == 2 * 5


def test_a_reason_tells_neither_hosts_nor_folders():
    models = ModelOptions(
        chat=ChatOptions(model="http://gpu7.lab.example:30000/v1#big"),
        roles={"verifier": ChatOptions(model="http://10.0.0.7/v1#eye")},
    )
    told = {
        "decomposer (big at gpu7.lab.example:30000): is the server running at gpu7.lab.example:30000?":
            "decomposer (big at HOST): is the server running at HOST?",
        "gpu7.lab.example is not known": "HOST is not known",
        "verifier (eye at 10.0.0.7): no": "verifier (eye at HOST): no",
        "10.0.0.70 is another": "10.0.0.70 is another",
        "the image store /home/me/runs/x/images (No space left)": "the image store …/images (No space left)",
        "no file '/opt/models/a.safetensors', nor file:///data/b/c.png": "no file '…/a.safetensors', nor …/c.png",
        "and/or 1/2, see http://a.example/b/c": "and/or 1/2, see http://a.example/b/c",
    }  # fmt: skip
    assert {text: without_hosts_and_folders(text, models) for text in told} == told


@pytest.mark.parametrize("error", [ImageModelError("no\n  words\tlost"), ValueError()])
def test_a_reason_is_one_line(tmp_path, error):
    class Failing(Sketcher):
        def generate(self, requests):
            raise error

    study_result = compare(make_variants(["original"]), benchmark=Colours(1), runs=tmp_path, image=Failing())
    (record,) = records_in(study_result.folder)
    assert record.error
    assert "\n" not in record.error
