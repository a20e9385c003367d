"""One memory for both doors: what Python made is open on the server, and what the server made is open in Python."""

import asyncio
import re
import sqlite3
from datetime import timedelta

import httpx
import pytest
from langgraph_sdk.errors import ConflictError

from gems import Workspace, build_graph, fork, get_run, list_runs, prune, remove, resume, run, stream, studio_id
from gems.errors import RunError
from gems.events import RoleEnded
from gems.runs.manifest import read_manifest
from gems.runs.prune import claim_owners
from gems.studio.graphs import graph_of, roles_of

from .conftest import QUICK

IN_USE = "is in progress in another process: wait for it, or end it"


@pytest.fixture
def made(studio):
    """A run that Python made while the server runs, with its thread there."""
    result = run("a red circle", preset="original", runs=studio.runs)
    return result.thread, studio_id(result.thread)


def rows_of(studio, name):
    with Workspace(studio.runs).database.open() as opened:
        return opened.rows(name)


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

    read = get_run(name, studio.runs)
    assert (read.decision, read.best.prompt) == ("give up", "a green star")
    assert resume(name, runs=studio.runs).image_path.exists()
    assert [p.standing for p in list_runs(studio.runs) if p.thread == name] == ["gave up"]
    other = fork(name, round=1, prompt="a blue square", runs=studio.runs)
    assert other.best.prompt == "a blue square"
    assert f"/{name}" in str(read.folder)


def test_a_run_of_the_server_is_one_of_python_with_the_settings_it_had(studio, drawn):
    thread, done = drawn
    assert thread in [past.thread for past in list_runs(studio.runs)]
    read = resume(thread, runs=studio.runs)
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
    assert get_run(thread, studio.runs).best.score.passed == 3
    assert graph_of(roles_of("mine")) == "mine"
    with pytest.raises(RunError, match="those of the graph mine"):
        resume(thread, runs=studio.runs)
    assert resume(thread, runs=studio.runs, nodes={"verifier": lambda state: {}}).report_path.exists()


def test_a_waiting_run_of_python_is_answered_on_the_server(studio, client):
    result = run("a red circle", preset="original", review="image", runs=studio.runs)
    assert result.waiting
    thread = studio_id(result.thread)
    assert client.threads.get_state(thread)["next"] == ["review"]
    done = client.runs.wait(thread, "gems", command={"resume": {"action": "accept"}}, context={**QUICK, "review": "image"})
    assert done["result"]["reason"].startswith("a person accepted it")
    assert get_run(result.thread, studio.runs).decision == "accept"


def test_a_run_that_python_has_in_hand_is_left_alone(studio, made, client):
    name, thread = made
    past = before_drawing(client, thread)["checkpoint"]["checkpoint_id"]
    rows = rows_of(studio, name)
    with Workspace(studio.runs).database.open() as opened, opened.hold(name):
        with pytest.raises(ConflictError, match=IN_USE):
            client.threads.update_state(thread, {"draft": "x"}, as_node="refiner", checkpoint_id=past)
        with pytest.raises(ConflictError, match=IN_USE):
            client.threads.delete(thread)
    assert rows_of(studio, name) == rows
    assert get_run(name, studio.runs).best.prompt == "a red circle"


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
    assert resume("asked", runs=studio.runs, answer={"action": "accept"}).decision == "accept"


def test_the_server_takes_no_step_while_a_stream_of_python_pauses(studio, client):
    events = stream("two red circles", thread="paused", runs=studio.runs, **QUICK)
    next(event for event in events if isinstance(event, RoleEnded) and event.role == "review")  # the generator is next
    told = client.runs.wait(studio_id("paused"), "gems", input=None, context=QUICK, raise_error=False)
    assert re.search(IN_USE, told["__error__"]["message"])
    with Workspace(studio.runs).database.open() as opened:
        found = opened.saver.get_tuple({"configurable": {"thread_id": "paused"}})
    assert "attempts" not in [channel for _, channel, _ in found.pending_writes]
    assert not Workspace(studio.runs).images.noted(studio_id("paused"))  # refused before it drew anything
    assert len(list(events)[-1].result.attempts) == 1


def test_a_run_that_is_removed_while_the_server_draws_leaves_nothing(studio, client):
    thread = client.threads.create()["thread_id"]
    done = client.runs.wait(thread, "removed", input={"prompt": "a red circle"}, context=QUICK, raise_error=False)
    assert done["__error__"]["message"].startswith(f"410: the run {thread} was removed")
    assert rows_of(studio, thread) == 0
    assert not (studio.runs / thread).exists()
    assert thread not in [past.thread for past in list_runs(studio.runs)]
    home = Workspace(studio.runs)
    assert all(not home.images.noted(owner) for owner in claim_owners(thread))


