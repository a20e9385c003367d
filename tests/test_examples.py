"""Every public function and class has an example in its docstring: it compiles, and all that it uses exists."""

import ast
import builtins
import inspect
import textwrap

import pytest

import gems

PUBLIC = [name for name in gems.__all__ if inspect.isfunction(getattr(gems, name)) or inspect.isclass(getattr(gems, name))]


def example(name):
    """Return the code of a public name's example, empty if there is none."""
    _, _, after = inspect.getdoc(getattr(gems, name)).partition("Example:\n    ```python\n")
    code, end, _ = after.partition("```")
    return textwrap.dedent(code).strip() if end else ""


def test_every_public_function_and_class_has_an_example():
    assert [name for name in PUBLIC if not example(name)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_compiles_and_all_that_it_uses_exists(name):
    code = example(name)
    compile(code, name, "exec", dont_inherit=True)
    nodes = list(ast.walk(ast.parse(code)))
    defined = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.alias)}
    defined |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    defined |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler)}
    loaded = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert loaded - defined - set(dir(builtins)) <= {"gems"}
    of_gems = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == "gems"]
    assert {node.attr for node in of_gems} <= set(gems.__all__)
    for call in nodes:
        if isinstance(call, ast.Call) and call.func in of_gems:
            takes(getattr(gems, call.func.attr), call)


def takes(function, call):
    """Assert that a function takes the arguments of a call; further ones of a run are settings."""
    arguments = inspect.signature(function).bind(*call.args, **{keyword.arg: keyword.value for keyword in call.keywords}).arguments
    assert set(arguments.get("settings", ())) <= set(gems.RunContext.model_fields)
