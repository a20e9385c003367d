"""`langgraph dev` as its clients, Studio and MCP use it. One file, since each worker of a test run starts its own server."""

import json
import re
import socket
import sqlite3
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from langgraph_sdk.errors import ConflictError

import gems
from gems import Gems, Workspace, events_from_stream, run, studio_id
from gems.context import PRESET_DESCRIPTIONS, PRESETS, PROMPT_SETTINGS, RunContext
from gems.errors import RunError
from gems.events import Custom, ImageMade, RoleEnded
from gems.nodes import refiner
from gems.runs.manifest import read_manifest
from gems.runs.prune import claim_owners
from gems.studio.graphs import graph_id_of, swapped_roles

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
    for name in PROMPT_SETTINGS:
        assert settings[name]["langgraph_type"] == "prompt"
        assert settings[name]["langgraph_nodes"][0] in nodes
        assert len(settings[name]["default"].split()) > 80
    assert settings["refiner_prompt"]["default"] == refiner.SYSTEM


def test_every_preset_is_an_assistant_and_a_run_by_one_has_its_settings(studio, client):
    found = {a["name"]: a for a in client.assistants.search(graph_id="gems", limit=50)}
    for name in PRESETS:
        assert found[f"gems {name}"]["description"] == PRESET_DESCRIPTIONS[name]
    before = json.loads((Path(__file__).parents[1] / "earlier_version" / "names.json").read_text("utf-8"))["assistants"]
    assert {name: found[f"gems {name}"]["assistant_id"] for name in before} == before
    thread = client.threads.create()["thread_id"]
    best_of_five = found["gems best-of-n"]["assistant_id"]
    done = client.runs.wait(thread, best_of_five, input={"prompt": "a red circle"})
    assert len(done["attempts"]) == 5
    assert done["result"]["round"] == 1
    assert Gems(runs=studio.runs).get(thread).context.max_seconds == 3000  # from the file of GEMS_CONFIG, over any preset


def test_a_run_streams_its_values_its_updates_its_tasks_and_its_events(studio, client):
    thread = client.threads.create()["thread_id"]
    modes, request = ["values", "updates", "tasks", "custom"], {"prompt": "a blue square"}
    parts = list(client.runs.stream(thread, "gems", input=request, context=QUICK, stream_mode=modes, version="v2"))
    assert not [part for part in parts if part["type"] == "error"]
    updates = [role for part in parts if part["type"] == "updates" for role in part["data"]]
    assert updates[-3:] == ["selector", "review", "learner"]
    assert {"planner", "decomposer", "generator", "verifier"} <= set(updates)
    assert [part["data"] for part in parts if part["type"] == "values"][-1]["result"]["decision"] == "accept"
    assert {part["data"]["name"] for part in parts if part["type"] == "tasks"} == set(updates)
    events = list(events_from_stream(parts))
    assert not [event for event in events if isinstance(event, Custom)]
    assert {event.role for event in events if isinstance(event, RoleEnded)} == set(updates)
    assert {event.event for event in events} >= {"checks_written", "prompt_written", "check_answered", "decided", "budget_used"}
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
    assert "URL of the image" in tools["draw"]["description"]
    assert tools["draw"]["inputSchema"]["required"] == ["prompt"]
    assert "URL of the image" in tools["draw"]["inputSchema"]["description"]
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
    assert f'ALLOWED_ORIGINS = r"{pages}"' in (folder / "studio" / "app.py").read_text()  # to import it loads the models


def test_nothing_that_is_served_holds_a_key_and_nothing_strange_is_revived(studio, drawn):
    served = json.dumps(
        [studio.client.assistants.search(limit=50), studio.client.assistants.get_schemas(gems_of(studio.client))], default=str
    )
    assert "_KEY" not in served
    assert "Deserializing unregistered" not in studio.log.read_text()


# People in the loop


