"""DataFrames and Arrow tables as Parquet or as Arrow files, which other programs read, too."""

from __future__ import annotations

import io
from typing import Any

from dataflow.errors import MissingExtra
from dataflow.storage.serializers import Serializer


class ParquetSerializer(Serializer):
    """DataFrames of pandas and tables of Arrow as Parquet files."""

    name = "parquet"

    def dumps(self, value: Any) -> bytes:
        """The bytes of a frame or a table."""
        _arrow()
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(_table(value), file)
        return file.getvalue()

    def loads(self, data: bytes) -> Any:
        """What it was: a frame or a table."""
        _arrow()
        import pyarrow.parquet

        return _restored(pyarrow.parquet.read_table(io.BytesIO(data)))


class ArrowSerializer(Serializer):
    """The same in Arrow's own format: larger, and read faster."""

    name = "arrow"

    def dumps(self, value: Any) -> bytes:
        """The bytes of a frame or a table."""
        pyarrow = _arrow()
        sink = pyarrow.BufferOutputStream()
        table = _table(value)
        with pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def loads(self, data: bytes) -> Any:
        """What it was: a frame or a table."""
        pyarrow = _arrow()
        return _restored(pyarrow.ipc.open_file(data).read_all())


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra(
            "The serializers 'parquet' and 'arrow' need pyarrow, which is not installed.",
            hint="Install it: pip install 'dataflow-runtime[arrow]'.",
        ) from error
    return pyarrow


def _table(value: Any) -> Any:
    pyarrow = _arrow()
    if isinstance(value, pyarrow.Table):
        return value
    if type(value).__name__ == "DataFrame" and hasattr(value, "iloc"):
        return pyarrow.Table.from_pandas(value)
    raise TypeError(f"only DataFrames and Arrow tables can be written, not {type(value).__name__}")


def _restored(table: Any) -> Any:
    is_frame = b"pandas" in (table.schema.metadata or {})
    return table.to_pandas() if is_frame else table
