"""Modules that are found under one name and have another: their specs, and running their code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any


def real_spec(name: str, found: ModuleSpec, shown: Callable[[str], str]) -> ModuleSpec:
    """The spec of a module under the name that it is to have.

    Args:
        name: that name.
        found: its spec under the other one.
        shown: what tracebacks are to call a file of Python.
    """
    places = found.submodule_search_locations
    path = found.origin if found.has_location else None
    if path is None:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [*(places or ()), *_other_parts(name)]
        return spec
    loader: Any = found.loader
    if type(loader) is SourceFileLoader:
        loader = _SourceLoader(name, path, shown(path))
    else:
        loader = type(loader)(name, path)
    real = importlib.util.spec_from_file_location(
        name, path, loader=loader, submodule_search_locations=places
    )
    assert real is not None
    return real


def execute(module: ModuleType, spec: Any) -> None:
    """Run a module's code with its real spec, in place of that which it was found by."""
    if spec.loader is None or not hasattr(spec.loader, "exec_module"):
        module.__spec__ = spec
        return
    spec._initializing = True  # others wait for it, as soon as they see this spec
    module.__spec__ = spec
    try:
        spec.loader.exec_module(module)
    finally:
        spec._initializing = False


def _other_parts(name: str) -> list[str]:
    """Where else a namespace package has parts: those that are installed."""
    if "." in name:
        return []
    spec = PathFinder.find_spec(name)
    is_namespace = spec is not None and not spec.has_location
    return list(spec.submodule_search_locations or ()) if spec and is_namespace else []


class _SourceLoader(SourceFileLoader):
    """Has tracebacks name the file that the user knows."""

    def __init__(self, name: str, path: str, shown: str) -> None:
        super().__init__(name, path)
        self._shown = shown

    def get_code(self, fullname: str) -> CodeType:
        """The module's code, which is not cached on disk: each worker unpacks it once."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self._shown)
        return code
