"""Marks that change how one argument of a task is treated."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Annotation(Generic[T]):
    """An argument with a mark around it; ``value`` is the argument itself."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unwrap(self) -> T:
        """The argument without the mark."""
        return self.value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(other.value == self.value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class unmapped(Annotation[T]):
    """Give every element of a map this same value, though it could be mapped over."""


class allow_failure(Annotation[T]):
    """Run even if this input failed: the task then gets the exception in its place."""


class quote(Annotation[T]):
    """Do not look for futures inside this value: it is passed as it is."""


def innermost(value: Any) -> Any:
    """What is left when every mark around ``value`` is taken off."""
    while isinstance(value, Annotation):
        value = value.value
    return value
