"""Arrays, frames and tables by their content: their bytes, whatever holds them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from dataflow.hashing.buffers import buffer_digest
from dataflow.hashing.encoding import Encoder


def array_text(array: Any, encoder: Encoder) -> str:
    """A numpy array: type, shape and bytes in C order; objects in it one by one."""
    dtype = array.dtype
    if dtype.names is not None:
        fields = ",".join(f"{name}={array_text(array[name], encoder)}" for name in dtype.names)
        return f"array:{{{fields}}}"
    if dtype.hasobject:
        return f"array:{array.shape}:{_objects_text(array.ravel().tolist(), encoder)}"
    if dtype.str[0] == ">":  # the same numbers, in the other order of bytes
        array = array.astype(dtype.newbyteorder("<"))
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    content = buffer_digest(array.reshape(-1).view("u1")) if array.size else ""
    return f"array:{array.dtype.str}:{array.shape}:{content}"


def _objects_text(values: list[Any], encoder: Encoder) -> str:
    if all(type(value) is str for value in values):
        return _strings_text(values)
    return encoder.text(values)


def _strings_text(values: list[str]) -> str:
    """Many texts: their lengths, and all of them in one."""
    from array import array

    lengths = array("q", map(len, values)).tobytes()
    joined = "".join(values).encode("utf-8", "surrogatepass")
    return f"texts:{buffer_digest(lengths)}:{buffer_digest(joined)}"


def frame_text(frame: Any, encoder: Encoder) -> str:
    """A DataFrame, Series or Index of pandas: names, types and content."""
    if hasattr(frame, "columns"):
        columns = (frame.iloc[:, at] for at in range(frame.shape[1]))
        content = ",".join(_values_text(column, encoder) for column in columns)
        names = _index_text(frame.columns, encoder)
        return f"frame:{names}:{_index_text(frame.index, encoder)}:{content}"
    if hasattr(frame, "index"):
        name = encoder.text(frame.name)
        index = _index_text(frame.index, encoder)
        return f"series:{name}:{index}:{_values_text(frame, encoder)}"
    return f"index:{_index_text(frame, encoder)}"


def _index_text(index: Any, encoder: Encoder) -> str:
    names = encoder.text(list(index.names))
    if hasattr(index, "levels"):
        levels = (index.get_level_values(at) for at in range(index.nlevels))
        return f"{names}:{','.join(_values_text(level, encoder) for level in levels)}"
    if hasattr(index, "step") and hasattr(index, "start"):
        index_range = range(index.start, index.stop, index.step)
        return f"{names}:{index_range}"
    return f"{names}:{_values_text(index, encoder)}"


def _values_text(values: Any, encoder: Encoder) -> str:
    dtype = values.dtype
    if hasattr(dtype, "categories"):
        codes = array_text(_array_of(_categorical(values).codes), encoder)
        return f"category:{dtype.ordered}:{_index_text(dtype.categories, encoder)}:{codes}"
    if hasattr(dtype, "na_value") and not hasattr(dtype, "tz"):
        missing = array_text(_array_of(values.isna()), encoder)
        content = _objects_text(values.dropna().tolist(), encoder)
        return f"{dtype}:{missing}:{content}"
    if hasattr(dtype, "tz"):
        return f"{dtype}:{array_text(values.to_numpy('M8[ns]'), encoder)}"
    return array_text(values.to_numpy(), encoder)


def _array_of(values: Any) -> Any:
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def _categorical(values: Any) -> Any:
    return values.cat if hasattr(values, "cat") else values


def table_text(table: Any, _encoder: Encoder) -> str:
    """An Arrow table, batch or array: schema and content, in whatever chunks it is."""
    import pyarrow

    if isinstance(table, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([table])
    elif not isinstance(table, pyarrow.Table):
        table = pyarrow.table({"": table})
    table = table.replace_schema_metadata(None).combine_chunks()
    hashing = _Hashing()
    with pyarrow.ipc.new_stream(pyarrow.PythonFile(hashing, "w"), table.schema) as writer:
        writer.write_table(table)
    return f"table:{hashing.digest()}"


class _Hashing:
    """A file that is hashed instead of written."""

    closed = False

    def __init__(self) -> None:
        self._hash = sha256()

    def write(self, data: Any) -> int:
        """Take some bytes."""
        self._hash.update(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def digest(self) -> str:
        """The digest of all of it."""
        return self._hash.hexdigest()[:32]
