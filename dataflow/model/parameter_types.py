"""Parameters converted to the types of a flow's signature, all that does not fit in one error.

pydantic does the converting. It is loaded only where there is something to convert: loading it
takes longer than most flows, and a value that has a plain annotated type already needs none. What
has its type already stays the same object.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
import warnings
from collections import deque
from collections.abc import Callable, Collection, Mapping, Set
from typing import Any
from weakref import WeakKeyDictionary

from dataflow.errors import ParameterTypeError
from dataflow.model.parameter_text import short_text
from dataflow.model.parameters import (
    MISSING,
    ParameterDescription,
    default_of,
    description_of,
    is_pydantic_field,
)

Entry = dict[str, Any]
_UNIONS = (typing.Union, types.UnionType)
_LAZY = ("Iterable", "Iterator", "Generator", "AsyncIterable", "AsyncIterator", "AsyncGenerator")
_COMPARED = ("int", "str", "float", "bytes", "complex", "date", "datetime", "time", "timedelta")


def validate_parameters(
    flow_name: str,
    fn: Callable[..., Any],
    signature: inspect.Signature,
    parameters: Mapping[str, Any],
    is_opaque: Callable[[Any], bool] = lambda value: False,
) -> dict[str, Any]:
    """The parameters converted to the types of the signature.

    Args:
        flow_name: for errors.
        fn: the flow's function, whose names annotations may use.
        signature: that of the function.
        parameters: values by name, as :func:`~dataflow.model.parameters.bind_parameters` gives.
        is_opaque: says which values are passed as they are: those that are not there yet.

    Raises:
        ParameterTypeError: one error that names every bad parameter.
    """
    types_of = _types_of(fn, signature)
    entries: list[Entry] = []

    def checked(name: str, field: str, value: Any) -> Any:
        if is_opaque(value):
            return value
        try:
            return types_of[name].convert(value)
        except (ValueError, TypeError) as error:
            entries.extend(_entries(name, field, types_of[name], value, error))
            return value

    converted = dict(parameters)
    for name, value in parameters.items():
        parameter = signature.parameters.get(name)
        if parameter is None:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            converted[name] = tuple(
                checked(name, f"{name}.{number}", item) for number, item in enumerate(value)
            )
        elif parameter.kind is parameter.VAR_KEYWORD:
            converted[name] = {key: checked(name, key, item) for key, item in value.items()}
        else:
            converted[name] = checked(name, name, value)
    if entries:
        raise _type_error(flow_name, entries) from None
    return converted


class ParameterType:
    """What one parameter must be, and how values become that.

    Attributes:
        annotation: its type, without texts in it where they could be resolved.
        described: what a ``Parameter`` says about it.
    """

    __slots__ = ("_adapter", "_field", "allows_none", "annotation", "described")

    def __init__(self, parameter: inspect.Parameter, annotation: Any) -> None:
        self.described = description_of(parameter, annotation)
        self.annotation = _without_notes(annotation)
        self.allows_none = default_of(parameter) is None
        self._field = parameter.default if is_pydantic_field(parameter.default) else None
        self._adapter: Any = None

    @property
    def is_bounded(self) -> bool:
        """Whether more is asked of a value than its type."""
        constraints = self.described.constraints if self.described else None
        return bool(constraints) or self._field is not None

    def convert(self, value: Any) -> Any:
        """``value`` in this type; the same object if it has it already.

        Raises:
            ValueError, TypeError: it cannot become that; pydantic's has details.
        """
        if value is None and self.allows_none:
            return None
        if self.is_bounded or not has_type(self.annotation, value):
            found = self.adapter().validate_python(value)
            value = value if _is_equal(value, found) else found
        choices = self.described.choices if self.described else None
        if choices is not None and not any(_is_choice(value, each) for each in choices):
            raise ValueError(f"must be one of {', '.join(map(repr, choices))}")
        return value

    def adapter(self) -> Any:
        """The pydantic adapter, made when it is first needed."""
        if self._adapter is None:
            self._adapter = _make_adapter(self._kind(), self.annotation)
        return self._adapter

    def _kind(self) -> Any:
        kind: Any = self.annotation
        if self.described is not None and self.described.constraints:
            from pydantic import Field

            kind = typing.Annotated[kind, Field(**self.described.constraints)]
        return kind if self._field is None else typing.Annotated[kind, self._field]


def has_type(annotation: Any, value: Any) -> bool:
    """Whether a value certainly has a type already; told without pydantic, for common types."""
    if annotation is Any or annotation is object:
        return True
    if value is None:
        return annotation in (None, types.NoneType) or (
            typing.get_origin(annotation) in _UNIONS
            and types.NoneType in typing.get_args(annotation)
        )
    kind = type(value)
    if kind is annotation:
        return not hasattr(kind, "__get_pydantic_core_schema__")
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return any(has_type(each, value) for each in inner)
    if origin is typing.Literal:
        return any(type(each) is kind and each == value for each in inner)
    if origin is list and kind is list:
        return _are_all(inner[0], value)
    if origin is dict and kind is dict:
        return _are_all(inner[0], value) and _are_all(inner[1], value.values())
    return False


def _are_all(kind: Any, values: Collection[Any]) -> bool:
    return kind is Any or (isinstance(kind, type) and set(map(type, values)) <= {kind})


def _without_notes(annotation: Any) -> Any:
    """``Annotated`` without what only describes, so that it need not be converted."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return annotation
    rest = [
        each
        for each in annotation.__metadata__
        if not isinstance(each, (ParameterDescription, str))
    ]
    inner = typing.get_args(annotation)[0]
    for each in rest:
        inner = typing.Annotated[inner, each]
    return inner


