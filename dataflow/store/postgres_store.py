"""The store in a PostgreSQL database, shared by the machines that can reach it."""

from __future__ import annotations

from dataflow.settings import get_settings
from dataflow.store.database_store import DatabaseStore
from dataflow.store.postgres_url import parse_url


class PostgresStore(DatabaseStore):
    """The store in the database at ``url``; its schema and tables are made if they are not there.

    Raises:
        MissingExtra: psycopg is not installed.
        StoreUnreachable: the server does not answer, or lets nobody in.
        StoreTooNew: a newer version has written it.
        StoreNotADatabase: the schema holds something else.
        StoreUnwritable: the right to make it is missing.
    """

    def __init__(self, url: str) -> None:
        place = parse_url(url)
        from dataflow.store.postgres_connections import Connections

        self.place = place
        super().__init__(Connections(place, get_settings().store_retry_seconds))

    def __repr__(self) -> str:
        return f"PostgresStore({self.place.shown!r})"
