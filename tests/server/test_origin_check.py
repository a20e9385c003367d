"""Requests of foreign pages in the user's browser."""

import json

import httpx
import pytest

from gems.server.origin_check import refusal_reason

from .conftest import png, problem

OURS = [
    "localhost",
    "localhost:1",
    "a.localhost:80",
    "LOCALHOST.",
    "127.0.0.1:30000",
    "127.9.9.9",
    "[::1]:30000",
    "[::ffff:127.0.0.1]",
]
FOREIGN = [
    "evil.example",
    "evil.example:30000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "[::2]",
    "evil]",
    "notlocalhost",
]


def refused(host=None, origin=None, server="127.0.0.1", **options):
    headers = [(name, value.encode()) for name, value in ((b"host", host), (b"origin", origin)) if value is not None]
    return refusal_reason({"type": "http", "server": (server, 30000), "headers": headers}, **options)


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "127.0.1.1"])
def test_over_loopback_only_names_of_this_machine_are_answered(server):
    assert [host for host in [*OURS, None] if refused(host, server=server)] == []
    assert [host for host in FOREIGN if not refused(host, server=server)] == []
    assert "allow the name (GEMS_ALLOWED_HOSTS)" in refused("gems.example", server=server)
    for allowed in ("gems.example", "*.example", "*"):
        assert refused("GEMS.example:8443", server=server, allowed_hosts=[allowed]) is None
    assert refused("example", allowed_hosts=["*.example"])


def test_over_the_network_any_name_is_answered_and_only_pages_of_its_own():
    here = {"server": "192.168.1.5", "host": "box.lan:30000"}
    assert refused(**here) is None
    assert refused(**here, origin="http://box.lan:30000") is None
    assert refused(**here, origin="http://localhost:8080") is None
    for stranger in ("http://evil.example", "http://box.lan:81", "https://box.lan", "null"):
        assert "may not use this server" in refused(**here, origin=stranger)


def test_a_page_over_loopback_is_of_this_machine_or_allowed():
    for origin in ("http://localhost:8080", "https://127.0.0.1", "http://[::1]:5", "https://ui.example"):
        assert refused("localhost", origin, allowed_hosts=["ui.example"]) is None
    for origin in ("http://evil.example", "null", "", "http://localhost.evil.example", "file://", "chrome-extension://abc"):
        assert "may not use this server" in refused("localhost", origin)
    rebound = "evil.example:30000"  # of its own origin, as the browser sees it
    assert refused(rebound, f"http://{rebound}")
    assert refused("tunnel.example", "https://studio.example", pages=r"https://studio\.example") is None


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_a_page_of_a_stranger_reads_and_draws_nothing(lab, header):
    base = lab.url.removesuffix("/v1")
    body = {"messages": [{"role": "user", "content": "x"}], "prompt": "red"}
    answers = [
        httpx.get(f"{base}/health", headers=header),
        lab.http.get("/models", headers=header),
        lab.post("/images/generations", json=body, headers=header),
        lab.post("/chat/completions", content=json.dumps(body), headers={**header, "Content-Type": "text/plain"}),
        lab.post("/images/edits", data={"prompt": "red"}, files={"image": png()}, headers=header),
    ]
    for answer in answers:
        assert ("may not use" if "Origin" in header else "use localhost") in problem(answer, 403)["message"]


def test_with_a_key_it_is_reached_under_any_name(serving):
    site = serving(key="sesame")
    through_a_proxy = {"Host": "gems.example", "Origin": "https://ui.example"}
    problem(site.http.get("/models", headers=through_a_proxy), 401)
    assert site.http.get("/models", headers={**through_a_proxy, "Authorization": "Bearer sesame"}).status_code == 200


def test_a_name_that_is_allowed_is_answered(serving):
    site = serving(allowed_hosts=["gems.example"])
    assert site.http.get("/models", headers={"Host": "gems.example", "Origin": "https://gems.example"}).status_code == 200
    problem(site.http.get("/models", headers={"Host": "evil.example"}), 403)