def test_a_run_that_was_removed_is_run_again_on_its_thread(studio, client):
    thread = client.threads.create()["thread_id"]
    for prompt in ("a red circle", "a blue square"):
        client.runs.wait(thread, "gems", input={"prompt": prompt}, context=QUICK)
        client.threads.get(thread)
        assert [past.prompt for past in list_runs(studio.runs) if past.thread == thread] == [prompt]
        assert get_run(thread, studio.runs).best.prompt == prompt
        assert remove([thread], studio.runs).removed == (thread,)


def test_a_run_made_again_under_its_name_is_listed_as_it_is_now(studio, client):
    thread = studio_id("again")
    for prompt, rounds in (("a red circle", 1), ("a blue square", 2)):
        run(prompt, thread="again", runs=studio.runs, **{**QUICK, "max_rounds": rounds})
        metadata = client.threads.get(thread)["metadata"]
        assert (metadata["prompt"], metadata["settings"]["max_rounds"]) == (prompt, rounds)
        assert client.threads.get_state(thread)["values"]["prompt"] == prompt
        remove(["again"], studio.runs)


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
    had = get_run(thread, studio.runs).context
    assert (had.max_rounds, had.refiner_prompt, had.seed, had.plan) == (1, "", 0, "none")


def test_what_is_removed_at_one_door_is_gone_at_the_other(studio, made, client):
    name, thread = made
    client.threads.get(thread)
    remove([name], studio.runs)
    assert client.threads.search(metadata={"run": name}) == []

    server_thread = client.threads.create()["thread_id"]
    done = client.runs.wait(server_thread, "gems", input={"prompt": "a red circle"}, context=QUICK)
    client.threads.delete(server_thread)
    assert server_thread not in [past.thread for past in list_runs(studio.runs)]
    assert not (studio.runs / server_thread).exists()
    digest = done["attempts"][0]["image"]["sha256"]
    assert httpx.get(f"{studio.url}/images/{digest}.png").is_success  # until it is pruned, a day later
    home = Workspace(studio.runs)
    assert all(not home.images.noted(owner) for owner in claim_owners(server_thread))
    assert prune(timedelta(days=1), dry_run=True, runs=studio.runs).removed == ()


def test_settings_and_headers_are_not_kept_in_the_clear(studio, client):
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, "gems", input={"prompt": "a red circle"}, context={**QUICK, "negative_prompt": "a word to hide"})
    with sqlite3.connect(studio.runs / "gems.sqlite") as database:
        rows = database.execute("SELECT metadata FROM checkpoints WHERE thread_id = ?", (thread,)).fetchall()
    assert rows
    assert not [row for row in rows if b"hide" in bytes(row[0]) or b"127.0.0.1" in bytes(row[0])]
    assert get_run(thread, studio.runs).context.negative_prompt == "a word to hide"


def test_the_lessons_of_python_are_the_servers(studio, client):
    client.store.put_item(("gems", "notes"), "one", {"text": "hello"})
    with Workspace(studio.runs).database.open() as opened:
        assert opened.store.get(("gems", "notes"), "one").value == {"text": "hello"}
        opened.store.delete(("gems", "notes"), "one")
    assert client.store.search_items(("gems", "notes"))["items"] == []


def test_the_saver_forks_a_run_by_its_id_in_either_database(home, sketcher):
    from gems.studio.saver import ServerSaver

    first = run("a red circle", preset="original", image=sketcher, runs=home, thread="one")
    config = {"configurable": {"thread_id": studio_id("one")}}

    async def work(graph):
        states = [state async for state in graph.aget_state_history(config)]
        past = next(state for state in states if state.next == ("generator",))
        at = await graph.aupdate_state(past.config, {"draft": "a green star"}, as_node="refiner")
        assert at["configurable"]["thread_id"] == studio_id("one")
        return states, await graph.ainvoke(None, at, context=first.context)

    with home.database.open() as opened:
        saver = ServerSaver(opened, home)
        graph = build_graph(image=sketcher, image_store=home.images_in(opened), checkpointer=saver)
        states, done = asyncio.run(work(graph))
        assert states[0].values["attempts"] == first.attempts
        assert states[0].config["configurable"]["thread_id"] == studio_id("one")
        asyncio.run(saver.aprune([studio_id("one")]))
        assert opened.rows("one") < len(states)
    assert done["attempts"][0].prompt == get_run("one", home).best.prompt == "a green star"
    removed = remove(["one"], home)
    assert removed.images == 2
