"""How values are written as text to be hashed: one after the other, parts inside of wholes.

What each type's text is, ``values`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

DIGEST_BYTES = 16
PLAIN = frozenset((int, float, bool, complex, type(None), str))
"""Types whose values are written as they stand."""
_LONG_TEXT = 4_000
_MOST_DEPTH = 200

Encode = Callable[[Any, "Encoder"], str]


class Unhashable(TypeError):
    """Something whose content cannot be told; ``path`` leads to it from the value."""

    def __init__(self, value: Any, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.kind = type(value).__qualname__
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"{self.kind} object{where} {self.reason}"


def digest_of(text: str) -> bytes:
    """The 16 bytes that stand for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def plain_text(value: Any) -> str:
    """The text of a plain value."""
    if type(value) is str and len(value) > _LONG_TEXT:
        return f"text:{digest_of(value).hex()}"
    try:
        return ascii(value)
    except ValueError:  # an int of more digits than Python likes to write
        return hex(value)


class Encoder:
    """Writes one value; knows what it is inside of, so that circles end.

    Args:
        encoder_of: what writes values of a type.
    """

    def __init__(self, encoder_of: Callable[[type], Encode]) -> None:
        self.encoder_of = encoder_of
        self.inside: list[int] = []

    def text(self, value: Any) -> str:
        """The text of a value that may hold others.

        Raises:
            Unhashable: it has no content that could be told.
        """
        kind = type(value)
        if kind in PLAIN:
            return plain_text(value)
        if id(value) in self.inside:
            return f"^{len(self.inside) - self.inside.index(id(value))}"
        if len(self.inside) > _MOST_DEPTH:
            raise Unhashable(value, "is nested too deeply to be hashed")
        self.inside.append(id(value))
        try:
            return self.encoder_of(kind)(value, self)
        finally:
            self.inside.pop()

    def part(self, step: str, value: Any) -> str:
        """The text of a part; an error tells the way to it."""
        try:
            return self.text(value)
        except Unhashable as error:
            error.path = step + error.path
            raise
