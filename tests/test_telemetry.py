"""What leaves the machine unasked: nothing. Children without `CI` and pytest's variables run beside a proxy that logs."""

import http.server
import os
import subprocess
import sys
import threading
import time

import langsmith
import pytest

import gems
from gems.nodes.generator import TRACING_NOTE

from .faulty_server import Reply

CHILD = """
import os, sys
elsewhere = []

def watch(event, args):
    if event == "socket.getaddrinfo" and args[0] not in ("127.0.0.1", "localhost", None):
        elsewhere.append(args)
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1"):
        elsewhere.append(args[1])
    if event == "import" and args[0] == "onnxruntime" and "undone" in sys.argv:
        os.environ.pop("ORT_DISABLE_TELEMETRY", None)

sys.addaudithook(watch)
import gems
import onnxruntime  # its sender waits some nine seconds before it begins
if "undone" not in sys.argv:
    import gems.cli, gems.commands.doctor, gems.evaluation.runner, gems.server
    from gems.nodes.checks.ocr import OcrChecker
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (256, 96), "white")
    ImageDraw.Draw(image).text((20, 30), "OPEN", fill="black", font_size=40)
    check = gems.Check(id="c1", kind="text", question="What is written?", expected="OPEN")
    assert OcrChecker().check(image, [check])[0].passed
    gems.run("a red circle", preset="original")
sys.stdin.read()  # until the test has seen enough
assert not elsewhere, elsewhere
"""


class Proxy(http.server.ThreadingHTTPServer):
    """Writes down what it is asked for, and gives nothing."""

    daemon_threads = True

    def __init__(self):
        seen = self.seen = []

        class Log(http.server.BaseHTTPRequestHandler):
            def do_CONNECT(self):
                seen.append(self.requestline)
                self.send_error(502)

            do_GET = do_POST = do_HEAD = do_CONNECT

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Log)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def variables(self):
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {n: f"http://127.0.0.1:{self.server_port}" for name in names for n in (name, name.lower())}


def child(proxy, folder, *arguments):
    folder.mkdir()
    # No more than this: libraries are quiet where they see a CI or are told to be offline.
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", **proxy.variables}
    command = [sys.executable, "-c", CHILD, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=env, **pipes)


def test_runs_and_ocr_send_nothing_anywhere_and_would_if_the_package_did_not_prevent_it(tmp_path):
    proxies = {"as it is": Proxy(), "undone": Proxy()}
    children = {name: child(proxy, tmp_path / name, name) for name, proxy in proxies.items()}
    try:
        until = time.monotonic() + 60
        while not proxies["undone"].seen and time.monotonic() < until and children["undone"].poll() is None:
            time.sleep(0.1)
        ended = {name: (process.communicate("", timeout=100)[0], process.returncode) for name, process in children.items()}
    finally:
        for process in children.values():
            with process:  # which closes its pipes
                process.kill()
        for proxy in proxies.values():
            proxy.shutdown()
            proxy.server_close()
    assert all(code == 0 for _, code in ended.values()), ended
    assert {line.split()[1] for line in proxies["undone"].seen} == {"mobile.events.data.microsoft.com:443"}
    assert proxies["as it is"].seen == []
    assert [(name, (tmp_path / name / ".cache/Microsoft").exists()) for name in proxies] == [("as it is", False), ("undone", True)]


def test_a_run_that_langsmith_traces_says_so_once(server, sketcher, tmp_path):
    server.replies = [Reply({})]
    client = langsmith.Client(api_url=server.url, api_key="none", auto_batch_tracing=False)
    for enabled in (False, True):
        with langsmith.tracing_context(enabled=enabled, client=client):
            result = gems.run("a red circle", image=sketcher, preset="loop", max_rounds=2, runs=tmp_path)
        assert any("a red circle" in heard.data.decode() for heard in server.heard) is enabled
        assert result.state.notes.count(TRACING_NOTE) == int(enabled)


@pytest.mark.parametrize("name", ["ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED"])
def test_what_the_user_has_set_stays(name):
    code = f"import os, gems; print(os.environ[{name!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, name: "mine"})
    assert done.stdout == "mine\n"
