"""A schema of a PostgreSQL database becomes a store: made, or brought up to date.

Several processes may come at once: it is changed in one transaction, by whoever gets its lock
first; the others find it done. A table tells the version; a schema with tables but without that one
is somebody else's, and is never written into.
"""

from __future__ import annotations

import psycopg

from dataflow.errors import StoreTooNew
from dataflow.store.database import FoundRow
from dataflow.store.named_sql import latest_version, load_migrations
from dataflow.store.postgres_errors import not_a_store
from dataflow.store.postgres_transaction import PostgresTransaction
from dataflow.store.postgres_url import PostgresUrl

LATEST = latest_version("postgres")


def is_current(connection: psycopg.Connection[FoundRow], place: PostgresUrl) -> bool:
    """Whether the store has the schema that this version knows.

    Raises:
        StoreTooNew: it has a later one.
        StoreNotADatabase: it holds the tables of another program.
    """
    view = PostgresTransaction(connection)
    ((tables, ours),) = view.rows("schema_objects")
    if not ours:
        if tables:
            raise not_a_store(place.shown, place.schema)
        return False
    ((version,),) = view.rows("schema_version")
    check_version(version, place)
    return bool(version == LATEST)


def check_version(version: int, place: PostgresUrl) -> None:
    """Refuse a store of a later version.

    Raises:
        StoreTooNew: it is one.
    """
    if version > LATEST:
        raise StoreTooNew(
            f"The store {place} has version {version}; "
            f"this dataflow knows versions up to {LATEST}.",
            hint="Upgrade dataflow-runtime, or name another schema: ...?schema=NAME.",
            url=place.shown,
            version=version,
        )


def migrate(connection: psycopg.Connection[FoundRow], place: PostgresUrl) -> None:
    """Apply what is missing, in one transaction."""
    transaction = PostgresTransaction(connection)
    with connection.transaction():
        transaction.rows("hold_schema", (place.schema,))
        if not transaction.rows("has_schema", (place.schema,)):
            name = psycopg.sql.Identifier(place.schema)
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(name))
        if is_current(connection, place):
            return
        ((_, ours),) = transaction.rows("schema_objects")
        version = transaction.rows("schema_version")[0][0] if ours else 0
        for number, migration in load_migrations("postgres").items():
            if number > version:
                connection.execute(migration.encode())
        transaction.change("set_schema_version", [(LATEST,)])