def _is_choice(value: Any, choice: Any) -> bool:
    try:
        return value is choice or bool(value == choice)
    except Exception:  # arrays and frames cannot say whether they are equal
        return False


def _is_equal(before: Any, after: Any) -> bool:
    """Whether converting changed nothing, so that the caller's own object can be passed on.

    What is more than asked for (a ``defaultdict`` for a ``dict``, a named tuple for a ``tuple``, an
    ``IntEnum`` for an ``int``) stays what it is; but True is no number.
    """
    if before is after:
        return True
    kind = type(after)
    if isinstance(before, bool) or not isinstance(before, kind):
        return False
    if isinstance(after, (list, tuple, deque)):
        return len(before) == len(after) and all(map(_is_equal, before, after))
    if isinstance(after, dict):
        return _is_equal(list(before), list(after)) and all(
            map(_is_equal, before.values(), after.values())
        )
    if isinstance(after, Set):
        return _typed(before) == _typed(after)
    return kind.__name__ in _COMPARED and bool(before == after)


def _typed(items: Collection[Any]) -> set[tuple[type, Any]]:
    return {(type(item), item) for item in items}


def _make_adapter(kind: Any, annotation: Any) -> Any:
    """A pydantic adapter; for what pydantic does not know, one that only asks ``isinstance``."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    if getattr(typing.get_origin(annotation), "__name__", None) in _LAZY:
        return _InstanceOf(typing.get_origin(annotation))  # pydantic would wrap the iterator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Python's own expressions: the default engine knows no lookahead, and refuses the type
        ours = ConfigDict(arbitrary_types_allowed=True, regex_engine="python-re")
        for config in (ours, None):
            try:
                adapter = TypeAdapter(kind, config=config)
                adapter.rebuild(force=False, raise_errors=True)
                return adapter
            except PydanticUserError:  # models refuse a configuration, others need it
                continue
            except Exception:  # protocols, texts that are no types, ...
                break
    return _InstanceOf(annotation)


class _InstanceOf:
    """Stands in for an adapter where pydantic cannot make one."""

    def __init__(self, annotation: Any) -> None:
        self.kind = annotation if isinstance(annotation, type) else object

    def validate_python(self, value: Any) -> Any:
        try:
            fits = isinstance(value, self.kind)
        except TypeError:  # a protocol that cannot be asked about
            fits = True
        if not fits:
            raise ValueError(f"Input should be an instance of {self.kind.__name__}")
        return value


# --- annotations ---------------------------------------------------------------------------------

_known: WeakKeyDictionary[Any, dict[str, ParameterType]] = WeakKeyDictionary()


def _types_of(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, ParameterType]:
    """The types of a function's parameters, found out once."""
    key = getattr(fn, "__func__", fn)  # a bound method is a new object each time it is asked for
    try:
        known = _known.get(key)
    except TypeError:
        known = None
    if known is not None and known.keys() == signature.parameters.keys():
        return known
    annotations = resolve_annotations(fn, signature)
    found = {
        name: ParameterType(parameter, annotations.get(name, Any))
        for name, parameter in signature.parameters.items()
    }
    try:
        if len(annotations) == len(found):  # a name that is missing now may be there next time
            _known[key] = found
    except TypeError:
        pass
    return found


