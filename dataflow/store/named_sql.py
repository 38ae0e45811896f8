"""SQL as text beside the code: named statements of a dialect, and its numbered migrations.

A file ``queries/<dialect>.sql`` holds statements, each under a line ``-- name: ...``; the files
``migrations/<dialect>_0001.sql`` and so on lead from an empty database to the present schema.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
_NAME = "\n-- name: "


@lru_cache(maxsize=4)
def load_statements(dialect: str) -> dict[str, str]:
    """The statements of a dialect by name."""
    text = (_HERE / "queries" / f"{dialect}.sql").read_text(encoding="utf-8")
    statements = {}
    for part in text.split(_NAME)[1:]:
        name, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        statements[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return statements


def load_migrations(dialect: str) -> list[str]:
    """The migrations of a dialect in order; the first one makes version 1."""
    files = sorted((_HERE / "migrations").glob(f"{dialect}_[0-9]*.sql"))
    return [file.read_text(encoding="utf-8") for file in files]


def latest_version(dialect: str) -> int:
    """The version that the migrations lead to."""
    return sum(1 for _ in (_HERE / "migrations").glob(f"{dialect}_[0-9]*.sql"))
