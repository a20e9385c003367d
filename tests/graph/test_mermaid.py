"""The graph as LangGraph draws it: in the terminal, in README, and as the picture of the docs."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import gems
from gems import build_graph
from gems.graph.build import ROLES

ROOT = Path(gems.__file__).parent


def test_the_command_prints_what_readme_and_the_picture_of_the_docs_are_made_from(command):
    code, text, _ = command("graph")
    assert code == 0
    assert all(f"\t{role}(" in text for role in ROLES)
    assert command("graph", "--mermaid")[1] == text
    assert f"```mermaid\n{text}```\n" in (ROOT / "README.md").read_text("utf-8"), "put the text of `gems graph` into README"
    picture = ET.parse(ROOT / "docs" / "graph.svg").getroot()
    assert picture[0].text == text, "make the picture anew: see docs/_ext/graph.py"


def test_it_is_written_to_files_for_mermaid_and_for_pages_and_not_as_a_picture(command, tmp_path):
    text = command("graph")[1]
    assert [command("graph", "--out", tmp_path / name)[0] for name in ("graph.mmd", "graph.md")] == [0, 0]
    assert (tmp_path / "graph.mmd").read_text("utf-8") == text
    assert (tmp_path / "graph.md").read_text("utf-8") == f"```mermaid\n{text}```\n"
    code, _, err = command("graph", "--out", tmp_path / "graph.svg")
    assert code == 2
    assert "Mermaid text, for a .mmd or .md" in " ".join(err.replace("│", "").split())
    assert not (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize("swap", [{}, {"verifier": lambda state: {}, "refiner": build_graph()}])
def test_swapped_nodes_are_marked(swap):
    lines = build_graph(**swap).get_graph().draw_mermaid().splitlines()
    assert {line.strip().partition("(")[0] for line in lines if "swapped = True" in line} == set(swap)
