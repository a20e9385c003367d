"""`gems doctor`: what it finds in models that work, and in models that do not."""

import json

import pytest

from gems.commands.doctor import CHECKS, diagnose, diagnosis_table, sample_image
from gems.models.options import ImageOptions
from gems.models.registry import Models
from gems.models.shapes import shapes_chat
from gems.models.shapes.perception import perceive
from gems.server import create_app, running

from ..faulty_server import Reply, chat_reply
from ..moody_chat import Moody


def found(models, **options):
    return {one.probe: one for one in diagnose(models, **options)}


def test_the_test_picture_shows_what_its_checks_say():
    seen = [(s.color, s.shape) for s in perceive(sample_image())]
    assert sorted(seen) == [("blue", "square"), *[("red", "circle")] * 3]
    assert [c.expected for c in CHECKS] == ["yes", "three", "yes", "no"]


def test_the_embedded_chat_model_passes_every_probe_but_log_probabilities(sketcher):
    probes = found(Models.choose("shapes", sketcher))
    states = {name: one.state for name, one in probes.items()}
    assert states.pop("log-probabilities") == "weak"
    assert states.pop("edit") == "skipped"
    assert set(states.values()) == {"ok"}
    assert "counting" in probes["tools"].told
    assert "4 of 4" in probes["vision"].told


def test_over_http_it_finds_the_same(sketcher):
    with running(create_app(shapes_chat(), sketcher)) as url:
        over_http = found(Models.choose(f"{url}#shapes-chat", f"{url}#sketcher"))
    in_process = found(Models.choose("shapes", sketcher))
    assert {n: f.state for n, f in over_http.items()} == {n: f.state for n, f in in_process.items()}
    assert "answers and has the model" in over_http["endpoint"].told


def test_a_wrong_model_name_is_told_with_those_there_are(sketcher):
    with running(create_app(shapes_chat(), sketcher)) as url:
        one = found(Models.choose(f"{url}#kimi", sketcher), draw=False)["endpoint"]
    assert one.state == "fault"
    assert "has no model 'kimi'" in one.told
    assert "shapes-chat" in one.change


def test_a_server_that_is_not_there_is_told_first(sketcher):
    first, *others = diagnose(Models.choose("http://127.0.0.1:9/v1#m", sketcher), draw=False)
    assert (first.probe, first.state) == ("endpoint", "fault")
    assert "127.0.0.1:9 does not answer" in first.told
    assert {one.state for one in others} == {"skipped"}


@pytest.mark.parametrize(
    ("reply", "state", "words"),
    [
        (Reply({"error": {"message": "no"}}, status=401), "fault", "refuses the API key"),
        (Reply({"error": {"message": "no"}}, status=404), "weak", "does not list its models"),
        (Reply(b"<html>", content_type="text/html"), "weak", "does not list its models as OpenAI does"),
        (Reply({"models": []}), "weak", "does not list its models as OpenAI does"),
    ],
)
def test_an_endpoint_that_lists_nothing_useful(server, sketcher, reply, state, words):
    server.replies = [reply]
    one = next(iter(diagnose(Models.choose(f"{server.url}#m", sketcher))))
    assert one.state == state
    assert words in one.told


def test_a_blind_model_is_told_what_it_got_wrong(sketcher):
    blind = Moody(mood={"Findings": json.dumps({"findings": [{"id": c.id, "answer": "yes"} for c in CHECKS]})})
    one = found(Models.choose({"verifier": blind}, sketcher), draw=False)["vision"]
    assert one.state == "fault"
    assert one.told.startswith("2 of 4 answers correct: How many red circles are there? yes")
    assert "[roles.verifier]" in one.change


def test_a_model_that_answers_nonsense_is_a_fault_and_the_other_probes_go_on(server, sketcher):
    server.replies = [lambda request: Reply({"data": [{"id": "m"}]}) if request.method == "GET" else chat_reply("Certainly!")]
    probes = found(Models.choose(f"{server.url}#m", sketcher), draw=False)
    assert probes["schema"].state == "fault"
    assert "Certainly!" in probes["schema"].told
    assert probes["tools"].state == "weak"
    assert probes["vision"].state == "fault"


def test_an_image_model_that_fails_is_told(sketcher):
    probes = found(Models.choose("shapes", ImageOptions(model="http://127.0.0.1:9/v1#m", retries=0)))
    assert probes["image"].state == "fault"
    assert "127.0.0.1:9" in probes["image"].told


def test_the_table_names_each_model_once_and_what_to_change(capsys):
    from rich.console import Console

    blind = Moody(mood={"Findings": json.dumps({"findings": []})})
    Console(width=90).print(diagnosis_table(list(diagnose(Models.choose({"verifier": blind}), draw=False))))
    out = capsys.readouterr().out
    assert "→ choose a vision model in [roles.verifier]" in out
    assert "shapes-image" in out
