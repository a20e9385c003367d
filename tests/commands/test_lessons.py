"""`gems lessons` and `gems run --lessons` as their users meet them."""

import json
from pathlib import Path

import pytest

from gems.memory.lessons import Lessons, StoredLesson, Trial
from gems.storage.workspace import Workspace

TEXTS = {"count": "Name the things singly.", "relation": "Say the places first.", "object": "Draw [bold]less[/] of it."}


@pytest.fixture
def ids():
    """Lessons in the folder of runs; return their ids by kind. The one about objects waits for approval."""
    with Workspace("runs").database.open() as opened:
        book = Lessons(opened.store)
        return {
            kind: book.keep(
                StoredLesson(kind=kind, text=text, status="proposed" if kind == "object" else "kept", question="Is it?"),
                [Trial(key=f"{n:016x}", helped=n > 0, run=f"run-{n}") for n in range(2)],
            ).id
            for kind, text in TEXTS.items()
        }


def listed(command, *args):
    code, out, _ = command("lessons", "list", "--json", *args)
    assert code == 0
    return {lesson["id"]: lesson for lesson in json.loads(out)}


def test_lessons_are_listed_with_what_they_were_worth(command, ids):
    code, out, _ = command("lessons", "list")
    assert code == 0
    for kind, id in ids.items():
        assert id in out
        assert TEXTS[kind] in out
    assert "1 of 2" in out
    assert "waits for approval" in " ".join(out.split())
    assert set(listed(command, "--kind", "count")) == {ids["count"]}
    assert set(listed(command, "--proposed")) == {ids["object"]}


def test_a_lesson_is_shown_with_its_trials(command, ids):
    code, out, _ = command("lessons", "show", ids["count"][:7])
    assert code == 0
    assert TEXTS["count"] in out
    assert "did not help  run-0" in out
    assert "helped  run-1" in out
    _, out, _ = command("lessons", "show", ids["count"], "--json")
    assert [t["run"] for t in json.loads(out)["trials"]] == ["run-0", "run-1"]


def test_a_proposed_lesson_is_kept_from_its_approval_on(command, ids):
    assert command("lessons", "approve", ids["object"])[0] == 0
    assert listed(command)[ids["object"]]["status"] == "kept"
    assert command("lessons", "list", "--proposed")[2].strip() == "no lesson waits for approval"


def test_several_are_removed_or_none(command, ids):
    code, _, err = command("lessons", "rm", ids["count"], "nonsense")
    assert code == 2
    assert "there is no lesson 'nonsense'" in err
    assert len(listed(command)) == 3
    assert command("lessons", "rm", ids["count"], ids["object"])[0] == 0
    assert set(listed(command)) == {ids["relation"]}


def test_what_is_exported_can_be_imported_elsewhere_and_again(command, ids):
    assert command("lessons", "export", "mine.jsonl")[0] == 0
    for said in ("3 new lessons, 0 known; 6 trials counted", "0 new lessons, 3 known; 0 trials counted"):
        assert said in command("lessons", "import", "mine.jsonl", "--runs", "other")[1]
    assert listed(command, "--runs", "other") == listed(command)
    command("lessons", "import", "mine.jsonl", "--runs", "third", "--review")
    assert {lesson["status"] for lesson in listed(command, "--runs", "third").values()} == {"proposed"}


def test_for_review_an_import_says_what_it_has_left_out(command, ids):
    trials = [{"key": f"{n:016x}", "helped": False} for n in range(100, 105)]
    Path("theirs.jsonl").write_text(json.dumps({"kind": "count", "text": TEXTS["count"], "trials": trials}))
    before = listed(command)
    said = command("lessons", "import", "theirs.jsonl", "--review")[1]
    assert "0 new lessons, 1 known; 0 trials counted, 5 of known lessons not" in said
    assert listed(command) == before
    assert "5 trials counted\n" in command("lessons", "import", "theirs.jsonl")[1]


def test_an_imported_file_sends_no_control_signs_to_the_terminal(command):
    trial = {"key": "0" * 16, "helped": True, "run": "\x1b]0;title\x07run", "at": "2026-01-01T00:00:00"}
    Path("theirs.jsonl").write_text(json.dumps({"kind": "count", "text": "Draw it large.", "trials": [trial]}))
    assert command("lessons", "import", "theirs.jsonl")[0] == 0
    (id,) = listed(command)
    _, out, _ = command("lessons", "show", id)
    assert "2026-01-01 00:00 UTC  helped  ]0;title run" in out
    assert not set("\x1b\x07") & set(out)


def test_export_to_standard_output_is_the_file(command, ids):
    command("lessons", "export", "mine.jsonl")
    assert command("lessons", "export", "-")[1] == Path("mine.jsonl").read_text()


def test_a_bad_file_is_one_error_and_changes_nothing(command, ids):
    Path("bad.jsonl").write_text('{"kind": "count", "text": "Fine."}\n{"kind": "nonsense", "text": "x"}\n')
    code, _, err = command("lessons", "import", "bad.jsonl")
    assert code == 2
    assert "line 2" in err
    assert len(err.strip().splitlines()) == 1
    assert len(listed(command)) == 3
    Path("bad.jsonl").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8 text" in command("lessons", "import", "bad.jsonl")[2]
    assert "missing.jsonl" in command("lessons", "import", "missing.jsonl")[2]


@pytest.mark.parametrize("args", [["list"], ["show", "x"], ["rm", "x"], ["export", "-"]])
def test_where_nothing_was_run_an_error_says_so_and_makes_nothing(command, args):
    code, _, err = command("lessons", *args)
    assert code == 2
    assert "gems run --lessons keep" in err
    assert not Path("runs").exists()


def test_a_kind_that_does_not_exist_is_told(command, ids):
    assert "choose one of object, count" in command("lessons", "list", "--kind", "colour")[2]


def test_a_run_learns_from_the_command_line(command, ids):
    before = listed(command)
    settings = ("--preset", "loop", "--seed", 1, "--json")
    code, out, _ = command("run", "three red stars to the left of two blue squares", *settings, "--lessons", "review")
    assert code == 0
    assert json.loads(out)["decision"] == "accept"
    new = {id: lesson for id, lesson in listed(command).items() if id not in before}
    assert new
    assert {lesson["status"] for lesson in new.values()} == {"proposed"}


def test_a_run_shows_the_lessons_it_was_given(command, ids):
    args = ("run", "two red circles", "--preset", "loop", "--rounds", 1, "--plan", "rewrite", "--thread", "t")
    code, out, _ = command(*args, "--lessons", "read")
    assert code == 0
    for said in (out, command("show", "t")[1]):
        assert f"(relation) {TEXTS['relation']}" in said
    assert "Name the things singly." in Path("runs/t/report.html").read_text()


def test_a_use_of_lessons_that_does_not_exist_is_told(command):
    code, _, err = command("run", "a red circle", "--lessons", "learn")
    assert code == 2
    assert "lessons" in err
    assert "'keep'" in err


def test_the_learner_is_in_the_estimate(command):
    _, out, _ = command("run", "a red circle", "--lessons", "keep", "--dry-run", "--json")
    assert json.loads(out)["calls"]["learner"] == {"first": 0, "worst": 1}