CONTEXT = {"review": "image", "plan": "none", "verify": "batch", "max_rounds": 1}


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
    assistant = next(a for a in client.assistants.search(graph_id="gems") if a["name"] == "gems")
    knob = client.assistants.get_schemas(assistant["assistant_id"])["context_schema"]["properties"]["review"]
    assert (knob["enum"], knob["langgraph_nodes"]) == (["none", "plan", "image", "both"], ["review"])
    nodes = client.assistants.get_graph(assistant["assistant_id"])["nodes"]
    assert "review" in [node["id"] for node in nodes]


# Runs of Python and threads of the server


IN_USE = "is in progress in another process: wait for it, or end it"


@pytest.fixture
def made(studio):
    """A run that Python made while the server runs, with its thread there."""
    result = run("a red circle", preset="original", runs=studio.runs)
    return result.thread, studio_id(result.thread)


def rows_of(studio, name):
    with Workspace(studio.runs).database.open() as opened:
        return opened.row_count(name)


def before_drawing(client, thread):
    history = client.threads.get_history(thread, limit=100)
    return next(state for state in history if state["next"] == ["generator"])


def test_a_run_of_python_is_listed_and_has_its_whole_history(studio, made, client):
    name, thread = made
    [listed] = client.threads.search(metadata={"run": name})
    assert listed["thread_id"] == thread
    assert listed["metadata"]["prompt"] == "a red circle"
    assert listed["metadata"]["settings"]["max_rounds"] == 1
    history = client.threads.get_history(thread, limit=100)
    assert history[0]["next"] == []
    assert history[-1]["next"] == ["__start__"]
    with Workspace(studio.runs).database.open() as opened:
        assert len(history) == len(list(opened.saver.list({"configurable": {"thread_id": name}})))
    assert history[0]["values"]["attempts"][0]["prompt"] == "a red circle"


def test_a_run_of_python_is_forked_on_the_server_and_python_reads_it_rightly(studio, made, client):
    name, thread = made
    past = before_drawing(client, thread)
    fork_at = client.threads.update_state(
        thread, {"draft": "a green star"}, as_node="refiner", checkpoint_id=past["checkpoint"]["checkpoint_id"]
    )
    done = client.runs.wait(thread, "gems", input=None, context=QUICK, checkpoint=fork_at["checkpoint"])
    assert [a["prompt"] for a in done["attempts"]] == ["a green star"]
    assert done["result"]["decision"] == "give up"

    read = Gems(runs=studio.runs).get(name)
    assert (read.decision, read.best.prompt) == ("give up", "a green star")
    assert Gems(runs=studio.runs).resume(name).image_path.exists()
    assert [p.standing for p in Gems(runs=studio.runs).list() if p.thread == name] == ["gave up"]
    other = Gems(runs=studio.runs).fork(name, round=1, prompt="a blue square")
    assert other.best.prompt == "a blue square"
    assert f"/{name}" in str(read.folder)


def test_a_run_of_the_server_is_one_of_python_with_the_settings_it_had(studio, drawn):
    thread, done = drawn
    assert thread in [past.thread for past in Gems(runs=studio.runs).list()]
    read = Gems(runs=studio.runs).resume(thread)
    assert read.best.image.sha256 == done["attempts"][0]["image"]["sha256"]
    assert (read.context.plan, read.context.verify, read.context.max_rounds) == ("none", "batch", 1)
    assert read.context.refiner_prompt == ""
    assert read.report_path.exists()
    assert studio_id(thread) == thread


