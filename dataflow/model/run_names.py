"""Names of runs from templates: ``"{day:%Y-%m} {path.stem}"``, filled in from parameters."""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from dataflow.errors import DefinitionError
from dataflow.model.functions import name_of_function

Template = str | Callable[..., str]


@dataclass(frozen=True, slots=True)
class RunName:
    """A checked template, or a callable that makes names; picklable if the callable is.

    Attributes:
        template: the text with ``{fields}``, or the callable.
        owner: whose runs it names, for errors.
        wants_parameters: whether the callable takes ``parameters``.
        catch_all: the name of ``**kwargs``, whose names a template may use too.
    """

    template: Template
    owner: str
    wants_parameters: bool = False
    catch_all: str | None = None

    def render(self, parameters: dict[str, Any]) -> str:
        """The name for a run with these parameters.

        Raises:
            DefinitionError: the parameters do not have what the template asks for, or the callable
                raised or returned no text.
        """
        try:
            name = self._make(parameters)
        except Exception as error:
            raise DefinitionError(
                f"The run name {_shown(self.template)} of {self.owner} could not be made: "
                f"{type(error).__name__}: {error}",
            ) from error
        if not isinstance(name, str):
            raise DefinitionError(
                f"The run name function {_shown(self.template)} of {self.owner} returned "
                f"{type(name).__name__}, not text."
            )
        return name

    def _make(self, parameters: dict[str, Any]) -> Any:
        if isinstance(self.template, str):
            if self.catch_all is not None:
                parameters = {**parameters.get(self.catch_all, {}), **parameters}
            return self.template.format_map(parameters)
        if self.wants_parameters:
            return self.template(parameters=parameters)
        return self.template()


def _shown(template: Template) -> str:
    return repr(template) if isinstance(template, str) else repr(name_of_function(template))


def compile_run_name(template: Template, signature: inspect.Signature, owner: str) -> RunName:
    """Check a template against the parameters that there will be.

    Args:
        template: the text, or a function that takes nothing or ``parameters``.
        signature: that of the flow or task.
        owner: whose runs it names, for errors: ``"flow 'name'"``.

    Raises:
        DefinitionError: a field names no parameter, or the template cannot be read.
    """
    if isinstance(template, str):
        for field in _fields(template, template, owner):
            _check_field(field, template, signature, owner)
        return RunName(template, owner, catch_all=_catch_all(signature))
    if callable(template):
        return RunName(template, owner, _wants_parameters(template, owner))
    raise DefinitionError(f"The run name of {owner} must be text or a function, not {template!r}.")


def _catch_all(signature: inspect.Signature) -> str | None:
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return parameter.name
    return None


def _wants_parameters(function: Callable[..., str], owner: str) -> bool:
    if inspect.iscoroutinefunction(function):
        raise DefinitionError(
            f"The run name function of {owner} is async; names are made without waiting.",
            hint="Write it with 'def'.",
        )
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind not in many]
    by_name = {p.name for p in parameters.values() if p.kind is not p.POSITIONAL_ONLY}
    if set(needed) - ({"parameters"} & by_name):
        raise DefinitionError(
            f"The run name function of {owner} needs {', '.join(map(repr, needed))}.",
            hint="It may take no argument, or one that can be passed as 'parameters='.",
        )
    return "parameters" in by_name


class _Anything:
    """Has every attribute and every item: with it the path of a field can be tried out."""

    def __getattr__(self, name: str) -> _Anything:
        return self

    def __getitem__(self, key: object) -> _Anything:
        return self


class _Names(dict[str, _Anything]):
    def __missing__(self, name: str) -> _Anything:
        return _Anything()


def _fields(text: str, template: str, owner: str, depth: int = 0) -> list[str]:
    """The fields of a template and of the format specifications in it, without their paths."""
    found = []
    try:
        for _, field, spec, conversion in string.Formatter().parse(text):
            if field is None:
                continue
            if depth > 1:
                raise ValueError("a format specification in another one cannot have fields")
            name = string.Formatter().get_field(field, (), _Names())[1]
            if name == "":
                raise IndexError
            found.append(str(name))
            if conversion not in (None, "", "r", "s", "a"):
                raise ValueError(f"'!{conversion}' is no conversion; there are !r, !s and !a")
            found += _fields(spec, template, owner, depth + 1) if spec else []
    except (ValueError, IndexError, AttributeError) as error:
        reason = "fields need names" if isinstance(error, IndexError) else error
        raise DefinitionError(
            f"The run name {template!r} of {owner} is no valid template: {reason}.",
            hint="A brace that is part of the name is written twice: {{ or }}.",
        ) from None
    return found


def _check_field(field: str, template: str, signature: inspect.Signature, owner: str) -> None:
    if field in signature.parameters or (field.isidentifier() and _catch_all(signature)):
        return
    raise DefinitionError(
        f"The run name {template!r} of {owner} names {field!r}, which is no parameter of it.",
        hint=_suggestion(field, signature.parameters),
    )


def _suggestion(field: str, known: Collection[str]) -> str:
    import difflib

    if field in ("flow_run", "task_run", "flow_name", "task_name", "map_index"):
        return (
            "A template has the parameters alone. A function may look at the run: "
            "def run_name(): return runtime.flow_run.name"
        )
    close = difflib.get_close_matches(field, known, 1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Its parameters: {', '.join(known)}." if known else "It has no parameters."
