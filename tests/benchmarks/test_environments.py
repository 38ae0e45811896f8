"""Virtual environments of peers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.environments import interpreter, make_environments
from benchmarks.peers import PEERS, Peer


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "environments")
    return tmp_path / "environments"


def test_without_an_environment_it_is_this_interpreter(folder):
    assert interpreter(PEERS["ray"][0]) == Path(sys.executable)


def test_an_environment_is_made_once(folder):
    told: list[str] = []
    assert make_environments(PEERS["pool"], told.append) == {}
    assert interpreter(PEERS["pool"][0]) == folder / "pool" / "bin" / "python"
    assert make_environments(PEERS["pool"], told.append) == {}
    assert told == ["making the environment of pool ..."]


def test_one_that_cannot_be_made_leaves_nothing(folder, monkeypatch):
    monkeypatch.setattr(environments, "_install", lambda where, peer: "no such thing")
    monkeypatch.setattr("venv.create", lambda where, **_: where.mkdir(parents=True))
    peer = Peer("odd", "Odd", "ray", environment="odd", requirements=("odd",))
    assert make_environments((peer,), lambda _: None) == {"odd": "no such thing"}
    assert not (folder / "odd").exists()
