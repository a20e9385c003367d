"""A model that misbehaves in the middle of a run."""

import json
import sqlite3
from contextlib import closing

import pytest
from langchain_core.messages import AIMessage

from gems import GemsError, ImageStore, build_graph, preset, run
from gems.models.shapes.chat import ShapesChat
from gems.skills import SkillLibrary
from gems.storage.serializer import serializer

from ..moody_chat import Moody


def test_a_verifier_that_answers_nonsense_leaves_the_checks_unknown_never_failed(tmp_path, sketcher):
    result = run("two red circles", chat=Moody(mood={"Findings": "Lovely picture!"}), image=sketcher, runs=tmp_path, max_rounds=1)
    assert {v.passed for v in result.best.verdicts} == {None}
    assert "Lovely picture!" in result.best.verdicts[0].reason
    assert "could not be read" in result.state.notes[0]
    assert result.decision == "give up"


def test_one_bad_answer_is_repaired(tmp_path, sketcher):
    chat = Moody(mood={"Findings": lambda n: "Hm." if n == 1 else None})
    result = run("two red circles", chat=chat, image=sketcher, runs=tmp_path, max_rounds=1)
    assert None not in {v.passed for v in result.best.verdicts}
    assert result.usage.roles["verifier"].calls == 2


def test_a_decomposer_that_answers_nonsense_ends_the_run_with_role_model_and_answer_and_it_can_go_on(tmp_path, sketcher):
    with pytest.raises(GemsError, match=r"decomposer \(shapes-chat\): .*the answer began: Certainly"):
        run("two red circles", chat=Moody(mood={"Checks": "Certainly!"}), image=sketcher, runs=tmp_path, thread="t")
    from gems import Gems

    assert Gems(runs=tmp_path, chat=ShapesChat(), image=sketcher).resume("t").checks


def test_a_skill_that_does_not_exist_comes_back_to_the_model_as_an_error(tmp_path, sketcher):
    call = {"name": "load_skill", "args": {"name": "juggling"}, "id": "x", "type": "tool_call"}
    chat = Moody(mood={"tools": lambda n: AIMessage("", tool_calls=[call]) if n == 1 else None})
    result = run("two red circles", chat=chat, image=sketcher, runs=tmp_path)
    told = chat.turn("tools", 2)[-1]
    assert told.type == "tool"
    assert told.status == "error"
    assert result.state.skills == ["counting"]


def test_a_planner_that_only_ever_calls_tools_is_made_to_answer(tmp_path, sketcher):
    call = {"name": "load_skill", "args": {"name": "counting"}, "id": "x", "type": "tool_call"}
    chat = Moody(mood={"tools": lambda n: AIMessage("", tool_calls=[{**call, "id": f"x{n}"}])})
    result = run("two red circles", chat=chat, image=sketcher, runs=tmp_path)
    assert result.attempts[0].prompt.count("a red circle") == 2
    assert result.state.skills == ["counting"]


def test_the_planner_may_read_a_reference_before_it_answers(tmp_path, sketcher):
    library = SkillLibrary.load()
    file = library.get("counting").references[0]
    calls = [
        {"name": "load_skill", "args": {"name": "counting"}, "id": "a", "type": "tool_call"},
        {"name": "read_skill_file", "args": {"name": "counting", "file": file}, "id": "b", "type": "tool_call"},
    ]
    chat = Moody(mood={"tools": lambda n: AIMessage("", tool_calls=calls) if n == 1 else None})
    run("two red circles", chat=chat, image=sketcher, runs=tmp_path)
    answers = [m.text for m in chat.turn("tools", 2) if m.type == "tool"]
    assert answers[0].startswith('<skill_content name="counting">')
    assert library.get("counting").read(file).strip() in answers[1]


