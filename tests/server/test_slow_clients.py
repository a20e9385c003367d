"""Slow and stalled clients: bodies, headers and streams that do not come to an end."""

import select
import socket
import time
from contextlib import ExitStack, closing

import httpx
import pytest

from gems.server import Limits, running
from gems.server.uvicorn_server import IdleClosingProtocol

from .conftest import Negative, Scripted, problem, stream_of


def connected(site):
    return closing(socket.create_connection(("127.0.0.1", site.http.base_url.port), timeout=10))


def begin(site, held, sent=b"{", length=1000):
    """Send a request with the beginning of a body."""
    connection = held.enter_context(connected(site))
    head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}"]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + sent)
    return connection


def test_slow_bodies_keep_nobody_waiting(lab):
    with ExitStack() as held:
        slow = [begin(lab, held) for _ in range(150)]  # more than twice the places, and more than are read at once
        until = time.monotonic() + 20
        while len(select.select(slow, [], [], 0)[0]) < len(slow) - Limits().bodies:  # all are here: the slowest are ended
            assert time.monotonic() < until
            time.sleep(0.02)
        assert lab.chat().status_code == 200
        assert lab.draw("red").status_code == 200
    assert lab.chat().status_code == 200


def test_the_slowest_is_ended_for_one_more(serving):
    site = serving(image=Negative(), limits=Limits(bodies=2))
    with ExitStack() as held:
        fast, slow = begin(site, held, b" " * 200_000, 200_001), begin(site, held, length=200_001)
        time.sleep(0.05)
        assert site.draw("red").status_code == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
        fast.sendall(b"{")
        assert b"the body is not JSON" in fast.recv(1000)


def test_a_body_that_does_not_come_is_not_waited_for(serving):
    site = serving(limits=Limits(body_seconds=0.2))
    with ExitStack() as held:
        connection = begin(site, held)
        told = connection.recv(1000)
        assert told.startswith(b"HTTP/1.1 408")
        assert b"all of it must be here within 0.2 s" in told
        assert connection.recv(1000) == b""  # and is closed


def test_one_that_leaves_before_its_body_is_here_takes_nothing(serving):
    site = serving(limits=Limits(in_flight=1, bodies=1))
    for _ in range(3):
        with ExitStack() as held:
            begin(site, held)
    assert site.chat().status_code == 200


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(IdleClosingProtocol, "patience", 0.2)


def ended(connection):
    """Wait until the server has closed a connection."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("sent", [b"", b"GET /health", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he"])
def test_a_header_that_does_not_come_is_not_waited_for(impatient, serving, sent):
    with connected(serving()) as connection:
        connection.sendall(sent)
        assert ended(connection)


def cut_off(connection):
    """Send a byte every 20 ms until the server has cut the connection."""
    try:
        for _ in range(500):
            connection.sendall(b"a")
            time.sleep(0.02)
    except OSError:
        return True
    return False


def test_a_header_that_drips_is_not_waited_for(impatient, serving):
    with connected(serving()) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        assert cut_off(connection)


def test_a_body_that_drips_after_its_answer_is_not_waited_for(impatient, serving):
    with ExitStack() as held:
        connection = begin(serving(key="k"), held)
        assert connection.recv(1000).startswith(b"HTTP/1.1 401")
        assert cut_off(connection)


def test_one_that_works_for_long_is_not_cut_off(impatient, serving):
    site = serving(Scripted(says=lambda _: time.sleep(0.7) or "done"))
    assert site.chat().json()["choices"][0]["message"]["content"] == "done"


def test_a_client_that_does_not_read_its_stream_frees_its_place(impatient):
    def pieces():
        while len(streams) == 1:
            yield b"more " * 10_000

    streams = []
    with ExitStack() as held:
        url = held.enter_context(running(stream_of(lambda: streams.append(1) or pieces())))
        http = held.enter_context(httpx.Client(base_url=url.removesuffix("/v1")))
        connection = held.enter_context(closing(socket.create_connection(("127.0.0.1", http.base_url.port), timeout=10)))
        connection.sendall(b"POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert connection.recv(100)
        problem(http.post("/stream"), 429)
        answers = (time.sleep(0.05) or http.post("/stream").status_code for _ in range(200))
        assert 200 in answers
