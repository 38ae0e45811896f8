"""How results become bytes: give ``result_serializer=`` one of these, or its name.

class Shouting(Serializer):
name = "shouting"
def dumps(self, value): return str(value).upper().encode()
def loads(self, data): return data.decode()
"""

from __future__ import annotations

from dataflow.storage.serializers import (
    CompressedSerializer,
    JSONSerializer,
    MsgpackSerializer,
    PickleSerializer,
    Serializer,
)

__all__ = [
    "Serializer",
    "PickleSerializer",
    "JSONSerializer",
    "MsgpackSerializer",
    "CompressedSerializer",
]
