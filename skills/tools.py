"""Skills as tools that the planner's model calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import BaseModel, Field, create_model

from ..errors import SkillError
from .library import SkillLibrary

LOAD_DESCRIPTION = """\
Read the instructions of one skill before you write the prompt.

Call it for a skill whose description matches what makes this request hard, and only then: a request that needs no skill is \
best drawn in the user's own words. Call it once for each skill that you need, never twice for the same one. The answer is \
guidance on how to write; the user's request stays the measure of what to draw."""

READ_DESCRIPTION = """\
Read one reference file of a skill that you have loaded: tables and wordings too long for its instructions.

Call it when the instructions point to a file and the request needs that detail. Take the file's name from the list that \
load_skill returned."""


def skill_tools(library: SkillLibrary) -> list[BaseTool]:
    """Return the tools `load_skill` and, if a skill has more files than SKILL.md, `read_skill_file`; none for an empty library.

    A mistake of the model (an unknown name, a missing file) is returned to it as an error message, never as an exception.
    """
    tools: list[BaseTool] = []
    if library.names:
        tools.append(_load_skill(library))
    if with_files := [skill.name for skill in library if skill.has_files]:
        tools.append(_read_skill_file(library, with_files))
    return tools


def _load_skill(library: SkillLibrary) -> BaseTool:
    def load_skill(name: str) -> str:
        try:
            skill = library.get(name)
            body, files = skill.body, skill.files
        except SkillError as error:
            raise ToolException(str(error)) from error
        content = f'<skill_content name="{name}">\n{body}\n</skill_content>'
        listed = "\n".join(f"- {file}" for file in files)
        return f"{content}\n\nReference files of this skill, for read_skill_file:\n{listed}" if files else content

    return _tool(load_skill, LOAD_DESCRIPTION, name=_one_of(library.names, "The skill to read."))


def _read_skill_file(library: SkillLibrary, names: Sequence[str]) -> BaseTool:
    def read_skill_file(name: str, file: str) -> str:
        try:
            return library.get(name).read(file)
        except SkillError as error:
            raise ToolException(str(error)) from error

    name = _one_of(names, "The skill that has the file.")
    file = (str, Field(description="The file's name as load_skill listed it, such as references/notes.md."))
    return _tool(read_skill_file, READ_DESCRIPTION, name=name, file=file)


def _one_of(names: Sequence[str], description: str) -> Any:
    return (Literal[tuple(names)], Field(description=description))


def _tool(function: Callable[..., str], description: str, **fields: Any) -> BaseTool:
    schema: type[BaseModel] = create_model(function.__name__, **fields)
    return StructuredTool.from_function(
        function,
        description=description,
        args_schema=schema,
        handle_tool_error=True,
        handle_validation_error=_call_error,
    )


def _call_error(error: Any) -> str:  # pydantic's ValidationError; langchain-core's type includes that of pydantic v1
    problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return f"The call was not understood: {problems}. Call again with corrected arguments."
