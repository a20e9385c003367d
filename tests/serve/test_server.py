"""The server as a process: where it listens, and how it ends."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from gems.errors import GemsError
from gems.serve import ServeError, create_app, running, serve

from .conftest import Scripted, problem

SCRIPT = """
import sys, time
from langchain_core.language_models import FakeListChatModel
from gems.models.image import ImageModel
from gems.serve import serve

class Slow(FakeListChatModel):
    def _call(self, *args, **kwargs):
        print("asked", flush=True)
        time.sleep(float(sys.argv[1]))
        return super()._call(*args, **kwargs)

class Nothing(ImageModel):
    name = "nothing"
    def generate(self, requests):
        return []

serve(Slow(responses=["done"]), Nothing(), port=0, grace=float(sys.argv[2]), on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""
BODY = {"messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def process():
    """Start the server in a process; gives it and its url."""
    started = []

    def start(seconds, grace):
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(seconds), str(grace)]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        started.append(child)
        return child, child.stdout.readline().strip()

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_end(process, number):
    child, url = process(1.0, 20)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/chat/completions", json=BODY, timeout=30)
        assert child.stdout.readline().strip() == "asked"
        child.send_signal(number)
        assert answer.result().json()["choices"][0]["message"]["content"] == "done"
    out, err = child.communicate(timeout=20)
    assert (out.strip(), err, child.returncode) == ("ended", "", 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_the_end_does_not_wait_for_ever(process):
    child, url = process(4, 1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{url}/chat/completions", json=BODY, timeout=30)
        assert child.stdout.readline().strip() == "asked"
        child.send_signal(signal.SIGTERM)
        assert "stopped" in problem(answer.result(), 503)["message"]
        assert child.stdout.readline().strip() == "ended"


def test_a_taken_port_is_a_clear_error(site, sketcher):
    port = int(site.url.rpartition(":")[2].removesuffix("/v1"))
    with pytest.raises(ServeError, match=rf"port {port}.*choose another port"):
        serve(Scripted(says=""), sketcher, port=port)
    with pytest.raises(GemsError), running(create_app(Scripted(says=""), sketcher), port=port):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1", "example.org"])
def test_other_machines_are_served_only_with_a_key_or_when_told_to(host, sketcher):
    with pytest.raises(ServeError, match="set a key"):
        serve(Scripted(says=""), sketcher, host=host, port=0)


def test_an_address_that_is_not_ours_and_an_empty_key_are_clear_errors(sketcher):
    with pytest.raises(ServeError, match="cannot listen on 192"):
        serve(Scripted(says=""), sketcher, host="192.0.2.1", key="k")
    with pytest.raises(ServeError, match="cannot listen"):
        serve(Scripted(says=""), sketcher, port=70_000)
    with pytest.raises(ServeError, match="the key is empty"):
        serve(Scripted(says=""), sketcher, key=" ")


def test_importing_gems_does_not_import_the_server():
    code = "import gems, gems.cli, sys; sys.exit(any(m in sys.modules for m in ('fastapi', 'uvicorn', 'starlette')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
