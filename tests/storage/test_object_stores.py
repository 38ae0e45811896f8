"""Results in object stores: servers on this machine stand for them, their clients are real."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from dataflow import flow, records, task
from dataflow.errors import StorageError
from dataflow.testing import dataflow_test_harness
from runners.processes import ProcessPoolTaskRunner
from tests.cluster.real_servers import free_port
from tests.storage.object_stores import AZURE_KEY, ObjectStore, forget_clients
from tests.store.programs import ROOT

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


@pytest.fixture(params=["s3", "gs", "az"])
def store(request) -> ObjectStore:
    found: ObjectStore = request.getfixturevalue(request.param)
    return found


def test_results_are_read_back_in_another_process(store):
    with dataflow_test_harness(None, results_storage=f"{store.make_bucket()}/kept") as harness:
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


def test_a_run_is_resumed_from_what_its_worker_processes_kept(store, tmp_path):
    @task(persist_result=True)
    def counted(number):
        with (tmp_path / "calls").open("a") as calls:
            calls.write(f"{number}\n")
        if number == 30 and not (tmp_path / "mended").exists():
            raise ValueError("not yet")
        return number

    with ExitStack() as stack:
        pool = stack.enter_context(
            ProcessPoolTaskRunner(max_workers=2)
        )  # knows who may use the store
        stack.enter_context(
            dataflow_test_harness(None, results_storage=f"{store.make_bucket()}/kept")
        )

        @flow(task_runner=pool)
        def whole():
            return counted.map(range(40)).result()

        with pytest.raises(ValueError, match="not yet"):
            whole()
        (run,) = records.runs()
        (tmp_path / "mended").touch()
        assert whole.resume(run.id) == list(range(40))
    calls = (tmp_path / "calls").read_text().split()
    assert sorted(map(int, calls)) == sorted([*range(40), 30])


WRONG_KEY = base64.b64encode(b"another-secret").decode()


def assert_refused(url: str, said: str) -> None:
    """A flow that keeps its results there fails before its body begins, and says why."""
    with dataflow_test_harness(None, results_storage=url) as harness:
        with pytest.raises(StorageError, match=said) as caught:
            squares(3)
        assert url in str(caught.value)
        assert "credentials" in str(caught.value.hint)
        assert "result_storage=" in str(caught.value.hint)
        assert WRONG_KEY not in f"{caught.value} {caught.value.fields}"
        assert harness.run().state.is_failed()


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("bucket does not exist", {}),
        ("Could not connect", {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}),
        ("credentials", {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}),
        ("Access Key Id you provided does not exist", {"AWS_SECRET_ACCESS_KEY": WRONG_KEY}),
    ],
)
def test_what_is_wrong_with_s3_is_said_before_anything_runs(
    s3, monkeypatch, said, lacking, tmp_path
):
    if "you provided" in said:
        monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)
    for name, value in lacking.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # where somebody may have credentials
    assert_refused("s3://nowhere/kept", said)


def test_a_bucket_that_google_does_not_know(gs):
    assert_refused("gs://nowhere/kept", "/b/nowhere")


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("container does not exist", lambda known: known),
        ("failed to authenticate", lambda known: known.replace(AZURE_KEY, WRONG_KEY)),
        ("string is either blank", lambda known: ""),
    ],
)
def test_what_is_wrong_with_azure_is_said_before_anything_runs(az, monkeypatch, said, lacking):
    for name, known in az.environment.items():
        monkeypatch.setenv(name, lacking(known))
    forget_clients("az")
    assert_refused("az://nowhere/kept", said)
