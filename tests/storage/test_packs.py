"""Packs: what is put in comes out, and damage is found."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow.errors import ResultCorrupt, ResultMissing
from dataflow.storage.local_folder import LocalFolder
from dataflow.storage.packs import CannotSerialize, Pack, pack_values
from dataflow.storage.serializers import find_serializer

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)
SERIALIZERS = ("pickle", "json", "msgpack", "compressed/pickle", "compressed/json")


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path)


def written(folder: LocalFolder, values: list, serializer: str = "pickle") -> Pack:
    folder.write("a/pack", pack_values(values, find_serializer(serializer)))
    return Pack(folder, "a/pack")


@given(values=st.lists(JSON, min_size=1, max_size=20), name=st.sampled_from(SERIALIZERS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_put_in_comes_out(folder, values, name):
    pack = written(folder, values, name)
    assert [pack.load(number) for number in range(pack.count)] == values
    assert pack.serializer.full_name == name


@pytest.mark.parametrize("size", [10, 3_000, 300_000])
def test_values_of_all_sizes(folder, size):
    values = [b"%d" % number * size for number in range(30)]
    pack = written(folder, values)
    assert [pack.load(number) for number in range(30)] == values
    pack.verify()


def test_arrays_come_out_writable(folder):
    values = [numpy.arange(200_000.0) + number for number in range(3)]
    pack = written(folder, values)
    for number, value in enumerate(values):
        loaded = pack.load(number)
        assert (loaded == value).all()
        loaded[0] = 7


def test_the_value_that_cannot_be_serialized_is_told():
    with pytest.raises(CannotSerialize) as caught:
        pack_values([1, 2, {3}, 4], find_serializer("json"))
    assert caught.value.position == 2


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_changed_byte_is_found(folder, at, flip):
    values = [{"number": number, "text": "x" * 50} for number in range(40)]
    written(folder, values)
    path = folder.path / "a" / "pack"
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= flip
    path.write_bytes(data)
    with pytest.raises(ResultCorrupt):
        Pack(folder, "a/pack").verify()


@given(length=st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_was_cut_off_is_found(folder, length):
    written(folder, [{"number": number} for number in range(400)])
    path = folder.path / "a" / "pack"
    data = path.read_bytes()
    path.write_bytes(data[: length % len(data)])
    with pytest.raises(ResultCorrupt):
        Pack(folder, "a/pack").verify()


def test_what_is_not_there_is_missing(folder):
    with pytest.raises(ResultMissing):
        Pack(folder, "a/pack")
