"""The plots: a sweep is a line, and nothing is drawn where there is nothing to be seen."""

from gems.evaluation.plots import _short_names, plot_scores
from gems.evaluation.study import build_report
from gems.evaluation.variants import make_variants, parse_axis

from .small_studies import compare


def test_a_sweep_and_its_plot(tmp_path, make_sketcher):
    study = make_variants(["loop", "paper"], [parse_axis("rounds=1..3")])
    report = build_report(compare(study, limit=2, runs=tmp_path, image=make_sketcher(0.4)))
    by_name = {r.name: r for r in report.results}
    assert by_name["loop rounds=1"].rounds.mean == 1
    assert by_name["loop rounds=3"].metrics["gm"].mean >= by_name["loop rounds=1"].metrics["gm"].mean
    assert {(r.line, r.at) for r in report.results} == {(line, at) for line in ("loop", "paper") for at in (1.0, 2.0, 3.0)}
    assert plot_scores(report.results, report.metrics[0], tmp_path / "plot.png", "a sweep")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    unmeasured = report.metrics[0]._replace(name="other")
    assert not plot_scores(report.results, unmeasured, tmp_path / "none.png", "nothing measured")
    assert not (tmp_path / "none.png").exists()


def test_points_of_two_settings_keep_both_names():
    assert _short_names(["verify=batch", "verify=each"]) == ["batch", "each"]
    assert _short_names(["fuse=true verify=batch", "fuse=false verify=each"]) == [
        "fuse=true verify=batch",
        "fuse=false verify=each",
    ]
