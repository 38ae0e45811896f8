"""Several versions of the user's modules in one process, each in a world of its own.

A world is a folder with the files of one version. Python's import system loads its modules, under
a prefix of their own and with the names that users gave them. An ``import`` statement in them asks
their world, in any thread, by the ``__import__`` among their builtins. Who imports by name (pickle,
typing) finds in ``sys.modules`` the module of whoever was first; it answers each with what theirs
has: the world of the code that asks, of the batch that is carried out, or of the innermost function
of a world that is being called; else with what the process itself imports.
What belongs to the process is shared: environment, loggers, libraries that were patched.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context, ContextVar
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from cluster.local_modules import SENT_MARK
from runners.renamed_modules import execute, real_spec

_PREFIX = "dataflow_world_"
_numbers = count(1)


class NativeWorld:
    """What the process can import by itself.

    Attributes:
        kept: for who loads things in a world and wants them again.
    """

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}
        self._aside: dict[str, ModuleType] = {}
        self._lock = threading.RLock()

    def has(self, name: str) -> bool:
        """Nothing is kept from it."""
        return True

    def load(self, name: str) -> ModuleType:
        """A module that some world has in ``sys.modules`` already, as it is without that.

        Raises:
            ModuleNotFoundError: there is none.
        """
        there = sys.modules.get(name)
        if there is not None and _owner_of(there) is self:
            return there
        with self._lock, entered(self):
            return self._aside.get(name) or self._load(name)

    def take_back(self, name: str) -> ModuleType | None:
        """What was loaded aside, which may stand in ``sys.modules`` now."""
        return self._aside.pop(name, None)

    def _load(self, name: str) -> ModuleType:
        parent, _, last = name.rpartition(".")
        package = self.load(parent) if parent else None
        path = None if package is None else package.__path__
        spec = _find_native(name, path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = self._aside[name] = importlib.util.module_from_spec(spec)
        try:
            if spec.loader is not None:
                spec.loader.exec_module(module)
        except BaseException:
            self._aside.pop(name, None)
            raise
        if package is not None:
            setattr(package, last, module)
        return module


class World:
    """One version of some modules.

    Args:
        folder: where its files are, as if it were on ``sys.path``.
        origins: of files in it, by their path there: what tracebacks are to call them.

    Attributes:
        kept: for who loads things in a world and wants them again.
    """

    def __init__(self, folder: Path, origins: Mapping[str, str]) -> None:
        self.folder = folder
        self.kept: dict[Any, Any] = {}
        self.modules: dict[str, ModuleType] = {}
        self.prefix = f"{_PREFIX}{next(_numbers)}"
        self.builtins = {**vars(builtins), "__import__": self._import, SENT_MARK: self}
        self._origins = origins
        self._names = {entry.name.partition(".")[0] for entry in folder.iterdir()}
        root: Any = ModuleType(self.prefix)
        root.__path__, root.world = [str(folder)], self
        sys.modules[self.prefix] = root
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        _worlds.append(self)
        for name in filter(self.has, list(sys.modules)):  # these are others'
            _share(name)

    def has(self, name: str) -> bool:
        """Whether a module is its business: of its own files, there or not."""
        return name.partition(".")[0] in self._names

    def load(self, name: str) -> ModuleType:
        """A module of this version.

        Raises:
            ModuleNotFoundError: it is not among the files.
            Exception: what the module itself raised.
        """
        module = self.modules.get(name)
        if module is not None and not _is_loading(module):
            return module
        try:
            with entered(self):
                importlib.import_module(f"{self.prefix}.{name}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(self.prefix):
                raise
            text = str(error).replace(f"{self.prefix}.", "")
            missing = (error.name or "").removeprefix(f"{self.prefix}.")
            raise ModuleNotFoundError(text, name=missing) from None
        return self.modules[name]

    def origin_of(self, path: str) -> str:
        """What tracebacks are to call one of its files."""
        inside = Path(path)
        if inside.is_relative_to(self.folder):
            return self._origins.get(inside.relative_to(self.folder).as_posix(), path)
        return path

    def forget(self) -> None:
        """Let go of its modules; who is still in a function of theirs may end it."""
        _worlds.remove(self)
        for name, module in list(self.modules.items()):
            sys.modules.pop(f"{self.prefix}.{name}", None)
            _disown(name, module)
        sys.modules.pop(self.prefix, None)
        self.kept.clear()

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an ``import`` statement of its modules does."""
        package = str((globals or {}).get("__package__") or "")
        is_relative = level > 0 and bool(package)
        full = importlib.util.resolve_name("." * level + name, package) if is_relative else name
        if (level > 0 and not is_relative) or not self.has(full):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self.load(full)
        if fromlist:
            self._load_parts(module, full, fromlist)
            return module
        return module if is_relative else self.modules[full.partition(".")[0]]

    def _load_parts(self, module: ModuleType, name: str, wanted: Sequence[str]) -> None:
        """Load what ``from package import ...`` means to be modules."""
        if not hasattr(module, "__path__"):
            return
        if "*" in wanted:
            wanted = getattr(module, "__all__", ())
        for part in wanted:
            if hasattr(module, part):
                continue
            try:
                self.load(f"{name}.{part}")
            except ModuleNotFoundError as error:
                if error.name != f"{name}.{part}":
                    raise


