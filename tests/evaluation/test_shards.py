"""Parts of a study: several processes, or machines, do one study together, and its table is that of one who did it alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gems.errors import SettingError
from gems.evaluation.shards import WHOLE, Shard
from gems.evaluation.study import load_study, study_warnings
from gems.evaluation.variants import make_variants

from ..conftest import Sketcher
from .colours import records_in, timeless
from .small_studies import compare


@pytest.mark.parametrize(("text", "shard"), [("3/8", (3, 8)), (" 1 / 1 ", (1, 1)), (None, (1, 1))])
def test_a_shard_is_read(text, shard):
    assert Shard.read(text) == shard


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/", "a/b", "-1/2", "1/0"])
def test_what_is_no_shard_is_told(text):
    with pytest.raises(SettingError, match="write PART/PARTS, such as 3/8"):
        Shard.read(text)


def test_shards_are_all_items_once_and_even():
    items = list(range(10))
    parts = [Shard(n, 4).part(items) for n in range(1, 5)]
    assert sorted(item for part in parts for item in part) == items
    assert {len(part) for part in parts} == {2, 3}
    assert WHOLE.part(items) == items


def test_a_shard_has_files_of_its_own():
    assert Shard(3, 8).file("samples.jsonl") == "samples.3-of-8.jsonl"
    assert WHOLE.file("samples.jsonl") == "samples.jsonl"


def study(folder, image, shard=WHOLE):
    return compare(make_variants(["original", "loop"]), limit=4, out=folder, image=image, shard=shard)


def test_shards_one_after_the_other_give_the_table_of_the_whole(tmp_path):
    alone = study(tmp_path / "alone", Sketcher(0.4))
    half = study(tmp_path / "o", Sketcher(0.4), Shard(1, 2))
    assert {r.missing for r in half.results} == {2}
    assert any("not generated or not judged yet do not count: original 2, loop 2" in w for w in study_warnings(half))
    both = study(tmp_path / "o", Sketcher(0.4), Shard(2, 2))
    assert timeless(both) == timeless(alone)
    assert both.reused == 0
    assert len(records_in(tmp_path / "o")) == 8


def test_the_whole_goes_on_with_what_the_shards_made(tmp_path):
    study(tmp_path / "o", Sketcher(0.4), Shard(1, 3))
    model = Sketcher(0.4)
    study_result = study(tmp_path / "o", model)
    assert study_result.reused == 4
    assert timeless(study_result) == timeless(study(tmp_path / "alone", Sketcher(0.4)))


def test_folders_of_two_machines_are_copied_together(tmp_path):
    alone = study(tmp_path / "alone", Sketcher(0.4))
    for number in (1, 2):
        study(tmp_path / str(number), Sketcher(0.4), Shard(number, 2))
    shutil.copytree(tmp_path / "2", tmp_path / "1", dirs_exist_ok=True)
    model = Sketcher(0.4)
    merged = study(tmp_path / "1", model)
    assert model.made == []
    assert timeless(merged) == timeless(alone)
    assert timeless(load_study(tmp_path / "1")) == timeless(alone)


def test_two_processes_at_two_shards_at_once(tmp_path):
    command = [
        sys.executable,
        "-m",
        "gems.cli",
        "eval",
        "shapes",
        "--presets",
        "original",
        "--limit",
        "2",
        "--image",
        "card",
        "--out",
        "study",
    ]
    environment = {**os.environ, "COLUMNS": "120"}
    started = [
        subprocess.Popen(
            [*command, "--shard", f"{n}/2"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in (1, 2)
    ]
    said = [process.communicate(timeout=100) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    folder = Path(tmp_path / "study")
    assert len({r.key for r in records_in(folder)}) == len(records_in(folder)) == 2
    together = load_study(folder)
    assert [r.missing for r in together.results] == [0]  # who judged last saw the other's images
    alone = compare(make_variants(["original"]), limit=2, chat="random", image="card", out=tmp_path / "alone")
    assert timeless(together) == timeless(alone)
