"""Arrow content has one text, however it lies in memory, and other content another one."""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
import struct
import uuid

import numpy
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.hashing import tables
from dataflow.hashing.buffers import BLOCK_BYTES
from dataflow.hashing.values import text_of


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Columns of some rows have several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK_BYTES", 64)
        patch.setattr(tables, "_BLOCK_ROWS", 8)
        yield


# --- strategies: a type with its values -----------------------------------------------------------

NEW_YEAR = datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC)
NUMBERS = st.sampled_from([-1, 0, 1, 100])
TEXTS = st.text("aé🙂", max_size=3)
SIMPLE = [
    (pyarrow.bool_(), st.booleans()),
    (pyarrow.int8(), NUMBERS),
    (pyarrow.int64(), NUMBERS),
    (pyarrow.uint16(), st.sampled_from([0, 7])),
    (pyarrow.float16(), st.sampled_from([0.5, math.nan, -0.0, 0.0]).map(numpy.float16)),
    (pyarrow.float32(), st.sampled_from([0.5, math.nan, math.inf, -0.0, 0.0])),
    (pyarrow.float64(), st.sampled_from([0.5, math.nan, math.inf, -math.inf, -0.0, 0.0])),
    (pyarrow.decimal128(9, 2), st.sampled_from([decimal.Decimal("1.50"), decimal.Decimal("-2")])),
    (pyarrow.date32(), st.dates()),
    (
        pyarrow.timestamp("ms", "Europe/Paris"),
        st.just(NEW_YEAR),
    ),
    (pyarrow.duration("s"), st.sampled_from([datetime.timedelta(1), datetime.timedelta(2)])),
    (pyarrow.month_day_nano_interval(), st.sampled_from([(1, 2, 3), (0, 0, 0)])),
    (pyarrow.string(), TEXTS),
    (pyarrow.large_string(), TEXTS),
    (pyarrow.string_view(), st.text("aé🙂", max_size=20)),
    (pyarrow.binary(), st.binary(max_size=3)),
    (pyarrow.binary_view(), st.binary(max_size=20)),
    (pyarrow.binary(3), st.sampled_from([b"abc", b"\0\0\0"])),
    (pyarrow.null(), st.none()),
]
EXTENSION = pyarrow.uuid(), st.sampled_from([uuid.UUID(int=1), uuid.UUID(int=2)])


def nullable(kind_and_values):
    kind, values = kind_and_values
    return kind, st.none() | values


def nested(inner):
    """Lists, structures and maps of what there is."""

    def lists(make, **size):
        return inner.map(nullable).map(lambda of: (make(of[0]), st.lists(of[1], **size)))

    return st.one_of(
        lists(pyarrow.list_, max_size=3),
        lists(pyarrow.large_list, max_size=3),
        lists(pyarrow.list_view, max_size=3),
        lists(lambda kind: pyarrow.list_(kind, 2), min_size=2, max_size=2),
        st.tuples(inner.map(nullable), inner.map(nullable)).map(
            lambda pair: (
                pyarrow.struct([("a", pair[0][0]), ("b", pair[1][0])]),
                st.fixed_dictionaries({"a": pair[0][1], "b": pair[1][1]}),
            )
        ),
        inner.map(nullable).map(
            lambda of: (
                pyarrow.map_(pyarrow.string(), of[0]),
                st.lists(st.tuples(TEXTS, of[1]), max_size=2),
            )
        ),
    )


KINDS = st.just(EXTENSION) | st.recursive(st.sampled_from(SIMPLE), nested, max_leaves=4)


@st.composite
def columns(draw, count=2):
    """Arrays of one type, with nulls."""
    kind, values = nullable(draw(KINDS))
    made = [draw(st.lists(values, max_size=30)) for _ in range(count)]
    return [pyarrow.array(each, kind) for each in made]


# --- the same values in another layout ------------------------------------------------------------


def sliced(array, draw, garbage):
    """In the midst of other rows."""
    before, after = (
        garbage[: draw(st.integers(0, 9))],
        garbage[: draw(st.integers(0, 3))],
    )
    joined = pyarrow.concat_arrays([before, array, after])
    return joined[len(before) : len(before) + len(array)]


def chunked(array, draw):
    cuts = sorted(draw(st.lists(st.integers(0, len(array)), max_size=4)))
    bounds = zip([0, *cuts], [*cuts, len(array)], strict=True)
    return pyarrow.chunked_array([array[a:b] for a, b in bounds], array.type)


