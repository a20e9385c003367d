"""A fused run: the refiner writes the round's experience in the call in which it writes the next prompt."""

import json
import re

import pytest

from gems import run
from gems.models.chat.answer_text import text_of

from ..moody_chat import Moody
from .test_editing import Editor

REQUEST = "two blue stars to the left of a red circle"
SETTINGS = {"preset": "paper", "max_rounds": 3}


@pytest.fixture
def wrong(make_sketcher):
    return make_sketcher(1.0)  # never right


def test_it_takes_a_call_fewer_in_each_refined_round(tmp_path, wrong):
    apart = run(REQUEST, image=wrong, runs=tmp_path, thread="apart", **SETTINGS)
    fused = run(REQUEST, image=wrong, runs=tmp_path, thread="fused", fuse=True, **SETTINGS)
    assert apart.state.round == fused.state.round == 3
    assert apart.usage.chat_calls - fused.usage.chat_calls == 2
    assert "summarizer" not in fused.usage.roles
    assert [e.round for e in fused.state.experiences] == [1, 2]
    assert fused.state.experiences == apart.state.experiences  # of the same rounds and pictures the model says the same
    assert [a.prompt for a in fused.attempts] == [a.prompt for a in apart.attempts]


def test_the_next_round_is_shown_the_experience_and_the_thought_of_the_round_that_it_sums_up(tmp_path, wrong):
    chat = Moody(mood={})
    result = run(REQUEST, chat=chat, image=wrong, runs=tmp_path, fuse=True, max_rounds=3)
    shown = "\n".join(text_of(m) for m in chat.turn("FusedRefinement", 2))
    assert f"<experience>\n{result.state.experiences[0].text}\n</experience>" in shown
    assert re.search(r"<thought>\s*" + re.escape(result.attempts[1].thought), shown)
    assert "logbook" in shown


def test_a_long_experience_is_cut_and_a_missing_one_is_asked_for_again(tmp_path, wrong):
    told = {"strategy": "s", "prompt": "two blue stars at the left"}
    says = [json.dumps(told), json.dumps({**told, "experience": "word " * 150})]
    chat = Moody(mood={"FusedRefinement": lambda n: says[n - 1]})
    result = run(REQUEST, chat=chat, image=wrong, runs=tmp_path, fuse=True, max_rounds=2)
    assert result.usage.roles["refiner"].calls == 2
    (experience,) = result.state.experiences
    assert len(experience.text.split()) == 100


def test_it_goes_together_with_editing(tmp_path):
    told = {
        "experience": "It was bare.",
        "strategy": "mend it",
        "action": "edit",
        "prompt": "Put a red circle above a blue square.",
    }
    chat = Moody(mood={"FusedEditRefinement": json.dumps(told)})
    result = run("a red circle above a blue square", chat=chat, image=Editor(), runs=tmp_path, fuse=True, edit="auto", max_rounds=2)
    assert result.attempts[1].source == result.attempts[0].image
    assert [e.text for e in result.state.experiences] == ["It was bare."]
    assert result.decision == "accept"


def test_where_nothing_is_remembered_nothing_is_fused(tmp_path, wrong):
    chat = Moody(mood={})
    result = run(REQUEST, chat=chat, image=wrong, runs=tmp_path, preset="loop", max_rounds=2, fuse=True)
    assert "FusedRefinement" not in {name for name, _ in chat.heard}
    assert result.state.experiences == []
