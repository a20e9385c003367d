"""Judges over real HTTP: what they are sent, what becomes of their answers, and every way in which asking goes wrong."""

import base64
import hashlib
import io
import json
import math
import threading

import pytest
from PIL import Image, ImageDraw, ImageFont

from gems.errors import BenchmarkError, JudgeError, ModelCallError
from gems.evaluation.benchmarks.base import JudgeAnswer, JudgeQuestion
from gems.evaluation.judges.answer_collection import MAX_ATTEMPTS, JudgeTask, collect, recorded_answers
from gems.evaluation.judges.answer_log import open_answer_log
from gems.evaluation.judges.judge_parsing import says_yes
from gems.evaluation.judges.probing import probe
from gems.evaluation.judges.registry import judge_of
from gems.models.options import ChatOptions
from gems.models.shapes.chat import ShapesChat
from gems.models.shapes.world import DrawnThing, center_of, draw

from ...faulty_server import Reply, chat_reply, likely, refusal, with_logprobs

WORD = JudgeQuestion(key="0", text="How many dogs are in the image? Answer in one word.", kind="word", max_tokens=1)
SAY = JudgeQuestion(key="say", text="Is there a dog? Answer yes or no.", max_tokens=16)
READ = JudgeQuestion(key="read", text="Copy out the text that is written in this image.", kind="read")
TWO = with_logprobs(chat_reply("two", finish="length"), likely("two", two=0.75, **{" two": 0.125, "three": 0.0625}))
NAME = "Qwen/Qwen3-VL-8B-Instruct"


def png(color="red"):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(buffer, "PNG")
    return buffer.getvalue()


def judge_at(server, *replies, model=NAME, **options):
    server.replies = list(replies) or [chat_reply("Yes")]
    return judge_of(ChatOptions(model=f"{server.url}#{model}", **{"retries": 0, "timeout": 5, **options}))


def works(*questions, images=("red",)):
    found = []
    for number, color in enumerate(images):
        data = png(color)
        found += [JudgeTask(q, lambda data=data: data, hashlib.sha256(data).hexdigest(), f"{number:04d}") for q in questions]
    return found


def ask_all(judge, log, *questions, **options):
    return collect(judge, works(*questions), log, **options)


# What goes out, and what comes back


