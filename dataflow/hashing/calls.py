"""The hash of what a call of a task gets, the same whether it was passed by position or by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dataflow.hashing.encoding import DIGEST_BYTES, PLAIN, Unhashable, digest_of, plain_text
from dataflow.hashing.values import text_of

NO_DIGEST = bytes(DIGEST_BYTES)
"""Stands for what cannot be hashed: equal to nothing, not even to itself."""
_REMEMBERED_BYTES = 10_000


class UnhashableArgument(TypeError):
    """An argument cannot be hashed; ``argument`` is its name."""

    def __init__(self, argument: str, reason: Unhashable) -> None:
        super().__init__(f"argument {argument!r}: {reason}")
        self.argument = argument
        self.reason = reason


class CallHasher:
    """Hashes the calls of one task.

    What is large and the same for many calls is hashed once: the last value of each parameter is
    remembered.

    Args:
        task: its signature tells the order of the parameters and the defaults.
        leave_out: names of parameters that do not count.
    """

    def __init__(self, task: Any, leave_out: Collection[str] = ()) -> None:
        self.leave_out = frozenset(leave_out)
        parameters = task.signature.parameters.values()
        self._names = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        self._rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
        self._defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self._last: dict[str, tuple[Any, str]] = {}
        self._is_plain = not self.leave_out and not self._defaults
        self._only = self._names[0] if self._is_plain and len(self._names) == 1 else None

    def digest(self, args: Sequence[Any], kwargs: Mapping[str, Any], prefix: str = "") -> bytes:
        """The digest of a prefix and the arguments of a call.

        Raises:
            UnhashableArgument: with the name of the argument.
        """
        if self._only is not None and not kwargs and len(args) == 1:
            value = args[0]
            text = plain_text(value) if type(value) in PLAIN else self._text(self._only, value)
            return digest_of(f"{prefix}({self._only}={text})")
        if self._is_plain and not kwargs and len(args) == len(self._names):
            texts = [
                f"{name}={self._text(name, value)}"
                for name, value in zip(self._names, args, strict=True)
            ]
        else:
            texts = self._texts(self.arguments(args, kwargs))
        return digest_of(f"{prefix}({';'.join(texts)})")

    def digest_or_none(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        """The same; ``NO_DIGEST`` where an argument cannot be hashed."""
        try:
            return self.digest(args, kwargs)
        except Exception:  # the arguments' own code may raise anything
            return NO_DIGEST

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, with defaults, in the order of the signature."""
        given = dict(zip(self._names, args, strict=False))
        for at, value in enumerate(args[len(self._names) :]):
            given[f"*{self._rest}[{at}]"] = value
        found = {**self._defaults, **given, **kwargs}
        order = {name: at for at, name in enumerate(self._names)}
        return dict(sorted(found.items(), key=lambda item: (order.get(item[0], 1000), item[0])))

    def _texts(self, arguments: Mapping[str, Any]) -> list[str]:
        return [
            f"{name}={self._text(name, value)}"
            for name, value in arguments.items()
            if name not in self.leave_out
        ]

    def _text(self, name: str, value: Any) -> str:
        last = self._last.get(name)
        if last is not None and last[0] is value:
            return last[1]
        try:
            text = text_of(value)
        except Unhashable as error:
            raise UnhashableArgument(name, error) from None
        if getattr(value, "nbytes", 0) > _REMEMBERED_BYTES or hasattr(value, "columns"):
            self._last[name] = value, text
        return text
