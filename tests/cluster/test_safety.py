"""Who can give a cluster work, and who can pass for a part of it: with TLS, its own alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cluster import standing
from cluster.connecting import connect
from cluster.hosted import HostedCluster
from cluster.local import LocalDaskCluster
from cluster.options import TlsFiles
from cluster.spec import ClusterSpec
from cluster.tls import read_tls
from dataflow.errors import RunnerUnavailable
from tests.cluster.certificates import make_certificates

_SECONDS, _SHORT_SECONDS = 20.0, 1.0  # Dask tries again until its time is up


@pytest.fixture(scope="module")
def guarded() -> Iterator[LocalDaskCluster]:
    cluster = LocalDaskCluster(n_workers=1, security=True)
    yield cluster
    cluster.close()


@pytest.fixture
def stranger(tmp_path: Path) -> Any:
    """With certificates of another authority."""
    return read_tls(TlsFiles(**make_certificates(tmp_path / "others"))).security()


def places_of(cluster: LocalDaskCluster) -> dict[str, str]:
    """The addresses of a cluster's processes, by what they are."""
    client = connect(cluster.address, security=cluster.security)
    try:
        client.wait_for_workers(1, timeout=60)
        ((worker, info),) = client.scheduler_info()["workers"].items()
        return {"scheduler": cluster.address, "worker": worker, "nanny": info["nanny"]}
    finally:
        client.close()


async def ask(address: str, security: Any, seconds: float) -> Any:
    """Say something to a process of a cluster, as another one would; what it answers."""
    from distributed.comm import core

    arguments = security.get_connection_args("worker") if security is not None else {}
    open_comm: Any = core.connect
    comm = await open_comm(address, timeout=seconds, **arguments)
    try:
        await comm.write({"op": "identity", "reply": True})
        return await asyncio.wait_for(comm.read(), seconds)
    finally:
        comm.abort()


@pytest.mark.parametrize("who", ["scheduler", "worker", "nanny"])
def test_who_has_none_of_its_certificates_is_refused(
    who: str, guarded: LocalDaskCluster, stranger: Any
) -> None:
    """A client cannot send it a pickle, nor can a worker or a scheduler hand it one."""
    address = places_of(guarded)[who]
    assert address.startswith("tls://")
    assert asyncio.run(ask(address, guarded.security, _SECONDS))["id"]
    for place, security in ((address, stranger), (address.replace("tls://", "tcp://"), None)):
        with pytest.raises(OSError):
            asyncio.run(ask(place, security, _SHORT_SECONDS))


def test_a_worker_of_somebody_else_is_not_taken_in(
    guarded: LocalDaskCluster, stranger: Any, tmp_path: Path
) -> None:
    from distributed import Worker

    async def join() -> None:
        make_worker: Any = Worker
        options = {"death_timeout": 1, "local_directory": str(tmp_path), "nthreads": 1}
        async with make_worker(guarded.address, security=stranger, **options):
            pass

    before = places_of(guarded)
    with pytest.raises(Exception, match=r"(?i)tim|ssl|tls|certificate"):
        asyncio.run(join())
    assert places_of(guarded) == before  # there is one worker, the same


def refuses(url: str) -> NoReturn:
    raise ValueError(f"cannot reach {url}")


@pytest.mark.parametrize("stands", [False, True])
def test_errors_of_providers_are_told_and_logged_without_secrets(stands: bool, home: Path) -> None:
    kwargs = {"url": "https://me:t0psecret@gate/?token=t0psecret"}
    spec = ClusterSpec("tests.cluster.test_safety:refuses", name="lab", kwargs=kwargs)
    with pytest.raises(RunnerUnavailable, match=r"cannot reach https://\*\*\*@gate") as caught:
        standing.start("lab", spec) if stands else HostedCluster(spec)
    assert "t0psecret" not in str(caught.value)
    if stands:
        log = (home / "clusters" / "lab.log").read_text()
        assert "cannot reach https://***@gate" in log
        assert "t0psecret" not in log
