"""SQL as text beside the code: named statements, and the numbered migrations of each dialect.

Statements stand in ``queries/every_dialect.sql``, or, where databases need other words for the same
thing, in ``queries/<dialect>_only.sql``; each under a line ``-- name: ...``. The files
``migrations/<dialect>_0001.sql`` and so on lead from an empty database to the present schema; a
number means the same in every dialect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

DIALECTS = ("sqlite", "postgres")
_HERE = Path(__file__).parent
_NAME = "\n-- name: "
_PLACE = re.compile(r"/\*(\w+)\*/")


@lru_cache(maxsize=4)
def load_statements(dialect: str) -> Mapping[str, str]:
    """The statements of a dialect by name."""
    return {**read_statements("every_dialect"), **read_statements(f"{dialect}_only")}


def read_statements(file_name: str) -> dict[str, str]:
    """The statements in one file by name."""
    text = (_HERE / "queries" / f"{file_name}.sql").read_text(encoding="utf-8")
    statements = {}
    for part in text.split(_NAME)[1:]:
        name, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        statements[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return statements


def complete(statements: Mapping[str, str], name: str, conditions: str = "") -> str:
    """A statement; ``/*conditions*/`` becomes these, and ``/*name*/`` another statement."""
    text = statements[name].replace("/*conditions*/", conditions)
    return _PLACE.sub(lambda place: statements[place[1]], text)


def load_migrations(dialect: str) -> dict[int, str]:
    """The migrations of a dialect by the version that each leads to, in order."""
    files = sorted((_HERE / "migrations").glob(f"{dialect}_[0-9]*.sql"))
    return {_number(file): file.read_text(encoding="utf-8") for file in files}


def latest_version(dialect: str) -> int:
    """The version that the migrations lead to."""
    return max(map(_number, (_HERE / "migrations").glob(f"{dialect}_[0-9]*.sql")))


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])
