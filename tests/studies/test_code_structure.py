"""The study of the code's structure counts what is there, and sees who imports whom."""

import pytest

from gems.studies.code_structure import HERE, circles, long_signatures, main, source_files

FILES = {
    "__init__.py": "",
    "errors.py": '"""Errors."""\n\nclass GemsError(Exception):\n    """An error."""\n\n    code = 1  # told\n',
    "graph/__init__.py": "",
    "graph/build.py": "from ..errors import GemsError\n\nSIZE = 1\n\ndef build(): ...\n",
    "nodes/__init__.py": "",
    "nodes/planner.py": "SIZE: int = 2\n_told = 3\n\ndef plan(a, /, b, c, *d, e, f, g, h, i, **j):\n from ..graph import build\n",
    "tests/test_it.py": "told = found = said = 1\n",
    "build/lib/gems/errors.py": "told = found = said = 1\n",
}


def test_a_checkout_is_counted_and_its_imports_are_seen(tmp_path, capsys):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    main(["--root", str(tmp_path)])
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in capsys.readouterr().out.splitlines()]
    assert ["root", "2", "6", "2", "1", "1"] in rows
    assert ["graph", "2", "5", "3", "0", "2"] in rows
    assert ["all", "6", "16", "9", "1", "5"] in rows
    assert ["told", "2"] in rows
    assert ["graph → errors", "1"] in rows
    assert ["nodes → graph (up)", "1"] in rows
    assert ["1 public names stand in two files or more: SIZE"] in rows
    assert ["1 functions with more than 8 parameters: nodes.planner.plan (9)"] in rows
    assert ["2 arrows, 1 of them up; circles of modules: none"] in rows


def test_no_function_takes_more_parameters_than_can_be_kept_in_mind():
    assert set(long_signatures(source_files(HERE))) == {"runs.client.run", "graph.build.build_graph"}


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"d"}}, [["b", "c"], ["d", "e"]]),
    ],
)
def test_modules_that_import_each_other_are_a_circle(graph, found):
    assert circles(graph) == found