AnyWorld = NativeWorld | World
native = NativeWorld()
"""What this process can import by itself."""

_worlds: list[World] = []
_current: ContextVar[AnyWorld | None] = ContextVar("dataflow_world", default=None)


@contextlib.contextmanager
def entered(world: AnyWorld) -> Iterator[None]:
    """What is imported by name in here is that of a world."""
    token = _current.set(world)
    try:
        yield
    finally:
        _current.reset(token)


def context_of_world() -> Context:
    """A new context with the world that this code is in, and nothing else."""
    context = Context()
    context.run(_current.set, _current.get())
    return context


@contextlib.contextmanager
def behind() -> Iterator[None]:
    """Whatever world was entered in here and not left, as by an interruption, is left behind it."""
    token = _current.set(_current.get())
    try:
        yield
    finally:
        _current.reset(token)


# --- modules in sys.modules that several worlds have ----------------------------------------------


def _claim(name: str, module: ModuleType) -> None:
    """Have a world's module stand in ``sys.modules``, or what stands there answer for it."""
    sys.modules.setdefault(name, module)
    _share(name)


def _disown(name: str, module: ModuleType) -> None:
    """A world's module is gone: another one's stands in ``sys.modules`` for it, if there is any."""
    if sys.modules.get(name) is not module:
        return
    others = [world.modules[name] for world in _worlds if name in world.modules]
    other = others[-1] if others else native.take_back(name)
    if other is None:
        sys.modules.pop(name, None)
        return
    sys.modules[name] = other
    _share(name)


def _share(name: str) -> None:
    module = sys.modules.get(name)
    if isinstance(module, ModuleType) and not _is_shared(module):
        kind = type(module)
        is_plain = kind is ModuleType
        module.__class__ = _Shared if is_plain else type(kind.__name__, (_Shared, kind), {})


class _Shared(ModuleType):
    """A module that has each world's attributes for that world."""

    def __getattribute__(self, name: str) -> Any:
        meant = _meant(self)
        if _is_shared(meant):
            return super(_Shared, meant).__getattribute__(name)
        return getattr(meant, name)

    def __setattr__(self, name: str, value: Any) -> None:
        meant = _meant(self)
        if _is_shared(meant):
            super(_Shared, meant).__setattr__(name, value)
        else:
            setattr(meant, name, value)

    def __delattr__(self, name: str) -> None:
        meant = _meant(self)
        if _is_shared(meant):
            super(_Shared, meant).__delattr__(name)
        else:
            delattr(meant, name)

    def __dir__(self) -> list[str]:
        return sorted(self.__dict__)


def _is_shared(module: ModuleType) -> bool:
    return _Shared in type(module).__mro__


def _meant(module: ModuleType) -> Any:
    """The module that is meant by who asks this one for something."""
    own = object.__getattribute__(module, "__dict__")
    owner, asking = _owner_in(own), _asking(sys._getframe(2))
    if asking is owner:
        return module
    name = own["__name__"]
    if asking is None:
        return _meant_by_nobody(module, name, owner)
    if asking.has(name):
        return asking.load(name)
    return native.load(name)