def test_a_word_is_asked_for_as_the_official_scorer_does(server):
    judge = judge_at(server, TWO)
    found = judge.ask(WORD, png())
    sent = server.heard[0].json
    wanted = {"model": NAME, "max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    assert {k: sent[k] for k in wanted} == wanted
    assert sent["chat_template_kwargs"]["enable_thinking"] is False
    (message,) = sent["messages"]  # the user's turn alone: first the image, then the question
    image, text = message["content"]
    assert (message["role"], text["text"]) == ("user", WORD.text)
    assert base64.b64decode(image["image_url"]["url"].partition("base64,")[2]) == png()
    assert found.text == "two"
    assert [token for token, _ in found.top] == ["two", " two", "three"]
    assert [p for _, p in found.top] == pytest.approx([0.75, 0.125, 0.0625])
    assert judge.name == NAME


def test_other_questions_are_asked_with_a_clear_system_line_or_their_own(server):
    judge = judge_at(server)
    judge.ask(SAY, png())
    judge.ask(READ, png())
    judge.ask(SAY.model_copy(update={"system": "Be strict.", "temperature": 1.0}), png())
    bodies = [heard.json for heard in server.heard]
    systems = [body["messages"][0]["content"] for body in bodies]
    assert "judge of images" in systems[0]
    assert "read the text" in systems[1]
    assert systems[2] == "Be strict."
    assert [body["temperature"] for body in bodies] == [0.0, 0.0, 1.0]
    assert [body["max_tokens"] for body in bodies] == [16, 1024, 16]
    assert all("logprobs" not in body for body in bodies)


def test_options_reach_the_judge_and_are_part_of_what_its_answers_are_kept_by(server):
    plain, other = judge_at(server), judge_at(server, thinking=True, max_tokens=4000, extra_body={"top_k": 1})
    other.ask(SAY, png())
    sent = server.heard[0].json
    assert (sent["max_tokens"], sent["top_k"]) == (4000, 1)
    assert sent["chat_template_kwargs"]["enable_thinking"] is True
    assert plain.key(SAY, "i") != other.key(SAY, "i")
    assert other.key(WORD, "i", 1)._replace(rollout=0) == other.key(WORD, "i", 0)


@pytest.mark.parametrize(
    "change", [{"text": "Is there a cat?"}, {"system": "x"}, {"kind": "read"}, {"temperature": 1.0}, {"max_tokens": 5}]
)
def test_whatever_is_sent_is_part_of_the_key(server, change):
    judge = judge_at(server)
    assert judge.key(SAY, "i") != judge.key(SAY.model_copy(update=change), "i")
    assert judge.key(SAY, "i") == judge.key(SAY.model_copy(update={"key": "other", "rollouts": 5}), "i")


def test_reasoning_is_not_part_of_an_answer(server):
    judge = judge_at(
        server,
        chat_reply("<think>Is it? no...</think>\nYes."),
        chat_reply("", reasoning_content="Yes"),
        chat_reply("hm</think> No"),
    )
    assert [judge.ask(SAY, png()).text for _ in range(3)] == ["Yes.", "Yes", "No"]


def test_bytes_that_are_no_text_are_still_answers(server):
    token = {"token": "\\xf0", "logprob": math.log(0.5), "bytes": [0xF0]}
    judge = judge_at(server, with_logprobs(chat_reply("x"), {**token, "top_logprobs": [token]}))
    assert judge.ask(WORD, png()).top == (("?", pytest.approx(0.5)),)


@pytest.mark.parametrize(
    "reply",
    [
        chat_reply(None, refusal="I cannot look at people."),
        chat_reply("", finish="content_filter"),
        chat_reply(""),
        refusal("The response was filtered due to the prompt triggering Azure OpenAI's content management policy."),
    ],
)
def test_what_a_model_refuses_to_answer_is_an_empty_answer(server, reply):
    assert judge_at(server, reply).ask(SAY, png()) == JudgeAnswer(text="")


def test_what_it_took_is_counted(server):
    judge = judge_at(server, chat_reply("Yes", usage=(100, 2)))
    for _ in range(3):
        judge.ask(SAY, png())
    assert judge.spent[:3] == (3, 300, 6)


# Log-probabilities


def picky(word, most=0):
    """Refuse log-probabilities, or more than so many alternatives, in the words of endpoints."""

    def reply(request):
        asked = request.json.get("top_logprobs", 0)
        if asked > most:
            return refusal(word, 403 if most == 0 else 400)
        return with_logprobs(chat_reply("two"), likely("two", two=0.5, three=0.25))

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        chat_reply("two"),
        with_logprobs(chat_reply("two"), likely("two")),
        picky("You are not allowed to request logprobs from this model"),
        chat_reply(""),
    ],
)
def test_a_judge_without_log_probabilities_is_refused_before_anything_is_spent(server, reply):
    judge = judge_at(server, reply)
    with pytest.raises(JudgeError, match=r"Qwen3-VL-8B-Instruct gives no log-probabilities.*vLLM or SGLang"):
        probe(judge, [WORD, WORD])
    assert len(server.heard) == 1
    assert issubclass(JudgeError, BenchmarkError)


def test_a_judge_with_fewer_alternatives_is_refused(server):
    judge = judge_at(server, picky("top_logprobs: must be less than or equal to 5", most=5))
    with pytest.raises(JudgeError, match=r"gives 2 alternatives for a token, not 20: .* count 0.*vLLM or SGLang.*gems eval export"):
        probe(judge, [WORD])
    assert [heard.json["top_logprobs"] for heard in server.heard] == [20, 5]


@pytest.mark.parametrize("listed", [{f"two{n}": 0.02 for n in range(20)}, {"two": 1.0}])
def test_twenty_alternatives_are_enough_and_so_are_fewer_that_leave_nothing(server, listed):
    probe(judge_at(server, with_logprobs(chat_reply("two"), likely("two", **listed))), [WORD])


