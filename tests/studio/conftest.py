"""A real `langgraph dev` on loopback, started once with the `langgraph.json` of the repository and a graph of one's own in it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

import gems
from gems import Gems
from gems.tests.conftest import SETTINGS

QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
}
MINE = """
from langgraph.config import get_config
from gems import Gems, GemsState, Verdict, build_graph

def trusting(state: GemsState):
    return {"attempts": [a.judged(Verdict(check=c.id, passed=True) for c in state.checks) for a in state.pending]}

graph = build_graph(verifier=trusting)
graph.name = "mine"

def removing(state: GemsState):
    thread = get_config()["configurable"]["thread_id"]
    while not Gems().remove(thread).removed:  # it has gone on meanwhile
        pass
    return trusting(state)

removed = build_graph(verifier=removing)
removed.name = "removed"
"""
"""A graph with a node of one's own, as docs/studio.md has it; and one whose run is removed by Python while the server draws."""
QUICK = {"plan": "none", "verify": "batch", "max_rounds": 1}
"""Settings of a run that takes about a second."""


class Studio(NamedTuple):
    """A server that runs."""

    url: str
    client: SyncLangGraphClient
    runs: Path
    log: Path


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    config = json.loads((Path(gems.__file__).parent / "langgraph.json").read_text())
    config["graphs"] |= {"mine": {"path": "my_graphs:graph"}, "removed": {"path": "my_graphs:removed"}}
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "langgraph.json").write_text(json.dumps(config))
    (folder / "my_graphs.py").write_text(MINE)
    (folder / "gems.toml").write_text("[run]\nmax_seconds = 3000\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    work += ["--config", "elsewhere/langgraph.json"]
    ours = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    ours |= {"GEMS_CONFIG": "gems.toml", "GEMS_ALLOWED_HOSTS": "mine.example"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            work, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env={**ours, **QUIET}, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(900):
            assert server.poll() is None, (folder / "log").read_text()
            try:
                if httpx.get(f"{url}/ok", timeout=1).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        with get_sync_client(url=url) as client:
            yield Studio(url, client, folder / "runs", folder / "log")
            runs = {past.thread for past in Gems(runs=folder / "runs").list()}
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        assert runs == {past.thread for past in Gems(runs=folder / "runs").list()}  # only the server's list of threads has gone
        pickled = (folder / ".langgraph_api" / ".langgraph_ops.pckl").read_bytes()
        assert b"gems original" in pickled
        assert b"gems.memory.state" not in pickled
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture(scope="session")
def client(studio):
    return studio.client


@pytest.fixture(scope="session")
def drawn(client):
    """A run that was made on the server, with its thread; it is read only."""
    thread = client.threads.create()["thread_id"]
    return thread, client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context=QUICK)