def with_garbage(array, garbage):
    """Other values, and other lists of them, under each null; a bitmap even where none is."""
    if isinstance(array.type, pyarrow.BaseExtensionType):
        stored = with_garbage(array.storage, garbage.storage)
        return pyarrow.ExtensionArray.from_storage(array.type, stored)
    spare = [garbage[at : at + 1] for at, ok in enumerate(garbage.is_valid().to_pylist()) if ok]
    if pyarrow.types.is_null(array.type) or not spare or len(array) == 0:
        return array
    present = array.is_valid()
    filled = pyarrow.concat_arrays(
        [
            array[at : at + 1] if ok else spare[at % len(spare)]
            for at, ok in enumerate(present.to_pylist())
        ]
    )
    bits = numpy.packbits(present.to_numpy(zero_copy_only=False), bitorder="little")
    return pyarrow.Array.from_buffers(
        array.type,
        len(array),
        [pyarrow.py_buffer(bits), *filled.buffers()[1 : own_buffers(array.type)]],
        children=children(filled),
    )


def own_buffers(kind):
    if pyarrow.types.is_struct(kind) or pyarrow.types.is_fixed_size_list(kind):
        return 1
    if pyarrow.types.is_list_view(kind):
        return 3
    return 2 if pyarrow.types.is_nested(kind) else None


def children(array):
    kind = array.type
    if pyarrow.types.is_struct(kind):
        return [array.field(at) for at in range(kind.num_fields)]
    if pyarrow.types.is_map(kind):
        entries = [array.keys, array.items]
        return [pyarrow.StructArray.from_arrays(entries, fields=list(kind.field(0).type))]
    return [array.values] if pyarrow.types.is_nested(kind) else []


def shown(column):
    """What is in it, to compare: NaN is itself, and 0.0 is not -0.0."""
    return repr(column.to_pylist())


@given(columns(), st.data())
def test_layouts_do_not_count(arrays, data):
    array, garbage = arrays
    expected = text_of(array)
    assert text_of(sliced(array, data.draw, garbage)) == expected
    under = with_garbage(array, garbage)
    assert shown(under) == shown(array)
    assert text_of(under) == expected
    assert text_of(sliced(under, data.draw, garbage)) == expected
    pieces = chunked(sliced(under, data.draw, garbage), data.draw)
    assert text_of(pieces) == text_of(pyarrow.chunked_array([array]))
    assert text_of(pyarrow.table({"x": pieces})) == text_of(pyarrow.table({"x": array}))


@given(columns())
def test_other_values_have_other_texts(arrays):
    one, other = arrays
    assert (text_of(one) == text_of(other)) is (shown(one) == shown(other))
    if len(one):
        assert text_of(one) != text_of(one[1:])


@given(KINDS, KINDS)
def test_other_types_have_other_texts(one, other):
    one, other = (pyarrow.nulls(2, kind) for kind, _ in (one, other))
    assert (text_of(one) == text_of(other)) is one.type.equals(other.type)


# --- dictionaries ---------------------------------------------------------------------------------


@given(st.lists(st.none() | TEXTS, max_size=30), st.data())
def test_the_dictionary_does_not_count_but_the_values_do(values, data):
    array = pyarrow.array(values, pyarrow.string())
    others = data.draw(st.lists(TEXTS, max_size=3))
    entries = data.draw(st.permutations([*values, *others, *values[:2], None]))
    dictionary = pyarrow.array(entries, pyarrow.string())
    places = [
        data.draw(st.sampled_from([at for at, entry in enumerate(entries) if entry == value]))
        for value in values
    ]
    coded = pyarrow.DictionaryArray.from_arrays(pyarrow.array(places, "int32"), dictionary)
    assert text_of(coded) == text_of(array.dictionary_encode())
    assert text_of(chunked(coded, data.draw)) == text_of(
        pyarrow.chunked_array([array]).dictionary_encode()
    )
    changed = pyarrow.array([*values, "z"], pyarrow.string())
    assert text_of(coded) != text_of(changed.dictionary_encode())
    assert text_of(coded) != text_of(array)