def test_an_endpoint_that_refuses_five_as_well_gives_none(server):
    judge = judge_at(server, refusal("top_logprobs is not supported"))
    with pytest.raises(JudgeError, match="gives no log-probabilities"):
        probe(judge, [WORD])
    assert len(server.heard) == 2


def test_a_judge_that_reasons_first_is_refused_for_words(server):
    judge = judge_at(server, with_logprobs(chat_reply("<think>", finish="length"), likely("<think>", **{"<think>": 1.0})))
    with pytest.raises(JudgeError, match=r"begins with '<think>'.*reasons first"):
        probe(judge, [WORD])


def test_a_judge_that_reasons_all_its_tokens_away_is_refused(server):
    judge = judge_at(server, chat_reply("", finish="length", reasoning_content="Well, let me see"))
    with pytest.raises(JudgeError, match=r"used up 16 tokens before its answer began: .*max_tokens"):
        probe(judge, [SAY])
    with pytest.raises(JudgeError, match="empty answer"):
        probe(judge_at(server, chat_reply("")), [SAY])


def test_the_probe_asks_once_for_each_kind_of_question(server):
    probe(judge_at(server), [SAY, SAY, READ])
    assert len(server.heard) == 2


# The log


def test_scoring_again_asks_nothing(server, tmp_path):
    often = SAY.model_copy(update={"key": "often", "rollouts": 5, "temperature": 1.0})
    with open_answer_log(tmp_path / "a.jsonl") as log:
        assert ask_all(judge_at(server, chat_reply("Yes")), log, SAY, often) == (0, 6, 0)
    told = []
    with open_answer_log(tmp_path / "a.jsonl") as log:
        again = judge_at(server, refusal("nothing is to be asked"))
        assert ask_all(again, log, SAY, often, on_done=told.append) == (6, 0, 0)
        image = hashlib.sha256(png()).hexdigest()
        found = recorded_answers(again, [SAY, often, READ], image, log)
    assert {key: len(answers) for key, answers in found.items()} == {"say": 1, "often": 5}
    assert told == [True] * 6
    assert len(server.heard) == 6


def test_an_image_of_two_variants_is_asked_about_once(server, tmp_path):
    with open_answer_log(tmp_path / "a.jsonl") as log:
        twice = [*works(SAY), *works(SAY)]
        assert collect(judge_at(server), twice, log) == (1, 1, 0)


def test_several_are_asked_at_a_time_and_no_more(server, tmp_path):
    reply = chat_reply("Yes")
    reply.hang = 0.05
    colors = [f"#0000{n:02x}" for n in range(12)]
    with open_answer_log(tmp_path / "a.jsonl") as log:
        collect(judge_at(server, reply), works(SAY, images=colors), log, concurrency=3)
        assert len(log) == 12
    assert server.most_at_once == 3


def test_empty_answers_are_counted_but_no_text_is_an_answer_to_what_is_read(server, tmp_path):
    with open_answer_log(tmp_path / "a.jsonl") as log:
        assert ask_all(judge_at(server, chat_reply("")), log, SAY, READ) == (0, 2 + MAX_ATTEMPTS - 1, 1)


# Answers that cannot be read


def yes_or_no(question, answer):
    return says_yes(answer.text) is not None


def chatting(*kept):
    """Chat about the image; some questions, by their number, are answered."""

    def reply(request):
        text = request.json["messages"][-1]["content"][-1]["text"]
        return chat_reply("No" if any(f"number {n}?" in text for n in kept) else "The image is nice. I would give it a good mark.")

    return reply


def numbered(count, **more):
    return [SAY.model_copy(update={"key": str(n), "text": f"Is there a dog with number {n}?", **more}) for n in range(count)]


