"""Functions by their source: their own lines, and what those use.

That is defaults, what they close over, and the functions, classes and plain values of their module
(or of the user's own packages) that they name. What is installed counts by its name: its version
is the environment's affair. Of other objects that they use (clients, loggers) only the type counts.
"""

from __future__ import annotations

import ast
import functools
import inspect
import site
import sys
import sysconfig
import textwrap
import types
from pathlib import Path
from typing import Any

from dataflow.hashing.encoding import Encoder, Unhashable
from dataflow.hashing.parsing import parse_again

_VALUES = (int, float, complex, bool, str, bytes, type(None), list, tuple, dict, set, frozenset)


def function_text(fn: Any, encoder: Encoder) -> str:
    """The text of a function, method, partial or callable object."""
    inner = _innermost(fn)
    if isinstance(inner, type) or not hasattr(inner, "__code__"):
        return _callable_text(inner, encoder)
    if _is_installed(inner):
        return f"function:{inner.__module__}.{inner.__qualname__}"
    parts = [_code_text(inner)]
    parts += _values_text("default", enumerate(inner.__defaults__ or ()), encoder)
    parts += _values_text("default", (inner.__kwdefaults__ or {}).items(), encoder)
    parts += _values_text("closes over", _closed_over(inner), encoder)
    parts += _values_text("uses", _globals_used(inner), encoder)
    return f"function:{';'.join(parts)}"


def _innermost(fn: Any) -> Any:
    while hasattr(fn, "__wrapped__") and not hasattr(fn, "__code__"):
        fn = fn.__wrapped__
    return getattr(fn, "__func__", fn)


def _callable_text(fn: Any, encoder: Encoder) -> str:
    if isinstance(fn, functools.partial):
        used = [("func", fn.func), ("args", fn.args), ("keywords", fn.keywords)]
        return ";".join(_values_text("partial", used, encoder))
    if isinstance(fn, type):
        return f"class:{fn.__module__}.{fn.__qualname__}:{_class_source(fn)}"
    call = getattr(type(fn), "__call__", None)  # noqa: B004
    if call is None or not hasattr(call, "__code__"):
        name = getattr(fn, "__qualname__", type(fn).__qualname__)
        return f"callable:{getattr(fn, '__module__', '')}.{name}"
    state = _values_text("state", getattr(fn, "__dict__", {}).items(), encoder)
    return ";".join([function_text(call, encoder), *state])


def _class_source(kind: type) -> str:
    try:
        return "" if _is_installed(kind) else _source(kind)
    except (OSError, TypeError):
        return ""


def _code_text(fn: Any) -> str:
    """The lines of a function; its code where there are none (typed in, or made by ``exec``)."""
    try:
        text = _source(fn)
    except (OSError, TypeError):
        text = ""
    if not text or fn.__name__ == "<lambda>":  # several may stand in one line
        text += _bare_code(fn.__code__)
    return text


def _source(found: Any) -> str:
    return textwrap.dedent(parse_again(inspect.getsource, found))


def _bare_code(code: types.CodeType) -> str:
    constants = [
        _bare_code(each) if isinstance(each, types.CodeType) else ascii(each)
        for each in code.co_consts
        if not isinstance(each, frozenset)
    ]
    return f"{code.co_code.hex()}:{code.co_names}:{code.co_varnames}:{constants}"


def _closed_over(fn: Any) -> list[tuple[str, Any]]:
    """What a function uses of the functions that it was defined in: by name."""
    found: list[tuple[str, Any]] = []
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False):
        try:
            found.append((name, cell.cell_contents))
        except ValueError:  # not set yet
            continue
    return found


def _globals_used(fn: Any) -> list[tuple[str, Any]]:
    """What a function uses of its module: by name, in order.

    Of lists, dicts and sets, which may grow while a program runs, the lines that make them count.
    """
    names = sorted(name for name in _names(fn.__code__) if name in fn.__globals__)
    found = []
    for name in names:
        value = fn.__globals__[name]
        if isinstance(value, (list, dict, set)):
            value = _assignments(fn.__globals__.get("__file__") or "").get(name, "")
        found.append((name, value))
    return found


@functools.lru_cache(maxsize=256)
def _assignments(file: str) -> dict[str, str]:
    """The statements of a file that give its names their values."""
    try:
        text = Path(file).read_text(encoding="utf-8")
        tree = parse_again(ast.parse, text)
    except (OSError, ValueError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id] = found.get(target.id, "") + _lines(text, statement)
    return found


def _lines(text: str, statement: ast.stmt) -> str:
    return ast.get_source_segment(text, statement) or ""


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            names |= _names(each)
    return names


def _values_text(what: str, items: Any, encoder: Encoder) -> list[str]:
    found = []
    for name, value in items:
        try:
            text = _value_text(value, encoder)
        except Unhashable:
            text = f"object:{type(value).__qualname__}"
        found.append(f"{what} {name}={text}")
    return found


def _value_text(value: Any, encoder: Encoder) -> str:
    if isinstance(value, types.ModuleType):
        return f"module:{value.__name__}"
    if isinstance(value, type):
        return f"class:{value.__module__}.{value.__qualname__}:{_class_source(value)}"
    if hasattr(value, "state_to_send") or isinstance(value, types.FunctionType):
        inner = getattr(value, "fn", value)
        if id(inner) in encoder.inside:
            return "itself"
        encoder.inside.append(id(inner))
        try:
            return function_text(inner, encoder)
        finally:
            encoder.inside.pop()
    if isinstance(value, _VALUES) or hasattr(type(value), "dtype"):
        return encoder.text(value)
    if hasattr(type(value), "__dataclass_fields__") or hasattr(type(value), "__pydantic_fields__"):
        return encoder.text(value)
    return f"object:{type(value).__module__}.{type(value).__qualname__}"


@functools.cache
def _installed_places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    places = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    places.add(str(Path(__file__).parents[1]))
    return tuple(str(Path(place)) + "/" for place in places)


def _is_installed(made: Any) -> bool:
    """Whether something comes with an installed distribution, rather than from the user."""
    module = sys.modules.get(getattr(made, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return getattr(made, "__module__", None) in sys.builtin_module_names
    return str(file).startswith(_installed_places())
