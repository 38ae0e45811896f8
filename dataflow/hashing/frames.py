"""Frames, series and indexes of pandas: names, types and content, however it is stored.

The blocks that columns lie in and what lies under missing values do not count; nor does whether an
index of whole numbers that go up evenly is a ``RangeIndex``. The categories of a column count with
their order, the frequency of an index does, and so do ``attrs``.
"""

from __future__ import annotations

from typing import Any

import numpy
import pandas

from dataflow.hashing.arrays import content_text, objects_text
from dataflow.hashing.encoding import Encoder, Unhashable

_SHORT_COLUMN_BYTES = 1 << 16


def frame_text(frame: Any, encoder: Encoder) -> str:
    """A DataFrame: the names of its columns, its index and the columns."""
    labels = f"{_labels_text(frame.columns, encoder)}:{_labels_text(frame.index, encoder)}"
    return (
        f"{_head_text(frame, pandas.DataFrame, encoder)}:{labels}:{_columns_text(frame, encoder)}"
    )


def series_text(series: Any, encoder: Encoder) -> str:
    """A Series: its name, its index and its values."""
    head = _head_text(series, pandas.Series, encoder)
    labels = f"{encoder.text(series.name)}:{_labels_text(series.index, encoder)}"
    return f"{head}:{labels}:{_values_text(series, encoder)}"


def index_text(index: Any, encoder: Encoder) -> str:
    """An index: its names, its frequency and its values."""
    return f"index:{_labels_text(index, encoder)}"


def array_text(array: Any, encoder: Encoder) -> str:
    """An array of pandas, such as a column or an index is made of."""
    return f"values:{_values_text(array, encoder)}"


def _head_text(value: Any, kind: type, encoder: Encoder) -> str:
    """The class, with what it adds, and what users have noted."""
    text = kind.__name__
    if type(value) is not kind:
        added = {name: getattr(value, name, None) for name in type(value)._metadata}
        text = f"{type(value).__module__}.{type(value).__qualname__}{encoder.text(added)}"
    return f"{text}{encoder.part('.attrs', value.attrs)}" if value.attrs else text


def _columns_text(frame: Any, encoder: Encoder) -> str:
    if _has_short_numbers(frame):
        return content_text(frame.to_numpy().T, encoder)
    return ",".join(_column_text(name, column, encoder) for name, column in frame.items())


def _has_short_numbers(frame: Any) -> bool:
    """Whether one by one the columns would take longer to get at than to hash."""
    kinds = set(frame.dtypes)
    if len(kinds) != 1:
        return False
    (kind,) = kinds
    if not isinstance(kind, numpy.dtype) or kind.hasobject:
        return False
    return len(frame) * kind.itemsize <= _SHORT_COLUMN_BYTES


def _column_text(name: Any, column: Any, encoder: Encoder) -> str:
    try:
        return _values_text(column, encoder)
    except Unhashable as error:
        error.path = f"[{name!r:.40}]{error.path}"
        raise


def _labels_text(index: Any, encoder: Encoder) -> str:
    names = encoder.text(list(index.names))
    if isinstance(index, pandas.MultiIndex):
        levels = (index.get_level_values(at) for at in range(index.nlevels))
        return f"{names}:{','.join(_values_text(level, encoder) for level in levels)}"
    even = _even_text(index)
    if even is not None:
        return f"{names}:{even}"
    return f"{names}:{getattr(index, 'freqstr', None)}:{_values_text(index, encoder)}"


def _even_text(index: Any) -> str | None:
    """Whole numbers that go up or down evenly, whether they are written down or not."""
    count = len(index)
    if isinstance(index, pandas.RangeIndex):
        return _range_text(index.start, index.step, count)
    if index.dtype != numpy.int64:
        return None
    numbers = index.to_numpy()
    if count < 2:
        return _range_text(int(numbers[0]) if count else 0, 1, count)
    first, step = int(numbers[0]), int(numbers[1]) - int(numbers[0])
    if int(numbers[-1]) != first + step * (count - 1) or step == 0:
        return None
    return _range_text(first, step, count) if (numpy.diff(numbers) == step).all() else None


def _range_text(first: int, step: int, count: int) -> str:
    return f"range:{first if count else 0}:{step if count > 1 else 1}:{count}"


# --- values of each type --------------------------------------------------------------------------


def _values_text(values: Any, encoder: Encoder) -> str:
    """The type and the values of a series, an index or an array."""
    dtype, array = values.dtype, getattr(values, "array", values)
    if isinstance(dtype, numpy.dtype) or type(array) is pandas.arrays.NumpyExtensionArray:
        return content_text(values.to_numpy(), encoder)
    if isinstance(dtype, pandas.CategoricalDtype):
        labels = _labels_text(dtype.categories, encoder)
        return f"category:{dtype.ordered}:{labels}:{content_text(array.codes, encoder)}"
    storage = getattr(dtype, "storage", "")  # pandas compares it
    return f"{dtype}:{storage}:{_extension_text(array, dtype, encoder)}"


def _extension_text(array: Any, dtype: Any, encoder: Encoder) -> str:
    if isinstance(dtype, pandas.DatetimeTZDtype | pandas.PeriodDtype):
        return content_text(array.asi8, encoder)
    if isinstance(dtype, pandas.IntervalDtype):
        return ":".join(_values_text(side, encoder) for side in (array.left, array.right))
    if isinstance(dtype, pandas.SparseDtype):
        return _sparse_text(array, encoder)
    if isinstance(dtype, pandas.ArrowDtype) or getattr(dtype, "storage", "") == "pyarrow":
        return _arrow_text(array, dtype)
    missing = numpy.asarray(array.isna())
    mask = content_text(missing, encoder) if missing.any() else ""
    if hasattr(dtype, "numpy_dtype"):
        return f"{mask}:{content_text(array.to_numpy(dtype.numpy_dtype, na_value=0), encoder)}"
    present = numpy.asarray(array, object)[~missing]
    return f"{mask}:{objects_text(present.tolist(), encoder)}"


def _arrow_text(array: Any, dtype: Any) -> str:
    import pyarrow

    from dataflow.hashing.tables import column_text, type_text

    column = array.__arrow_array__()
    if isinstance(dtype, pandas.StringDtype):  # of 32 or 64 bits, by the version of pandas
        column = column.cast(pyarrow.large_string())
    return f"{type_text(column.type)}:{column_text(column)}"


def _sparse_text(array: Any, encoder: Encoder) -> str:
    """What stands between the gaps, without what is as in the gaps."""
    gap = numpy.asarray(array.fill_value, array.dtype.subtype)
    values, places = array.sp_values, array.sp_index.to_int_index().indices
    is_gap = pandas.isna(values) if pandas.isna(gap) else values == gap
    if values.dtype.kind == "f":
        is_gap &= pandas.isna(gap) | (numpy.signbit(values) == numpy.signbit(gap))
    parts = (gap, places[~is_gap], values[~is_gap])
    return f"{len(array)}:{':'.join(content_text(part, encoder) for part in parts)}"
