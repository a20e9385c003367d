"""Benchmark files are checked line by line, and errors name the line."""

from pathlib import Path

import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import Sample
from gems.evaluation.dataset_files import read_csv, read_json, read_json_lines, require_unique_ids


def written(folder: Path, text: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_lines_are_given_with_their_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufeff{"a": "1\u2028"}\r\n\n{"a": "2", "more": []}\n')
    assert list(read_json_lines(path, {"a": str})) == [(1, {"a": "1\u2028"}), (3, {"a": "2", "more": []})]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": "1"}\n{"a": ', "line 2: this is not JSON"),
        ('{"a": "1"}\n[1]', "line 2: an object with a is wanted, this is list"),
        ('{"b": "1"}', "line 1: the key 'a' is missing"),
        ('{"a": 1}', "line 1: 'a' is int"),
        ('{"a": "1"}\n' + "[" * 100_000, "line 2: this is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "line 1: this is not JSON"),
        (r'{"a": "half of \ud83d"}', "line 1: this is not JSON"),
        (b"\xff\xfe", "cannot be read as UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        list(read_json_lines(written(tmp_path, text), {"a": str}))


def test_a_whole_pair_of_surrogates_is_a_sign(tmp_path: Path) -> None:
    assert list(read_json_lines(written(tmp_path, r'{"a": "\ud83d\ude00"}'), {"a": str})) == [(1, {"a": "😀"})]


def test_true_is_no_number_unless_it_may_be(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": true}')
    with pytest.raises(BenchmarkError, match="'a' is bool"):
        list(read_json_lines(path, {"a": int}))
    assert list(read_json_lines(path, {"a": (bool, int)})) == [(1, {"a": True})]
    assert list(read_json_lines(path, {"a": bool})) == [(1, {"a": True})]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="nowhere"):
        read_json(tmp_path / "nowhere")
    with pytest.raises(BenchmarkError, match="this is not JSON"):
        read_json(written(tmp_path, "{"))


def test_table_cells_may_hold_quotes_and_line_ends(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,text\r\n1,"two\nlines, ""quoted"""\n2,unquoted\u2028here\n3,\n')
    assert list(read_csv(path, ["id", "text"])) == [
        (3, {"id": "1", "text": 'two\nlines, "quoted"'}),
        (4, {"id": "2", "text": "unquoted\u2028here"}),
        (5, {"id": "3", "text": ""}),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,other\n1,2\n", "no column 'text'"),
        ("", "no column 'id'"),
        ("id,text\n1,2\n3", "line 3: it has more or fewer columns"),
        ("id,text\n1,2,3\n", "line 2: it has more or fewer columns"),
        ('id,text\n1,"torn', "this is not CSV"),
    ],
)
def test_a_bad_table_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        list(read_csv(written(tmp_path, text), ["id", "text"]))


def test_ids_are_there_and_differ(tmp_path: Path) -> None:
    one, two = Sample(id="1", prompt="a"), Sample(id="2", prompt="b")
    assert require_unique_ids([one, two], tmp_path) == [one, two]
    with pytest.raises(BenchmarkError, match="two prompts have the id 1"):
        require_unique_ids([one, two, one], tmp_path)
    with pytest.raises(BenchmarkError, match="no prompts"):
        require_unique_ids([], tmp_path)
