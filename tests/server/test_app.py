"""Routes, keys and limits."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from starlette.applications import Starlette
from starlette.routing import Mount

from gems.models.shapes import shapes_chat
from gems.server import Limits, ServeError, create_app, running

from .conftest import Negative, Scripted, problem, stream_of


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


def test_a_stream_counts_until_its_end():
    go_on = Event()

    def pieces():
        yield b"one\n"
        assert go_on.wait(20)
        yield b"two\n"

    with running(stream_of(pieces)) as url, httpx.Client(base_url=url.removesuffix("/v1")) as http:
        with httpx.Client(base_url=http.base_url) as first, first.stream("POST", "/stream") as response:
            lines = response.iter_lines()
            assert next(lines) == "one"  # the first piece is here before the second is made
            problem(http.post("/stream"), 429)
            go_on.set()
            assert list(lines) == ["two"]
        assert http.post("/stream").status_code == 200


def test_a_client_that_leaves_in_the_middle_of_a_stream_frees_its_place():
    def pieces():
        yield b"more\n"
        while len(streams) == 1:
            yield b"more\n"

    streams = []
    with running(stream_of(lambda: streams.append(1) or pieces())) as url, httpx.Client(base_url=url.removesuffix("/v1")) as http:
        with httpx.Client(base_url=http.base_url) as first, first.stream("POST", "/stream") as response:
            next(response.iter_lines())
        answers = (http.post("/stream").status_code for _ in range(1000))
        assert 200 in answers


def test_a_client_of_an_endpoint_is_not_served(sketcher, command):
    with pytest.raises(ServeError, match="behind has an endpoint, which clients can call themselves"):
        create_app(ChatOpenAI(base_url="http://127.0.0.1:9/v1", model="behind", api_key="none"), sketcher)
    code, _, err = command("serve", "--chat", "http://127.0.0.1:9/v1#behind")
    assert (code, "clients can call themselves" in " ".join(err.split())) == (2, True)
