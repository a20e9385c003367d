"""Hostile and broken endpoints, over real HTTP: chat, whole and streamed, sync and async, and images have the same guards."""

import asyncio
import gc
import gzip
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from socket import create_server

import pytest
from langchain_core.messages import HumanMessage

from gems.errors import ImageModelError, ModelCallError
from gems.models import http
from gems.models.chat.call import call
from gems.models.image.base import ImageRequest
from gems.models.options import ChatOptions, ImageOptions
from gems.models.registry import chat_model, image_model

from ..faulty_server import FaultyServer, Reply, chat_reply, stream_reply

HI = [HumanMessage("Hi.")]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def chat_of(url, **options):
    return chat_model(ChatOptions(model=f"{url}#m", **{"retries": 0, "timeout": 0.2, **options}))


def whole(url, **options):
    return call(chat_of(url, **options), HI)[0].text


def streamed(url, **options):
    chat = chat_of(url, **options)
    chat.streaming = True
    return call(chat, HI)[0].text


def whole_async(url, **options):
    return _told(chat_of(url, **options).ainvoke(HI))


def streamed_async(url, **options):
    chat = chat_of(url, **options)
    chat.streaming = True
    return _told(chat.ainvoke(HI))


def _told(answer):
    """Tell what went wrong as `call` does: coroutines are LangChain's own way."""

    class Answered:
        def invoke(self, messages):
            return asyncio.run(answer)

    return call(Answered(), HI)[0].text


def picture(url, **options):
    [image] = image_model(ImageOptions(model=f"{url}#m", provider="gems", **{"retries": 0, "timeout": 0.2, **options})).generate(
        [ImageRequest(prompt="a cat", seed=1)]
    )
    return image


chat_of("http://127.0.0.1:1/v1")  # imports the client now: no test waits for that
WAYS = [whole, streamed, whole_async, streamed_async, picture]
CHATS = WAYS[:-1]


@contextmanager
def dripping(begin, drop):
    """A server that sends `begin` and then a drop every 20 ms, for ever."""
    over = threading.Event()

    def drip(connection):
        with connection:
            try:
                connection.recv(2**16)
                connection.sendall(begin)
                while not over.wait(0.02):
                    connection.sendall(drop)
            except OSError:
                pass

    def accept():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=drip, args=[connection], daemon=True).start()

    with create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            over.set()


def error_of(way, url, **options):
    with pytest.raises((ModelCallError, ImageModelError)) as caught:
        way(url, **options)
    return str(caught.value)


DRIPS = {
    "header": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"),
    "informational": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "frame of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
    "events": (OK.replace(b"application/json", b"text/event-stream") + b"\r\n", b": still here\n\n"),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_a_drip_ends_with_the_time_out(drip):
    with dripping(*DRIPS[drip]) as url, ThreadPoolExecutor(len(WAYS)) as pool:
        began = time.monotonic()
        told = list(pool.map(lambda way: error_of(way, url), WAYS))
        assert time.monotonic() - began < 3
    assert all("no answer in time" in error or "answer within 0.2 s" in error for error in told), told


def test_the_time_out_is_of_each_request_on_a_connection_that_is_kept(server):
    server.replies = [Reply(chat_reply("hello").body, hang=0.2)]
    chat = chat_of(server.url, timeout=0.5)
    assert [call(chat, HI)[0].text for _ in range(3)] == ["hello"] * 3  # together longer than the time-out


def test_a_time_out_in_mid_answer_is_tried_again():
    with dripping(*DRIPS["body"]) as url, pytest.raises(ModelCallError, match=r"within 0.1 s after 2 tries"):
        whole(url, timeout=0.1, retries=1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_with_the_address_it_sends_to(server, way, status):
    other = FaultyServer()
    other.replies = [chat_reply("caught")]
    server.replies = [Reply(status=status, headers={"Location": f"{other.url}/chat/completions?token=abc"})]
    with pytest.raises((ModelCallError, ImageModelError)) as caught:
        way(server.url, timeout=5)
    other.close()
    assert f"answered {status} and sends elsewhere ({other.url}/chat/completions): give the address it sends to" in str(
        caught.value
    )
    assert other.heard == []
    assert len(server.heard) == 1


def chunked(data):
    return Reply(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data), headers={"Transfer-Encoding": "chunked", "Content-Length": "10"})


def too_long(announced=False, packed=False, events=False):
    reply = stream_reply({"content": "x" * 5000}) if events else chat_reply("x" * 5000)
    data = gzip.compress(reply.data()) if packed else reply.data()
    assert (len(data) < 1000) is packed
    made = Reply(data) if announced else chunked(data)
    made.headers |= {"Content-Encoding": "gzip"} if packed else {}
    made.content_type = reply.content_type
    return made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("announced", "packed"), [(True, False), (False, False), (True, True), (False, True)])
def test_an_answer_that_is_too_long_once_unpacked_is_not_read(server, monkeypatch, way, announced, packed):
    monkeypatch.setattr(http, "MAX_BYTES", 3000)
    server.replies = [too_long(announced, packed, "streamed" in way.__name__)]
    assert "longer than 3,000 bytes" in error_of(way, server.url, timeout=5, retries=2)
    assert len(server.heard) == 1  # it would be as long again


@pytest.mark.parametrize("way", CHATS)
def test_what_comes_compressed_though_it_was_not_asked_for_is_read(server, way):
    reply = stream_reply({"content": "hello"}) if "streamed" in way.__name__ else chat_reply("hello")
    server.replies = [Reply(gzip.compress(reply.data()), content_type=reply.content_type, headers={"Content-Encoding": "gzip"})]
    assert way(server.url, timeout=5) == "hello"
    assert server.heard[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
def test_other_compressions_are_refused(server, way, encoding):
    server.replies = [Reply(b"abc", headers={"Content-Encoding": encoding})]
    assert "compressed in another way than gzip: it is not taken" in error_of(way, server.url, timeout=5)


def test_connections_that_are_kept_are_closed_with_their_model(server, monkeypatch):
    unclosed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda caught: unclosed.append(caught.exc_value))
    server.replies = [Reply(chat_reply("hello").body, hang=0.05)]
    chats = [chat_of(server.url, timeout=5) for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, chats * 5, [HI] * 15))
    del chats
    gc.collect()
    assert unclosed == []


def test_proxies_of_the_environment_are_used_with_the_same_guards(monkeypatch):
    with dripping(*DRIPS["header"]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.removesuffix("/v1"))
        for way in (whole, whole_async):
            assert "no answer" in error_of(way, "http://models.example/v1")
