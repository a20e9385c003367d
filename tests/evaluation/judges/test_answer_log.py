"""The log of answers: an answer is read again by the next process, whatever happened in between."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from gems.errors import BenchmarkError
from gems.evaluation.benchmarks.base import JudgeAnswer
from gems.evaluation.judges.answer_log import AnswerKey, AnswerLog, open_answer_log

YES = JudgeAnswer(text="Yes", top=(("Yes", 0.75), (" yes", 0.25)))


def key(question="q", image="i", rollout=0, judge="Qwen"):
    return AnswerKey(judge, question, image, rollout)


def put(log: AnswerLog, of: AnswerKey, answer=YES):
    log.put(of, answer, sample="0001", name="3")


def test_an_answer_is_found_again_by_judge_question_image_and_rollout(tmp_path):
    path = tmp_path / "scores" / "answers.jsonl"
    with open_answer_log(path) as log:
        put(log, key())
        put(log, key(rollout=1), JudgeAnswer(text='两只 "圆"\nand more \u2028'))
        put(log, key(), JudgeAnswer(text="No"))  # what was said once stays
    with open_answer_log(path) as log:
        assert len(log) == 2
        assert log.get(key()) == YES
        assert log.get(key(rollout=1)).text == '两只 "圆"\nand more \u2028'
        for other in (key("p"), key(image="j"), key(rollout=2), key(judge="other")):
            assert log.get(other) is None


def test_a_line_says_to_people_what_it_answers(tmp_path):
    with open_answer_log(tmp_path / "a.jsonl") as log:
        put(log, key())
    line = json.loads((tmp_path / "a.jsonl").read_text())
    assert (line["judge"], line["sample"], line["key"], line["rollout"], line["text"]) == ("Qwen", "0001", "3", 0, "Yes")
    assert line["top"] == [["Yes", 0.75], [" yes", 0.25]]


def test_a_torn_last_line_is_cut_off_and_the_book_goes_on(tmp_path):
    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log:
        put(log, key("one"))
        put(log, key("two"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with open_answer_log(path) as log:
        assert (len(log), log.get(key("two"))) == (1, None)
        put(log, key("two"))
    assert path.read_bytes() == whole


def test_a_damaged_line_in_the_midst_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log:
        put(log, key())
    path.write_bytes(b'{"judge": 5}\n' + path.read_bytes())
    with pytest.raises(BenchmarkError, match=r"a\.jsonl, line 1 is damaged: delete it"), open_answer_log(path):
        pass


def test_many_threads_write_whole_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(log, key(str(n % 100)), JudgeAnswer(text="x" * n)), range(400)))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(int(line["question"]) for line in lines) == list(range(100))


def test_two_processes_do_not_write_to_one_book(tmp_path):
    script = (
        "import sys\nfrom pathlib import Path\nfrom gems.evaluation.judges.answer_log import open_answer_log\n"
        "with open_answer_log(Path(sys.argv[1])):\n print('open', flush=True)\n sys.stdin.read()\n"
    )
    path = tmp_path / "a.jsonl"
    other = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(BenchmarkError, match="another process is asking this judge"), open_answer_log(path):
            pass
    finally:
        other.kill()  # the system lets go of the log
        other.communicate()
    with open_answer_log(path) as log:
        put(log, key())


def test_a_full_disk_spoils_no_line(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log:
        put(log, key("one"))
        write = log._log.file.write

        class Full:
            def __getattr__(self, name):
                return getattr(real, name)

            def write(self, data):
                if len(data) < 40:
                    raise OSError(28, "No space left on device")
                return write(data[:-30])

        real = log._log.file
        log._log.file = Full()
        with pytest.raises(BenchmarkError, match=r"cannot be written: .*No space left"):
            put(log, key("two"))
        assert log.get(key("two")) is None
        log._log.file = real
        put(log, key("three"))
    with open_answer_log(path) as log:
        assert [log.get(key(q)) is not None for q in ("one", "two", "three")] == [True, False, True]


def test_a_place_where_no_book_can_be_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BenchmarkError, match="cannot be opened"), open_answer_log(tmp_path / "file" / "a.jsonl"):
        pass
