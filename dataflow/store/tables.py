"""The tables of a store, the same in every database: their columns, and whose rows they hold.

Bulk inserts, ``export``, ``import``, ``prune`` and ``info`` go by this list alone: a table that is
named here, and made by a migration of each dialect, takes part in all of them, unless it ``stays``.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Table(NamedTuple):
    """A table.

    Attributes:
        columns: all but an ``id`` that the database hands out itself.
        run: the column with the key of the run that a row belongs to; None if it is not a run's.
        order: the columns by which its rows are in the order of writing.
        batch, result: the column with the number of a batch, or of a row of results, which is
            another one in another store.
        stays: whether its rows say what goes on in this store at present, and mean nothing in
            another: they are neither exported nor imported.
    """

    name: str
    columns: tuple[str, ...]
    run: str | None = "run"
    order: str = "id"
    batch: str | None = None
    stays: bool = False
    result: str | None = None


def _table(name: str, columns: str, **options: Any) -> Table:
    return Table(name, tuple(columns.split()), **options)


_IN_ORDER = (
    _table(
        "runs",
        "key run_id flow_name name tags parent_run_id parent_node runner flow_version created_ns "
        "pid host code_path deployment state_code state_type state_name state_ns run_count "
        "started_ns ended_ns state_message parameters_json hooks",
        run="key",
        order="key",
    ),
    _table("run_states", "run code name message timestamp_ns run_count"),
    _table("node_chunks", "run first_node last_node columns"),
    _table(
        "batches",
        "id run stages start count worker clock_offset_ns first_started_ns states attempts nodes "
        "started ended",
        batch="id",
    ),
    _table("spans", "batch run node start stop counts", order="batch, node, start", batch="batch"),
    _table(
        "attempts",
        "run node element attempt code name message exception_type started_ns ended_ns worker "
        "traceback exception",
    ),
    _table(
        "logs",
        "run node element attempt timestamp_ns level logger message task_run_name sequence",
    ),
    _table(
        "run_timings",
        "run tracing_ns planning_ns dispatch_ns queue_ns compute_ns transfer_ns recording_ns",
        order="run",
    ),
    _table("task_timings", "task ended_ns run calls busy_ns", order="ended_ns, task"),
    _table(
        "artifacts",
        "artifact_id key version type description run node element attempt created_ns updated_ns "
        "data_json",
    ),
    _table(
        "results",
        "id run node start stop first storage object serializer made_by created_ns source elements "
        "numbers digests",
        result="id",
    ),
    _table("transaction_values", "run node element name value"),
    _table("committed_nodes", "run node committed_ns"),
    _table("variables", "name value_json tags created_ns updated_ns", run=None, order="name"),
    _table("run_drivers", "run place pid started beat_ns", order="run", stays=True),
    _table(
        "due_hooks",
        "run number node start stop code attempt called",
        order="number",
        stays=True,
    ),
    _table("limits", "name slots decay active created_ns free_ns", run=None, order="name"),
    _table(
        "slot_requests",
        "request name slots granted expires_ns place pid started holder since_ns",
        run=None,
        order="request, name",
        stays=True,
    ),
    _table(
        "dropped_results",
        "storage run_id dropped_ns",
        run=None,
        order="storage, run_id",
        stays=True,
    ),
    _table("slot_counter", "last", run=None, order="last", stays=True),
    _table("transactions", "key run_id committed_ns", run=None, order="key"),
)

TABLES = {table.name: table for table in _IN_ORDER}
"""By name, in the order in which rows are exported."""


def exported_tables() -> list[Table]:
    """Those that go along from one store to another."""
    return [table for table in TABLES.values() if not table.stays]


def select_rows(table: Table) -> str:
    """The rows of one run, or of a table that is no run's, in the order of writing."""
    where = "" if table.run is None else f"WHERE {table.run} = ?"
    return f"SELECT {', '.join(table.columns)} FROM {table.name} {where} ORDER BY {table.order}"


def count_rows(table: Table, condition: str) -> str:
    """How many rows of a table some runs have: the table, a run and its rows."""
    return (
        f"SELECT '{table.name}', {table.run}, count(*) FROM {table.name} "
        f"WHERE {condition} GROUP BY {table.run}"
    )


def delete_rows(table: Table, condition: str) -> str:
    """Removes the rows of some runs."""
    return f"DELETE FROM {table.name} WHERE {condition}"


def insert_new_row(table: Table) -> str:
    """Adds one row, if there is none like it."""
    return f"{insert_row(table)} ON CONFLICT DO NOTHING"


def insert_row(table: Table) -> str:
    """Adds one row."""
    places = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({places})"