def _meant_by_nobody(module: ModuleType, name: str, owner: AnyWorld) -> ModuleType:
    """What is meant by code that is in no world: what the process has, or else the only one."""
    try:
        return module if owner is native else native.load(name)
    except ModuleNotFoundError:
        if sum(world.has(name) for world in _worlds) == 1:
            return module
        raise


def _asking(frame: FrameType | None) -> AnyWorld | None:
    """Whose code asks; None: that cannot be seen."""
    assert frame is not None
    world: AnyWorld | None = frame.f_builtins.get(SENT_MARK) or _current.get()
    while world is None and (frame := frame.f_back) is not None:
        world = frame.f_builtins.get(SENT_MARK)
    return world


def _owner_of(module: ModuleType) -> AnyWorld:
    return _owner_in(object.__getattribute__(module, "__dict__"))


def _owner_in(attributes: dict[str, Any]) -> AnyWorld:
    found = attributes.get("__builtins__")
    owner: AnyWorld = found.get(SENT_MARK, native) if isinstance(found, dict) else native
    return owner


def _is_loading(module: ModuleType) -> bool:
    spec = object.__getattribute__(module, "__dict__").get("__spec__")
    return bool(getattr(spec, "_initializing", False))


# --- loading --------------------------------------------------------------------------------------


class _Finder:
    """Finds modules of worlds, by their prefix or for code that is carried out in one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """The spec of a module; None: it is no world's."""
        if name.startswith(_PREFIX):
            return _find_in_world(name, path)
        world = _asking(sys._getframe(1))
        if not isinstance(world, World) or not world.has(name):
            is_others = any(other.has(name) for other in _worlds)
            return _find_native(name, path) if is_others else None
        try:
            module = world.load(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            return None
        spec = ModuleSpec(name, _Loaded(module))
        if sys.modules.get(name) is module:  # or its own spec would be taken, and loaded again
            del sys.modules[name]
        return spec


_finder = _Finder()


def _find_native(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """The spec of a module that is no world's, and whose name a world may ask for as well."""
    finders = [finder for finder in sys.meta_path if finder is not _finder]
    specs = (finder.find_spec(name, path) for finder in finders)
    found = next((spec for spec in specs if spec is not None), None)
    if found is None or found.loader is None or not hasattr(found.loader, "exec_module"):
        return found
    is_package = found.submodule_search_locations is not None
    return ModuleSpec(name, _NativeLoader(found), is_package=is_package)


def _find_in_world(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    prefix, _, real = name.partition(".")
    root: Any = sys.modules.get(prefix)
    found = PathFinder.find_spec(name, path)
    if root is None or found is None:
        return None
    is_package = found.submodule_search_locations is not None
    return ModuleSpec(name, _Loader(root.world, real, found), is_package=is_package)


class _Loader(Loader):
    """Loads a module into a world: what was found under its prefix gets its real name."""

    def __init__(self, world: World, name: str, found: ModuleSpec) -> None:
        self._world = world
        self._name = name
        self._spec = real_spec(name, found, world.origin_of)

    def create_module(self, _: ModuleSpec) -> ModuleType:
        """The module, and its place in ``sys.modules``."""
        there = sys.modules.get(self._name)
        module = importlib.util.module_from_spec(self._spec)
        if there is not None:  # some extensions put themselves there
            sys.modules[self._name] = there
        module.__dict__["__builtins__"] = self._world.builtins
        self._world.modules[self._name] = module
        _claim(self._name, module)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        try:
            execute(module, self._spec)
        except BaseException:
            self._world.modules.pop(self._name, None)
            _disown(self._name, module)
            raise


class _NativeLoader(Loader):
    """Loads a module that is no world's so that it answers for theirs, too."""

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec

    def create_module(self, _: ModuleSpec) -> ModuleType:
        """The module."""
        return importlib.util.module_from_spec(self._spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        _share(self._spec.name)
        execute(module, self._spec)


class _Loaded(Loader):
    """Hands out a module that a world has loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__
        self._name = module.__name__

    def create_module(self, _: ModuleSpec) -> ModuleType:
        """The module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """It has been; its spec is put back."""
        module.__spec__ = self._spec
        _share(self._name)
