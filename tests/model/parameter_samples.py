"""What tests of parameters use: a call's arguments bound and converted, and types to have."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel

from dataflow.model.parameter_types import validate_parameters
from dataflow.model.parameters import (
    bind_parameters,
)


def bind(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return bind_parameters(f"flow {fn.__name__!r}", inspect.signature(fn), args, kwargs)


def convert(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return validate_parameters(fn.__name__, fn, inspect.signature(fn), bind(fn, *args, **kwargs))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Config(BaseModel):
    depth: int = 1
    colour: Colour = Colour.RED


@dataclass
class Window:
    start: date
    days: int = 1


class Client:
    pass
