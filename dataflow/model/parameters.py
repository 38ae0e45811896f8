"""Parameters of flows: bound to the signature, converted to its types, described as a schema.

pydantic does the converting. It is loaded only where there is something to convert: values that
already have a plain annotated type pass without it: loading it takes longer than most flows.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from dataflow.errors import ParameterBindError, ParameterTypeError

_MISSING: Any = inspect.Parameter.empty
_MOST_TEXT = 200
_MOST_JSON = 64_000
_PLAIN = (int, str, float, bool, bytes)
_CONSTRAINTS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")


class Parameter:
    """Describes a parameter of a flow: as its default, or in ``Annotated``.

    Args:
        default: the default value; without one the parameter is required.
        description: what it is for.
        choices: the values that are allowed.
        ge, gt, le, lt: bounds of a number.
        min_length, max_length: bounds of a length.
        pattern: a regular expression that text must match.
    """

    def __init__(
        self,
        default: Any = _MISSING,
        *,
        description: str | None = None,
        choices: typing.Sequence[Any] | None = None,
        ge: float | None = None,
        gt: float | None = None,
        le: float | None = None,
        lt: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
    ) -> None:
        self.default = default
        self.description = description
        self.choices = list(choices) if choices is not None else None
        given = (ge, gt, le, lt, min_length, max_length, pattern)
        self.constraints = {
            name: value
            for name, value in zip(_CONSTRAINTS, given, strict=True)
            if value is not None
        }

    def __repr__(self) -> str:
        shown = [] if self.default is _MISSING else [repr(self.default)]
        shown += [f"{name}={value!r}" for name, value in self.constraints.items()]
        return f"Parameter({', '.join(shown)})"


def _spec_of(parameter: inspect.Parameter, annotation: Any = None) -> Parameter | None:
    """What describes a parameter, wherever it stands."""
    if isinstance(parameter.default, Parameter):
        return parameter.default
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, Parameter):
            return extra
    return None


def _default_of(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is _MISSING and typing.get_origin(parameter.annotation) is typing.Annotated:
        spec = _spec_of(parameter, parameter.annotation)
        return spec.default if spec else _MISSING
    return default.default if isinstance(default, Parameter) else default


def bind_parameters(
    owner: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by parameter name, defaults filled in (mutable ones copied for this call).

    Raises:
        ParameterBindError: with what is missing, unknown or too much.
    """
    try:
        bound = signature.bind_partial(*args, **kwargs)
    except TypeError as error:
        raise ParameterBindError(
            f"{owner.capitalize()} cannot be called like this: {error}.",
            hint=_hint(signature, kwargs),
        ) from None
    parameters: dict[str, Any] = {}
    missing = []
    for name, parameter in signature.parameters.items():
        if name in bound.arguments:
            parameters[name] = bound.arguments[name]
        elif parameter.kind is parameter.VAR_POSITIONAL:
            parameters[name] = ()
        elif parameter.kind is parameter.VAR_KEYWORD:
            parameters[name] = {}
        elif (default := _default_of(parameter)) is not _MISSING:
            parameters[name] = _fresh(default)
        else:
            missing.append(name)
    if missing:
        raise ParameterBindError(
            f"{owner.capitalize()} needs {_counted(missing)}: {', '.join(map(repr, missing))}.",
            hint=_hint(signature, kwargs),
        )
    return parameters


def _counted(names: list[str]) -> str:
    return "a parameter that was not given" if len(names) == 1 else "parameters that were not given"


def _fresh(default: Any) -> Any:
    return copy.copy(default) if isinstance(default, (list, dict, set)) else default


