"""The tools: what a planning model is offered, and what it is told when it errs."""

import pytest
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from gems.skills import Skill, SkillLibrary, skill_tools


@pytest.fixture
def library(write_skill) -> SkillLibrary:
    write_skill("fog", references={"thick.md": "very thick"})
    return SkillLibrary(tuple(s for s in SkillLibrary.load([write_skill("snow").parent]) if s.name in {"fog", "snow"}))


def call(library, tool, **arguments):
    """Call a tool as a graph does and return its message."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(skill_tools(library)))
    graph.set_entry_point("tools")
    request = AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "1"}])
    return graph.compile().invoke({"messages": [request]})["messages"][-1]


def test_the_names_are_an_enum_of_the_schema(library):
    load, read = (convert_to_openai_tool(tool)["function"] for tool in skill_tools(library))

    assert (load["name"], read["name"]) == ("load_skill", "read_skill_file")
    assert load["parameters"]["properties"]["name"]["enum"] == ["fog", "snow"]
    assert load["parameters"]["required"] == ["name"]
    assert read["parameters"]["required"] == ["name", "file"]
    assert set(read["parameters"]["properties"]) == {"name", "file"}
    assert "own words" in load["description"]


def test_only_skills_with_references_can_be_read(library):
    read = convert_to_openai_tool(skill_tools(library)[1])["function"]["parameters"]["properties"]["name"]
    assert read.get("enum", [read.get("const")]) == ["fog"]


def test_a_skill_is_loaded_with_its_list_of_files(library):
    message = call(library, "load_skill", name="fog")
    assert message.content == (
        '<skill_content name="fog">\nWrite fog.\n</skill_content>\n\n'
        "Reference files of this skill, for read_skill_file:\n- references/thick.md"
    )
    assert message.status == "success"
    assert call(library, "load_skill", name="snow").content == '<skill_content name="snow">\nWrite fog.\n</skill_content>'


def test_a_reference_is_read(library):
    assert call(library, "read_skill_file", name="fog", file="references/thick.md").content == "very thick"


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("load_skill", {"name": "rain"}, "name: Input should be 'fog' or 'snow'"),
        ("load_skill", {}, "name: Field required"),
        ("read_skill_file", {"name": "fog", "file": "../snow/SKILL.md"}, "choose one of references/thick.md"),
        ("read_skill_file", {"name": "fog", "file": "/etc/passwd"}, "has no file '/etc/passwd'"),
        ("read_skill_file", {"name": "snow", "file": "x"}, "Input should be 'fog'"),
        ("read_skill_file", {"name": "fog"}, "file: Field required"),
    ],
)
def test_a_mistake_comes_back_as_an_error_message(library, tool, arguments, told):
    message = call(library, tool, **arguments)
    assert message.status == "error"
    assert told in message.content


def test_a_skill_that_is_gone_comes_back_as_an_error_message(library):
    (library.get("snow").path / "SKILL.md").unlink()
    message = call(library, "load_skill", name="snow")
    assert message.status == "error"
    assert message.content.startswith("skill 'snow': SKILL.md:1: the file cannot be read")


def test_there_are_no_tools_without_skills():
    assert skill_tools(SkillLibrary()) == []


def test_there_is_no_reader_without_references(write_skill):
    alone = Skill(name="fog", description="Adds fog.", path=write_skill())
    assert [tool.name for tool in skill_tools(SkillLibrary((alone,)))] == ["load_skill"]
