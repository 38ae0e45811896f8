"""Values become bytes, and bytes values: ``pickle``, ``json``, ``msgpack``, ``compressed/...``.

A serializer of one's own is a subclass with a ``name``; where it is defined it is known, and as an
entry point of the group ``dataflow.serializers`` it is known everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from dataflow.errors import DefinitionError, RunnerNotFound
from dataflow.worker import pickling
from dataflow.worker.loading import load_pickle

_known: dict[str, type[Serializer]] = {}


class Serializer:
    """Turns values into bytes and back; subclass it, with a ``name``.

    Attributes:
        name: what ``result_serializer=`` calls it; it is kept with each result.
        joins: whether it takes a list of values as well as any of them.
    """

    name: ClassVar[str] = ""
    joins: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.name:
            _known[cls.name] = cls

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value; raises if it cannot take it."""
        raise NotImplementedError

    def loads(self, data: bytes) -> Any:
        """The value of some bytes."""
        raise NotImplementedError

    def dump_parts(self, value: Any) -> list[Any]:
        """The same as buffers, of which those after the first are large."""
        return [self.dumps(value)]

    def load_parts(self, parts: Sequence[Any]) -> Any:
        """The value of such buffers."""
        return self.loads(bytes(parts[0]))

    @property
    def full_name(self) -> str:
        """The name by which :func:`find_serializer` makes the same one."""
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PickleSerializer(Serializer):
    """cloudpickle where it is needed, plain pickle where that will do; protocol 5."""

    name = "pickle"
    joins = True

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        return pickling.dumps(value)

    def loads(self, data: bytes) -> Any:
        """The value of some bytes."""
        return load_pickle(data)

    def dump_parts(self, value: Any) -> list[Any]:
        """The pickle, and beside it the buffers of arrays, uncopied."""
        buffers: list[Any] = []
        data = pickling.dumps(value, buffer_callback=buffers.append)
        return [data, *(buffer.raw() for buffer in buffers)]

    def load_parts(self, parts: Sequence[Any]) -> Any:
        """The value; arrays in it may be written to."""
        return load_pickle(parts[0], map(bytearray, parts[1:]))


class JSONSerializer(Serializer):
    """JSON: for values that others read, too. Tuples come back as lists."""

    name = "json"
    joins = True

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        """The value of some bytes."""
        return json.loads(data)


class MsgpackSerializer(Serializer):
    """msgpack: JSON's values and bytes, smaller and faster. Tuples come back as lists."""

    name = "msgpack"
    joins = True

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        import msgpack

        data: bytes = msgpack.packb(value)
        return data

    def loads(self, data: bytes) -> Any:
        """The value of some bytes."""
        import msgpack

        return msgpack.unpackb(data, strict_map_key=False)


class CompressedSerializer(Serializer):
    """Another serializer's bytes, compressed.

    Args:
        serializer: the other one, or its name.
    """

    name = "compressed"

    def __init__(self, serializer: Serializer | str = "pickle") -> None:
        self.inner = find_serializer(serializer)
        self.joins = self.inner.joins  # type: ignore[misc]

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value."""
        import zlib

        return zlib.compress(self.inner.dumps(value), 1)

    def loads(self, data: bytes) -> Any:
        """The value of some bytes."""
        import zlib

        return self.inner.loads(zlib.decompress(data))

    @property
    def full_name(self) -> str:
        """``compressed/`` and the name of the other."""
        return f"compressed/{self.inner.full_name}"


def find_serializer(wanted: Any) -> Serializer:
    """The serializer of a name (None: ``pickle``), or the one that was given.

    Raises:
        DefinitionError: there is none of that name, or it is something else.
    """
    if isinstance(wanted, Serializer):
        return wanted
    if isinstance(wanted, type) and issubclass(wanted, Serializer):
        return wanted()
    if wanted is None:
        return PickleSerializer()
    if not isinstance(wanted, str):
        raise DefinitionError(
            f"result_serializer must be a name or a Serializer, not {type(wanted).__name__}.",
            hint="Subclass dataflow.serializers.Serializer.",
        )
    kind, _, inner = wanted.partition("/")
    if kind == "compressed":
        return CompressedSerializer(inner or "pickle")
    return _kind_of(wanted)()


def _kind_of(name: str) -> type[Serializer]:
    found = _known.get(name)
    if found is not None:
        return found
    from dataflow.plugins import load_plugin, plugin_names

    try:
        loaded: type[Serializer] = load_plugin("dataflow.serializers", name)
    except RunnerNotFound:
        known = ", ".join(sorted({*_known, *plugin_names("dataflow.serializers")}))
        raise DefinitionError(
            f"There is no serializer {name!r}.",
            hint=f"There are: {known}, and compressed/<name>. One of your own is known when the "
            "module that defines it has been imported.",
        ) from None
    return loaded
