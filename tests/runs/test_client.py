"""The client of runs: one choice of models for many runs, from many threads, and asynchronous."""

import asyncio
import os
import threading

import pytest

import gems
from gems import BatchResult, Gems, ImageMade, RoleStarted, RunEnded, build_graph, run
from gems.errors import (
    CheckerError,
    ClosedClientError,
    GemsError,
    ModelSpecError,
    NodeError,
    RunError,
    RunStoppedError,
    SettingError,
    SkillError,
)
from gems.runs import client as module

PROMPT = "two red circles above a blue square"


@pytest.fixture
def client(tmp_path, sketcher):
    with Gems(image=sketcher, runs=tmp_path / "runs") as client:
        yield client


@pytest.fixture
def builds(monkeypatch):
    """Count the graphs that clients build."""
    built = []
    monkeypatch.setattr(module, "build_graph", lambda *args, **kwargs: built.append(1) or build_graph(*args, **kwargs))
    return built


def test_every_action_on_a_run_is_a_method(client):
    made = client.run(PROMPT, thread="t", preset="loop", seed=3, max_rounds=2)
    assert client.get("t").state == made.state
    forked = client.fork("t", round=1, name="f", max_rounds=1)
    assert [summary.thread for summary in client.list()] == ["t", "f"]
    assert client.resume("f").state == forked.state
    assert client.prune().removed == ()
    assert client.remove("t", "f").removed == ("t", "f")
    assert client.list() == []


def test_the_graph_is_compiled_once_for_all_runs_and_threads(client, builds):
    results = []
    threads = [
        threading.Thread(target=lambda seed=seed: results.append(client.run(PROMPT, preset="original", seed=seed)))
        for seed in range(4)
    ]
    client.run(PROMPT, preset="original")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.best.seed for result in results) == [0, 1, 2, 3]
    assert client.graph.invoke({"prompt": PROMPT}, context=gems.preset("original"))["attempts"]
    assert len(builds) == 1


def test_what_is_wrong_is_refused_before_anything_is_made(tmp_path, client):
    for options, error in (
        ({"chat": "nothing:at-all"}, ModelSpecError),
        ({"image": "diffusers:./none"}, ModelSpecError),
        ({"skills": ["no-folder"]}, SkillError),
        ({"skills": "no-folder"}, SkillError),
        ({"nodes": {"painter": len}}, NodeError),
        ({"nodes": {"verifier": None}}, NodeError),
        ({"nodes": {"verifier": 3}}, NodeError),
        ({"checkers": [object()]}, CheckerError),
    ):
        with pytest.raises(error):
            Gems(**options)
    with pytest.raises(SkillError, match=r"give a list of folders, such as \['no-folder'\]"):
        gems.run(PROMPT, skills="no-folder")
    assert repr(client) == f"Gems(runs={str(client.workspace.folder)!r})"
    with pytest.raises(SettingError):
        client.stream(PROMPT, max_rouds=3)
    with pytest.raises(RunError, match="prompt"):
        client.run("")
    assert not (tmp_path / "runs").exists()


def test_a_closed_client_says_so_and_its_runs_go_on(client, tmp_path, sketcher):
    events = client.stream(PROMPT, preset="original", thread="t")
    next(events)
    client.close()
    assert isinstance(list(events)[-1], RunEnded)
    for call in (
        lambda: client.run(PROMPT),
        lambda: client.resume("t"),
        client.list,
        lambda: client.graph,
        lambda: client.batch([]),
    ):
        with pytest.raises(ClosedClientError, match="make a new one"):
            call()
    assert Gems(image=sketcher, runs=tmp_path / "runs").get("t").decision


def test_a_run_is_resumed_with_its_own_models_unless_others_are_named(client, tmp_path, make_sketcher):
    client.run(PROMPT, thread="t", preset="original")
    with pytest.raises(RunError, match="image model of your own"):
        Gems(runs=tmp_path / "runs").resume("t")
    other = make_sketcher(1.0)
    assert Gems(image=other, runs=tmp_path / "runs").fork("t", round=1, name="f", max_rounds=1).decision
    assert other.made


def test_a_fork_is_not_made_without_the_skills_that_its_parent_has_loaded(client, tmp_path, sketcher):
    assert client.run(PROMPT, thread="t", preset="loop", plan="skills", max_rounds=1).state.skills
    with pytest.raises(RunError, match="which is missing now"):
        Gems(image=sketcher, runs=tmp_path / "runs", skills=gems.SkillLibrary()).fork("t", round=1, execute=False)
    assert [summary.thread for summary in client.list()] == ["t"]