def test_chunks_may_have_dictionaries_of_their_own():
    texts = pyarrow.array(["b", "a", None, "b"] * 5)
    parts = [texts[:7].dictionary_encode(), texts[9:].dictionary_encode()]
    whole = pyarrow.concat_arrays([texts[:7], texts[9:]]).dictionary_encode()
    assert parts[0].dictionary != parts[1].dictionary
    assert text_of(pyarrow.chunked_array(parts)) == text_of(pyarrow.chunked_array([whole]))


def coded(places, dictionary, ordered=False):
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(places, "int8"), dictionary, ordered=ordered
    )


def backwards(pair):
    """Arrow takes no views by their places."""
    return pyarrow.concat_arrays([pair[1:], pair[:1]])


def test_of_an_ordered_dictionary_the_order_counts():
    texts = pyarrow.array(["a", "b"])
    one, other = coded([0, 1], texts, True), coded([1, 0], backwards(texts), True)
    assert text_of(one) != text_of(other)
    assert text_of(one) != text_of(coded([0, 1], texts))
    assert text_of(one) == text_of(coded([0, 1, 1], texts, True)[:2])
    views = texts.cast(pyarrow.string_view())
    assert text_of(coded([0, 1], views, True)) != text_of(coded([1, 0], backwards(views), True))


@pytest.mark.parametrize(
    "dictionary",
    [
        pyarrow.array([[1], [2]]),
        pyarrow.array([0.5, math.nan]),
        pyarrow.array([True, False]),
        pyarrow.array(["a", "b"], pyarrow.string_view()),
    ],
    ids=["lists", "numbers", "booleans", "views"],
)
def test_dictionaries_of_anything(dictionary):
    one, other = coded([0, 1], dictionary), coded([1, 0], backwards(dictionary))
    assert text_of(one) == text_of(other) != text_of(coded([1, 0], dictionary))


# --- rarer types ----------------------------------------------------------------------------------


def unions(kind):
    """The same values twice, with other garbage where a field is not chosen."""
    codes = pyarrow.array([0, 1, 0, 1], "int8")
    if kind == "sparse":
        fields = [[1, 99, 2, 99], ["?", "a", "?", "b"]], [[1, 5, 2, None], [None, "a", "", "b"]]
        return [
            pyarrow.UnionArray.from_sparse(codes, [pyarrow.array(ints), pyarrow.array(texts)])
            for ints, texts in fields
        ]
    return [
        pyarrow.UnionArray.from_dense(
            codes, pyarrow.array([a, 0, b, 1], "int32"), [pyarrow.array(ints), pyarrow.array(texts)]
        )
        for a, b, ints, texts in ((0, 1, [1, 2], ["a", "b"]), (1, 0, [2, 1, 7], ["a", "b", "c"]))
    ]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_unions(kind):
    one, other = unions(kind)
    assert one.to_pylist() == other.to_pylist() == [1, "a", 2, "b"]
    assert text_of(one) == text_of(other)
    assert text_of(one[1:]) == text_of(other[1:]) != text_of(one[:3])
    mask = pyarrow.array([True, False, False, True])
    structs = [pyarrow.StructArray.from_arrays([each], ["u"], mask=mask) for each in (one, other)]
    assert text_of(structs[0]) == text_of(structs[1]) != text_of(structs[0][1:])
    lists = [pyarrow.ListArray.from_arrays([0, 2, 4], each) for each in (one, other)]
    assert text_of(lists[0]) == text_of(lists[1]) != text_of(lists[0][:1])


def test_runs_count_by_their_values():
    values = pyarrow.array([1, 1, None, 2, 2])
    encoded = compute.run_end_encode(values)
    again = pyarrow.RunEndEncodedArray.from_arrays(
        pyarrow.array([1, 2, 3, 5], "int32"), pyarrow.array([1, 1, None, 2])
    )
    assert encoded.to_pylist() == again.to_pylist()
    assert text_of(encoded) == text_of(again) != text_of(values)
    assert text_of(encoded[1:4]) == text_of(compute.run_end_encode(values[1:4]))


@pytest.mark.parametrize(
    "values",
    [
        compute.run_end_encode(pyarrow.array([1, 1, 2, 2])),
        pyarrow.array([["a"], None, [], ["b"]], pyarrow.list_view(pyarrow.string_view())),
    ],
    ids=["runs", "views"],
)
def test_structures_of_anything(values):
    mask = pyarrow.array([True, False, False, True])
    structs = pyarrow.StructArray.from_arrays([values], ["x"], mask=mask)
    others = pyarrow.concat_arrays([values[3:], values[1:3], values[:1]])
    again = pyarrow.StructArray.from_arrays([others], ["x"], mask=mask)
    assert text_of(structs) == text_of(again) != text_of(structs[:3])


