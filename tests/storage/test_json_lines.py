"""Durable logs of JSON lines: whole lines alone, whatever the disk does."""

import errno
import os
from contextlib import closing
from io import FileIO

import pytest

from gems.storage.json_lines import JsonLinesLog, read_lines


class FullDisk(FileIO):
    """A file on a disk with room for ten bytes."""

    room = 10

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


def test_an_unfinished_last_line_is_not_read_and_is_cut_off_by_the_next(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": ')
    with closing(JsonLinesLog(path)) as log:
        assert read_lines(path) == [b'{"n": 1}']
        assert path.read_bytes().endswith(b'{"n": ')  # who only reads changes nothing
        log.append('{"n": 2}')
    assert path.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


def test_a_line_that_a_full_disk_takes_in_part_leaves_nothing(tmp_path):
    path = tmp_path / "log.jsonl"
    with closing(JsonLinesLog(path)) as log:
        log.append('{"n": 1}')
        whole, log.file = log.file, FullDisk(path, "a+")
        with pytest.raises(OSError, match="No space left"), log.file:
            log.append('{"text": "longer than ten bytes"}')
        log.file = whole
        log.append('{"n": 3}')
    assert read_lines(path) == [b'{"n": 1}', b'{"n": 3}']


@pytest.mark.parametrize(("lines", "synced"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5])])
def test_lines_are_forced_to_the_disk_in_time_and_at_the_end(tmp_path, monkeypatch, lines, synced):
    path, seen = tmp_path / "log.jsonl", []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(len(read_lines(path))))
    with closing(JsonLinesLog(path, sync_lines=lines, sync_seconds=60)) as log:
        for n in range(5):
            log.append(f'{{"n": {n}}}')
    assert seen == synced
