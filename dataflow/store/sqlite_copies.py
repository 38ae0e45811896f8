"""A store that was copied file by file while it was in use: it is looked through before it is used.

Such a copy has the write-ahead log beside it, but not the index of the log, which every process
that has the store open shares; a program that was killed leaves both. If the database and the log
were copied at moments that do not fit together, SQLite would only find out where it happens to
look. So all of it is checked, once, on a copy that nobody else sees; what is refused stays as it
is.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from dataflow.errors import StoreError


def check_copy(path: Path) -> None:
    """Look a store through, if it seems to have been copied while it was in use.

    Raises:
        StoreError: its parts do not fit together.
    """
    log, index = (path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))
    try:
        before = log.stat()
        if index.exists() or not before.st_size:
            return
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-check-", dir=path.parent) as folder:
            problem = _find_problem(path, log, Path(folder))
        if index.exists() or _changed(before, log.stat()):
            return  # whoever let go of it last was about to remove the log; it is in use again
    except OSError:  # it is gone meanwhile, or cannot be read: whoever opens it says so
        return
    if problem is not None:
        raise _refusal(path, problem)


def _changed(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_ino, before.st_mtime_ns) != (now.st_ino, now.st_mtime_ns)


def _find_problem(path: Path, log: Path, folder: Path) -> str | None:
    look = folder / path.name
    try:
        os.link(path, look)  # it is only read
    except OSError:
        shutil.copyfile(path, look)
    shutil.copyfile(log, folder / log.name)
    connection = sqlite3.connect(f"{look.as_uri()}?mode=ro", uri=True)
    try:
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        connection.close()
    return None if found == "ok" else str(found)


def _refusal(path: Path, problem: str) -> StoreError:
    said = " ".join(problem.split())
    return StoreError(
        f"The store {path} was copied while it was in use, and its parts do not fit together "
        f"({said:.100}).",
        hint="Copy it with `dataflow store backup FILE`, which may run while flows do. What can be "
        f"read of this one: sqlite3 {path} .recover",
        path=str(path),
    )
