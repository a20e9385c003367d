import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

import gems
from gems import GemsState, build_graph
from gems.graph.build import REVIEW_ROUTES, ROLES
from gems.graph.graph_svg import CHECKPOINTED, draw

SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg):
    """Give each box by its name: left, top, right, bottom."""
    found = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        rect, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        found[text.text] = (x, y, x + width, y + height)
    return found


def test_it_shows_every_role_and_every_way_out_of_the_review():
    svg = draw(build_graph())
    assert set(boxes(svg)) == {*ROLES, "START", "END"}
    said = " ".join(e.text or "" for e in ET.fromstring(svg).iter(f"{SVG}text"))
    assert all(str(way) in said for way in REVIEW_ROUTES)
    assert "selector to review" in ET.fromstring(svg).find(f"{SVG}desc").text


def test_a_graph_with_a_checkpointer_says_when_it_saves_and_one_without_does_not():
    assert CHECKPOINTED in draw(build_graph(checkpointer=InMemorySaver()))
    assert CHECKPOINTED not in draw(build_graph())


def test_boxes_stand_apart_within_the_frame_and_the_roles_in_the_order_of_a_round():
    svg = draw(build_graph())
    frame = [float(n) for n in ET.fromstring(svg).get("viewBox").split()]
    placed = boxes(svg)
    for name, (left, top, right, bottom) in placed.items():
        assert frame[0] < left < right < frame[0] + frame[2]
        assert frame[1] < top < bottom < frame[1] + frame[3]
        for other, (left2, top2, right2, bottom2) in placed.items():
            assert name == other or right < left2 or right2 < left or bottom < top2 or bottom2 < top, (name, other)
    heights = [placed[n][1] for n in ("planner", "review", "summarizer", "refiner", "generator", "verifier", "selector")]
    assert heights == sorted(set(heights))


def test_it_is_readable_on_a_telephone():
    svg = ET.fromstring(draw(build_graph()))
    letters = float(re.search(r"font: ([\d.]+)px", svg.find(f"{SVG}style").text).group(1))
    assert letters * min(1, 360 / float(svg.get("width"))) >= 9


def test_swapped_nodes_are_marked():
    inner = StateGraph(GemsState)
    inner.add_node("look", lambda state: {})
    inner.add_edge(START, "look")
    svg = draw(build_graph(verifier=lambda state: {}, refiner=inner.compile()))
    marked = [g.find(f"{SVG}text").text for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("class") == "yours"]
    assert sorted(marked) == ["refiner", "verifier"]
    assert "yours" not in [g.get("class") for g in ET.fromstring(draw(build_graph())).iter(f"{SVG}g")]


def test_any_graph_can_be_drawn():
    graph = StateGraph(GemsState)
    for name in ("first", "a node with <a> very long name", "last"):
        graph.add_node(name, lambda state: {})
    graph.add_edge(START, "first")
    graph.add_edge("first", "a node with <a> very long name")
    graph.add_edge("a node with <a> very long name", "last")
    graph.add_conditional_edges("last", lambda state: END, {"again": "first", "done": END, "enough": END})
    svg = draw(graph.compile())
    assert {"first", "last", "a node…name"} <= set(boxes(svg))
    assert "done, enough" in [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_node_that_nothing_leads_to_and_one_that_leads_to_itself_are_drawn():
    graph = StateGraph(GemsState)
    for name in ("first", "alone", "lost"):
        graph.add_node(name, lambda state: {})
    graph.add_edge(START, "first")
    graph.add_conditional_edges("first", lambda state: END, {"again": "first", "done": END})
    graph.add_conditional_edges("lost", lambda state: END, {"back": "lost", "on": "first"})
    svg = draw(graph.compile())
    placed = boxes(svg)
    assert {"first", "alone", "lost", "START", "END"} <= set(placed)
    left, top, right, bottom = placed["first"]
    loops = [
        xs for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("marker-end")
        for (x, y), *_, (end, to) in [[tuple(map(float, p)) for p in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d"))]]
        if x in (left, right) and top <= y < to <= bottom for xs in [re.findall(r"-?[\d.]+", path.get("d"))[::2]]
    ]  # fmt: skip
    assert len(loops) == 1, "out of its side, and back into the same"
    reach = max(abs(float(x) - (left + right) / 2) for x in loops[0])
    assert reach > (right - left) / 2 + 12, "not a stub"
    assert "again" in [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]
    assert "first to first (again)" in ET.fromstring(svg).find(f"{SVG}desc").text


@pytest.mark.parametrize("name", ["W" * 14, "日本語のとても長い名前の役", "a_very_long_name_in_lowercase", "i" * 60])
def test_long_names_are_cut_to_their_box_and_told_whole(name):
    graph = StateGraph(GemsState)
    graph.add_node(name, lambda state: {})
    graph.add_edge(START, name)
    group = next(g for g in ET.fromstring(draw(graph.compile())).iter(f"{SVG}g") if g.find(f"{SVG}title") is not None)
    assert group.find(f"{SVG}title").text == name
    shown = group.find(f"{SVG}text").text
    head, tail = shown.split("…")
    assert name.startswith(head)
    assert name.endswith(tail)
    wide = {"W": 12.4, "i": 3.5}.get(name[0], 12.5 if ord(name[0]) > 255 else 6.6)  # of such letters at 12.5 pixels
    assert wide * len(head + tail) + 12 <= 98


def test_the_command_writes_it_and_the_picture_of_the_readme_is_that(command, tmp_path):
    assert command("graph", "--out", tmp_path / "graph.svg")[0] == 0
    kept = Path(gems.__file__).parent / "docs" / "graph.svg"
    drawn = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert kept.read_text(encoding="utf-8") == drawn, "write it anew: gems graph --out docs/graph.svg"


@pytest.mark.parametrize(("options", "start"), [((), "<svg"), (("--mermaid",), "---")])
def test_the_command_prints_it(command, options, start):
    code, out, _ = command("graph", *options)
    assert code == 0
    assert out.startswith(start)
    assert "decomposer" in out