def test_an_answer_that_cannot_be_read_is_asked_for_again_and_warmer(server, tmp_path):
    often = SAY.model_copy(update={"rollouts": 2})
    judge = judge_at(server, chat_reply("Yes"), chat_reply("It is nice."), chat_reply("Nice indeed."), chat_reply("No"))
    with open_answer_log(tmp_path / "a.jsonl") as log:
        assert ask_all(judge, log, often, readable=yes_or_no, concurrency=1) == (0, 4, 0)
        found = recorded_answers(judge, [often], works(often)[0].image, log, yes_or_no)
        assert [answer.text for answer in found["say"]] == ["Yes", "No"]
        assert ask_all(judge, log, often, readable=yes_or_no) == (2, 0, 0)
    assert [heard.json["temperature"] for heard in server.heard] == [0.0, 0.0, 0.7, 0.7]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(line["rollout"], line["text"]) for line in lines] == [(0, "Yes"), (1, "It is nice."), (3, "Nice indeed."), (5, "No")]


def test_what_stays_unreadable_is_counted_and_asked_again_by_the_next_command(server, tmp_path):
    asked = numbered(8)
    with open_answer_log(tmp_path / "a.jsonl") as log:
        judge = judge_at(server, chatting(*range(7)))
        assert ask_all(judge, log, *asked, readable=yes_or_no) == (0, 8 + MAX_ATTEMPTS - 1, 1)
        assert [a.text for a in recorded_answers(judge, asked, works(SAY)[0].image, log, yes_or_no)["7"]] == [
            "The image is nice. I would give it a good mark."
        ]
    with open_answer_log(tmp_path / "a.jsonl") as log:
        judge = judge_at(server, chatting(*range(8)))
        assert ask_all(judge, log, *asked, readable=yes_or_no) == (7, 1, 0)
        assert recorded_answers(judge, asked, works(SAY)[0].image, log, yes_or_no)["7"][0].text == "No"


@pytest.mark.parametrize(("questions", "kept", "heard"), [(40, (), 12), (40, range(5), 12), (40, range(30, 40), 12), (4, (1,), 4)])
def test_a_judge_most_of_whose_first_answers_cannot_be_read_is_refused(server, tmp_path, questions, kept, heard):
    bad = heard - len([n for n in kept if n < heard])
    said = rf"{bad} of the first {heard} answers of the judge .*B-Instruct cannot be read, such as 'The image is nice\. I would"
    with open_answer_log(tmp_path / "a.jsonl") as log:
        judge = judge_at(server, chatting(*kept))
        with pytest.raises(JudgeError, match=said + r".*take a model that.*12 answers are recorded" if questions > 4 else said):
            ask_all(judge, log, *numbered(questions), readable=yes_or_no, concurrency=1)
        assert len(log) == len(server.heard) == heard
        if questions > 4:  # once more with a server that was mended: what was answered badly is asked again
            server.heard.clear()
            ask_all(judge_at(server, chat_reply("Yes")), log, *numbered(questions), readable=yes_or_no)
            assert len(server.heard) == questions - len([n for n in kept if n < heard])


def test_a_judge_half_of_whose_first_answers_can_be_read_goes_on(server, tmp_path):
    with open_answer_log(tmp_path / "a.jsonl") as log:
        judge = judge_at(server, chatting(*range(6), *range(12, 40)))
        assert ask_all(judge, log, *numbered(40), readable=yes_or_no) == (0, 40 + 6 * (MAX_ATTEMPTS - 1), 6)


def test_who_answers_by_rules_is_not_asked_twice(tmp_path):
    data = circles(0)
    work = [JudgeTask(q, lambda: data, "i", "0001") for q in [SAY.model_copy(update={"text": "Why?"})]]
    for asked in (1, 0):
        with open_answer_log(tmp_path / "a.jsonl") as log:
            assert collect(judge_of("perception"), work, log)[:2] == (1 - asked, asked)


def test_the_probe_refuses_a_judge_that_only_chats_before_an_image_is_made(server):
    with pytest.raises(JudgeError, match=r"3 of the first 3 answers .* cannot be read, such as 'The image is nice"):
        probe(judge_at(server, chatting()), numbered(9), yes_or_no)
    assert len(server.heard) == 3
    server.heard.clear()
    probe(judge_at(server, chatting(1)), numbered(9), yes_or_no)  # one answer of three is no proof of the contrary
    assert len(server.heard) == 2


