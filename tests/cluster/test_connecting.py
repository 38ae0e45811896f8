"""A scheduler that answers, one that does not, and whose client is whose."""

from __future__ import annotations

import socket
import time

import pytest

from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from dataflow.errors import RunnerUnavailable


def test_a_client_of_our_own_is_nobodys_default(local: LocalDaskCluster) -> None:
    import distributed

    client = connect(local.address)
    try:
        with pytest.raises(ValueError, match="No global client"):
            distributed.get_client()
    finally:
        client.close()


def test_nobody_at_the_address() -> None:
    begun = time.monotonic()
    with pytest.raises(RunnerUnavailable, match="could not be reached") as caught:
        connect("tcp://127.0.0.1:1", seconds=0.5)
    assert time.monotonic() - begun < 10  # as long as it takes by itself
    assert "tcp://127.0.0.1:1" in str(caught.value)
    assert "DATAFLOW_DASK_CONNECT_SECONDS" in str(caught.value)


def test_somebody_at_the_address_who_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(RunnerUnavailable, match=r"within 0\.5 seconds"):
            connect(address, seconds=0.5)
        assert time.monotonic() - begun < 10  # as long as it takes by itself


def test_what_is_no_address() -> None:
    with pytest.raises(RunnerUnavailable, match="carrier-pigeon"):
        connect("carrier-pigeon://home", seconds=0.5)


def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAFLOW_DASK_CONNECT_SECONDS", "0.3")
    with pytest.raises(RunnerUnavailable, match=r"within 0\.3 seconds"):
        connect("tcp://127.0.0.1:1")
