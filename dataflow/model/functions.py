"""What kind of callable a user gave us, and what it is called."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataflow.errors import DefinitionError


def kind_of(fn: Callable[..., Any]) -> str:
    """``"sync"``, ``"async"``, ``"generator"`` or ``"async_generator"``."""
    inner = _innermost(fn)
    for test, kind in (
        (inspect.isasyncgenfunction, "async_generator"),
        (inspect.iscoroutinefunction, "async"),
        (inspect.isgeneratorfunction, "generator"),
    ):
        if test(inner) or test(getattr(inner, "__call__", None)):  # noqa: B004
            return kind
    return "sync"


def _innermost(fn: Any) -> Any:
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, (staticmethod, classmethod)) or inspect.ismethod(fn):
            fn = fn.__func__
        else:
            return fn


def name_of_function(fn: Callable[..., Any]) -> str:
    """A name for a callable: its own, or that of what it wraps, or that of its class."""
    inner = _innermost(fn)
    name = getattr(inner, "__name__", None) or type(inner).__name__
    return "lambda" if name == "<lambda>" else str(name)


def signature_of(fn: Callable[..., Any]) -> inspect.Signature:
    """The signature; ``(*args, **kwargs)`` for what has none."""
    try:
        return inspect.signature(_unbound(fn))
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def bind(
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    is_partial: bool = False,
) -> inspect.BoundArguments:
    """Bind arguments, also where ``**named`` takes one called like a parameter before the ``/``.

    Python refuses some of these before 3.12.4 (python/cpython#87106), and takes too much in 3.13.0
    to 3.13.2 (#130164).

    Args:
        signature: of the function.
        args, kwargs: what it is called with.
        is_partial: whether arguments may be missing.

    Raises:
        TypeError: it cannot be called with them.
    """
    bind_to = signature.bind_partial if is_partial else signature.bind
    names = {each.kind: each.name for each in signature.parameters.values()}
    many = names.get(inspect.Parameter.VAR_KEYWORD)
    if many is None:
        return bind_to(*args, **kwargs)
    parameters = signature.parameters.values()
    taken = kwargs.keys() & {each.name for each in parameters if each.kind is each.POSITIONAL_ONLY}
    bound = bind_to(*args, **{name: kwargs[name] for name in kwargs if name not in taken})
    if taken:
        known = {*taken, *bound.arguments.get(many, ())}
        bound.arguments[many] = {name: kwargs[name] for name in kwargs if name in known}
    return bound


def _unbound(fn: Any) -> Any:
    return fn.__func__ if isinstance(fn, (staticmethod, classmethod)) else fn


def require_callable(fn: Any, decorator: str) -> None:
    """Refuse what is no function.

    Raises:
        DefinitionError: with what it is instead.
    """
    if isinstance(fn, type):
        raise DefinitionError(
            f"@{decorator} cannot decorate the class {fn.__name__!r}.",
            hint="Decorate a function or a method.",
        )
    if not callable(fn) and not isinstance(fn, (staticmethod, classmethod)):
        raise DefinitionError(
            f"@{decorator} needs a function, not {type(fn).__name__} ({fn!r:.80}).",
            hint=f"Write @{decorator} above a def, or {decorator}(function).",
        )


def importable_name(fn: Any) -> tuple[str, str, Any] | None:
    """Module and qualified name under which another process can import what ``fn`` became.

    Returns:
        The two names and the object that they lead to here: the decorated function, as a rule.
    """
    inner = _innermost(fn)
    module, name = getattr(inner, "__module__", None), getattr(inner, "__qualname__", None)
    if not module or not name or module in ("__main__", "__mp_main__") or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    if found is None or getattr(found, "__spec__", None) is None:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return None if found is None else (module, name, found)


def portable(fn: Any) -> Any:
    """The function in a form that can be pickled.

    A method is pickled by its name, which in its class is not the function but what was made of it.
    """
    if inspect.ismethod(fn):
        made = inspect.getattr_static(fn.__self__, fn.__name__, None)
        if _innermost(getattr(made, "fn", None)) is fn.__func__:
            return _Method(fn.__self__, fn.__name__)
    return fn


class _Method:
    """Unpickles as the method itself."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def __reduce__(self) -> Any:
        return _method, (self.owner, self.name)


def _method(owner: Any, name: str) -> Any:
    made: Any = inspect.getattr_static(owner, name)
    kind = owner if isinstance(owner, type) else type(owner)
    return made.fn.__get__(owner, kind)


def described(fn: Any, given: str | None) -> str | None:
    """The description: the one given, or the function's docstring."""
    return given if given is not None else inspect.getdoc(_innermost(fn))
