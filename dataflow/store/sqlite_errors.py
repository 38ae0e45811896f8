"""What SQLite says, in words that tell the way out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dataflow.errors import StoreError, StoreNotADatabase, StoreUnwritable

# SQLITE_PROTOCOL is what many processes see when they race to begin reading; it passes, too
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_UNWRITABLE = {
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_PERM: "permission is missing",
    sqlite3.SQLITE_CANTOPEN: "it, or a file beside it, cannot be opened",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed",
    sqlite3.SQLITE_FULL: "the disk is full",
}
_ELSEWHERE = "Set DATAFLOW_HOME, or DATAFLOW_STORE_URL, to a place that can be written"


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's error code without its details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process is in the way for a moment."""
    return primary_code(error) in _BUSY


def explain(error: sqlite3.Error, path: Path) -> StoreError:
    """The error to raise instead."""
    code = primary_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_database(path, "is not a SQLite database")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(
            f"The store {path} is damaged ({error}).",
            hint=f"Move it away, and save what can be read: sqlite3 {path} .recover",
            path=str(path),
        )
    if code in _BUSY:
        return StoreError(
            f"The store {path} is held by another process, and stays so.",
            hint=f"See who has it open (fuser {path}): a stopped process, or a database tool?",
            path=str(path),
        )
    if code in _UNWRITABLE:
        return unwritable(path, f"{_UNWRITABLE[code]} ({error})", full=code == sqlite3.SQLITE_FULL)
    return StoreError(f"The store {path} cannot be used: {error}.", path=str(path))


def not_a_database(path: Path, what: str) -> StoreNotADatabase:
    """The file is there, and is something else."""
    return StoreNotADatabase(
        f"The store {path} {what}.",
        hint="Move the file away, or point DATAFLOW_STORE_URL or DATAFLOW_HOME to another place.",
        path=str(path),
    )


def unwritable(path: Path, why: str, *, full: bool = False) -> StoreUnwritable:
    """The store cannot be written, and why."""
    hint = "Make room on the disk; what was recorded is kept" if full else _ELSEWHERE
    return StoreUnwritable(
        f"The store {path} cannot be written: {why}.", hint=f"{hint}.", path=str(path)
    )
