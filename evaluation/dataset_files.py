"""Reading benchmark files: JSON lines and tables, checked line by line, with errors that name the line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import BenchmarkError
from .benchmarks.base import Sample

_REST = "\0"
"""Key of columns without a name in the first line; an empty name, as pandas writes for its index, is a name."""


def read_json_lines(path: Path, keys: Mapping[str, type | tuple[type, ...]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines with their line numbers, blank lines left out.

    Args:
        path: the file, UTF-8.
        keys: required keys of every object with their types; others are allowed.

    Raises:
        BenchmarkError: it cannot be read, or a line is not of this form.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        yield number, require_keys(_parse_json(line, where), keys, where)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BenchmarkError: it cannot be read.
    """
    return _parse_json(read_text(path), str(path))


def _parse_json(text: str, where: str) -> Any:
    """Parse JSON; half of a surrogate pair is refused, since it could not be written again."""
    try:
        data = json.loads(text)
        if "\\ud" in text.casefold():
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{where}: this is not JSON ({error}): fetch the file again") from error
    return data


def read_csv(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with their line numbers.

    Raises:
        BenchmarkError: it cannot be read, a column is missing, or a line has more or fewer columns than the first.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restkey=_REST, strict=True)
    try:
        if missing := [c for c in columns if c not in (reader.fieldnames or ())]:
            raise BenchmarkError(f"{path}: there is no column {missing[0]!r}: is it the benchmark's own file?")
        for row in reader:
            if None in row.values() or _REST in row:
                raise BenchmarkError(
                    f"{path}, line {reader.line_num}: it has more or fewer columns than the first line: fetch the file again"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise BenchmarkError(f"{path}, line {reader.line_num}: this is not CSV ({error}): fetch the file again") from error


def require_keys(data: Any, keys: Mapping[str, type | tuple[type, ...]], where: str) -> dict[str, Any]:
    """Check that an object has the required keys, and a prompt that is not empty.

    Raises:
        BenchmarkError: it does not; the message begins with `where`.
    """
    if not isinstance(data, dict):
        raise BenchmarkError(f"{where}: an object with {', '.join(keys)} is wanted, this is {type(data).__name__}")
    for key, kind in keys.items():
        if key not in data:
            raise BenchmarkError(f"{where}: the key {key!r} is missing: is it the benchmark's own file?")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(data[key], kinds) or (isinstance(data[key], bool) and bool not in kinds):
            raise BenchmarkError(f"{where}: {key!r} is {type(data[key]).__name__}: is it the benchmark's own file?")
        if key.casefold() == "prompt" and not data[key].strip():
            raise BenchmarkError(f"{where}: the prompt is empty: is it the benchmark's own file?")
    return data


def require_unique_ids(samples: list[Sample], path: Path) -> list[Sample]:
    """Check that samples have different ids.

    Raises:
        BenchmarkError: there are none, or two share an id.
    """
    if not samples:
        raise BenchmarkError(f"{path}: there are no prompts in it")
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise BenchmarkError(f"{path}: two prompts have the id {sample.id}: delete one, or fetch the file again")
        seen.add(sample.id)
    return samples


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        BenchmarkError: it cannot be read as UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path}: cannot be read as UTF-8 text: {error}") from error