def test_after_an_error_only_what_is_missing_is_asked(server, tmp_path):
    colors = [f"#0000{n:02x}" for n in range(8)]
    heard = threading.Barrier(2)

    def slow(request):
        heard.wait(5)
        return Reply(chat_reply("late").body, hang=0.2)

    def broken(request):
        heard.wait(5)
        return refusal("out of memory", 500)

    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log:
        judge = judge_at(server, *[chat_reply("Yes")] * 3, slow, broken, chat_reply("too many"))
        with pytest.raises(JudgeError, match=r"HTTP 500.*out of memory; \d answers are recorded: repeat the command"):
            collect(judge, works(SAY, images=colors), log, concurrency=2)
    assert len(server.heard) == 5
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
    assert sorted(texts) == ["Yes", "Yes", "Yes", "late"]  # what was under way was waited for
    with open_answer_log(path) as log:
        server.heard.clear()
        assert collect(judge_at(server, chat_reply("No")), works(SAY, images=colors), log) == (4, 4, 0)
    assert len(server.heard) == 4


def test_ctrl_c_keeps_what_was_answered_and_what_is_under_way(server, tmp_path):
    colors = [f"#0000{n:02x}" for n in range(20)]

    def stop(known):
        raise KeyboardInterrupt

    with open_answer_log(tmp_path / "a.jsonl") as log:
        with pytest.raises(KeyboardInterrupt):
            collect(judge_at(server), works(SAY, images=colors), log, concurrency=2, on_done=stop)
        assert len(log) == len(server.heard) < 5


def test_an_image_that_is_gone_ends_it_with_its_own_words(server, tmp_path):
    def gone():
        raise BenchmarkError("images/ab.png is missing")

    with open_answer_log(tmp_path / "a.jsonl") as log, pytest.raises(JudgeError, match=r"images/ab\.png is missing"):
        collect(judge_at(server), [JudgeTask(SAY, gone, "ab", "0001")], log)


# Endpoints that fail


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(b"{}", hang=3), r"no answer within 0\.5 s"),
        (Reply(b"<html>hello</html>", content_type="text/html"), "not an OpenAI-compatible chat endpoint"),
        (Reply(b'{"choices": 5}'), "not an OpenAI-compatible chat endpoint"),
        (refusal("wrong key", 401), "the key in GEMS_API_KEY was refused"),
        (refusal("the request is too large", 413), r"HTTP 413\): the request is too large"),
    ],
)
def test_an_endpoint_that_fails_is_told_in_words(server, reply, told):
    with pytest.raises(ModelCallError, match=f"judge .*{told}") as caught:
        probe(judge_at(server, reply, timeout=0.5), [SAY])
    assert server.url.removeprefix("http://").removesuffix("/v1") in str(caught.value)


def test_an_unreachable_judge_is_told(server):
    judge = judge_at(server)
    server.close()
    with pytest.raises(ModelCallError, match="cannot be reached: is the server running"):
        probe(judge, [SAY])


def test_the_key_is_shown_nowhere(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GEMS_API_KEY", "sk-very-secret-key")
    path = tmp_path / "a.jsonl"
    with open_answer_log(path) as log:
        ask_all(judge_at(server, chat_reply("you sent sk-very-secret-key")), log, SAY)
        with pytest.raises(JudgeError) as caught:
            ask_all(judge_at(server, refusal("Incorrect API key provided: sk-very-secret-key", 401)), log, READ)
    assert any("sk-very-secret-key" in str(heard.headers) for heard in server.heard)
    assert "secret" not in path.read_text()
    error = caught.value
    while error is not None:
        assert "secret" not in str(error)
        error = error.__cause__


# Specs, and judges that are no chat models


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            "qwen",
            "the judge 'qwen' is not understood: write rapidocr, perception, shapes, openai:MODEL, http(s)://HOST/v1#MODEL, random",
        ),
        ("openai:gpt-4o", "--judge openai:gpt-4o needs a key: set OPENAI_API_KEY"),
        ("http://me:pass@host/v1#m", "--judge: a key has no place in a URL"),
    ],
)
def test_a_spec_that_is_not_understood(spec, told):
    with pytest.raises(JudgeError) as caught:
        judge_of(spec)
    assert told in str(caught.value)


