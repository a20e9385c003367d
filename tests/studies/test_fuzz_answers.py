"""Malformed answers: to every role and to a judge, each ends well or in an error of ours, within two seconds of a CPU."""

import importlib.util
import json
import random
from pathlib import Path

import pytest

from gems.errors import GemsError
from gems.models.chat.call import call
from gems.models.options import ChatOptions
from gems.models.registry import chat_model

from ..faulty_server import Reply, chat_reply

FILE = Path(__file__).parents[2] / "studies" / "fuzz_answers.py"
ANSWERS = 2000
"""Over all roles, at each run."""


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("fuzz_answers", FILE)
    module = importlib.util.module_from_spec(spec)
    # Its models name types of this module.
    import sys

    sys.modules["fuzz_answers"] = module
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gems.nodes.verifier.ContextThreadPoolExecutor", module.InlineExecutor)
        yield module
    del sys.modules["fuzz_answers"]


@pytest.fixture(scope="module")
def roles(study):
    return study.roles()


@pytest.mark.parametrize("name", ["planner", "decomposer", "verifier", "summarizer", "refiner", "learner", "judge"])
def test_a_malformed_answer_ends_well_or_in_an_error_of_ours(study, roles, name):
    ended, problems = [], []

    def tell(how, wrong):
        ended.append(how)
        problems.extend([wrong] if wrong else [])

    study.fuzz(name, roles[name], -(-ANSWERS // len(roles)), 1, tell)
    assert problems == []
    assert ended.count("well") > len(ended) / 20  # it is not stopped at the door


def test_what_is_wrong_is_seen(study, roles):
    """The fuzzer finds what it looks for: an error that is not ours, a hedge that passes, an answer that takes long."""
    endpoint = study.an_endpoint()
    good = json.dumps(roles["verifier"].good)
    fine = chat_reply(good).body
    assert study.problem_of(roles["verifier"], fine, endpoint) == ("well", "")

    def broken(chat):
        raise TypeError("of nobody's")

    with pytest.raises(TypeError):
        study.problem_of(study.FuzzedRole(None, broken), fine, endpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gems.nodes.verifier.passes", lambda check, answer: True)
        hedged = chat_reply(good.replace('"yes"', '"yes and no"')).body
        assert "c1 passed by 'yes and no'" in study.problem_of(roles["verifier"], hedged, endpoint)[1]
        patch.setattr(study, "MAX_SECONDS", 0.0)
        assert "it took" in study.problem_of(roles["judge"], fine, endpoint)[1]


def test_malformed_bodies_over_http(server):
    """A small share of it over a real connection, bytes of the body changed."""
    dice, chat = random.Random(1), chat_model(ChatOptions(model=f"{server.url}#m", retries=0, timeout=5))
    body = chat_reply('{"prompt": "x"}', tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{}"}}]).data()
    ended = []
    for _ in range(60):
        data = bytearray(body)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.choice(b'{}[]",:0a-\xff\\ ')
        server.replies = [Reply(bytes(data[: dice.choice((*[len(data)] * 4, dice.randrange(len(data))))]))]
        try:
            ended.append(call(chat, [("user", "Hi.")])[0].type)
        except GemsError as error:
            ended.append(type(error).__name__)
    assert set(ended) == {"ai", "ModelCallError"}