def test_a_batch_yields_each_run_as_it_ends_and_an_error_ends_its_own_run_only(client):
    rows = [PROMPT, {"prompt": "a dragon"}, {"prompt": "a red star", "seed": 5, "preset": "loop", "thread": "star"}, {}]
    ended = list(client.batch(rows, concurrency=2, preset="original"))
    assert sorted(done.position for done in ended) == [0, 1, 2, 3]
    by_position = dict(sorted((done.position, done) for done in ended))
    assert by_position[0].result.best.prompt == PROMPT
    assert (by_position[2].result.thread, by_position[2].result.attempts[0].seed) == ("star", 5)
    assert isinstance(by_position[1].error, GemsError)
    assert by_position[3] == BatchResult(3, error=by_position[3].error)
    assert "prompt 3 of the batch is missing" in str(by_position[3].error)
    [number] = client.batch([3])
    assert "prompt 0 of the batch is missing in 3" in str(number.error)
    with pytest.raises(SettingError, match="a batch takes a list of prompts"):
        client.batch(PROMPT)
    with pytest.raises(SettingError, match="at least 1"):
        client.batch(rows, concurrency=0)


def test_a_batch_that_is_closed_starts_no_other_run(client):
    batch = client.batch([PROMPT] * 20, concurrency=1, preset="original")
    assert next(batch).result
    batch.close()
    assert 1 <= len(client.list()) <= 3
    control = module.RunControl()
    control.request_drain()
    assert [type(done.error) for done in client.batch([PROMPT] * 2, control=control)] == [RunStoppedError] * 2


def test_asynchronous_runs_go_on_beside_one_another(tmp_path, make_sketcher):
    both = threading.Barrier(2, timeout=30)

    class Together(type(make_sketcher())):
        def generate(self, requests):
            both.wait()  # breaks unless two runs generate at once
            return super().generate(requests)

    client, heard = Gems(image=Together(0.0), runs=tmp_path), []

    async def work():
        return await asyncio.gather(*(client.arun(PROMPT, preset="original", seed=seed, on_event=heard.append) for seed in (1, 2)))

    assert [result.best.seed for result in asyncio.run(work())] == [1, 2]
    assert len([event for event in heard if isinstance(event, RunEnded)]) == 2


def test_cancelling_a_task_lets_the_step_end_and_the_run_can_be_resumed_at_once(tmp_path, make_sketcher):
    model = make_sketcher(0.0, seconds=0.3)
    client = Gems(image=model, runs=tmp_path)

    async def work():
        generating = asyncio.Event()

        def on_event(event):
            if isinstance(event, RoleStarted) and event.role == "generator":
                generating.set()

        task = asyncio.create_task(client.arun(PROMPT, thread="t", preset="original", on_event=on_event))
        await generating.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [summary.standing for summary in client.list()]

    assert asyncio.run(work()) == ["unfinished"]
    assert client.resume("t").decision
    assert len(model.made) == 1  # the image of the step that ended was kept


def test_leaving_an_asynchronous_loop_stops_the_run(client):
    async def work():
        events = client.astream(PROMPT, thread="t", preset="loop", max_rounds=4)
        async for event in events:
            if isinstance(event, ImageMade):
                break
        await events.aclose()

    asyncio.run(work())
    assert [summary.standing for summary in client.list()] == ["unfinished"]
    with pytest.raises(RunError, match="exists already"):
        asyncio.run(client.arun(PROMPT, thread="t"))


def test_run_keeps_its_client_while_the_arguments_are_equal(tmp_path, sketcher, builds, monkeypatch):
    options = {"image": sketcher, "runs": tmp_path, "preset": "original"}
    for seed in range(2):
        run(PROMPT, seed=seed, **options)
    assert len(builds) == 1
    nodes = {"summarizer": lambda state: {}}
    run(PROMPT, **options, nodes=nodes)
    nodes["summarizer"] = lambda state: None  # in the same dict
    run(PROMPT, **options, nodes=nodes)
    assert len(builds) == 3
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    run(PROMPT, **options, nodes=nodes)
    assert len(builds) == 4
    kept = module._KEPT.client
    with Gems(image=sketcher) as other:
        assert other is not kept
        assert module._KEPT.client is None, "or its weights would stay beside those of the next client"


def test_a_forked_process_keeps_no_client_of_its_parent(tmp_path, sketcher):
    run(PROMPT, image=sketcher, runs=tmp_path, preset="original")
    assert module._KEPT.client is not None
    child = os.fork()
    if child == 0:
        os._exit(module._KEPT.client is not None)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_functions_of_before_do_what_the_methods_do(tmp_path, sketcher):
    models, heard = {"image": sketcher, "runs": tmp_path}, []
    last = list(gems.stream(PROMPT, thread="t", preset="loop", max_rounds=1, checkers="none", **models))[-1]
    assert gems.resume("t", **models).state == last.result.state == gems.past_run("t", tmp_path).state
    forked = gems.fork("t", round=1, name="f", on_event=heard.append, **models)
    assert heard[-1].thread == forked.thread == "f"
    assert gems.fork("t", round=1, name="g", **models).thread == "g"
    assert len(gems.past_runs(tmp_path, find="f")) == 1
    assert gems.prune(None, runs=tmp_path).removed == ()
    assert gems.remove(["t", "f"], tmp_path).removed == ("t", "f")
