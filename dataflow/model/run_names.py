"""Names of runs from templates: ``"{day:%Y-%m} {path.stem}"``, filled in from parameters."""

from __future__ import annotations

import difflib
import inspect
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dataflow.errors import DefinitionError

Template = str | Callable[..., str]


@dataclass(frozen=True, slots=True)
class RunName:
    """A checked template, or a callable that makes names; picklable if the callable is.

    Attributes:
        template: the text with ``{fields}``, or the callable.
        owner: whose runs it names, for errors.
        wants_parameters: whether the callable takes ``parameters``.
    """

    template: Template
    owner: str
    wants_parameters: bool = False

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
                f"The run name {self.template!r} of {self.owner} could not be made: "
                f"{type(error).__name__}: {error}",
            ) from error
        if not isinstance(name, str):
            raise DefinitionError(
                f"The run name function of {self.owner} returned {type(name).__name__}, not text."
            )
        return name

    def _make(self, parameters: dict[str, Any]) -> Any:
        if isinstance(self.template, str):
            return string.Formatter().vformat(self.template, (), parameters)
        if self.wants_parameters:
            return self.template(parameters=parameters)
        return self.template()


def compile_run_name(template: Template, signature: inspect.Signature, owner: str) -> RunName:
    """Check a template against the parameters that there will be.

    Raises:
        DefinitionError: a field names no parameter, or the template cannot be read.
    """
    if callable(template):
        return RunName(template, owner, _wants_parameters(template, owner))
    if not isinstance(template, str):
        raise DefinitionError(
            f"The run name of {owner} must be text or a function, not {template!r}."
        )
    for field in _fields(template, owner):
        _check_field(field, template, signature, owner)
    return RunName(template, owner)


def _wants_parameters(function: Callable[..., str], owner: str) -> bool:
    try:
        names = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    needed = [p.name for p in names if p.default is p.empty and p.kind not in (p.VAR_KEYWORD,)]
    if set(needed) - {"parameters"}:
        raise DefinitionError(
            f"The run name function of {owner} needs the arguments {', '.join(needed)}.",
            hint="It may take no argument, or one that is called 'parameters'.",
        )
    return "parameters" in needed


def _fields(template: str, owner: str) -> list[str]:
    try:
        return [
            name
            for _, name, spec, _ in string.Formatter().parse(template)
            if name is not None
            for name in (name, *(_fields(spec, owner) if spec else ()))
        ]
    except ValueError as error:
        raise DefinitionError(
            f"The run name {template!r} of {owner} is no valid template: {error}."
        ) from None


def _check_field(field: str, template: str, signature: inspect.Signature, owner: str) -> None:
    name = field.partition(".")[0].partition("[")[0]
    if name in signature.parameters:
        return
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    if name and not name.isdigit() and takes_any:
        return
    close = difflib.get_close_matches(name, signature.parameters, 1)
    known = ", ".join(signature.parameters) or "none"
    raise DefinitionError(
        f"The run name {template!r} of {owner} names {name!r}, which is no parameter of it.",
        hint=f"Did you mean {close[0]!r}?" if close else f"Its parameters: {known}.",
    )
