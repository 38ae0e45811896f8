"""Parameters of flows: declared, and bound to a signature.

Binding gives every parameter a value by name, ``*args`` and ``**kwargs`` under their own names;
:func:`call_arguments` is its inverse. Nothing here needs pydantic: types are the business of
:mod:`dataflow.model.parameter_types`.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataflow.errors import DefinitionError, ParameterBindError
from dataflow.model.functions import bind

MISSING: Any = inspect.Parameter.empty
_CONSTRAINTS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")


def Parameter(
    default: Any = MISSING,
    *,
    description: str | None = None,
    choices: Sequence[Any] | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
) -> Any:
    """Describe a parameter of a flow: as its default, or in ``Annotated``.

    Args:
        default: the default value; without one the parameter is required.
        description: what it is for.
        choices: the values that are allowed.
        ge, gt, le, lt: bounds of a number.
        min_length, max_length: bounds of a length.
        pattern: a regular expression that text must match.

    Returns:
        a description that type checkers take for a default of any type.

    Raises:
        DefinitionError: the pattern is no regular expression.
    """
    if pattern is not None:
        _check_pattern(pattern)
    given = (ge, gt, le, lt, min_length, max_length, pattern)
    pairs = zip(_CONSTRAINTS, given, strict=True)
    constraints = {name: value for name, value in pairs if value is not None}
    allowed = None if choices is None else list(choices)
    return ParameterDescription(default, description, allowed, constraints)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as error:
        raise DefinitionError(
            f"The pattern {pattern!r} of a parameter is no regular expression: {error}."
        ) from None


@dataclass(frozen=True, eq=False)  # so that it can be hashed in ``Annotated[...] | None``
class ParameterDescription:
    """What a flow says about one of its parameters (see :func:`Parameter`)."""

    default: Any = MISSING
    description: str | None = None
    choices: list[Any] | None = None
    constraints: dict[str, Any] = field(default_factory=dict)

    def __or__(self, other: ParameterDescription) -> ParameterDescription:
        """What both say together; where both say something, this one."""
        return ParameterDescription(
            other.default if self.default is MISSING else self.default,
            self.description or other.description,
            other.choices if self.choices is None else self.choices,
            other.constraints | self.constraints,
        )

    def __repr__(self) -> str:
        shown = [] if self.default is MISSING else [repr(self.default)]
        shown += [f"{name}={value!r}" for name, value in self.constraints.items()]
        return f"Parameter({', '.join(shown)})"


def description_of(parameter: inspect.Parameter, annotation: Any) -> ParameterDescription | None:
    """What a :func:`Parameter` says, as the default, in ``Annotated``, or both."""
    found = parameter.default if isinstance(parameter.default, ParameterDescription) else None
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, ParameterDescription):
            found = found | extra if found is not None else extra
    return found


def is_pydantic_field(default: Any) -> bool:
    """Whether a default is pydantic's ``Field(...)``; asked without importing pydantic."""
    return type(default).__name__ == "FieldInfo" and hasattr(default, "is_required")


def default_of(parameter: inspect.Parameter) -> Any:
    """The default value of a parameter, however it was declared; ``MISSING`` without one."""
    default = parameter.default
    if isinstance(default, ParameterDescription):
        default = default.default
    elif is_pydantic_field(default):
        return MISSING if default.is_required() else default.get_default(call_default_factory=True)
    if default is not MISSING:
        return default
    described = description_of(parameter, parameter.annotation)
    return MISSING if described is None else described.default


def _is_many(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def bind_parameters(
    owner: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments by parameter name, defaults filled in (containers among them copied).

    Args:
        owner: what is called, for errors: ``"flow 'name'"``.
        signature: that of the function.
        args, kwargs: what it is called with.

    Raises:
        ParameterBindError: with all that is missing, unknown or too much.
    """
    try:
        given = bind(signature, args, kwargs, is_partial=True).arguments
    except TypeError as error:
        raise _bind_error(owner, signature, args, kwargs, str(error)) from None
    parameters: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if name in given:
            parameters[name] = given[name]
        elif _is_many(parameter):
            parameters[name] = () if parameter.kind is parameter.VAR_POSITIONAL else {}
        elif (default := default_of(parameter)) is not MISSING:
            parameters[name] = _fresh(default)
        else:
            raise _bind_error(owner, signature, args, kwargs, "")
    return parameters


def _fresh(default: Any) -> Any:
    """Containers are copied, what is in them is not: a client stays the same client."""
    if type(default) is list:
        return [_fresh(item) for item in default]
    if type(default) is dict:
        return {key: _fresh(item) for key, item in default.items()}
    if isinstance(default, (list, dict, set, bytearray)):
        return copy.copy(default)
    return default


def _bind_error(
    owner: str,
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    reason: str,
) -> ParameterBindError:
    missing, unknown = _missing(signature, args, kwargs), _unknown(signature, kwargs)
    problems = []
    if unknown:
        problems.append(f"has no parameter {_listed(unknown)}")
    if len(args) > _most_positional(signature):
        problems.append(f"takes {_most_positional(signature)} positional, not {len(args)}")
    if missing:
        problems.append(f"needs {_listed(missing)}")
    said = " and ".join(problems) or f"cannot be called like this: {reason}"
    return ParameterBindError(
        f"{owner[:1].upper()}{owner[1:]} {said}.",
        hint=_close_match(kwargs, signature.parameters) or f"It takes {_shown(signature)}.",
        missing=missing,
        unknown=unknown,
    )


def _positional(signature: inspect.Signature) -> list[str]:
    return [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _most_positional(signature: inspect.Signature) -> float:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    is_endless = inspect.Parameter.VAR_POSITIONAL in kinds
    return math.inf if is_endless else len(_positional(signature))


def _missing(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[str]:
    given = {*_positional(signature)[: len(args)], *kwargs}
    return [
        name
        for name, parameter in signature.parameters.items()
        if name not in given and not _is_many(parameter) and default_of(parameter) is MISSING
    ]


def _unknown(signature: inspect.Signature, kwargs: Mapping[str, Any]) -> list[str]:
    parameters = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [name for name in kwargs if name not in parameters or _is_many(parameters[name])]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _close_match(given: Iterable[str], known: Mapping[str, Any]) -> str | None:
    import difflib

    for name in given:
        close = [] if name in known else difflib.get_close_matches(name, known, 1)
        if close:
            return f"Did you mean {close[0]!r} instead of {name!r}?"
    return None


def _shown(signature: inspect.Signature) -> str:
    bare = [
        parameter.replace(annotation=MISSING, default=default_of(parameter))
        if not _is_many(parameter)
        else parameter.replace(annotation=MISSING)
        for parameter in signature.parameters.values()
    ]
    names = [str(parameter) for parameter in bare]
    return ", ".join(names) or "no parameters"


def call_arguments(
    signature: inspect.Signature, parameters: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments that pass these parameters to the function."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_name = False
    for name, parameter in signature.parameters.items():
        if name not in parameters:
            by_name = True  # what follows a gap can only be named
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args.extend(parameters[name])
        elif parameter.kind is parameter.VAR_KEYWORD:
            kwargs.update(parameters[name])
        elif parameter.kind is parameter.KEYWORD_ONLY or by_name:
            kwargs[name] = parameters[name]
        else:
            args.append(parameters[name])
    return tuple(args), kwargs
