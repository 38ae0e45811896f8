"""Servers on this machine that stand for S3, Google Cloud Storage and Azure Blob Storage.

The clients that speak to them are the real ones.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest

from dataflow.storage import result_storage
from tests.cluster.real_servers import answers, free_port, give_up, program, wait_for

AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (  # of the emulator's account, the same for everybody
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@dataclass(frozen=True)
class ObjectStore:
    """A server, and what a process must have in its environment to use it."""

    scheme: str
    environment: dict[str, str]

    def make_bucket(self) -> str:
        """The URL of a new bucket (a container, as Azure says)."""
        name = f"kept-{uuid.uuid4().hex[:12]}"
        if self.scheme == "s3":
            import boto3

            boto3.client("s3").create_bucket(Bucket=name)
        else:
            fsspec.filesystem(self.scheme).mkdir(name)
        return f"{self.scheme}://{name}"


@contextmanager
def used(store: ObjectStore) -> Iterator[ObjectStore]:
    """A store, to whoever asks for its kind of URL."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        forget_clients(store.scheme)
        yield store
        forget_clients(store.scheme)


def forget_clients(scheme: str) -> None:
    """Have clients made anew."""
    fsspec.get_filesystem_class(scheme).clear_instance_cache()
    result_storage._open.cache_clear()


@contextmanager
def s3() -> Iterator[ObjectStore]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").disabled = True  # a line for each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    named = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}
    named |= {"ENDPOINT_URL": f"http://{host}:{port}", "MAX_ATTEMPTS": "1"}
    named |= {"EC2_METADATA_DISABLED": "true"}
    yield ObjectStore("s3", {f"AWS_{name}": value for name, value in named.items()})
    server.stop()


@contextmanager
def google(folder: Path) -> Iterator[ObjectStore]:
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    with _served([*command, "--host=127.0.0.1", f"--port={port}"], port, folder):
        yield ObjectStore("gs", {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"})


@contextmanager
def azure(folder: Path) -> Iterator[ObjectStore]:
    port = free_port()
    command = [program("azurite-blob", "npm; npm install --global azurite")]
    command += ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    with _served([*command, "--silent", "--blobPort", str(port)], port, folder):
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        whose = f"AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};BlobEndpoint={endpoint}"
        yield ObjectStore("az", {"AZURE_STORAGE_CONNECTION_STRING": whose})


@contextmanager
def _served(command: list[str], port: int, folder: Path) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("w") as told:
        try:
            server = subprocess.Popen(command, cwd=folder, stdout=told, stderr=told)
        except OSError as error:
            give_up(f"{command[0]} cannot be started: {error}")
        try:
            wait_for(lambda: answers(port), command[0], log)
            yield
        finally:
            server.kill()
            server.wait()
