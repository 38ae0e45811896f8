"""A store for each test, in a file or a schema of its own; the same tests run on every database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataflow.store.named_sql import DIALECTS
from dataflow.store.run_store import RunStore, open_store
from tests.store.postgres_server import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres(testrun_uid: str) -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test session."""
    with running_server(testrun_uid) as server:
        yield server


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Every database."""
    name: str = request.param
    return name


@pytest.fixture
def fresh_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives places at which there is no store yet, on the database of a dialect."""

    def make(dialect: str) -> str:
        if dialect == "sqlite":
            return str(tmp_path / f"{len(list(tmp_path.iterdir()))}" / "runs.db")
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.fresh_url()

    return make


@pytest.fixture
def place(dialect: str, fresh_place: Callable[[str], str]) -> str:
    """A place at which there is no store yet."""
    return fresh_place(dialect)


@pytest.fixture
def store(place: str) -> Iterator[RunStore]:
    """An empty store."""
    with contextlib.closing(open_store(place)) as opened:
        yield opened
