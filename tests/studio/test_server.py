"""`langgraph dev` as a client and Studio use it: forms, assistants, streams, gates, edits, pictures and pages by URL."""

import json
import re
import socket
from pathlib import Path

import httpx
import pytest

import gems
from gems import get_run
from gems.context import ABOUT, PRESETS, PROMPTS, RunContext
from gems.events import Custom, ImageMade, RoleEnded, read_event
from gems.nodes import refiner

from .conftest import QUICK


def gems_of(client):
    return next(a["assistant_id"] for a in client.assistants.search(graph_id="gems") if a["name"] == "gems")


def test_the_forms_describe_the_request_and_every_setting(client):
    schemas = client.assistants.get_schemas(gems_of(client))
    prompt = schemas["input_schema"]["properties"]["prompt"]
    assert "in plain words" in prompt["description"]
    settings = schemas["context_schema"]["properties"]
    assert settings.keys() == RunContext.model_fields.keys()
    assert all(s["description"] and len(s["langgraph_nodes"]) == 1 for s in settings.values())
    rounds = settings["max_rounds"]
    assert (rounds["default"], rounds["minimum"], rounds["maximum"], rounds["langgraph_nodes"]) == (5, 1, 100, ["selector"])
    assert settings["recall"]["enum"][-1] == "default"


def test_the_prompt_of_every_role_is_edited_on_its_node_beginning_with_the_text_built_in(client):
    settings = client.assistants.get_schemas(gems_of(client))["context_schema"]["properties"]
    nodes = {node["id"] for node in client.assistants.get_graph(gems_of(client))["nodes"]}
    for name in PROMPTS:
        assert settings[name]["langgraph_type"] == "prompt"
        assert settings[name]["langgraph_nodes"][0] in nodes
        assert len(settings[name]["default"].split()) > 80
    assert settings["refiner_prompt"]["default"] == refiner.SYSTEM


def test_every_preset_is_an_assistant_and_a_run_by_one_has_its_settings(studio, client):
    found = {a["name"]: a for a in client.assistants.search(graph_id="gems", limit=50)}
    for name in PRESETS:
        assert found[f"gems {name}"]["description"] == ABOUT[name]
    before = json.loads((Path(__file__).parents[1] / "kept" / "names.json").read_text("utf-8"))["assistants"]
    assert {name: found[f"gems {name}"]["assistant_id"] for name in before} == before
    thread = client.threads.create()["thread_id"]
    best_of_five = found["gems best-of-n"]["assistant_id"]
    done = client.runs.wait(thread, best_of_five, input={"prompt": "a red circle"})
    assert len(done["attempts"]) == 5
    assert done["result"]["round"] == 1
    assert get_run(thread, studio.runs).context.max_seconds == 3000  # from the file of GEMS_CONFIG, over any preset


def test_a_run_streams_its_values_its_updates_its_tasks_and_its_events(studio, client):
    thread = client.threads.create()["thread_id"]
    modes = ["values", "updates", "tasks", "custom"]
    parts = list(client.runs.stream(thread, "gems", input={"prompt": "a blue square"}, context=QUICK, stream_mode=modes))
    assert not [part for part in parts if part.event == "error"]
    updates = [role for part in parts if part.event == "updates" for role in part.data]
    assert updates[-3:] == ["selector", "review", "learner"]
    assert {"planner", "decomposer", "generator", "verifier"} <= set(updates)
    assert [part.data for part in parts if part.event == "values"][-1]["result"]["decision"] == "accept"
    assert {part.data["name"] for part in parts if part.event == "tasks"} == set(updates)
    events = [read_event(part.data) for part in parts if part.event == "custom"]
    assert not [event for event in events if isinstance(event, Custom)]
    assert {event.role for event in events if isinstance(event, RoleEnded)} == set(updates)
    [image] = [event for event in events if isinstance(event, ImageMade)]
    assert httpx.get(f"{studio.url}{image.path}").headers["content-type"] == "image/png"


def test_a_run_stops_before_a_node_where_its_state_is_edited(client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context=QUICK, interrupt_before=["generator"])
    assert client.threads.get_state(thread)["next"] == ["generator"]
    client.threads.update_state(thread, {"draft": "a green star"}, as_node="refiner")
    done = client.runs.wait(thread, "gems", input=None, context=QUICK)
    assert [attempt["prompt"] for attempt in done["attempts"]] == ["a green star"]
    assert done["result"]["decision"] == "give up"


@pytest.mark.parametrize(("context", "told"), [({"max_rounds": 0}, "max_rounds"), ({"recall": "all"}, "recall")])
def test_a_wrong_setting_is_named(client, context, told):
    done = client.runs.wait(None, "gems", input={"prompt": "a red circle"}, context=context, raise_error=False)
    assert done["__error__"]["error"] == "ValidationError"
    assert told in done["__error__"]["message"]


def test_the_second_graph_verifies_without_a_model(client):
    done = client.runs.wait(None, "gems-pixels", input={"prompt": "two red circles"}, context={**QUICK, "seed": 1})
    assert {v["check"] for v in done["attempts"][0]["verdicts"]} == {c["id"] for c in done["checks"]}
    assert "verifier" not in done["usage"]["roles"]


def test_a_picture_has_a_url_under_which_it_never_changes(studio, drawn):
    _, done = drawn
    digest = done["attempts"][0]["image"]["sha256"]
    url = f"{studio.url}/images/{digest}.png"
    got = httpx.get(url)
    assert (got.status_code, got.headers["content-type"], got.content[:4]) == (200, "image/png", b"\x89PNG")
    assert "immutable" in got.headers["cache-control"]
    assert httpx.get(url, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert httpx.head(url).status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("0" * 64, 404),
        ("A" * 64, 400),
        ("best", 400),
        ("..%2F..%2Fgems", 404),
        ("..%5C..%5Cgems", 400),
        ("%2e%2e", 400),
        ("1/2", 404),
    ],
)
def test_what_is_no_picture_is_refused(studio, name, status):
    got = httpx.get(f"{studio.url}/images/{name}.png")
    assert got.status_code == status
    assert "/tmp" not in got.text


