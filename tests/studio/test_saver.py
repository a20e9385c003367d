"""The saver of LangGraph's server, without a server."""

import asyncio

from gems import Gems, build_graph, run, studio_id


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
        graph = build_graph(image=sketcher, image_store=home.images_for(opened), checkpointer=saver)
        states, done = asyncio.run(work(graph))
        assert states[0].values["attempts"] == first.attempts
        assert states[0].config["configurable"]["thread_id"] == studio_id("one")
        asyncio.run(saver.aprune([studio_id("one")]))
        assert opened.row_count("one") < len(states)
    assert done["attempts"][0].prompt == Gems(runs=home).get("one").best.prompt == "a green star"
    removed = Gems(runs=home).remove("one")
    assert removed.images == 2
