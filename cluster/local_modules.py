"""Which modules of this process are the user's own, and what stood in them when they were loaded.

The user's own are those outside the standard library and the folders that packages are installed
in; what was installed as editable is the user's own as well. A module that is loaded goes on doing
what its file said then, whatever is written to it: that text is read once, and again when the
module is reloaded.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import os
import re
import site
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import dataflow
from dataflow.hashing.parsing import parse_again

Stamp = tuple[int, int]
SENT_MARK = "__dataflow_world__"
"""Modules that another process has sent to this one have this among their builtins."""
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import|import[ \t]+([^\n#;]+))", re.M)
_NEVER = frozenset(("__main__", "__mp_main__")) | sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class OwnModule:
    """A loaded module of the user's.

    Attributes:
        name: under which it is imported.
        spec: what it was loaded after; a module that is reloaded gets another one.
        path: its file; None: it is a package without one.
        places: the folders of a package.
        stamp: of the file, when it was looked at first.
        source: its text, if it is one of Python.
    """

    name: str
    spec: Any
    path: str | None
    places: tuple[str, ...]
    stamp: Stamp | None
    source: bytes | None

    @property
    def is_as_on_disk(self) -> bool:
        """Whether its file has not been written to since."""
        return self.path is None or stamp_of(self.path) == self.stamp


class OwnModules:
    """The user's own modules that this process has loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._looked_at: dict[str, tuple[Any, OwnModule | None]] = {}
        self._own: dict[str, OwnModule] = {}

    def now(self) -> dict[str, OwnModule]:
        """Those that are loaded at present, by name."""
        with self._lock:
            names = list(sys.modules)
            is_as_before = names == self._names and all(
                getattr(sys.modules.get(name), "__spec__", None) is own.spec
                for name, own in self._own.items()
            )
            if not is_as_before:
                self._names, self._own = names, self._look()
            return self._own

    def _look(self) -> dict[str, OwnModule]:
        found = {}
        for name, module in list(sys.modules.items()):
            spec = getattr(module, "__spec__", None)
            known = self._looked_at.get(name)
            if known is None or known[0] is not spec:
                known = self._looked_at[name] = spec, _look_at(name, module, spec)
            if known[1] is not None:
                found[name] = known[1]
        return found


own_modules = OwnModules()
"""Of this process."""


def _look_at(name: str, module: ModuleType, spec: Any) -> OwnModule | None:
    if name.partition(".")[0] in _NEVER or getattr(spec, "name", None) != name:
        return None
    inside = getattr(module, "__builtins__", None)
    if isinstance(inside, dict) and SENT_MARK in inside:
        return None
    path = getattr(module, "__file__", None)
    places = tuple(str(place) for place in getattr(module, "__path__", ()))
    if path is None:
        places = tuple(filter(is_own, places))
        return OwnModule(name, spec, None, places, None, None) if places else None
    if not (isinstance(path, str) and is_own(path) and Path(path).is_file()):
        return None
    stamp = stamp_of(path)
    source = Path(path).read_bytes() if path.endswith(".py") else None
    return OwnModule(name, spec, path, places, stamp, source)


def stamp_of(path: str) -> Stamp | None:
    """What changes when a file is written to; None: it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of many files, at each run
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def is_own(path: str) -> bool:
    """Whether a file or folder is the user's own: nobody has installed it."""
    if not path.startswith(os.sep):
        path = str(Path(path).absolute())
    return not path.startswith(_installed()) and "-packages" + os.sep not in path + os.sep


@functools.cache
def _installed() -> tuple[str, ...]:
    """Where the standard library, installed packages and dataflow itself are."""
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [str(Path(os.__file__).parent), *site.getsitepackages(), site.getusersitepackages()]
    root = Path(dataflow.__file__).parents[1]
    folders += [str(root / package) for package in ("dataflow", "runners", "cluster")]
    both = {*folders, *map(os.path.realpath, folders)}
    return tuple(folder + os.sep for folder in both)


# --- what they import, perhaps later --------------------------------------------------------------


def imported_names(source: bytes) -> set[str]:
    """The top-level names that a text of Python imports anywhere, and some that look like it."""
    names = set()
    for package, several in _IMPORT.findall(source):
        for each in [package] if package else several.split(b","):
            name = each.split()[0].partition(b".")[0] if each.split() else b""
            names.add(name.decode(errors="replace"))
    return {name for name in names if name.isidentifier()}


def truly_imports(source: bytes, name: str) -> bool:
    """Whether a name that looks like it is imported: it may stand in a text, or a comment."""
    try:
        nodes = list(ast.walk(parse_again(ast.parse, source)))
    except (SyntaxError, ValueError):  # a cell with a line for the shell
        return True
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(each.partition(".")[0] == name for each in names)


def find_own(name: str) -> OwnModule | None:
    """A module of the user's that is not loaded; None: it is none of theirs, or not there."""
    if name in _NEVER or name in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = tuple(filter(is_own, spec.submodule_search_locations or ()))
    if spec.has_location and spec.origin is not None:
        if not is_own(spec.origin) or not Path(spec.origin).is_file():
            return None
        return OwnModule(name, spec, spec.origin, places, None, None)
    return OwnModule(name, spec, None, places, None, None) if places else None


def texts_without_file() -> list[bytes]:
    """What else imports modules: the script or the notebook, and files that travel by value."""
    main = sys.modules.get("__main__")
    cells = getattr(main, "In", None)
    found = [str(cell).encode() for cell in cells] if isinstance(cells, list) else []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        is_by_value = name == "__main__" or getattr(module, "__spec__", None) is None
        if is_by_value and isinstance(path, str) and path.endswith(".py") and is_own(path):
            try:
                found.append(Path(path).read_bytes())
            except OSError:
                continue
    return found