def _hint(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str:
    unknown = [name for name in kwargs if name not in signature.parameters]
    for name in unknown:
        close = difflib.get_close_matches(name, signature.parameters, 1)
        if close:
            return f"Did you mean {close[0]!r} instead of {name!r}?"
    return f"Its signature is {signature}."


def call_arguments(
    signature: inspect.Signature, parameters: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments that pass these parameters to the function."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if name not in parameters:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(parameters[name])
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs.update(parameters[name])
        elif parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[name] = parameters[name]
        else:
            args.append(parameters[name])
    return args, kwargs


def validate_parameters(
    flow_name: str,
    fn: Callable[..., Any],
    signature: inspect.Signature,
    parameters: dict[str, Any],
    is_opaque: Callable[[Any], bool] = lambda value: False,
) -> dict[str, Any]:
    """The parameters converted to the types of the signature.

    Values that have the right type already stay the same objects.

    Raises:
        ParameterTypeError: one error that names every bad parameter.
    """
    annotations = _annotations(fn, signature)
    checked = dict(parameters)
    errors: list[dict[str, Any]] = []
    for name, value in parameters.items():
        parameter = signature.parameters.get(name)
        if parameter is None or is_opaque(value):
            continue
        annotation = annotations.get(name, Any)
        spec = _spec_of(parameter, annotation)
        if spec is None and _is_right_already(annotation, value):
            continue
        try:
            checked[name] = _convert(annotation, spec, parameter, value)
        except ValueError as error:
            errors += _entries(name, error, value)
    if errors:
        raise _type_error(flow_name, errors)
    return checked


def _annotations(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Resolved annotations; what cannot be resolved is Any."""
    inner = inspect.unwrap(getattr(fn, "__func__", fn))
    space = dict(getattr(inner, "__globals__", {}))
    for name, cell in zip(
        getattr(getattr(inner, "__code__", None), "co_freevars", ()),
        getattr(inner, "__closure__", None) or (),
        strict=False,
    ):
        try:
            space[name] = cell.cell_contents
        except ValueError:
            continue
    found = {}
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, space)  # as typing.get_type_hints does
            except Exception:
                annotation = Any
        found[name] = Any if annotation is _MISSING else annotation
    return found


def _is_right_already(annotation: Any, value: Any) -> bool:
    if annotation is Any:
        return True
    if annotation is None:
        return value is None
    return annotation in _PLAIN and type(value) is annotation


def _convert(
    annotation: Any, spec: Parameter | None, parameter: inspect.Parameter, value: Any
) -> Any:
    kind: Any = _with_constraints(annotation, spec)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return tuple(_adapt(types.GenericAlias(tuple, (kind, ...)), value))
    if parameter.kind is parameter.VAR_KEYWORD:
        return dict(_adapt(types.GenericAlias(dict, (str, kind)), value))
    converted = _adapt(kind, value)
    if spec is not None and spec.choices is not None and converted not in spec.choices:
        allowed = ", ".join(map(repr, spec.choices))
        raise ValueError(f"must be one of {allowed}")
    return converted


def _with_constraints(annotation: Any, spec: Parameter | None) -> Any:
    if spec is None or not spec.constraints:
        return annotation
    from pydantic import Field

    constraints: dict[str, Any] = spec.constraints
    return typing.Annotated[annotation, Field(**constraints)]


_adapters: dict[Any, Any] = {}


def _adapter(kind: Any) -> Any:
    """The pydantic adapter of a type, made once."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return _adapters[kind]
    except (KeyError, TypeError):
        pass
    try:
        adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model brings its own configuration
        adapter = TypeAdapter(kind)
    try:
        _adapters[kind] = adapter
    except TypeError:
        pass
    return adapter


def _adapt(kind: Any, value: Any) -> Any:
    return _adapter(kind).validate_python(value)


def _entries(name: str, error: ValueError, value: Any) -> list[dict[str, Any]]:
    details = getattr(error, "errors", None)
    if details is None:
        return [{"field": name, "message": str(error), "given": value}]
    return [
        {
            "field": ".".join([name, *map(str, detail["loc"])]),
            "message": detail["msg"],
            "given": detail.get("input", value),
        }
        for detail in details()
    ]


def _type_error(flow_name: str, errors: list[dict[str, Any]]) -> ParameterTypeError:
    lines = [
        f"  {error['field']}: {error['message']} (given: {_short(error['given'])}, "
        f"{type(error['given']).__name__})"
        for error in errors
    ]
    bad = f"{len(errors)} parameters" if len(errors) > 1 else "A parameter"
    return ParameterTypeError(
        f"{bad} of flow {flow_name!r} cannot be used:\n" + "\n".join(lines),
        errors=[{**error, "given": _short(error["given"])} for error in errors],
    )


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 3] + "..."


def parameters_to_json(parameters: Mapping[str, Any]) -> str:
    """The parameters as JSON text for the store: what JSON does not know is shown as text."""
    try:
        text = json.dumps(dict(parameters), default=_jsonable, skipkeys=True)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps({name: _short(value) for name, value in parameters.items()})
    if len(text) <= _MOST_JSON:
        return text
    return json.dumps({name: _short(value) for name, value in parameters.items()})


def _jsonable(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if hasattr(value, "__fspath__"):
        return str(value)
    return _short(value)


def parse_parameter(text: str) -> Any:
    """The value of ``name=value`` on a command line: JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- schema --------------------------------------------------------------------------------------


def parameters_schema(fn: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function as a JSON schema.

    Returns:
        An object schema whose properties have a title, a position, a default and a description
        where there are such.
    """
    signature = inspect.signature(fn)
    annotations = _annotations(fn, signature)
    described = _docstring_parameters(inspect.getdoc(fn) or "")
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required = []
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        spec = _spec_of(parameter, annotations[name])
        schema = _schema_of(annotations[name], spec, definitions)
        schema = {"title": name, "position": position, **schema}
        description = (spec.description if spec else None) or described.get(name)
        if description:
            schema["description"] = description
        default = _default_of(parameter)
        if default is not _MISSING:
            schema["default"] = json.loads(json.dumps(default, default=_jsonable))
        elif parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            required.append(name)
        properties[name] = schema
    found: dict[str, Any] = {"title": "Parameters", "type": "object", "properties": properties}
    if required:
        found["required"] = required
    if definitions:
        found["definitions"] = definitions
    return found


def _schema_of(annotation: Any, spec: Parameter | None, definitions: dict[str, Any]) -> Any:
    if annotation is Any:
        schema: dict[str, Any] = {}
    else:
        try:
            kind = _with_constraints(annotation, spec)
            schema = _adapter(kind).json_schema(ref_template="#/definitions/{model}")
        except Exception:
            schema = {}
    definitions.update(schema.pop("$defs", {}))
    schema.pop("title", None)
    if spec is not None and spec.choices is not None:
        schema["enum"] = spec.choices
    return schema


_GOOGLE = re.compile(r"^\s{0,4}\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s+(.*)$")
_SPHINX = re.compile(r"^\s*:param(?:\s+\S+)?\s+(\w+):\s*(.*)$")
_NUMPY = re.compile(r"^(\w+)\s*:\s*\S.*$")


def _docstring_parameters(text: str) -> dict[str, str]:
    """Descriptions of parameters in a docstring of the Google, NumPy or Sphinx style."""
    found: dict[str, str] = {}
    section = ""
    name = None
    lines = text.splitlines()
    for number, line in enumerate(lines):
        stripped = line.strip()
        if match := _SPHINX.match(line):
            name = match[1]
            found[name] = match[2]
        elif stripped.rstrip(":") in ("Args", "Arguments", "Parameters"):
            is_numpy = number + 1 < len(lines) and set(lines[number + 1].strip()) == {"-"}
            section = "numpy" if is_numpy else "google"
            name = None
        elif section and stripped.rstrip(":") in ("Returns", "Raises", "Yields", "Notes"):
            section, name = "", None
        elif section == "google" and (match := _GOOGLE.match(line)):
            name = match[1]
            found[name] = match[2]
        elif section == "numpy" and not line.startswith(" ") and (match := _NUMPY.match(line)):
            name = match[1]
            found[name] = ""
        elif name is not None and stripped and line.startswith((" ", "\t")):
            found[name] = f"{found[name]} {stripped}".strip()
        elif not stripped and section != "numpy":
            name = None
    return {name: text for name, text in found.items() if text}
