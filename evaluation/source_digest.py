"""A digest of the code and values that a node, a checker or a model consists of, so that other code has another digest."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel

from ..models.image.base import ImageModel
from ..storage.image_store import ImageStore

PLAIN = (type(None), bool, int, float, complex, str, bytes, PurePath, re.Pattern, Enum)
"""Values that are known by what Python writes for them."""
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages."""


def source_digest(thing: Any) -> str:
    """Return 16 hex digits that change with the code of an object, and with the values that it holds.

    Of a function these are its code, its defaults, its closure, and what it names of the user's modules; of an object its class and
    its attributes. Code counts as it was loaded: an edited file that was not imported again changes nothing. Of libraries and of
    GEMS only the functions themselves count, and the plain attributes of objects.
    """
    digester = _Digester()
    digester.add(thing)
    return digester.hash.hexdigest()[:16]


class _Digester:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._seen: dict[int, Any] = {}  # the objects too: the number of one that is gone may be another's

    def _write(self, *texts: object) -> None:
        for text in texts:
            self.hash.update(f"{text}\0".encode("utf-8", "replace"))

    def add(self, thing: Any) -> None:
        self._write(type(thing).__qualname__)
        if isinstance(thing, PLAIN):
            self._write(repr(thing))
        elif id(thing) not in self._seen:
            self._seen[id(thing)] = thing
            self._add_parts(thing)

    def _add_parts(self, thing: Any) -> None:
        if isinstance(thing, dict | types.MappingProxyType):
            self._add_named(thing.items())
        elif isinstance(thing, list | tuple):
            self._add_all(thing)
        elif isinstance(thing, set | frozenset):
            self._write(*sorted(source_digest(part) for part in thing))
        elif isinstance(thing, np.ndarray):
            self._write(thing.dtype, thing.shape, hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest())
        elif isinstance(thing, types.FunctionType):
            self._add_function(thing)
        elif isinstance(thing, types.MethodType):
            self._add_all((thing.__func__, thing.__self__))
        elif isinstance(thing, functools.partial):
            self._add_all((thing.func, thing.args, thing.keywords))
        elif isinstance(thing, staticmethod | classmethod):
            self.add(thing.__func__)
        elif isinstance(thing, property):
            self._add_all((thing.fget, thing.fset))
        elif isinstance(thing, types.BuiltinFunctionType):
            self._add_native(thing)
        elif isinstance(thing, types.ModuleType):
            self._add_module(thing)
        elif isinstance(thing, type):
            self._add_class(thing)
        elif isinstance(thing, Pregel):
            self._add_graph(thing)
        else:
            self._add_object(thing)

    def _add_all(self, things: Iterable[Any]) -> None:
        for thing in things:
            self.add(thing)

    def _add_named(self, items: Iterable[tuple[Any, Any]]) -> None:
        for name, thing in sorted(items, key=lambda item: repr(item[0])):
            self._write(repr(name))
            self.add(thing)

    def _add_function(self, function: types.FunctionType) -> None:
        self._write(function.__module__, function.__qualname__)
        self._add_code(function.__code__)
        self._add_all((function.__defaults__, function.__kwdefaults__))
        self._add_all(cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell))
        if is_own(function.__module__):
            names = sorted(set(_names_in(function.__code__)) & set(function.__globals__))
            self._add_named((name, function.__globals__[name]) for name in names)

    def _add_code(self, code: types.CodeType) -> None:
        self._write(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self._write(repr(sorted(constant, key=repr)) if isinstance(constant, frozenset) else repr(constant))

    def _add_native(self, function: Any) -> None:
        self._write(function.__module__, function.__qualname__)
        file = getattr(sys.modules.get(function.__module__ or ""), "__file__", None)
        if file is not None and is_own(function.__module__):
            self._write(hashlib.sha256(Path(file).read_bytes()).hexdigest())

    def _add_module(self, module: types.ModuleType) -> None:
        self._write(module.__name__)
        if is_own(module.__name__):
            self._add_named((name, part) for name, part in vars(module).items() if not name.startswith("__"))

    def _add_class(self, kind: type) -> None:
        self._write(kind.__module__, kind.__qualname__)
        if is_own(kind.__module__):
            self._add_all(kind.__bases__)
            parts = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property, functools.partial)
            values = (*PLAIN, tuple, list, dict, set, frozenset)
            self._add_named(
                (name, part)
                for name, part in vars(kind).items()
                if isinstance(part, (*parts, *values)) and not re.match(r"__(?!call__|init__|post_init__|new__)|_abc_", name)
            )

    def _add_graph(self, graph: Pregel[Any, Any, Any, Any]) -> None:
        self._add_named((name, node.bound) for name, node in graph.nodes.items())
        builder = getattr(graph, "builder", None)  # of a compiled StateGraph
        self._write(sorted(map(str, getattr(builder, "edges", ()))))
        for branches in getattr(builder, "branches", {}).values():
            self._add_named((name, branch.path) for name, branch in branches.items())

    def _add_object(self, thing: Any) -> None:
        if isinstance(thing, ImageStore):  # images are the same wherever they are
            return
        self.add(type(thing))
        if isinstance(thing, ImageModel):  # as everywhere in a study; what else it holds are weights and caches
            self._write(thing.name, sorted(thing.settings.items()))
            return
        if isinstance(wrapped := getattr(thing, "__wrapped__", None), types.FunctionType):  # such as by functools.cache
            self.add(wrapped)
        own = is_own(type(thing).__module__)
        code = (types.FunctionType, types.MethodType, functools.partial, Runnable, *PLAIN)
        self._add_named((name, part) for name, part in _attributes(thing) if own or isinstance(part, code))


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if isinstance(name, str) and hasattr(thing, name):
                yield name, getattr(thing, name)


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


@functools.cache
def is_own(module: str | None) -> bool:
    """Return whether a module is of the user: neither of Python, nor of an installed package, nor of GEMS."""
    if not module or module.split(".")[0] == __name__.split(".")[0] or module.split(".")[0] in sys.stdlib_module_names:
        return module == "__main__"
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is None or INSTALLED.isdisjoint(Path(file).resolve().parts)
