"""The study of chat endpoints, against the embedded chat model behind a real server."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from gems.models.shapes import shapes_chat
from gems.server import create_app, running

from ..faulty_server import chat_reply, refusal

FILE = Path(__file__).parents[2] / "studies" / "compatibility.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("compatibility", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks a model's annotations up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def told_by(study, tmp_path, chat, requests=2):
    file = tmp_path / "told.json"
    study.main(["--chat", chat, "--requests", str(requests), "--json", str(file)])
    return json.loads(file.read_text())


def test_the_embedded_model_answers_every_role_at_once(study, tmp_path, sketcher, capsys):
    with running(create_app(shapes_chat(), sketcher)) as url:
        told = told_by(study, tmp_path, f"{url}#shapes-chat")
    shown = capsys.readouterr().out
    assert set(told["roles"]) == {"planner", "decomposer", "verifier", "summarizer", "refiner", "learner"}
    for role, tally in told["roles"].items():
        assert (tally["at_once"], tally["repaired"], tally["failed"]) == (2, 0, 0), role
        assert tally["spent"]["calls"] == (4 if role == "planner" else 2)
    assert told["roles"]["planner"]["tool_calls"] == 2
    assert told["schema_in_request"] is True
    assert told["no_pictures"] == ""
    assert all(role in shown for role in told["roles"])


def test_answers_of_no_use_are_counted_by_kind(study, tmp_path, server):
    server.replies = [chat_reply("no idea")]
    told = told_by(study, tmp_path, f"{server.url}#kimi", 1)
    assert all(tally["failed"] == 1 for tally in told["roles"].values())
    assert told["roles"]["decomposer"]["problems"] == {"there was no JSON object in the answer": 1}


def test_pictures_are_left_out_once_they_are_refused(study, tmp_path, server):
    def text_only(request):
        return refusal("this model takes no images", 400) if b"image_url" in request.data else chat_reply("{}")

    server.replies = [text_only]
    told = told_by(study, tmp_path, f"{server.url}#kimi")
    assert "takes no images" in told["no_pictures"]
    assert told["roles"]["verifier"]["failed"] == 2
    assert sum(b"image_url" in request.data for request in server.heard) == 1


def test_an_address_that_is_none_is_told_in_a_line(study):
    with pytest.raises(SystemExit, match="not understood"):
        study.main(["--chat", "nowhere"])