def test_not_a_number_is_one_value_and_minus_zero_another():
    payload = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
    texts = [
        text_of(pyarrow.array(numpy.array([number]))) for number in (math.nan, payload, 0.0, -0.0)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
    infinite = pyarrow.array([math.inf, -math.inf])  # their sum is none
    assert text_of(infinite) != text_of(pyarrow.array([math.nan, math.nan]))
    assert text_of(pyarrow.array([math.nan])) != text_of(pyarrow.array([None], "float64"))


# --- tables ---------------------------------------------------------------------------------------


def test_tables_count_by_schema_and_metadata():
    table = pyarrow.table({"x": [1, 2], "y": ["a", None]})
    field = pyarrow.field("x", pyarrow.int64(), metadata={"unit": "m"})
    required = pyarrow.field("x", pyarrow.int64(), nullable=False)
    others = [
        table.rename_columns(["x", "z"]),
        table.select(["y", "x"]),
        table.select(["x"]),
        table.select([]),
        pyarrow.table({}),
        table.cast(pyarrow.schema([("x", "int32"), ("y", "string")])),
        table.cast(pyarrow.schema([("x", "int64"), ("y", "large_string")])),
        table.cast(pyarrow.schema([field, table.field("y")])),
        table.cast(pyarrow.schema([required, table.field("y")])),
        table.replace_schema_metadata({"unit": "m"}),
        table.replace_schema_metadata({"unit": "km"}),
        table.to_batches()[0],
        table["x"],
        table["x"].chunk(0),
        table["x"].chunk(0)[0],
        table.schema,
        table.field("x"),
        table.field("x").type,
    ]
    assert len({text_of(each) for each in (table, *others)}) == len(others) + 1
    noted = table.replace_schema_metadata({"a": "1", "b": "2"})
    assert text_of(noted) == text_of(table.replace_schema_metadata({"b": "2", "a": "1"}))


def test_zones_and_units_of_times_count():
    kinds = [(unit, zone) for unit in ("s", "us") for zone in (None, "UTC", "Europe/Paris")]
    texts = {text_of(pyarrow.array([0], pyarrow.timestamp(*kind))) for kind in kinds}
    assert len(texts) == len(kinds)


def test_which_columns_were_an_index_counts_but_not_who_wrote_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2], "y": [3, 4]})
    plain, indexed = pyarrow.table(frame), pyarrow.Table.from_pandas(frame.set_index("y"))
    assert text_of(plain) != text_of(pyarrow.table({"x": [1, 2], "y": [3, 4]}))
    assert text_of(indexed) != text_of(plain)
    noted = plain.schema.metadata[b"pandas"]
    by_another = noted.replace(pandas.__version__.encode(), b"2.0.0")
    assert by_another != noted
    assert text_of(plain.replace_schema_metadata({b"pandas": by_another})) == text_of(plain)


def test_a_table_that_was_written_and_read_is_the_same(tmp_path):
    table = pyarrow.table({"x": [[1, None], None], "y": ["a", None]})
    parquet.write_table(table, tmp_path / "table.parquet")
    assert text_of(parquet.read_table(tmp_path / "table.parquet")) == text_of(table)


def test_large_columns_are_the_same_in_any_chunks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "BLOCK_BYTES", BLOCK_BYTES)
        patch.setattr(tables, "_BLOCK_ROWS", 1 << 17)
        count = 1_200_000
        numbers = pyarrow.array(numpy.arange(count, dtype="f8"), mask=numpy.arange(count) % 7 == 0)
        texts = compute.cast(pyarrow.array(numpy.arange(count) % 1000), pyarrow.string())
        table = pyarrow.table({"n": numbers, "t": texts, "d": texts.dictionary_encode()})
        bounds = [0, 3, 500_003, 900_001, count]
        parts = [table.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
        assert text_of(pyarrow.concat_tables(parts)) == text_of(table)
        changed = pyarrow.concat_tables([*parts[:2], parts[3], parts[2]])
        assert text_of(changed) != text_of(table)
