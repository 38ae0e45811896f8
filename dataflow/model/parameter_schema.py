"""The parameters of a flow as a JSON schema: what a form, or another program, needs to call it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from dataflow.model.functions import signature_of
from dataflow.model.parameter_text import jsonable
from dataflow.model.parameter_types import ParameterType, resolve_annotations
from dataflow.model.parameters import MISSING, default_of


def parameters_schema(fn: Callable[..., Any]) -> dict[str, Any]:
    """The parameters of a function as a JSON schema.

    Returns:
        An object schema; its properties have a title, a position, and a default and a description
        where there are such. A type that JSON has no words for leaves the rest of its schema empty.
    """
    signature = signature_of(fn)
    annotations = resolve_annotations(fn, signature)
    found = {
        name: ParameterType(parameter, annotations.get(name, Any))
        for name, parameter in signature.parameters.items()
    }
    schemas, definitions = _type_schemas(found)
    texts = docstring_parameters(inspect.getdoc(fn) or "")
    properties = {
        name: _property(position, signature.parameters[name], found[name], schemas, texts)
        for position, name in enumerate(found)
    }
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind not in many and default_of(parameter) is MISSING
    ]
    return {
        "title": "Parameters",
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        **({"definitions": definitions} if definitions else {}),
    }


def _type_schemas(found: dict[str, ParameterType]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Schemas by parameter, and the definitions that they refer to."""
    from pydantic import TypeAdapter

    inputs: list[Any] = []
    for name, wanted in found.items():
        adapter = wanted.adapter() if wanted.annotation is not Any or wanted.is_bounded else None
        try:
            if adapter is not None:
                adapter.json_schema()
                inputs.append((name, "validation", adapter))
        except Exception:  # no JSON schema for this type, or not ours to make
            continue
    schemas, shared = TypeAdapter.json_schemas(inputs, ref_template="#/definitions/{model}")
    return {name: schema for (name, _), schema in schemas.items()}, shared.get("$defs", {})


def _property(
    position: int,
    parameter: inspect.Parameter,
    wanted: ParameterType,
    schemas: dict[str, Any],
    texts: dict[str, str],
) -> dict[str, Any]:
    schema = {**schemas.get(parameter.name, {})}
    schema.pop("title", None)
    described = wanted.described
    if described is not None and described.choices is not None:
        schema["enum"] = jsonable(described.choices)
    if parameter.kind is parameter.VAR_POSITIONAL:
        schema = {"type": "array", "items": schema}
    elif parameter.kind is parameter.VAR_KEYWORD:
        schema = {"type": "object", "additionalProperties": schema or True}
    text = (described.description if described else None) or texts.get(parameter.name)
    if text:
        schema["description"] = text
    default = default_of(parameter)
    if default is not MISSING:
        schema["default"] = jsonable(default)
    return {"title": parameter.name, "position": position, **schema}


# --- docstrings ----------------------------------------------------------------------------------

_HEADS = "Args Arguments Parameters Params Keyword Args Other Parameters".split()
_SPHINX = re.compile(r"^:(?:param|parameter|arg|argument)(?:\s+[^:]+?)?\s+\*{0,2}(\w+):\s*(.*)$")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^:]*\))?\s*:(?:\s+(.*))?$")
_NUMPY = re.compile(r"^(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")


def docstring_parameters(text: str) -> dict[str, str]:
    """Descriptions of parameters in a docstring of the Google, NumPy or Sphinx style."""
    lines = text.splitlines()
    found: dict[str, str] = _sphinx(lines)
    for number, line in enumerate(lines[:-1]):
        head, rule = line.strip(), lines[number + 1].strip()
        if head in _HEADS and rule and not rule.strip("-"):
            found |= _entries(lines[number + 2 :], _NUMPY, 0)
        elif head.endswith(":") and head[:-1] in _HEADS:
            rest = lines[number + 1 :]
            found |= _entries(rest, _GOOGLE, next(filter(None, map(_indent, rest)), 0))
    return {name: described for name, described in found.items() if described}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _sphinx(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = None
    for line in lines:
        if match := _SPHINX.match(line.strip()):
            name = match[1]
            found[name] = match[2]
        elif name is not None and line.strip() and _indent(line):
            found[name] = f"{found[name]} {line.strip()}".strip()
        else:
            name = None
    return found


def _entries(lines: list[str], entry: re.Pattern[str], indent: int) -> dict[str, str]:
    """The entries of a section: names at ``indent``, their descriptions further in."""
    found: dict[str, str] = {}
    names: list[str] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text:
            continue
        if _indent(line) > indent:
            found |= {name: f"{found[name]} {text}".strip() for name in names}
            continue
        match = entry.match(text)
        is_head = number + 1 < len(lines) and lines[number + 1].strip().startswith("---")
        if match is None or _indent(line) < indent or is_head:
            break
        names = [name.strip(" *") for name in match[1].split(",")]
        found |= dict.fromkeys(names, (match[2] or "") if entry is _GOOGLE else "")
    return found