def test_the_page_of_a_thread_is_made_when_it_is_asked_for(studio, drawn):
    thread, done = drawn
    page = httpx.get(f"{studio.url}/runs/{thread}", follow_redirects=True)
    assert page.url.path == f"/runs/{thread}/report.html"  # beside those of other runs, as its links to them have it
    assert "Timeline" in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert done["checks"][0]["question"] in page.text
    assert thread in page.text
    for nobody in ("nobody", "00000000-0000-0000-0000-000000000000", "images", "%2e%2e%2f"):
        assert httpx.get(f"{studio.url}/runs/{nobody}", follow_redirects=True).status_code == 404


def call(studio, method, **params):
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(f"{studio.url}/mcp", json=asked, headers={"Accept": "application/json"}, timeout=60).json()["result"]


def test_mcp_offers_the_graphs_and_the_presets_as_tools(studio):
    tools = {tool["name"]: tool for tool in call(studio, "tools/list")["tools"]}
    assert {"draw", "gems", "gems-pixels", *(f"gems_{name}" for name in PRESETS)} <= tools.keys()
    assert "URL of the picture" in tools["draw"]["description"]
    assert tools["draw"]["inputSchema"]["required"] == ["prompt"]
    assert "URL of the picture" in tools["draw"]["inputSchema"]["description"]
    assert "`run`" not in json.dumps(tools["draw"])  # nothing that is for whoever reads the code
    assert tools["draw"]["inputSchema"]["properties"].keys() == {"prompt"}


def test_an_mcp_call_gives_a_small_answer_with_the_urls_of_a_run_that_is_kept(studio):
    answer = call(studio, "tools/call", name="draw", arguments={"prompt": "a blue square"})
    [content] = answer["content"]
    assert len(content["text"]) < 600
    image, page = re.findall(rf"{studio.url}/\S+(?=')", content["text"])
    assert httpx.get(image).headers["content-type"] == "image/png"
    assert "a blue square" in httpx.get(page, follow_redirects=True).text
    name = re.search(r"'run': '([^']+)'", content["text"])[1]
    assert (studio.runs / name / "best.png").read_bytes() == httpx.get(image).content


def test_an_mcp_call_that_nothing_can_be_drawn_of_is_told_what_to_do(studio):
    [content] = call(studio, "tools/call", name="draw", arguments={"prompt": " "})["content"]
    assert "the prompt is empty: say in plain words what to draw" in content["text"]


def test_only_this_machine_and_only_the_hosted_studio_page_are_let_in(studio):
    port = int(studio.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=2)  # reached where a server listens everywhere

    def allowed(origin):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        return httpx.options(f"{studio.url}/threads/search", headers=asked).headers.get("access-control-allow-origin")

    assert allowed("https://smith.langchain.com") == "https://smith.langchain.com"
    assert allowed("https://eu.smith.langchain.com") == "https://eu.smith.langchain.com"
    assert allowed("http://localhost:3000") == "http://localhost:3000"
    assert allowed("https://evil.example") is None
    assert allowed("https://smith.langchain.com.evil.example") is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://smith.langchain.com.evil.example"])
def test_a_page_of_a_stranger_cannot_start_a_run(studio, origin):
    """Browsers send such a request without asking first; only its answer is kept from the page."""
    body = json.dumps({"assistant_id": "gems", "input": {"prompt": "a red circle"}, "context": QUICK})
    headers = {"Content-Type": "text/plain", "Origin": origin}
    refused = httpx.post(f"{studio.url}/runs/wait", content=body, headers=headers)
    assert refused.status_code == 403
    assert "may not use this server" in refused.text


@pytest.mark.parametrize("path", ["/runs/{thread}/report.html", "/images/{image}.png", "/threads/{thread}/state", "/ok", "/docs"])
def test_a_page_that_takes_this_machine_for_its_own_reads_nothing(studio, drawn, path):
    """A name whose address is changed to this machine's: for the browser the server is then the page's own."""
    thread, done = drawn
    url = studio.url + path.format(thread=thread, image=done["attempts"][0]["image"]["sha256"])
    port = studio.url.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "mine.example"):  # the last is in GEMS_ALLOWED_HOSTS
        assert httpx.get(url, headers={"Host": host}).status_code == 200
    for strange in ({"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        refused = httpx.get(url, headers=strange)
        assert refused.status_code == 403
        assert set(refused.json()) == {"detail"}
    studio_page = {"Host": "words.trycloudflare.com", "Origin": "https://smith.langchain.com"}  # `langgraph dev --tunnel`
    assert httpx.get(url, headers=studio_page).status_code == 200


def test_the_pages_that_are_let_in_are_those_of_langgraph_json():
    folder = Path(gems.__file__).parent
    pages = json.loads((folder / "langgraph.json").read_text())["http"]["cors"]["allow_origin_regex"]
    assert f'PAGES = r"{pages}"' in (folder / "studio" / "app.py").read_text()  # to import it loads the models


def test_nothing_that_is_served_holds_a_key_and_nothing_strange_is_revived(studio, drawn):
    served = json.dumps(
        [studio.client.assistants.search(limit=50), studio.client.assistants.get_schemas(gems_of(studio.client))], default=str
    )
    assert "_KEY" not in served
    assert "Deserializing unregistered" not in studio.log.read_text()
