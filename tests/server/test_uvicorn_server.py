"""The server as a process: addresses and shutdown."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gems.errors import GemsError
from gems.server import ServeError, create_app, running, serve

from .conftest import Scripted, problem

SCRIPT = """
import sys, time
from langchain_core.language_models import FakeListChatModel
from gems.models.image.base import ImageModel
from gems.server import create_app, serve

class Slow(FakeListChatModel):
    def _call(self, *args, **kwargs):
        print("asked", flush=True)
        time.sleep(seconds)
        return super()._call(*args, **kwargs)

class Nothing(ImageModel):
    name = "nothing"
    def generate(self, requests):
        return []

for seconds, grace in [(0.5, 20), (0.5, 20), (4, 1)]:
    serve(create_app(Slow(responses=["done"]), Nothing()), port=0, grace=grace, on_ready=lambda url: print(url, flush=True))
    print("ended", flush=True)
"""
BODY = {"messages": [{"role": "user", "content": "x"}]}


def ended_by(number, child):
    """Send a signal while a request is answered; give the answer and the url."""
    url = child.stdout.readline().strip()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/chat/completions", json=BODY, timeout=30)
        assert child.stdout.readline().strip() == "asked"
        child.send_signal(number)
        assert child.stdout.readline().strip() == "ended"
        return answer.result(), url


def test_it_ends_when_what_is_under_way_is_answered_but_does_not_wait_for_ever():
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            answer, url = ended_by(number, child)
            assert answer.json()["choices"][0]["message"]["content"] == "done"
            with pytest.raises(httpx.ConnectError):
                httpx.get(url)
        answer, _ = ended_by(signal.SIGTERM, child)  # of this one the grace is over before it has its answer
        assert "stopped" in problem(answer, 503)["message"]
    finally:
        child.kill()
        child.communicate()


def test_a_taken_port_is_a_clear_error(site, sketcher):
    port = int(site.url.rpartition(":")[2].removesuffix("/v1"))
    with pytest.raises(ServeError, match=rf"port {port}.*choose another port"):
        serve(create_app(Scripted(says=""), sketcher), port=port)
    with pytest.raises(GemsError), running(create_app(Scripted(says=""), sketcher), port=port):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.org"])
def test_other_machines_are_served_only_with_a_key_or_when_told_to(host, sketcher):
    with pytest.raises(ServeError, match="set a key"):
        serve(create_app(Scripted(says=""), sketcher), host=host, port=0)


def test_an_address_that_is_not_ours_and_an_empty_key_are_clear_errors(sketcher):
    with pytest.raises(ServeError, match="cannot listen on 192"):
        serve(create_app(Scripted(says=""), sketcher, key="k"), host="192.0.2.1")
    with pytest.raises(ServeError, match="cannot listen"):
        serve(create_app(Scripted(says=""), sketcher), port=70_000)
    with pytest.raises(ServeError, match="the key is empty"):
        create_app(Scripted(says=""), sketcher, key=" ")
