"""People in the loop over the LangGraph server, as `langgraph dev` serves the graph to its clients and to Studio."""

import json

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
