"""Probabilities of verdicts: from log-probabilities, from votes, or none; and the size of what the verifier sees."""

import base64
import io
import json
import math
import re
import threading

import pytest
from PIL import Image

from gems import Check, ImageStore, Verdict, run
from gems.memory.state import Attempt
from gems.models.options import ChatOptions
from gems.models.registry import chat_model
from gems.nodes.checks.verification import aggregate_readings
from gems.nodes.verifier import downscaling_reader, verifier

from ...faulty_server import chat_reply, refusal
from ...moody_chat import Moody

CHECKS = [
    Check(id="c1", kind="object", question="Is there a square?"),
    Check(id="c2", kind="count", question="How many circles are there?", expected="three"),
    Check(id="c3", kind="text", question="What does the sign say?", expected="OPEN"),
]
ANSWERS = {"c1": "yes", "c2": "two", "c3": "OPEN"}


def with_logprobs(alternatives):
    """Answer the three checks, a token a word or sign; some words have alternatives, with their probabilities."""
    text = json.dumps({"findings": [{"id": id, "answer": said, "reason": ""} for id, said in ANSWERS.items()]})
    content = []
    for token in re.findall(r"\w+|\W", text):
        others = alternatives.get(token, {})
        share = 1 - sum(others.values())
        top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in {token: share, **others}.items()]
        content.append({"token": token, "logprob": math.log(share), "bytes": None, "top_logprobs": top})
    reply = chat_reply(text)
    reply.body["choices"][0]["logprobs"] = {"content": content, "refusal": None}
    return reply


@pytest.fixture
def examine(tmp_path, server):
    """Have one white image examined over HTTP; return the verdicts by check, and the notes."""

    def go(context=None, size=(64, 48)):
        from langgraph.graph import StateGraph

        from gems import GemsState, RunContext

        store = ImageStore(tmp_path / "images")
        ref = store.put(Image.new("RGB", size, "white"))
        chat = chat_model(ChatOptions(model=f"{server.url}#m", retries=0))
        graph = StateGraph(GemsState, context_schema=RunContext)
        graph.add_node("verifier", verifier(chat, store.read))
        graph.set_entry_point("verifier")
        state = {"prompt": "p", "checks": CHECKS, "attempts": [Attempt(round=1, prompt="p", seed=1, image=ref)]}
        out = graph.compile().invoke(state, context=context or RunContext())
        return {v.check: v for v in out["attempts"][0].verdicts}, out["notes"]

    return go


def test_probabilities_come_from_log_probabilities_where_the_endpoint_gives_them(server, examine):
    server.replies = [with_logprobs({"yes": {"no": 0.2}, "two": {"three": 0.3, "a": 0.1}})]
    found, notes = examine()
    assert found["c1"].passed is True
    assert found["c1"].probability == pytest.approx(0.8)
    assert found["c2"].passed is False
    assert found["c2"].probability == pytest.approx(0.3 / 0.9)
    assert found["c3"].probability is None
    assert notes == []
    assert server.heard[0].json["logprobs"] is True


def test_hard_answers_are_not_asked_for_log_probabilities(server, examine):
    from gems import RunContext

    server.replies = [with_logprobs({"yes": {"no": 0.2}})]
    found, _ = examine(RunContext(soft="none"))
    assert found["c1"].probability is None
    assert "logprobs" not in server.heard[0].json


def test_an_endpoint_without_them_gives_certain_answers_and_that_is_said(server, examine):
    server.replies = [chat_reply(json.dumps({"findings": [{"id": "c1", "answer": "yes"}]}))]
    found, notes = examine()
    assert found["c1"].passed is True
    assert found["c1"].probability is None
    said = r"m at 127.0.0.1:\d+ gives no log-probabilities: its answers count as certain."
    assert sum(re.fullmatch(said, note) is not None for note in set(notes)) == 1


def test_votes_take_the_place_of_log_probabilities(server, examine):
    from gems import RunContext

    said = iter(["yes", "no", "yes", "yes", "unknown"])
    lock = threading.Lock()

    def vote(request):
        with lock:
            findings = [{"id": id, "answer": next(said) if id == "c1" else answer} for id, answer in ANSWERS.items()]
            return chat_reply(json.dumps({"findings": findings}))

    server.replies = [vote]
    found, _ = examine(RunContext(verify="batch", votes=5))
    assert len(server.heard) == 5
    assert found["c1"].passed is True
    assert found["c1"].probability == pytest.approx(3 / 4)


def test_how_near_a_misread_text_is_takes_no_votes_place(server, examine):
    from gems import RunContext

    said = {"findings": [{"id": "c1", "answer": "yes"}, {"id": "c2", "answer": "three"}, {"id": "c3", "answer": "OPFN"}]}
    server.replies = [chat_reply(json.dumps(said))]
    found, _ = examine(RunContext(votes=3, verify="batch"))
    assert len(server.heard) == 3
    assert (found["c3"].passed, found["c3"].probability) == (False, pytest.approx(0.375))


