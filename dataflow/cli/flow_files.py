"""From ``FILE.py:flow`` or ``module:flow`` to a flow.

A file is imported under its own name, with the folder that its imports start from on the import
path, so that worker processes find its functions there as well. Where that name belongs to
something else already (``statistics.py``), or is no name (``2013-etl.py``), the file is loaded
under a name of its own and its functions travel by value; so do those of a file in no package whose
flow runs on a cluster that was started before (``--runner dask:NAME``).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dataflow.cli.complaints import Misuse
from dataflow.flows import Flow


def load_flow(target: str, travels: bool = False) -> Flow[Any, Any]:
    """The flow that a command line names.

    Args:
        target: file or module, and flow.
        travels: as for :func:`load_file`.

    Raises:
        Misuse: there is no such file, module or flow, or several could be meant.
        Exception: what loading the user's code raised.
    """
    place, name = split_target(target)
    if is_file(place):
        path = Path(place).expanduser()
        module = load_file(path, travels)
        return choose_flow(module, name, place, path.stem)
    module = _import(place)
    return choose_flow(module, name, place, place.rpartition(".")[2])


def split_target(target: str) -> tuple[str, str | None]:
    """The file or module, and the flow's name if there is one."""
    if Path(target).exists():
        return target, None
    file, ends_in_py, name = target.partition(".py:")
    if ends_in_py:  # flows may have colons in their names
        return f"{file}.py", name or None
    place, colon, name = target.rpartition(":")
    return (place, name or None) if colon else (target, None)


def is_file(place: str) -> bool:
    """Whether a file is meant, rather than a module."""
    return place.endswith(".py") or "/" in place or "\\" in place or Path(place).is_dir()


def load_file(path: Path, travels: bool = False) -> ModuleType:
    """Load a file of Python.

    Args:
        path: of the file.
        travels: whether what it defines is sent along with the run: to workers that could not
            import it, or have imported an earlier version.

    Raises:
        Misuse: it is not there, or is no file of Python.
    """
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        hint = f"There are {', '.join(near[:8])} in {path.parent}." if near else None
        raise Misuse(f"There is no file {str(path)!r}.", hint=hint)
    if path.is_dir() or path.suffix != ".py":
        raise Misuse(f"{str(path)!r} is no Python file.", hint="Name a file that ends in .py.")
    path = path.resolve()
    folder, name = _import_name(path)
    if name is None or (travels and "." not in name):  # in a package, it may import from that
        return _load_by_value(path, folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def _import_name(path: Path) -> tuple[Path, str | None]:
    """The folder that imports start from, and a file's name there (None: it can have none)."""
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    name = ".".join(parts)
    if not all(part.isidentifier() for part in parts) or _is_taken(parts[0], folder):
        return folder, None
    return folder, name


def _is_taken(name: str, folder: Path) -> bool:
    """Whether a module of that name is found elsewhere."""
    if name in sys.modules:
        found = getattr(sys.modules[name], "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return False
        found = spec.origin
    return found is None or not Path(found).resolve().is_relative_to(folder)


def _load_by_value(path: Path, folder: Path) -> ModuleType:
    import cloudpickle

    digest = hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()
    name = f"flow_file_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Misuse(f"{str(path)!r} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last: its files must not hide what has their names
    spec.loader.exec_module(module)
    module.__spec__ = None  # nobody else can import it
    cloudpickle.register_pickle_by_value(module)
    return module


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        hint = f"If you mean a file, name it {name}.py." if Path(f"{name}.py").exists() else None
        raise Misuse(f"There is no module {name!r}.", hint=hint) from None


def choose_flow(module: ModuleType, name: str | None, place: str, stem: str) -> Flow[Any, Any]:
    """The flow of that name in a module, or the one that must be meant.

    Raises:
        Misuse: there is none, or several could be meant; the message has their names.
    """
    flows = _flows_of(module)
    if name is not None:
        return _named(module, flows, name, place)
    if len(flows) == 1:
        return next(iter(flows.values()))
    for wanted in (stem, "main"):
        found = [f for key, f in flows.items() if wanted in (key, f.name, f.name.replace("-", "_"))]
        if len(found) == 1:
            return found[0]
    if not flows:
        raise Misuse(f"There is no flow in {place}.", hint="A flow is a function under @flow.")
    raise Misuse(
        f"There are {len(flows)} flows in {place}: {', '.join(flows)}.",
        hint=f"Say which: dataflow run {place}:{next(iter(flows))}",
    )


def _flows_of(module: ModuleType) -> dict[str, Flow[Any, Any]]:
    """The flows written in a module, by attribute; if there are none, those that it imported."""
    named = {key: value for key, value in vars(module).items() if isinstance(value, Flow)}
    own = {k: f for k, f in named.items() if getattr(f.fn, "__module__", None) == module.__name__}
    seen: dict[int, str] = {}
    for key, flow in (own or named).items():
        seen.setdefault(id(flow), key)
    return {key: named[key] for key in seen.values()}


def _named(
    module: ModuleType, flows: dict[str, Flow[Any, Any]], name: str, place: str
) -> Flow[Any, Any]:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, Flow):
        return found
    for flow in flows.values():
        if flow.name == name:
            return flow
    if found is not None:
        raise Misuse(f"{name!r} in {place} is no flow, but {type(found).__name__}.")
    known = f"There are: {', '.join(flows)}." if flows else "There is none at all."
    raise Misuse(f"There is no flow {name!r} in {place}.", hint=known)