def test_a_run_with_a_swapped_node_says_so_to_python(studio, client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems-pixels", input={"prompt": "a red circle"}, context=QUICK)
    with Workspace(studio.runs).database.open() as opened:
        assert read_manifest(opened, Workspace(studio.runs), thread).nodes == ("verifier",)


def test_a_graph_of_ones_own_is_served_beside_the_others_and_its_runs_are_listed(studio, client):
    [assistant] = client.assistants.search(graph_id="mine")
    assert assistant["name"] == "mine"
    thread = client.threads.create()["thread_id"]
    done = client.runs.wait(thread, "mine", input={"prompt": "two red circles"}, context=QUICK)
    assert done["result"]["reason"] == "all 3 checks passed"
    assert Gems(runs=studio.runs).get(thread).best.score.passed == 3
    assert graph_id_of(swapped_roles("mine")) == "mine"
    with pytest.raises(RunError, match="those of the graph mine"):
        Gems(runs=studio.runs).resume(thread)
    assert Gems(runs=studio.runs, nodes={"verifier": lambda state: {}}).resume(thread).report_path.exists()


def test_a_waiting_run_of_python_is_answered_on_the_server(studio, client):
    result = run("a red circle", preset="original", review="image", runs=studio.runs)
    assert result.waiting
    thread = studio_id(result.thread)
    assert client.threads.get_state(thread)["next"] == ["review"]
    done = client.runs.wait(thread, "gems", command={"resume": {"action": "accept"}}, context={**QUICK, "review": "image"})
    assert done["result"]["reason"].startswith("a person accepted it")
    assert Gems(runs=studio.runs).get(result.thread).decision == "accept"


def test_a_run_that_python_has_in_hand_is_left_alone(studio, made, client):
    name, thread = made
    past = before_drawing(client, thread)["checkpoint"]["checkpoint_id"]
    rows = rows_of(studio, name)
    with Workspace(studio.runs).database.open() as opened, opened.lock_run(name):
        with pytest.raises(ConflictError, match=IN_USE):
            client.threads.update_state(thread, {"draft": "x"}, as_node="refiner", checkpoint_id=past)
        with pytest.raises(ConflictError, match=IN_USE):
            client.threads.delete(thread)
    assert rows_of(studio, name) == rows
    assert Gems(runs=studio.runs).get(name).best.prompt == "a red circle"


def test_the_server_gives_no_answer_while_python_waits_for_a_person(studio, client):
    told = []

    def ask(question, wrong):
        rows = rows_of(studio, "asked")
        given = {"command": {"resume": {"action": "accept"}}, "context": {**QUICK, "review": "plan"}, "raise_error": False}
        told.append(client.runs.wait(studio_id("asked"), "gems", **given)["__error__"]["message"])
        assert rows_of(studio, "asked") == rows
        return None

    left = run("a red circle", thread="asked", runs=studio.runs, review="plan", ask=ask, **QUICK)
    assert re.fullmatch(f"409: the run asked {IN_USE}.*", told[0])
    assert left.waiting
    assert Gems(runs=studio.runs).resume("asked", answer={"action": "accept"}).decision == "accept"


def test_the_server_takes_no_step_while_a_stream_of_python_pauses(studio, client):
    events = Gems(runs=studio.runs).stream("two red circles", thread="paused", **QUICK)
    next(event for event in events if isinstance(event, RoleEnded) and event.role == "review")  # the generator is next
    told = client.runs.wait(studio_id("paused"), "gems", input=None, context=QUICK, raise_error=False)
    assert re.search(IN_USE, told["__error__"]["message"])
    with Workspace(studio.runs).database.open() as opened:
        found = opened.saver.get_tuple({"configurable": {"thread_id": "paused"}})
    assert "attempts" not in [channel for _, channel, _ in found.pending_writes]
    assert not Workspace(studio.runs).images.claimed(studio_id("paused"))  # refused before it drew anything
    assert len(list(events)[-1].result.attempts) == 1


def test_a_run_that_is_removed_while_the_server_draws_leaves_nothing(studio, client):
    thread = client.threads.create()["thread_id"]
    done = client.runs.wait(thread, "removed", input={"prompt": "a red circle"}, context=QUICK, raise_error=False)
    assert done["__error__"]["message"].startswith(f"410: the run {thread} was removed")
    assert rows_of(studio, thread) == 0
    assert not (studio.runs / thread).exists()
    assert thread not in [past.thread for past in Gems(runs=studio.runs).list()]
    home = Workspace(studio.runs)
    assert all(not home.images.claimed(owner) for owner in claim_owners(thread))


def test_a_run_that_was_removed_is_run_again_on_its_thread(studio, client):
    thread = client.threads.create()["thread_id"]
    for prompt in ("a red circle", "a blue square"):
        client.runs.wait(thread, "gems", input={"prompt": prompt}, context=QUICK)
        client.threads.get(thread)
        assert [past.prompt for past in Gems(runs=studio.runs).list() if past.thread == thread] == [prompt]
        assert Gems(runs=studio.runs).get(thread).best.prompt == prompt
        assert Gems(runs=studio.runs).remove(thread).removed == (thread,)


def test_a_run_made_again_under_its_name_is_listed_as_it_is_now(studio, client):
    thread = studio_id("again")
    for prompt, rounds in (("a red circle", 1), ("a blue square", 2)):
        run(prompt, thread="again", runs=studio.runs, **{**QUICK, "max_rounds": rounds})
        metadata = client.threads.get(thread)["metadata"]
        assert (metadata["prompt"], metadata["settings"]["max_rounds"]) == (prompt, rounds)
        assert client.threads.get_state(thread)["values"]["prompt"] == prompt
        Gems(runs=studio.runs).remove("again")


def test_a_run_named_by_a_uuid_in_upper_case_is_not_the_thread_of_that_uuid(studio, client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context=QUICK)
    run("a blue square", thread=thread.upper(), runs=studio.runs, **QUICK)
    assert client.threads.get_state(thread)["values"]["prompt"] == "a red circle"
    assert client.threads.get_state(thread.upper())["values"]["prompt"] == "a red circle"
    assert client.threads.get_state(studio_id(thread.upper()))["values"]["prompt"] == "a blue square"


def test_metadata_of_a_client_is_no_setting_of_its_run(studio, client):
    thread = client.threads.create(metadata={"seed": 77})["thread_id"]
    said = {"max_rounds": 50, "refiner_prompt": "from metadata"}
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context=QUICK, metadata=said)
    had = Gems(runs=studio.runs).get(thread).context
    assert (had.max_rounds, had.refiner_prompt, had.seed, had.plan) == (1, "", 0, "none")