def resolve_annotations(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Annotations as types, by parameter; ``Any`` where there is none.

    Texts are looked up in the function's module, in what it closes over, and in the function
    around it if that still runs. A parameter whose text leads nowhere is left out.
    """
    found: dict[str, Any] = {}
    names: dict[str, Any] | None = None
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if annotation is MISSING:
            found[name] = Any
        elif isinstance(annotation, type) and not typing.get_args(annotation):
            found[name] = annotation
        else:
            names = _names_for(fn) if names is None else names
            try:
                found[name] = _evaluate(annotation, names)
            except Exception:  # whatever evaluating a user's text may raise
                continue
    return found


def _evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, names, names, include_extras=True)["it"]


def _names_for(fn: Any) -> dict[str, Any]:
    """The names that a function's annotations may use, inner ones over outer ones."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    inner = inspect.unwrap(getattr(fn, "__func__", fn))
    if not hasattr(inner, "__globals__"):
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004
    names = dict(getattr(inner, "__globals__", {}))
    code = getattr(inner, "__code__", None)
    names |= _running_around(code)
    names |= _closure(code, getattr(inner, "__closure__", None) or ())
    return names | {each.__name__: each for each in getattr(inner, "__type_params__", ())}


def _closure(code: Any, cells: tuple[Any, ...]) -> dict[str, Any]:
    found = {}
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _running_around(code: Any) -> dict[str, Any]:
    """The local names of the function in which ``code`` was defined, while it still runs."""
    frame = inspect.currentframe()
    while code is not None and frame is not None:
        if code in frame.f_code.co_consts:
            return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)
        frame = frame.f_back
    return {}


# --- errors --------------------------------------------------------------------------------------


def _entries(
    name: str, field: str, wanted: ParameterType, value: Any, error: Exception
) -> list[Entry]:
    """One entry for each bad place in a value; what several union members say is one entry."""
    details = error.errors() if hasattr(error, "errors") else []
    messages: dict[str, list[str]] = {}
    given: dict[str, Any] = {}
    for detail in details:
        is_whole = detail["input"] is value and detail["type"] != "missing"
        path = field if is_whole else ".".join([field, *map(str, detail["loc"])])
        messages.setdefault(path, []).append(detail["msg"])
        given[path] = detail["input"]
    if not details:
        messages, given = {field: [str(error)]}, {field: value}
    return [
        {
            "field": path,
            "parameter": name,
            "message": "; ".join(dict.fromkeys(texts)),
            "expected": type_text(wanted.annotation),
            "given": short_text(given[path]),
            "given_type": type(given[path]).__name__,
        }
        for path, texts in messages.items()
    ]


def type_text(annotation: Any) -> str:
    """An annotation as people write it."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def _type_error(flow_name: str, entries: list[Entry]) -> ParameterTypeError:
    lines = [
        f"  {entry['field']}: expected {entry['expected']}, got {entry['given']} "
        f"({entry['given_type']}): {entry['message']}"
        for entry in entries
    ]
    bad = len({entry["parameter"] for entry in entries})
    count = f"{bad} parameters" if bad > 1 else "A parameter"
    return ParameterTypeError(
        f"{count} of flow {flow_name!r} cannot be used:\n" + "\n".join(lines),
        hint="@flow(validate_parameters=False) passes values on as they are.",
        errors=entries,
    )
