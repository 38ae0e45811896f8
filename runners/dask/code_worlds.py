"""Several versions of the user's modules in one process, each in a world of its own.

A world is a folder with the files of one version. Python's import system loads its modules, under
a prefix of their own and with the names that users gave them. An ``import`` statement in them asks
their world, in any thread, by the ``__import__`` among their builtins. Who imports by name (pickle,
typing) finds in ``sys.modules`` the module of whoever was first; it answers each with what theirs
has: the world of the code that asks, of the batch that is carried out, or of the innermost function
of a world that is being called; else with what the process itself imports.
What belongs to the process is shared: environment, loggers, libraries that were patched.
Threads wait for each other by importlib's locks of a module's name in a world, and by no other.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context, ContextVar
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from itertools import count
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from cluster.local_modules import SENT_MARK
from dataflow.worker.run_logs import capture_prints
from runners.dask.renamed_modules import execute, real_spec

_PREFIX = "dataflow_world_"
_numbers = count(1)


class AnyWorld:
    """What is found by who imports in it.

    A module is loaded while importlib loads another one, empty, under the world's prefix: it has
    other threads wait until the module is whole, and gives them what there is if they wait for each
    other.

    Attributes:
        kept: for who loads things in a world and wants them again.
        modules: what was loaded, or is being loaded.
        prefix: what stands before their names where importlib keeps the empty ones.
    """

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}
        self.modules: dict[str, ModuleType] = {}
        self.prefix = f"{_PREFIX}{next(_numbers)}"
        self._whole: dict[str, ModuleType] = {}
        root = ModuleType(self.prefix)
        root.__path__ = []
        sys.modules[self.prefix] = root
        _by_prefix[self.prefix] = self

    def has(self, name: str) -> bool:
        """Whether a module is its business: of its own files, there or not."""
        raise NotImplementedError

    def find(self, name: str) -> ModuleSpec | None:
        """The spec of a module whose package is there; None: there is no such module."""
        raise NotImplementedError

    def there(self, name: str) -> ModuleType | None:
        """A module that was loaded, or is being loaded."""
        return self.modules.get(name)

    def load(self, name: str) -> ModuleType:
        """A module as it is in this world.

        Raises:
            ModuleNotFoundError: there is none.
            Exception: what the module itself raised.
        """
        whole = self._whole.get(name)
        if whole is not None:
            return whole
        package = name.rpartition(".")[0]
        if package:  # which may import this one: nobody has both wait for each other
            self.load(package)
        try:
            with entered(self):
                while True:  # again if another thread could not load it
                    module = self._brought(name)
                    if module is not None:
                        return module
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(self.prefix):
                raise
            text = str(error).replace(f"{self.prefix}.", "")
            missing = (error.name or "").removeprefix(f"{self.prefix}.")
            raise ModuleNotFoundError(text, name=missing) from None

    def _brought(self, name: str) -> ModuleType | None:
        """A module that importlib brings, or another thread; None: it has to be asked again.

        Threads that wait for each other in a ring get what there is by then; but importlib has none
        if it looked just before another thread began, and says so by an error of its own.
        """
        place = f"{self.prefix}.{name}"
        try:
            builtins.__import__(place)
        except RuntimeError as error:
            if type(error).__name__ != "_DeadlockError" or f"({place!r})" not in str(error):
                raise
            return None
        return self.modules.get(name)

    def whole(self, name: str, module: ModuleType) -> ModuleType:
        """A module, when another thread has loaded it to its end."""
        is_being_loaded = name not in self._whole and self.modules.get(name) is module
        return self.load(name) if is_being_loaded else module

    def bring(self, name: str, spec: ModuleSpec) -> None:
        """Load a module after its spec, while importlib keeps the others waiting."""
        standing = sys.modules.get(name)
        module = importlib.util.module_from_spec(spec)
        if sys.modules.get(name) is module:  # some extensions put themselves there
            del sys.modules[name]
            if standing is not None:
                sys.modules[name] = standing
        self._add(name, module)
        try:
            execute(module, spec)
        except BaseException:  # an interruption as well: it is not whole
            self._remove(name)
            raise
        parent, _, last = name.rpartition(".")
        package = self.there(parent)
        if package is not None:
            setattr(package, last, module)
        self._whole[name] = module

    def _add(self, name: str, module: ModuleType) -> None:
        self.modules[name] = module

    def _remove(self, name: str) -> ModuleType | None:
        self._whole.pop(name, None)
        sys.modules.pop(f"{self.prefix}.{name}", None)
        return self.modules.pop(name, None)


class NativeWorld(AnyWorld):
    """What the process can import by itself.

    It loads here only what some world has in ``sys.modules`` already.
    """

    def has(self, name: str) -> bool:
        """Nothing is kept from it."""
        return True

    def find(self, name: str) -> ModuleSpec | None:
        """The spec of a module whose package is there; None: there is no such module."""
        package = self.there(name.rpartition(".")[0])
        return _find_native(name, None if package is None else package.__path__)

    def there(self, name: str) -> ModuleType | None:
        """A module that was loaded, or is being loaded."""
        standing = sys.modules.get(name)
        is_native = standing is not None and _owner_of(standing) is self
        return standing if is_native else super().there(name)

    def load(self, name: str) -> ModuleType:
        """A module as it is in this process."""
        standing = sys.modules.get(name)
        if standing is not None and _owner_of(standing) is self:
            return standing
        return super().load(name)

    def take_back(self, name: str) -> ModuleType | None:
        """What was loaded here, which may stand in ``sys.modules`` now."""
        return self._remove(name)


class World(AnyWorld):
    """One version of some modules.

    Args:
        folder: where its files are, as if it were on ``sys.path``.
        origins: of files in it, by their path there: what tracebacks are to call them.
    """

    def __init__(self, folder: Path, origins: Mapping[str, str]) -> None:
        super().__init__()
        self.folder = folder
        capture_prints()  # its modules have the builtins of now
        self._builtins = {**vars(builtins), "__import__": self._import, SENT_MARK: self}
        self._origins = origins
        self._names = {entry.name.partition(".")[0] for entry in folder.iterdir()}
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        _worlds.append(self)
        for name in filter(self.has, list(sys.modules)):  # these are others'
            _share(sys.modules.get(name))

    def has(self, name: str) -> bool:
        """Whether a module is its business: of its own files, there or not."""
        return name.partition(".")[0] in self._names

    def find(self, name: str) -> ModuleSpec | None:
        """The spec of a module whose package is there; None: there is no such module."""
        package = self.there(name.rpartition(".")[0])
        path = [str(self.folder)] if package is None else package.__path__
        found = PathFinder.find_spec(f"{self.prefix}.{name}", path)
        return found and real_spec(name, found, self.origin_of)

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
        for name in [name for name in sys.modules if name.startswith(f"{self.prefix}:")]:
            del sys.modules[name]
        sys.modules.pop(self.prefix, None)
        del _by_prefix[self.prefix]
        self.kept.clear()

    def _add(self, name: str, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = self._builtins
        super()._add(name, module)
        _share(module)
        _share(sys.modules.setdefault(name, module))

    def _remove(self, name: str) -> ModuleType | None:
        module = super()._remove(name)
        if module is not None:
            _disown(name, module)
        return module

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


_FIRST = frozenset(
    f"__{name}__" for name in ("class", "name", "loader", "package", "path", "file", "cached")
)
"""What a module has before its code runs."""

_worlds: list[World] = []
_by_prefix: dict[str, AnyWorld] = {}
_current: ContextVar[AnyWorld | None] = ContextVar("dataflow_world", default=None)
native = NativeWorld()
"""What this process can import by itself."""


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


def _disown(name: str, module: ModuleType) -> None:
    """A world's module is gone: another one's stands in ``sys.modules`` for it, if there is any."""
    if sys.modules.get(name) is not module:
        return
    others = [world.modules[name] for world in _worlds if name in world.modules]
    other = others[-1] if others else native.take_back(name)
    if other is None:
        sys.modules.pop(name, None)
        return
    _share(other)
    sys.modules[name] = other


def _share(module: object) -> None:
    """Have a module answer each with what theirs has."""
    if isinstance(module, ModuleType) and not _is_shared(module):
        kind = type(module)
        is_plain = kind is ModuleType
        module.__class__ = _Shared if is_plain else type(kind.__name__, (_Shared, kind), {})


class _Shared(ModuleType):
    """A module that has each world's attributes for that world."""

    def __getattribute__(self, name: str) -> Any:
        meant = _meant(self, waits=name not in _FIRST)
        if name == "__spec__" and _is_brought(meant) and _is_importlib(sys._getframe(1)):
            return None
        if _is_shared(meant):
            return super(_Shared, meant).__getattribute__(name)
        return getattr(meant, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__spec__" and isinstance(getattr(value, "loader", None), _Loaded):
            return  # it has one
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


def _is_brought(module: ModuleType) -> bool:
    """Whether some world has loaded a module itself.

    Importlib asks for the spec of what stands in ``sys.modules`` to see whether it must wait for
    it, and if it came there meanwhile, to load it once more after that spec. It is to do neither
    with these modules, and gets none.
    """
    own = object.__getattribute__(module, "__dict__")
    return _owner_in(own).modules.get(own["__name__"]) is module


def _is_importlib(frame: FrameType) -> bool:
    return frame.f_code.co_filename == "<frozen importlib._bootstrap>"


def _is_shared(module: ModuleType) -> bool:
    return _Shared in type(module).__mro__


def _meant(module: ModuleType, *, waits: bool = False) -> Any:
    """The module that is meant by who asks this one for something.

    Args:
        waits: until it is whole: not all who have it have imported it.
    """
    own = object.__getattribute__(module, "__dict__")
    owner, asking = _owner_in(own), _asking(sys._getframe(2))
    name = own["__name__"]
    if asking is owner:
        return owner.whole(name, module) if waits else module
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


# --- loading --------------------------------------------------------------------------------------


class _Finder:
    """Finds modules of worlds, by their prefix or for code that is carried out in one.

    It loads nothing: importlib has every thread wait that wants to import anything meanwhile.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """The spec of a module; None: it is no world's."""
        prefix, _, inside = name.partition(".")
        if prefix in _by_prefix:
            return _find_place(_by_prefix[prefix], name, inside)
        world = _asking(sys._getframe(1))
        if isinstance(world, World) and world.has(name):
            found = world.find(name)
            return None if found is None else ModuleSpec(name, _Loaded(world), origin=found.origin)
        if not any(other.has(name) for other in _worlds):
            return None
        found = _find_native(name, path)
        if found is None or found.loader is None or not hasattr(found.loader, "exec_module"):
            return found
        is_package = found.submodule_search_locations is not None
        return ModuleSpec(name, _NativeLoader(found), is_package=is_package)


_finder = _Finder()


def _find_native(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    finders = [finder for finder in sys.meta_path if finder is not _finder]
    specs = (finder.find_spec(name, path) for finder in finders)
    return next((spec for spec in specs if spec is not None), None)


def _find_place(world: AnyWorld, name: str, inside: str) -> ModuleSpec | None:
    found = world.find(inside)
    if found is None:
        return None
    places = found.submodule_search_locations
    spec = ModuleSpec(name, _Place(world, inside, found), is_package=places is not None)
    if places is not None:
        spec.submodule_search_locations = list(places)
    return spec


class _Place(Loader):
    """Loads an empty module: whoever has it is loading one into a world, or finds it there."""

    def __init__(self, world: AnyWorld, name: str, spec: ModuleSpec) -> None:
        self._world = world
        self._name = name
        self._spec = spec

    def exec_module(self, _: ModuleType) -> None:
        """Load the other one."""
        self._world.bring(self._name, self._spec)


class _NativeLoader(Loader):
    """Loads a module that is no world's so that it answers for theirs, too."""

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module."""
        self._found_by = spec
        return importlib.util.module_from_spec(self._spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        _share(module)
        execute(module, self._spec)
        _leave_standing(self._found_by, module, native)


class _Loaded(Loader):
    """Hands out what a world has loaded."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module."""
        self._found_by = spec
        module = self._world.load(spec.name)
        _share(module)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """That has been done."""
        _leave_standing(self._found_by, module, self._world)


def _leave_standing(spec: ModuleSpec, module: ModuleType, world: AnyWorld) -> None:
    """Have a module stay in ``sys.modules`` without a gap: all worlds look for their own there.

    Importlib takes what it has loaded out and puts it back, to be the last. It does so by the name
    in the spec: from here on that is another one.
    """
    standing = sys.modules.get(spec.name, module)
    spec.name = f"{world.prefix}:{spec.name}"
    sys.modules[spec.name] = standing
