"""SQL beside the code: what is there in one dialect is there in the other, and means the same."""

from __future__ import annotations

import contextlib

import pytest

from dataflow.store.database import Transaction
from dataflow.store.named_sql import (
    DIALECTS,
    latest_version,
    load_migrations,
    load_statements,
    read_statements,
)
from dataflow.store.run_store import open_store
from dataflow.store.tables import TABLES, count_rows, delete_rows, insert_new_row, select_rows
from tests.store.programs import ROOT

FRAGMENTS = {"has_tag"}
COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info(?)",
    "postgres": "SELECT column_name::text FROM information_schema.columns "
    "WHERE table_name = ? AND table_schema = current_schema()",
}


@pytest.mark.parametrize("path", sorted((ROOT / "dataflow/store/queries").iterdir()))
def test_every_statement_says_its_purpose(path):
    for part in path.read_text().split("\n-- name: ")[1:]:
        assert part.splitlines()[1].startswith("-- ")


def test_a_statement_stands_in_one_place():
    everywhere = read_statements("every_dialect")
    for dialect in DIALECTS:
        assert not everywhere.keys() & read_statements(f"{dialect}_only").keys()


def test_what_the_store_asks_can_be_asked_of_every_database():
    own = read_statements("postgres_only").keys() - read_statements("sqlite_only").keys()
    sources = (ROOT / "dataflow/store").glob("[!p]*.py")
    asked = "".join(source.read_text() for source in sources)
    assert not [name for name in own if f'"{name}"' in asked]
    assert not read_statements("sqlite_only").keys() - read_statements("postgres_only").keys()


def test_a_number_means_the_same_migration_in_every_dialect():
    numbers = {tuple(load_migrations(dialect)) for dialect in DIALECTS}
    assert len(numbers) == 1
    assert numbers.pop()[-1] == latest_version("sqlite")


def test_every_statement_parses(store, dialect):
    explained = set()

    def explain(view: Transaction) -> None:
        for name in load_statements(dialect).keys() - FRAGMENTS:
            text = view.text(name)
            assert list(view.execute(f"EXPLAIN {text}", (None,) * text.count("?"))), name
            explained.add(name)
        for table in TABLES.values():
            text = select_rows(table)
            list(view.execute(f"EXPLAIN {text}", (1,) * text.count("?")))
            if table.run is not None:
                condition, value = view.among(table.run, [1, 2])
                for make in (count_rows, delete_rows):
                    list(view.execute(f"EXPLAIN {make(table, condition)}", (value,)))
            list(view.execute(f"EXPLAIN {insert_new_row(table)}", (None,) * len(table.columns)))
            explained.add(table.name)

    with contextlib.suppress(_Enough):
        store._database.write(lambda transaction: _undone(explain, transaction))
    assert explained == (load_statements(dialect).keys() - FRAGMENTS) | {*TABLES}


class _Enough(Exception):
    pass


def _undone(action, transaction: Transaction) -> None:
    action(transaction)
    raise _Enough


def test_the_list_of_tables_is_the_schema(store, dialect):
    def columns(view: Transaction, name: str) -> set[str]:
        return {column for (column,) in view.execute(COLUMNS[dialect], (name,))}

    for table in TABLES.values():
        found = store._database.read(lambda view, name=table.name: columns(view, name))
        assert found - set(table.columns) in ({"id"}, set())
        assert set(table.columns) <= found
        assert table.run in (None, *table.columns)


OF_ONE_STORE = {"cache_keys", "key_leases"}
"""What is neither exported nor imported: without it, what it leads to is computed again."""


def test_the_schema_is_the_list_of_tables(tmp_path):
    with contextlib.closing(open_store(tmp_path / "runs.db")) as store:
        names = store._database.read(  # type: ignore[attr-defined]
            lambda view: list(view.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        )
    assert {name for (name,) in names} == TABLES.keys() | OF_ONE_STORE