def test_what_is_removed_at_one_door_is_gone_at_the_other(studio, made, client):
    name, thread = made
    client.threads.get(thread)
    Gems(runs=studio.runs).remove(name)
    assert client.threads.search(metadata={"run": name}) == []

    server_thread = client.threads.create()["thread_id"]
    done = client.runs.wait(server_thread, "gems", input={"prompt": "a red circle"}, context=QUICK)
    client.threads.delete(server_thread)
    assert server_thread not in [past.thread for past in Gems(runs=studio.runs).list()]
    assert not (studio.runs / server_thread).exists()
    digest = done["attempts"][0]["image"]["sha256"]
    assert httpx.get(f"{studio.url}/images/{digest}.png").is_success  # until it is pruned, a day later
    home = Workspace(studio.runs)
    assert all(not home.images.claimed(owner) for owner in claim_owners(server_thread))
    assert Gems(runs=studio.runs).prune(timedelta(days=1), dry_run=True).removed == ()


def test_settings_and_headers_are_not_kept_in_the_clear(studio, client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context={**QUICK, "negative_prompt": "a word to hide"})
    with sqlite3.connect(studio.runs / "gems.sqlite") as database:
        rows = database.execute("SELECT metadata FROM checkpoints WHERE thread_id = ?", (thread,)).fetchall()
    assert rows
    assert not [row for row in rows if b"hide" in bytes(row[0]) or b"127.0.0.1" in bytes(row[0])]
    assert Gems(runs=studio.runs).get(thread).context.negative_prompt == "a word to hide"


def test_the_lessons_of_python_are_the_servers(studio, client):
    client.store.put_item(("gems", "notes"), "one", {"text": "hello"})
    with Workspace(studio.runs).database.open() as opened:
        assert opened.store.get(("gems", "notes"), "one").value == {"text": "hello"}
        opened.store.delete(("gems", "notes"), "one")
    assert client.store.search_items(("gems", "notes"))["items"] == []
