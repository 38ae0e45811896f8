"""Results in S3: a server on this machine stands for it, and the real client speaks to it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from dataflow import flow, records, task
from dataflow.errors import ResultMissing, StorageError
from dataflow.storage import result_storage
from dataflow.storage.result_storage import open_storage
from dataflow.testing import dataflow_test_harness
from tests.store.programs import ROOT

REGION = "us-east-1"
READER = """
import sys
from dataflow import records
(run,) = records.runs()
print(run.results("square-0"))
"""


@task(persist_result=True)
def square(number):
    return number * number


@flow(task_runner="threads")
def squares(count):
    return square.map(range(count)).result()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The URL of the server."""
    logging.getLogger("werkzeug").disabled = True  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def known(monkeypatch, endpoint):
    """Where the server is, and who asks; clients are made anew."""
    named = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": REGION}
    for name, value in {**named, "ENDPOINT_URL": endpoint, "MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _forget_clients()
    yield
    _forget_clients()


def _forget_clients() -> None:
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    result_storage._open.cache_clear()


@pytest.fixture
def bucket(known) -> str:
    """A bucket of its own."""
    name = f"kept-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def test_objects_are_written_read_listed_and_removed(bucket):
    storage = open_storage(f"s3://{bucket}/results")
    storage.check()
    assert storage.folders() == set()
    storage.write("a/one", [b"first", memoryview(b"second")])
    assert storage.read("a/one") == b"firstsecond"
    assert storage.read("a/one", 5, 3) == b"sec"
    assert storage.size("a/one") == 11
    assert (storage.folders(), storage.names("a")) == ({"a"}, ["a/one"])
    storage.remove(["a/one"])
    with pytest.raises(ResultMissing):
        storage.read("a/one")
    assert storage.names("a") == []


def test_results_are_read_back_in_another_process(bucket):
    with dataflow_test_harness(None, results_storage=f"s3://{bucket}/kept") as harness:
        assert squares(50) == [number * number for number in range(50)]
        (run,) = records.runs()
        assert run.results("square-0")[7] == 49
        assert not (harness.home / "results").exists()
        done = subprocess.run(
            [sys.executable, "-c", READER],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(",")[-1] == f" {49 * 49}]\n"


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("bucket does not exist", {}),
        ("Could not connect", {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed_port()}"}),
        ("credentials", {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}),
        ("Access Key Id you provided does not exist", {"AWS_SECRET_ACCESS_KEY": "another-secret"}),
    ],
)
def test_what_is_wrong_is_said_once_before_anything_runs(
    known, monkeypatch, said, lacking, tmp_path
):
    if "you provided" in said:
        monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    for name, value in lacking.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where somebody may have credentials
    with dataflow_test_harness(None, results_storage="s3://nowhere/kept") as harness:
        with pytest.raises(StorageError, match=said) as caught:
            squares(3)
        assert "s3://nowhere/kept" in str(caught.value)
        assert "credentials" in str(caught.value.hint)
        assert "result_storage=" in str(caught.value.hint)
        assert "another-secret" not in f"{caught.value} {caught.value.fields}"
        assert harness.run().state.is_failed()