def test_names_are_those_of_tables(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    specs = ("http://h/v1#/data/models/Qwen3-VL-8B-Instruct", "http://h/v1#Qwen/Q", "openai:gpt-4o", "shapes", "perception")
    assert [judge_of(spec).name for spec in specs] == [
        "Qwen3-VL-8B-Instruct", "Qwen/Q", "gpt-4o", "shapes-chat", "shapes-perception",
    ]  # fmt: skip


def circles(*cells):
    buffer = io.BytesIO()
    draw([DrawnThing("circle", "red", cell, *center_of(cell), 14.0) for cell in cells]).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("spec", ["perception", "shapes"])
def test_shapes_are_judged_without_a_server(spec):
    question = JudgeQuestion(key="0", text="How many circles are in the image? Answer in one word.", kind="word")
    judge = judge_of(spec)
    probe(judge, [question])
    assert judge.ask(question, circles(0, 4)) == JudgeAnswer(text="two", top=(("two", 1.0),))
    assert judge.remarks == []  # a rule is certain: nothing is lost
    assert judge.ask(question.model_copy(update={"kind": "say"}), circles(0)) == JudgeAnswer(text="one")


def test_perception_answers_the_questions_of_the_shapes_benchmark_as_they_are():
    judge = judge_of("perception")
    assert judge.ask(JudgeQuestion(key="0", text="Are there any circles in the image?"), circles(0)).text == "yes"
    assert judge.ask(JudgeQuestion(key="0", text="Why?"), circles(0)).text == ""
    with pytest.raises(JudgeError, match="reads no text"):
        probe(judge, [READ])


def test_a_damaged_image_is_an_error():
    with pytest.raises(JudgeError, match="cannot be opened: is its file damaged"):
        judge_of("perception").ask(SAY, b"nothing")


def test_rapidocr_reads_and_does_nothing_else(tmp_path):
    pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
    image = Image.new("RGB", (480, 200), "white")
    pen = ImageDraw.Draw(image)
    for line, y in (("FRESH BREWS", 30), ("EVERY MORNING", 110)):
        pen.text((30, y), line, "black", font=ImageFont.load_default(48))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = buffer.getvalue()
    judge = judge_of("rapidocr")
    probe(judge, [READ])
    with open_answer_log(tmp_path / "a.jsonl") as log:
        collect(judge, [JudgeTask(READ, lambda: data, "i", "0001")], log)
        assert recorded_answers(judge, [READ], "i", log)["read"][0].text == "FRESH BREWS\nEVERY MORNING"
    assert (judge.name, judge.kind) == ("RapidOCR", "rapidocr")
    with pytest.raises(JudgeError, match="only reads the text in images"):
        probe(judge, [SAY])


def test_an_answer_that_cannot_be_read_is_a_clear_error_and_what_was_said_before_is_kept(server, tmp_path):
    robot = chat_reply("yes")
    robot.body["choices"][0]["message"]["role"] = "robot"
    judge = judge_at(server, chat_reply("yes"), robot, Reply(b'{"a":' * 100_000))
    work = [JudgeTask(SAY, png, str(n) * 64, "s") for n in range(3)]
    with open_answer_log(tmp_path / "a.jsonl") as log, pytest.raises(JudgeError, match=r"cannot be read.*2 answers are recorded"):
        collect(judge, work, log, concurrency=1)


def test_a_judge_of_ones_own_that_cannot_read_its_answer_is_a_clear_error():
    class Broken(ShapesChat):
        def _generate(self, *args, **kwargs):
            raise KeyError("choices")

    with pytest.raises(JudgeError, match=r"shapes-chat failed \(KeyError: 'choices'\)"):
        judge_of(Broken()).ask(SAY, png())
