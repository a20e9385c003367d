"""The records of a study: nothing is lost, nothing counts twice, and a folder holds one study."""

import errno
import io
import json

import pytest

from gems.errors import RunInUseError, StudyError
from gems.evaluation.run_records import open_journal, read_definition, read_records
from gems.evaluation.shards import Shard
from gems.evaluation.variants import make_variants

from .colours import Colours, record, records_in
from .small_studies import compare, plan


def study(**options):
    bench = Colours()
    return plan(bench, make_variants(["original"]), **options).study


def test_a_record_is_on_the_disk_at_once_and_found_again(tmp_path):
    with open_journal(tmp_path, study()) as journal:
        journal.add(record("c00"))
        assert [r.id for r in records_in(tmp_path)] == ["c00"]
        assert not journal.lacks(("original", "c00", 0))
        assert journal.lacks(("original", "c01", 0))
    with open_journal(tmp_path, study()) as journal:
        assert list(journal.records) == [("original", "c00", 0)]


def test_a_torn_last_line_is_dropped_and_its_run_wanted_again(tmp_path):
    file = tmp_path / "samples.jsonl"
    with open_journal(tmp_path, study()) as journal:
        journal.add(record("c00"))
        journal.add(record("c01"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert set(read_records(tmp_path)) == {("original", "c00", 0)}  # who only looks changes nothing
    assert file.read_bytes() == whole[:-20]
    with open_journal(tmp_path, study()) as journal:
        assert journal.lacks(("original", "c01", 0))
        journal.add(record("c01"))
    assert file.read_bytes() == whole


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    file = tmp_path / "samples.jsonl"
    with open_journal(tmp_path, study()) as journal:
        journal.add(record("c00"))
        with monkeypatch.context() as patch, Full(file, "ab") as full:
            patch.setattr(journal._log, "file", full)
            with pytest.raises(StudyError, match=r"samples\.jsonl cannot be written \(No space left on device\)"):
                journal.add(record("c01"))
        assert journal.lacks(("original", "c01", 0))
        journal.add(record("c02"))  # of another thread
    assert [r.id for r in records_in(tmp_path)] == ["c00", "c02"]
    assert file.read_bytes().endswith(b"\n")


class Full(io.FileIO):
    """A file on a disk that is full after ten bytes more."""

    room = 10

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(bytes(data)[: self.room])
        self.room -= written
        return written


def test_a_failed_run_is_a_record_and_is_wanted_again(tmp_path):
    with open_journal(tmp_path, study()) as journal:
        journal.add(record("c00", image=None))
        assert journal.lacks(("original", "c00", 0))
        journal.add(record("c00", image="b"))
        assert not journal.lacks(("original", "c00", 0))
    assert [r.error for r in records_in(tmp_path)] == ["it failed", ""]
    (found,) = read_records(tmp_path).values()
    assert found.image.sha256 == "b" * 64


@pytest.mark.parametrize(
    ("images", "kept"),
    [("ab", "a"), ((None, "b"), "b"), (("a", None), "a"), ((None, None), None)],
    ids=["the first image stays", "an image after a failure", "a failure after an image", "the last failure"],
)
def test_of_several_records_of_one_key_one_counts(tmp_path, images, kept):
    lines = [record(image=image, error="" if image else f"failure {n}").model_dump_json() for n, image in enumerate(images)]
    (tmp_path / "samples.1-of-2.jsonl").write_text(lines[0] + "\n")
    (tmp_path / "samples.2-of-2.jsonl").write_text(lines[1] + "\n")
    (found,) = read_records(tmp_path).values()
    assert (found.image.sha256 if found.image else None) == (kept * 64 if kept else None)
    assert found.error == ("" if kept else "failure 1")


def test_a_damaged_line_is_named(tmp_path, sketcher):
    study_result = compare(make_variants(["original"]), limit=2, runs=tmp_path, image=sketcher)
    file = study_result.folder / "samples.jsonl"
    file.write_text("{}\n" + file.read_text())
    with pytest.raises(StudyError, match=r"samples\.jsonl, line 1 is damaged.*delete it and repeat the command"):
        compare(make_variants(["original"]), limit=2, runs=tmp_path, image=sketcher)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "--seed"),
        ({"seeds": 2}, "--seeds"),
        ({"per_prompt": 2}, "--images-per-prompt"),
        ({"limit": 3}, "the prompts"),
        ({"presets": ["loop"]}, "the variants"),
        ({"benchmark": Colours()}, "the benchmark"),
        ({"chat": {"default": "shapes", "refiner": "http://localhost:1/v1#other"}}, "the chat models"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_folder_holds_one_study(tmp_path, sketcher, change, what):
    def study(presets=("original",), limit=2, **options):
        return compare(make_variants(presets), limit=limit, runs=tmp_path, out=tmp_path / "o", image=sketcher, **options)

    study()
    before = (tmp_path / "o" / "samples.jsonl").read_bytes()
    made = len(sketcher.made)
    with pytest.raises(StudyError, match=f"differs in {what}.*take another --out"):
        study(**change)
    assert (tmp_path / "o" / "samples.jsonl").read_bytes() == before
    assert len(sketcher.made) == made


def test_records_without_their_study_are_refused(tmp_path):
    (tmp_path / "samples.jsonl").write_text("")
    with (
        pytest.raises(StudyError, match=r"holds samples\.jsonl without study\.json: take another --out"),
        open_journal(tmp_path, study()),
    ):
        pass


@pytest.mark.parametrize(("text", "said"), [(None, "holds no study"), ("{}", "damaged or not of this version")])
def test_a_folder_that_is_no_study_is_told(tmp_path, text, said):
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(StudyError, match=said):
        read_definition(tmp_path)


def test_a_study_of_an_older_form_is_another(tmp_path):
    told = json.loads(study().model_dump_json()) | {"format": 1}
    (tmp_path / "study.json").write_text(json.dumps(told))
    with pytest.raises(StudyError, match="differs in its format"), open_journal(tmp_path, study()):
        pass


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (None, None, "another process is at the study .*: wait for it, or end it"),
        ("1/2", "1/2", "another process is at shard 1/2 of the study"),
        (None, "1/2", "another process is at all of the study"),
        ("1/2", None, "another process is at shard 1/2 of the study"),
    ],
)
def test_two_cannot_be_at_the_same_part(tmp_path, one, other, said):
    with (
        open_journal(tmp_path, study(), Shard.read(one)) as journal,
        pytest.raises(RunInUseError, match=said),
        open_journal(tmp_path, study(), Shard.read(other)),
    ):
        pass
    assert journal.records == {}
    with open_journal(tmp_path, study(), Shard.read(other)):  # and afterwards it may be gone on with
        pass


def test_two_shards_are_written_at_the_same_time(tmp_path):
    with open_journal(tmp_path, study(), Shard(1, 2)) as one, open_journal(tmp_path, study(), Shard(2, 2)) as two:
        one.add(record("c00"))
        two.add(record("c01"))
    assert {path.name for path in tmp_path.glob("samples*")} == {"samples.1-of-2.jsonl", "samples.2-of-2.jsonl"}
    with open_journal(tmp_path, study()) as journal:
        assert {key[1] for key in journal.records} == {"c00", "c01"}