def test_an_unreadable_vote_does_not_count(server, examine):
    from gems import RunContext

    good = chat_reply(json.dumps({"findings": [{"id": id, "answer": "no"} for id in ANSWERS]}))
    server.replies = [good, chat_reply("Hm."), chat_reply("Hm."), good]
    found, notes = examine(RunContext(verify="batch", votes=2))
    assert len(server.heard) == 3
    assert (found["c1"].passed, found["c1"].probability) == (False, None)
    assert any("could not be read" in note for note in notes)


@pytest.mark.parametrize(
    ("readings", "passed", "probability"),
    [
        ([(True, None), (True, None), (False, None)], True, 2 / 3),
        ([(False, None), (None, None), (None, None)], False, None),
        ([(True, None), (False, None)], None, 0.5),
        ([(None, None), (None, None)], None, None),
        ([(True, 0.7), (False, 0.1)], False, 0.4),
        ([(True, 0.6), (True, 0.9)], True, 0.75),
        ([(True, 0.4), (True, 0.3)], False, 0.35),
        ([(True, 0.9), (False, 0.3), (False, 0.4)], False, 1 / 3),
        ([(True, 0.9), (False, None)], None, 0.5),
        ([(None, None), (True, 0.6)], True, 0.6),
    ],
)
def test_several_readings_of_a_check_add_up_and_those_that_could_not_tell_do_not_count(readings, passed, probability):
    verdict = aggregate_readings([Verdict(check="c1", passed=said, probability=p) for said, p in readings])
    assert verdict.passed is passed
    assert verdict.probability == (None if probability is None else pytest.approx(probability))


def test_the_reason_is_one_for_what_was_decided_the_latest_that_has_one():
    faint, gone = Verdict(check="c1", passed=False, reason="faint"), Verdict(check="c1", passed=False, reason="gone")
    seen = Verdict(check="c1", passed=True, reason="it is there")
    assert aggregate_readings([faint, seen, gone]).reason == "gone"
    assert aggregate_readings([gone, faint, Verdict(check="c1", passed=False)]).reason == "faint"
    assert aggregate_readings([Verdict(check="c1", passed=True, answer="three", probability=p) for p in (0.4, 0.3)]).reason


def test_the_verifier_is_sent_a_smaller_image_on_request(server, examine):
    from gems import RunContext

    server.replies = [chat_reply(json.dumps({"findings": []}))]
    examine(RunContext(verify="batch", verify_size=32))
    url, *_ = re.findall(r"data:image/png;base64,([^\"]+)", server.heard[0].data.decode())
    assert Image.open(io.BytesIO(base64.b64decode(url))).size == (32, 24)


def test_an_image_that_is_small_enough_is_sent_as_it_is(tmp_path):
    store = ImageStore(tmp_path)
    ref = store.put(Image.new("RGB", (20, 10)))
    assert downscaling_reader(store.read, 20)(ref) == downscaling_reader(store.read, None)(ref) == store.read(ref)


def test_a_model_without_tool_calls_draws_the_request_as_it_stands_and_says_so(tmp_path, sketcher):
    from gems.errors import ModelCallError

    class NoTools(Moody):
        def bind_tools(self, tools, **kwargs):
            raise ModelCallError("planner", "m", "host", '"auto" tool choice requires --enable-auto-tool-choice', 400)

    result = run("three red circles above a blue square", chat=NoTools(mood={}), image=sketcher, runs=tmp_path, max_rounds=1)
    assert result.best.prompt == "three red circles above a blue square"
    assert any("supports no tool calls" in note for note in result.state.notes)


def test_a_server_that_fails_over_the_schema_is_asked_in_words_and_text_alone_is_a_plain_string(server):
    """As llama-cpp-python 0.3.36 does it: a 500 for the schema, and no lists of blocks for text-only models."""
    from langgraph.runtime import Runtime

    from gems import GemsState
    from gems.nodes.decomposer import decomposer

    said = "1 validation error: {'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}"
    good = chat_reply(json.dumps({"checks": [{"kind": "object", "question": "Is there a cat?"}]}))
    server.replies = [lambda r: refusal(said, 500) if "response_format" in r.json else good]
    node = decomposer(chat_model(ChatOptions(model=f"{server.url}#m", retries=0)))
    update = node(GemsState(prompt="a cat"), Runtime())
    assert update["checks"][0].question == "Is there a cat?"
    assert any("sent in words only" in note for note in update["notes"])
    assert all(isinstance(m["content"], str) for m in server.heard[-1].json["messages"])
    node(GemsState(prompt="another cat"), Runtime())
    assert len(server.heard) == 3