def stored(path):
    """Return all that the checkpoint database holds, as it was before it was compressed, as text."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("select type, checkpoint from checkpoints union all select type, value from writes").fetchall()
    return "".join(repr(serializer().loads_typed(row)) for row in rows)


def test_skill_texts_are_not_kept_in_the_checkpoints(tmp_path, sketcher):
    run("two red circles", image=sketcher, runs=tmp_path)
    body = SkillLibrary.load().get("counting").body
    sentence = max(body.splitlines(), key=len)[:60]
    kept = stored(tmp_path / "gems.sqlite")
    assert "two red circles" in kept
    assert sentence not in kept


def test_no_skills_no_tools(tmp_path, sketcher):
    chat = Moody(mood={})
    graph = build_graph(chat, sketcher, image_store=ImageStore(tmp_path), skills=SkillLibrary())
    out = graph.invoke({"prompt": "two red circles"}, context=preset("paper", max_rounds=1))
    assert "tools" not in [n for n, _ in chat.heard]
    assert out["attempts"][0].prompt == "two red circles"


def test_a_model_that_cannot_be_given_tools_draws_the_request_and_says_so(tmp_path, sketcher):
    class Plain(Moody):
        def bind_tools(self, tools, **kwargs):
            raise NotImplementedError

    out = build_graph(Plain(mood={}), sketcher, image_store=ImageStore(tmp_path)).invoke(
        {"prompt": "two red circles"}, context=preset("paper", max_rounds=1)
    )
    assert out["attempts"][0].prompt == "two red circles"
    assert any("supports no tool calls" in note and "Plain has no bind_tools" in note for note in out["notes"])


def test_an_image_model_that_fails_loses_nothing(tmp_path, make_sketcher):
    class Failing(make_sketcher):
        def generate(self, requests):
            if len(self.made) == 1:
                raise RuntimeError("CUDA out of memory")
            return super().generate(requests)

    model = Failing(1.0)
    with pytest.raises(RuntimeError, match="out of memory"):
        run("two red circles above a blue star", image=model, runs=tmp_path, thread="t", preset="paper")
    from gems import Gems

    model.made.append("the machine was restarted")
    assert Gems(runs=tmp_path, image=model).resume("t").state.round > 1


def test_pixels_are_never_in_the_state(tmp_path, sketcher):
    result = run("two red circles", image=sketcher, runs=tmp_path, preset="paper")
    assert "iVBOR" not in json.dumps(result.state.model_dump(mode="json"))
    kept = stored(tmp_path / "gems.sqlite")
    assert result.best.image.sha256 in kept
    assert "iVBOR" not in kept
    assert "PNG" not in kept


BAD_TURNS = {
    "no id": [{"name": "load_skill", "args": {"name": "counting"}, "id": None}],
    "equal ids": [{"name": "load_skill", "args": {"name": "counting"}, "id": "a"}, {"name": "nope", "args": {}, "id": "a"}],
    "no arguments": [
        {"name": "load_skill", "args": {}, "id": "a"},
        {"name": "load_skill", "args": {"name": "counting"}, "id": "a"},
    ],
    "arguments of another kind": [{"name": "load_skill", "args": {"name": {"counting": 10**30}}, "id": "a"}],
}


@pytest.mark.parametrize("calls", BAD_TURNS.values(), ids=BAD_TURNS)
def test_a_malformed_tool_call_is_answered_and_the_run_goes_on(tmp_path, sketcher, calls):
    chat = Moody(mood={"tools": lambda n: AIMessage("", tool_calls=calls) if n == 1 else None})
    result = run("two red circles", chat=chat, image=sketcher, runs=tmp_path)
    answers = chat.turn("tools", 2)[-len(calls) :]
    assert len({m.tool_call_id for m in answers}) == len(calls)
    assert result.state.skills == ["counting"]
    if "nope" in str(calls):
        assert "try one of [load_skill" in answers[1].text


def test_a_call_that_cannot_be_read_is_left_out_with_a_note(tmp_path, sketcher):
    bad = {"name": "load_skill", "args": "[1]", "id": "b", "error": None, "type": "invalid_tool_call"}
    good = {"name": "load_skill", "args": {"name": "counting"}, "id": "a"}
    message = AIMessage("", tool_calls=[good], invalid_tool_calls=[bad])
    chat = Moody(mood={"tools": lambda n: message if n == 1 else None})
    result = run("two red circles", chat=chat, image=sketcher, runs=tmp_path)
    assert result.state.skills == ["counting"]
    assert "The planner called a tool in a form that could not be parsed." in result.state.notes
    assert all(not m.invalid_tool_calls for m in chat.turn("tools", 2) if m.type == "ai")


@pytest.mark.parametrize("calls", BAD_TURNS.values(), ids=BAD_TURNS)
def test_a_stored_malformed_call_of_an_older_run_is_stepped_over(tmp_path, sketcher, calls, monkeypatch):
    """The message is in the checkpoint as versions wrote it that took it as it came, and failed at it."""
    from gems import Gems

    def as_it_came(message):
        if message.tool_calls and isinstance(message, AIMessage):
            message.tool_calls[-1]["args"] = {}  # what the checkpoint could hold
        return message

    def failed(turn):
        raise TypeError("Tool load_skill returned unexpected type: <class 'str'>")

    chat = Moody(mood={"tools": lambda n: AIMessage("", tool_calls=[{**c} for c in calls])})
    with monkeypatch.context() as older:
        older.setattr("gems.models.chat.call.clean_message", as_it_came)
        older.setattr("gems.nodes.planner.answerable_turn", as_it_came)
        older.setattr("gems.nodes.skill_loader.answerable_turn", failed)
        with pytest.raises(TypeError):
            run("two red circles", chat=chat, image=sketcher, runs=tmp_path, thread="t")
    result = Gems(runs=tmp_path, chat=ShapesChat(), image=sketcher).resume("t")
    assert result.best is not None
