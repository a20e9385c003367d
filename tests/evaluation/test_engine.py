"""Threads of this process: the numbers do not hang on them, nothing is drawn twice, and stopping keeps what was made."""

import threading

import pytest

from gems.evaluation.engine import Engine
from gems.evaluation.runner import StudyProgress
from gems.evaluation.variants import make_variants, parse_changes

from ..conftest import Sketcher
from .colours import Colours, record, records_in, timeless
from .small_studies import compare, plan, run_study


class Crowded(Sketcher):
    """Notes how many ask it at the same time."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.now = self.most = 0
        self._lock = threading.Lock()

    def generate(self, requests):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            return super().generate(requests)
        finally:
            with self._lock:
                self.now -= 1


def test_concurrent_runs_give_the_same_numbers_and_draw_nothing_twice(tmp_path):
    study = make_variants(["best-of-n", "default"])
    busy = Crowded(0.3, seconds=0.005)
    alone = compare(study, limit=2, seeds=2, runs=tmp_path / "a", image=Sketcher(0.3))
    together = compare(study, limit=2, seeds=2, concurrency=4, runs=tmp_path / "b", image=busy)
    assert timeless(together) == timeless(alone)
    assert busy.most > 1
    drawn = [(r.prompt, r.seed) for r in busy.made]
    assert len(drawn) == len(set(drawn))


def test_the_embedded_model_gives_the_same_pictures_alone_and_among_others(tmp_path):
    study = make_variants(["loop"], [], parse_changes(["max_rounds=1"]))
    alone = compare(study, limit=2, runs=tmp_path / "a")
    together = compare(study, limit=2, concurrency=2, runs=tmp_path / "b")
    assert {(r.id, r.path) for r in records_in(alone.folder)} == {(r.id, r.path) for r in records_in(together.folder)}
    assert timeless(alone) == timeless(together)


def planned(model, n=6):
    bench = Colours(n)
    return plan(bench, make_variants(["original"]), image=model)


def test_ctrl_c_keeps_what_was_made_and_the_same_call_goes_on(tmp_path):
    model = Sketcher(0.0)

    def interrupt(of):
        if len(records_in(tmp_path)) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(planned(model), tmp_path, progress=StudyProgress(done=interrupt))
    assert [r.id for r in records_in(tmp_path)] == ["c00", "c01"]
    records, found = run_study(planned(model), tmp_path)
    assert (len(records), found, len(model.made)) == (6, 2, 6)


def test_told_to_stop_nothing_new_begins(tmp_path):
    stop, model = threading.Event(), Sketcher(0.0)
    records, _ = run_study(planned(model), tmp_path, stop=stop, progress=StudyProgress(done=lambda of: stop.set()))
    assert [r.id for r in records.values()] == ["c00"]
    records, _ = run_study(planned(model), tmp_path, stop=stop)
    assert len(records) == 1


def test_an_engine_of_ones_own_is_given_the_jobs_that_are_left(tmp_path):
    given = []

    class Own(Engine):
        def run(self, jobs, on_record, stop):
            given.append([(job.item.id, [v.name for v in job.variants]) for job in jobs])
            for job in jobs[:2]:
                on_record(record(job.item.id, image="a"))

    run_study(planned(Sketcher(), 3), tmp_path, engine=lambda plan, images: Own())
    run_study(planned(Sketcher(), 3), tmp_path, engine=lambda plan, images: Own())
    run_study(planned(Sketcher(), 3), tmp_path, engine=lambda plan, images: Own())
    assert given == [[("c00", ["original"]), ("c01", ["original"]), ("c02", ["original"])], [("c02", ["original"])]]
