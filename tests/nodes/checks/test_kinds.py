"""The kinds of checks: one table for the state's names and the decomposer's prompt."""

from typing import get_args

from gems.memory.state import CheckKind
from gems.nodes.checks.kinds import KINDS, list_kinds
from gems.nodes.decomposer import SYSTEM


def test_each_kind_of_the_state_is_named_to_the_decomposer():
    assert tuple(KINDS) == get_args(CheckKind)
    assert SYSTEM.endswith(list_kinds())
