"""Routes, keys and limits."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from gems.models.shapes import shapes_chat
from gems.server import Limits, create_app, running

from .conftest import Negative, Scripted, problem


def test_health_and_models(serving):
    site = serving(shapes_chat(), Negative(), key="k")
    assert httpx.get(site.url.removesuffix("/v1") + "/health").json()["status"] == "ok"
    client = openai.OpenAI(base_url=site.url, api_key="k", max_retries=0)
    found = {model.id: model.model_dump() for model in client.models.list()}
    assert {k: (v["owned_by"], v["kind"]) for k, v in found.items()} == {
        "shapes-chat": ("gems", "chat"), "lab/negative": ("gems", "image"),
    }  # fmt: skip
    assert found["lab/negative"]["can_edit"] is True
    assert client.models.retrieve("lab/negative").model_dump() == found["lab/negative"]
    client.close()


@pytest.mark.parametrize("path", ["/chat/completions", "/images/generations"])
def test_an_unknown_model_is_named_with_those_there_are(site, path):
    body = {"model": "gpt-9", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    error = problem(site.post(path, json=body), 404)
    assert error["code"] == "model_not_found"
    assert "gpt-9" in error["message"]
    assert ("shapes-chat" if "chat" in path else "sketcher") in error["message"]
    problem(site.http.get("/models/gpt-9"), 404)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/models/", 405), ("PUT", "/models", 405)]
)
def test_unknown_routes_and_methods_have_the_same_form(site, method, path, status):
    assert method in problem(site.http.request(method, path), status)["message"]
    problem(site.http.get("/chat/completions"), 405)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"])
@pytest.mark.parametrize("path", ["/chat/completions", "/images/generations"])
def test_malformed_json_is_a_bad_request(site, path, body):
    problem(site.post(path, content=body, headers={"Content-Type": "application/json"}), 400)


def test_half_characters_do_no_harm(site):
    body = b'{"prompt": "a \\ud83d", "model": "\\ud83d"}'
    response = site.post("/images/generations", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 404)
    assert "error" in response.json()


def test_a_key_is_asked_for_wherever_models_are(serving):
    site = serving(key="sesame-ö")
    for header in (None, "Bearer", "Bearer wrong", "Basic sesame-ö", "Bearer sesame-", "Bearer sesame-ö", "bearer sesame-ö"):
        headers = {} if header is None else {"Authorization": header.encode()}
        answers = [
            site.http.get("/models", headers=headers),
            site.post("/images/generations", json={"prompt": "a red circle"}, headers=headers),
            site.post("/chat/completions", json={"messages": [{"role": "user", "content": "x"}]}, headers=headers),
        ]
        right = header in ("Bearer sesame-ö", "bearer sesame-ö")
        assert [a.status_code for a in answers] == [200 if right else 401] * 3
        for answer in [] if right else answers:
            assert problem(answer, 401)["code"] == "invalid_api_key"
            assert "sesame" not in answer.text


def test_the_key_is_asked_for_below_another_apps_path_too(sketcher):
    whole = Starlette(routes=[Mount("/gems", create_app(Scripted(says="fine"), sketcher, key="right"))])
    with running(whole) as url:
        below = url.replace("/v1", "/gems")
        assert httpx.get(f"{below}/health").status_code == 200
        problem(httpx.get(f"{below}/v1/models"), 401)
        assert httpx.get(f"{below}/v1/models", headers={"Authorization": "Bearer right"}).status_code == 200


def test_the_openai_client_knows_a_wrong_key(serving):
    site = serving(key="right")
    with pytest.raises(openai.AuthenticationError):
        site.openai.models.list()


def test_bodies_too_large_are_refused_with_and_without_a_length(serving):
    site = serving(image=Negative(), limits=Limits(max_body=50_000))
    for path in ("/chat/completions", "/images/generations", "/images/edits", "/nowhere"):
        form = "edits" in path
        headers = {"Content-Type": "multipart/form-data; boundary=x" if form else "application/json"}
        start = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' if form else b""
        assert "50,000" in problem(site.post(path, content=start + b" " * 60_000, headers=headers), 413)["message"]
        if path != "/nowhere":  # there a body is not read at all
            unmeasured = (part for part in (start, *[b" " * 10_000] * 20))
            assert "50,000" in problem(site.post(path, content=unmeasured, headers=headers), 413)["message"]
    assert site.draw("red").status_code == 200


def test_one_too_many_at_once_is_told_to_come_again(serving):
    begun, go_on = Event(), Event()

    def slowly(_):
        begun.set()
        assert go_on.wait(20)
        return "done"

    site = serving(Scripted(says=slowly), limits=Limits(in_flight=1))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(site.chat)
        assert begun.wait(20)
        refused = site.chat()
        assert problem(refused, 429)["type"] == "rate_limit_error"
        assert int(refused.headers["Retry-After"]) >= 1
        assert site.http.get("/models").status_code == 200
        go_on.set()
        assert first.result().status_code == 200
    assert site.chat().status_code == 200


def test_a_stream_counts_until_its_end(serving):
    class Slow(Scripted):
        def _stream(self, messages, stop=None, run_manager=None, **kwargs):
            from langchain_core.messages import AIMessageChunk
            from langchain_core.outputs import ChatGenerationChunk

            yield ChatGenerationChunk(message=AIMessageChunk("one "))
            assert go_on.wait(20)
            yield ChatGenerationChunk(message=AIMessageChunk("two"))

    go_on = Event()
    site = serving(Slow(says=""), limits=Limits(in_flight=1))
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    with httpx.Client(base_url=site.url, timeout=30) as http, http.stream("POST", "/chat/completions", json=body) as response:
        lines = response.iter_lines()
        said = ""
        while "one" not in said:  # the first piece is here before the second is made
            said = next(lines)
        problem(site.chat(), 429)
        go_on.set()
        rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in rest) == "two"
    assert site.chat(stream=True).status_code == 200


def test_a_client_that_leaves_in_the_middle_of_a_stream_frees_its_place(serving):
    class Endless(Scripted):
        def _stream(self, messages, stop=None, run_manager=None, **kwargs):
            from langchain_core.messages import AIMessageChunk
            from langchain_core.outputs import ChatGenerationChunk

            while True:
                yield ChatGenerationChunk(message=AIMessageChunk("more "))

    site = serving(Endless(says=""), limits=Limits(in_flight=1))
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    with httpx.Client(base_url=site.url, timeout=30) as http, http.stream("POST", "/chat/completions", json=body) as response:
        next(response.iter_lines())
    answers = (site.draw("a red circle").status_code for _ in range(1000))
    assert 200 in answers
