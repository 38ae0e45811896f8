"""What PostgreSQL says, in words that tell the way out; and what of it passes by itself."""

from __future__ import annotations

import psycopg

from dataflow.errors import StoreError, StoreNotADatabase, StoreUnreachable, StoreUnwritable

_PASSING = ("08", "40001", "40P01", "53300", "55000", "57P01", "57P02", "57P03", "57P05", "25P03")
"""Lost connections, transactions that were in each other's way, a server that comes or goes."""
_UNWRITABLE = {
    "53100": ("the disk of the server is full", "Make room; what was recorded is kept."),
    "53200": ("the server is out of memory", "Give it more, or look at what else it does."),
    "25006": ("the server is read-only", "Name the primary server in DATAFLOW_STORE_URL."),
    "42501": (
        "the right to do so is missing",
        "GRANT CREATE, USAGE on the schema to the user, or have an owner open the store first.",
    ),
}
_HINTS = {
    "password": "See to user and password in DATAFLOW_STORE_URL (or PGPASSWORD, or ~/.pgpass).",
    "no pg_hba.conf": "The server's pg_hba.conf lets nobody in from here as this user.",
    "role": "See to the user in DATAFLOW_STORE_URL, or make it: createuser NAME.",
    "database": "See to the database in DATAFLOW_STORE_URL, or make it: createdb NAME.",
    "resolve": "See to the host in DATAFLOW_STORE_URL.",
}
_REACH = "See to host and port in DATAFLOW_STORE_URL, and whether the server runs."


def is_passing(error: psycopg.Error) -> bool:
    """Whether it may be gone when the same is tried again on a new connection."""
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate.startswith(_PASSING)


def is_about_text(error: psycopg.Error) -> bool:
    """Whether a text had something in it that PostgreSQL takes in no text: NUL."""
    return isinstance(error, psycopg.DataError) and error.sqlstate in (None, "22021", "22P05")


def explain(error: psycopg.Error, shown: str) -> StoreError:
    """The error to raise instead; ``shown`` is the place."""
    said = _first_line(error)
    if error.sqlstate in _UNWRITABLE:
        why, hint = _UNWRITABLE[error.sqlstate]
        return StoreUnwritable(
            f"The store {shown} cannot be written: {why} ({said}).", hint=hint, url=shown
        )
    if error.sqlstate in ("42P01", "3F000"):
        hint = "Was its schema dropped? It is made anew when the store is opened again."
        return StoreError(f"The store {shown} has lost a table ({said}).", hint=hint, url=shown)
    if is_passing(error):
        found = [text for word, text in _HINTS.items() if word in said]
        hint = found[0] if found else _REACH
        return StoreUnreachable(
            f"The store {shown} cannot be reached: {said}.", hint=hint, url=shown
        )
    return StoreError(f"The store {shown} cannot be used: {said}.", url=shown)


def too_old(shown: str, version: int) -> StoreError:
    """The server lacks what is needed, such as asking what became of a transaction."""
    text = f"The server of {shown} is PostgreSQL {version // 10000}; it must be 13 or later."
    return StoreError(text, hint="Upgrade the server, or use another one.", url=shown)


def not_a_store(shown: str, schema: str) -> StoreNotADatabase:
    """The schema is there, and has something else in it."""
    return StoreNotADatabase(
        f"The schema {schema!r} of {shown} has tables of another program.",
        hint="Name another schema: postgresql://.../database?schema=NAME.",
        url=shown,
    )


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rpartition("FATAL:")[2].strip().rstrip(".")
