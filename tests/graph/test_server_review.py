"""People in the loop over the LangGraph server, as `langgraph dev` serves the graph to its clients and to Studio."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from langgraph_sdk import get_sync_client

CONTEXT = {"review": "image", "plan": "none", "verify": "batch", "max_rounds": 1}
QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "N_JOBS_PER_WORKER": "1",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    config = {"dependencies": ["."], "graphs": {"gems": {"path": "gems.graph.studio:graph"}}}
    (folder / "langgraph.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    work = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            work, cwd=folder, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **QUIET}, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert server.poll() is None, (folder / "log").read_text()
            try:
                if httpx.get(f"{url}/ok", timeout=1).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        with get_sync_client(url=url) as connected:
            yield connected
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def answer(client, thread, said):
    return client.runs.wait(thread, "gems", command={"resume": said}, context=CONTEXT, raise_error=False)


def test_a_run_on_the_server_waits_with_a_form_until_it_is_answered_rightly(client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context=CONTEXT)
    state = client.threads.get_state(thread)
    [asked] = state["interrupts"]
    assert (asked["value"]["stage"], asked["value"]["round"]) == ("image", 1)
    assert asked["response_schema"]["properties"]["action"]["enum"] == ["accept", "go on", "reject", "edit"]
    assert client.threads.get(thread)["status"] == "interrupted"

    told = answer(client, thread, {"action": "reject"})
    assert "say in plain words what is wrong" in json.dumps(told)
    state = client.threads.get_state(thread)
    assert state["next"] == ["review"]
    assert not state["values"].get("reviews")

    done = answer(client, thread, {"action": "accept", "words": "good"})
    assert done["result"]["reason"] == "a person accepted it: good"
    assert [r["words"] for r in done["reviews"]] == ["good"]
    assert client.threads.get(thread)["status"] == "idle"


def test_the_review_is_a_knob_and_a_node_in_studio(client):
    [assistant] = client.assistants.search(graph_id="gems")
    knob = client.assistants.get_schemas(assistant["assistant_id"])["context_schema"]["properties"]["review"]
    assert (knob["enum"], knob["langgraph_nodes"]) == (["none", "plan", "image", "both"], ["review"])
    nodes = client.assistants.get_graph(assistant["assistant_id"])["nodes"]
    assert "review" in [node["id"] for node in nodes]
