"""Versions are compared before anything is sent, and the error has a table."""

from __future__ import annotations

import pickle

import pytest

from cluster import versions
from cluster.connecting import connect
from cluster.local import LocalDaskCluster
from cluster.needs import Needs
from cluster.versions import by_value, check_versions, find_mismatch, versions_here
from dataflow.errors import VersionMismatch

OURS = {"python": "3.11", "dataflow": "1.2", "distributed": "2026.8.0", "cloudpickle": "3.1.2"}


def test_the_same_everywhere() -> None:
    assert find_mismatch(OURS, {"scheduler": dict(OURS), "tcp://a:1": dict(OURS)}) is None


def test_the_table_shows_who_has_what() -> None:
    theirs = {"scheduler": OURS, "tcp://a:1": {**OURS, "python": "3.12"}, "tcp://b:1": {}}
    error = find_mismatch(OURS, theirs)
    assert error is not None
    assert error.message.splitlines()[1:] == [
        "             python       dataflow     distributed  cloudpickle",
        "  here       3.11         1.2          2026.8.0     3.1.2",
        "  tcp://a:1  3.12 (!)     1.2          2026.8.0     3.1.2",
        "  tcp://b:1  missing (!)  missing (!)  missing (!)  missing (!)",
    ]
    assert pickle.loads(pickle.dumps(error)).versions == error.fields["versions"]


def test_this_process_has_them_all() -> None:
    here = versions_here()
    assert set(here) == {*OURS, "pickle"}
    assert "missing" not in here.values()


def test_a_real_cluster(local: LocalDaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(local.address)
    try:
        check_versions(client)
        monkeypatch.setattr(versions, "find_mismatch", _as_if_we_had_another_python)
        with pytest.raises(VersionMismatch, match=r"scheduler .*\(!\)"):
            check_versions(client)
    finally:
        client.close()


def test_packages_that_the_spec_names(
    local: LocalDaskCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the workers: the scheduler runs no tasks."""
    client = connect(local.address)
    try:
        check_versions(client, Needs(packages=("numpy", "not-there")))
        here = versions_here
        monkeypatch.setattr(
            versions, "versions_here", lambda packages=(): {**here(packages), "numpy": "0.1"}
        )
        monkeypatch.setattr(versions, "by_value", lambda _: by_value(here))
        with pytest.raises(VersionMismatch, match=r"tcp://\S+ .*\(!\)") as caught:
            check_versions(client, Needs(packages=("numpy",)))
        assert "scheduler" not in caught.value.message
        check_versions(client, Needs(packages=("numpy",), warns=True))
        assert [record.getMessage() for record in caplog.records] == [caught.value.message]
    finally:
        client.close()


def _as_if_we_had_another_python(
    ours: versions.Versions, theirs: dict[str, versions.Versions]
) -> VersionMismatch | None:
    return find_mismatch({**ours, "python": "2.7"}, theirs)
