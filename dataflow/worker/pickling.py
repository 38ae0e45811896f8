"""How objects cross from one process to another.

Plain pickle is several times faster than cloudpickle but takes what a ``__main__`` script or a
notebook defines *by name*, and the other process has another ``__main__``. So: plain pickle first,
and cloudpickle whenever it fails or the name ``__main__`` shows up in what it made. Code keeps the
name of its file, which cloudpickle drops since 3.1.3: tracebacks show the user's lines by it.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections import ChainMap
from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

from dataflow.errors import TransferError

_MAIN = (b"__main__", b"__mp_main__")
ATOMS = frozenset((int, float, bool, str, bytes, complex, type(None)))
"""Types of values that can neither change nor hold anything that can."""

BufferCallback = Callable[[pickle.PickleBuffer], Any]


def is_atom(value: Any) -> bool:
    """Whether a value can neither change nor hold anything that can."""
    return type(value) in ATOMS


def dumps(value: Any, buffer_callback: BufferCallback | None = None) -> bytes:
    """Pickle ``value`` so that any process of this run can load it.

    Raises:
        Exception: whatever the pickling of the value raised.
    """
    buffers: list[pickle.PickleBuffer] = []
    collect = buffers.append if buffer_callback else None
    try:
        data = pickle.dumps(value, 5, buffer_callback=collect)
        plain = not any(name in data for name in _MAIN) and not _by_value_modules()
    except Exception:
        plain = False
    if not plain:
        buffers.clear()
        data = _dump_by_value(value, collect)
    if buffer_callback:
        for buffer in buffers:
            buffer_callback(buffer)
    return data


loads = pickle.loads


def _dump_by_value(value: Any, collect: BufferCallback | None = None) -> bytes:
    with io.BytesIO() as file:
        _pickler()(file, 5, buffer_callback=collect).dump(value)
        return file.getvalue()


@functools.cache
def _pickler() -> Any:
    import cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap(
            {CodeType: _reduce_code}, cloudpickle.CloudPickler.dispatch_table
        )

    return Pickler


def _reduce_code(code: CodeType) -> tuple[Any, ...]:
    import cloudpickle

    make, parts = cloudpickle.CloudPickler.dispatch_table[CodeType](code)
    place = next(number for number, part in enumerate(parts) if isinstance(part, str))
    return make, (*parts[:place], "".join(code.co_filename), *parts[place + 1 :])


def _by_value_modules() -> bool:
    """Whether the user asked cloudpickle to take some modules by value."""
    import sys

    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    return bool(cloudpickle and cloudpickle._PICKLE_BY_VALUE_MODULES)


def transfer_error(value: Any, what: str, error: BaseException, hint: str) -> TransferError:
    """The error for something that cannot be pickled, with the path to the part at fault.

    Args:
        value: what was to be sent.
        what: what it is to the user, such as ``"argument 'db' of task 'load'"``.
        error: what pickling raised.
        hint: what to do about it.
    """
    path, culprit = find_unpicklable(value)
    where = f" at {path}" if path else ""
    found = TransferError(
        f"{what} cannot be sent to another process: {type(culprit).__name__} object{where} "
        f"cannot be pickled ({error}).",
        hint=hint,
    )
    found.__cause__ = error
    return found


def find_unpicklable(value: Any, limit: int = 2000) -> tuple[str, Any]:
    """The path to, and the innermost object that cannot be pickled (``("", value)`` if none)."""
    path, looked_at = "", 0
    while True:
        for step, part in _parts(value):
            looked_at += 1
            if looked_at > limit:
                return path, value
            if not _can_pickle(part):
                path, value = path + step, part
                break
        else:
            return path, value


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(f"[{number}]", item) for number, item in enumerate(value)]
    if callable(value) and hasattr(value, "__code__"):
        cells = value.__closure__ or ()
        names = value.__code__.co_freevars
        inside = [
            (f".<closure {name}>", cell.cell_contents)
            for name, cell in zip(names, cells, strict=False)
            if _is_set(cell)
        ]
        used = [n for n in value.__code__.co_names if n in value.__globals__]
        return inside + [(f".<global {name}>", value.__globals__[name]) for name in used]
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        return [(f".{name}", item) for name, item in state.items()]
    return []


def _is_set(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _can_pickle(value: Any) -> bool:
    try:
        _dump_by_value(value)
    except Exception:
        return False
    return True
