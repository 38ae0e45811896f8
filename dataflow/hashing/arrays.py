"""Numpy arrays by their content, whatever holds it.

The order of bytes, strides and what lies under a mask do not count. Every NaN is the same one, as
processors give theirs other bits; 0.0 is not -0.0, as 1 / x is not the same.
"""

from __future__ import annotations

from typing import Any

import numpy

from dataflow.hashing.buffers import BLOCK_BYTES, blocks_digest, buffer_digest
from dataflow.hashing.encoding import PLAIN, Encoder


def array_text(array: Any, encoder: Encoder) -> str:
    """An array: type, shape and content in C order; objects in it one by one.

    What a class of arrays adds (a mask, a unit) counts with its name.
    """
    kind = type(array)
    if kind is numpy.ndarray or kind is numpy.memmap:
        return f"array:{content_text(array, encoder)}"
    name = f"array:{kind.__module__}.{kind.__qualname__}"
    if isinstance(array, numpy.ma.MaskedArray):
        return f"{name}:{_masked_text(array, encoder)}"
    added = encoder.text(getattr(array, "__dict__", {}))
    return f"{name}:{added}:{content_text(numpy.asarray(array), encoder)}"


def scalar_text(scalar: Any, encoder: Encoder) -> str:
    """A number, date, text or structure of numpy's own."""
    return f"scalar:{content_text(numpy.asarray(scalar), encoder)}"


def content_text(array: Any, encoder: Encoder) -> str:
    """Type, shape and content of a plain array."""
    dtype = array.dtype
    if dtype.names is not None:
        fields = (f"{name!a}={content_text(array[name], encoder)}" for name in dtype.names)
        return f"{array.shape}{{{','.join(fields)}}}"
    if dtype.hasobject:
        kind = "" if dtype.kind == "O" else repr(dtype)
        return f"{kind}{array.shape}:{objects_text(array.ravel().tolist(), encoder)}"
    return f"{dtype.newbyteorder('<').str}:{array.shape}:{_digest(array)}"


def _masked_text(array: Any, encoder: Encoder) -> str:
    nothing = numpy.zeros((), array.dtype)
    parts = (numpy.ma.getmaskarray(array), array.filled(nothing), array.fill_value)
    return ":".join(content_text(numpy.asarray(part), encoder) for part in parts)


# --- numbers --------------------------------------------------------------------------------------


def _digest(array: Any) -> str:
    """Blocks are rows: with strides, each is copied where it is hashed."""
    if array.ndim == 0:
        array = array.reshape(1)
    row_bytes = array[:1].nbytes if array.size else 0
    if not 0 < row_bytes <= BLOCK_BYTES:
        array = array.reshape(-1)
        row_bytes = array.itemsize
    rows = max(1, BLOCK_BYTES // max(1, row_bytes))
    count = -(-len(array) // rows)
    return blocks_digest(count, lambda at: [_block(array[at * rows : (at + 1) * rows])])


def _block(array: Any) -> Any:
    """The bytes of some rows, the lowest byte of a number first."""
    array = numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if array.dtype.kind in "fc":
        array = _without_garbage(array)
    return array.reshape(-1).view("u1")


def _without_garbage(numbers: Any) -> Any:
    """Whatever is not a number in the same bits, and nothing in bytes that are no part of one."""
    if numbers.dtype.kind == "c":
        numbers = numbers.reshape(-1).view(f"f{numbers.itemsize // 2}")
    missing = numpy.isnan(numbers)
    if missing.any():
        numbers = numpy.where(missing, numpy.array(numpy.nan, numbers.dtype), numbers)
    if numbers.itemsize == 16 and numpy.finfo(numbers.dtype).nmant == 63:  # 10 bytes, and padding
        return numpy.ascontiguousarray(numbers.reshape(-1).view("u1").reshape(-1, 16)[:, :10])
    return numbers


# --- objects --------------------------------------------------------------------------------------


def objects_text(values: list[Any], encoder: Encoder) -> str:
    """Objects one by one; many texts, and what stands for missing ones between them, as one."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return _texts_text(values)
    if str in kinds and kinds <= PLAIN:
        are_texts = [type(value) is str for value in values]
        texts = _texts_text([value for value in values if type(value) is str])
        others = encoder.text([value for value in values if type(value) is not str])
        return f"mixed:{buffer_digest(bytes(are_texts))}:{texts}:{others}"
    return encoder.text(values)


def _texts_text(values: list[str]) -> str:
    """Many texts in one, and the length of each where a separator could be part of them."""
    joined = "\0".join(values)
    lengths = ""
    if joined.count("\0") != len(values) - 1:
        lengths = buffer_digest(numpy.fromiter(map(len, values), "<i8", len(values)))
    content = buffer_digest(joined.encode("utf-8", "surrogatepass"))
    return f"texts:{len(values)}:{lengths}:{content}"
