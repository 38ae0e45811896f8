"""Object stores are started when the first test of a process asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.storage import object_stores
from tests.storage.object_stores import ObjectStore


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectStore]:
    with object_stores.s3() as store:
        yield store


@pytest.fixture(scope="session")
def gs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_stores.google(tmp_path_factory.mktemp("google")) as store:
        yield store


@pytest.fixture(scope="session")
def az_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_stores.azure(tmp_path_factory.mktemp("azure")) as store:
        yield store


@pytest.fixture
def s3(s3_server: ObjectStore) -> Iterator[ObjectStore]:
    with object_stores.used(s3_server) as store:
        yield store


@pytest.fixture
def gs(gs_server: ObjectStore) -> Iterator[ObjectStore]:
    with object_stores.used(gs_server) as store:
        yield store


@pytest.fixture
def az(az_server: ObjectStore) -> Iterator[ObjectStore]:
    with object_stores.used(az_server) as store:
        yield store
