"""The places where results are kept: all keep the same promises."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid

import numpy
import pandas
import pyarrow
import pytest

from dataflow.errors import DefinitionError, ResultMissing, StorageError
from dataflow.storage.remote_folder import without_password
from dataflow.storage.result_storage import open_storage, storage_url
from dataflow.storage.serializers import Serializer, find_serializer
from tests.cluster.real_servers import free_port
from tests.store.programs import ROOT


@pytest.fixture(params=["folder", "file", "memory", "s3", "gs", "az"])
def storage(request, tmp_path):
    urls = {
        "folder": lambda: str(tmp_path / "kept"),
        "file": lambda: f"file://{tmp_path}/kept",
        "memory": lambda: f"memory://{uuid.uuid4()}",
    }
    url = urls.get(request.param) or request.getfixturevalue(request.param).make_bucket
    return open_storage(url())


def test_objects_are_read_whole_and_in_part(storage):
    storage.check()
    storage.write("a/b", [b"first", memoryview(b"second"), bytearray(b"third")])
    assert storage.read("a/b") == b"firstsecondthird"
    assert storage.read("a/b", 5, 6) == b"second"
    assert storage.read("a/b", 11) == b"third"
    assert storage.size("a/b") == 16


def test_an_object_replaces_the_one_before(storage):
    storage.write("a", [b"one"])
    storage.write("a", [b"two"])
    assert storage.read("a") == b"two"


@pytest.mark.parametrize("ask", ["read", "size"])
def test_what_is_not_there_is_missing(storage, ask):
    with pytest.raises(ResultMissing, match="not there any more"):
        getattr(storage, ask)("nothing/here")


def test_what_is_in_a_folder_is_listed_and_removed(storage):
    assert (storage.folders(), storage.names("a")) == (set(), [])
    for name in ("a/one", "a/two", "b/three", "four"):
        storage.write(name, [b"x"])
    assert storage.folders() == {"a", "b"}
    assert storage.names("a") == ["a/one", "a/two"]
    storage.remove(["a/one", "a/gone"])
    assert storage.names("a") == ["a/two"]
    storage.remove(["a/two"])
    assert (storage.folders(), storage.names("a")) == ({"b"}, [])
    assert storage.read("four") == b"x"


def test_many_parts(storage):
    parts = [b"%05d" % number for number in range(2_000)]
    storage.write("many", parts)
    assert storage.read("many") == b"".join(parts)


def test_nobody_sees_half_an_object(tmp_path):
    storage = open_storage(str(tmp_path))
    contents = {b"a" * 500_000, b"b" * 500_000}
    seen = set()
    storage.write("same", [b"a" * 500_000])

    def write():
        for content in list(contents) * 10:
            storage.write("same", [content[:100_000], content[100_000:]])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.add(storage.read("same"))
    writer.join()
    assert seen <= contents
    assert [path.name for path in tmp_path.iterdir()] == ["same"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    storage = open_storage(str(tmp_path / "file" / "kept"))
    for act in (storage.check, lambda: storage.write("a", [b"x"])):
        with pytest.raises(StorageError, match="cannot be used"):
            act()


def test_what_a_url_names_cannot_be_reached(tmp_path):
    urls = [f"ftp://user:secret@127.0.0.1:{free_port()}/kept", f"zip://{tmp_path}"]
    for url in urls:  # these connect when they are made
        with pytest.raises(StorageError, match="cannot be used") as caught:
            open_storage(url)
        assert "secret" not in f"{caught.value} {caught.value.fields}"
        assert "result_storage=" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("sftp://user@host/folder", "sftp://user@host/folder"),
        ("sftp://user:secret@host/a@b", "sftp://user:***@b"),  # who knows where it ends
        ("sftp://user:sec/r@et@host:22/folder", "sftp://user:***@host:22/folder"),
        ("memory://a:b/c", "memory://a:b/c"),
    ],
)
def test_what_is_shown_of_a_url(url, shown):
    assert without_password(url) == shown


def test_urls_that_are_none():
    with pytest.raises(StorageError, match="cannot be used"):
        open_storage("nonsense://place")
    with pytest.raises(StorageError, match="names no bucket"):
        open_storage("s3://")
    for url in ("s3:bucket", "file:folder", "memory:x"):
        with pytest.raises(StorageError, match="is no URL") as caught:
            storage_url(url)
        assert "s3://bucket/folder" in str(caught.value.hint)
    assert storage_url("/a:b/s3:c") == "/a:b/s3:c"
    with pytest.raises(StorageError, match="not int"):
        storage_url(3)


@pytest.mark.parametrize(
    ("library", "url", "extra"),
    [("s3fs", "s3://a", "s3"), ("gcsfs", "gs://a", "gcs"), ("adlfs", "az://a", "azure")],
)
def test_a_missing_library_says_what_to_install(library, url, extra):
    source = f"""
import sys
sys.modules[{library!r}] = None
from dataflow.storage.result_storage import open_storage
open_storage({url!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "MissingExtra" in done.stderr
    assert f"pip install 'dataflow-runtime[{extra}]'" in done.stderr


# --- serializers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parquet", "arrow", "compressed/parquet"])
def test_frames_and_tables(name):
    serializer = find_serializer(name)
    frame = pandas.DataFrame({"x": numpy.arange(5), "y": list("abcde")}, index=range(5, 10))
    pandas.testing.assert_frame_equal(serializer.loads(serializer.dumps(frame)), frame)
    table = pyarrow.table({"x": [1, None]})
    assert serializer.loads(serializer.dumps(table)) == table
    with pytest.raises(TypeError, match="only DataFrames and Arrow tables"):
        serializer.dumps([1])


class Loud(Serializer):
    name = "loud"

    def dumps(self, value):
        return str(value).upper().encode()

    def loads(self, data):
        return data.decode()


def test_a_serializer_of_ones_own_is_known_by_name_and_class():
    for wanted in ("loud", Loud, Loud()):
        assert find_serializer(wanted).dumps("a") == b"A"
    assert find_serializer("compressed/loud").full_name == "compressed/loud"


def test_what_is_no_serializer_is_refused():
    with pytest.raises(DefinitionError, match="no serializer 'xml'") as caught:
        find_serializer("xml")
    assert "parquet" in str(caught.value)
    with pytest.raises(DefinitionError, match="not int"):
        find_serializer(3)
