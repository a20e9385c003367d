import pytest

from gems.evaluation.benchmarks.registry import find_benchmark
from gems.evaluation.published_scores import DOWNSTREAM, MAINSTREAM, PAPER_COLUMNS, PAPER_ROWS, published_figures


def averages(table):
    return [pytest.param(row, id=f"{row.model} {row.method}".strip()) for row in PAPER_ROWS[table] if row.average is not None]


@pytest.mark.parametrize("row", averages(MAINSTREAM))
def test_the_averages_of_table_1(row):
    geneval, geneval2, dpg, english, chinese, wise = row.values
    assert row.average == pytest.approx((100 * geneval + geneval2 + dpg + 50 * (english + chinese) + 100 * wise) / 5, abs=0.0051)


@pytest.mark.parametrize("row", averages(DOWNSTREAM))
def test_the_averages_of_table_2(row):
    english, chinese, spatial, crea, artimuse = row.values
    assert row.average == pytest.approx((50 * (english + chinese) + spatial + crea / 30 * 100 + artimuse) / 4, abs=0.0051)


def test_there_is_an_average_wherever_the_row_is_whole():
    assert all((row.average is None) == (None in row.values) for table in PAPER_ROWS for row in PAPER_ROWS[table])
    assert all(len(row.values) == len(PAPER_COLUMNS[table]) for table in PAPER_ROWS for row in PAPER_ROWS[table])
    assert [len(averages(table)) for table in PAPER_ROWS] == [16, 14]


def test_a_benchmark_has_its_own_figures_with_their_source():
    rows = published_figures("geneval2")
    assert {(r.model, r.method): r.value for r in rows}["Z-Image-Turbo", "GEMS"] == 63.5
    assert {r.source for r in rows} == {"arXiv 2603.28088v1, Table 1"}
    assert {r.metric for r in rows} == {"gm"}
    assert len(rows) == 17  # three of the 20 rows have none
    assert {r.source for r in published_figures("crea")} == {"arXiv 2603.28088v1, Table 2"}


def test_wise_verified_has_none_as_its_scale_is_another():
    assert published_figures("wise-verified") == []
    assert len(published_figures("wise")) == 18


@pytest.mark.parametrize("name", [name for columns in PAPER_COLUMNS.values() for name, _ in columns])
def test_the_figures_are_of_the_metric_that_counts_first(name):
    assert {r.metric for r in published_figures(name)} == {find_benchmark(name).metrics([])[0].name}
