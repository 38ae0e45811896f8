"""The URL of a PostgreSQL store: ``postgresql://user:password@host:port/database?schema=dataflow``.

It is libpq's, with everything that libpq knows, and one parameter more: the schema that the tables
are in, ``dataflow`` if it is not named. So a store can be beside other things in a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dataflow.errors import MissingExtra
from dataflow.store.store_places import cannot_be_used, without_secrets

_DEFAULTS = {
    "application_name": "dataflow",
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""A peer that vanished without a word is found in half a minute, not in hours."""


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """What a URL says; ``shown`` is all that may be told."""

    shown: str
    schema: str
    options: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return self.shown


def parse_url(url: str) -> PostgresUrl:
    """Take a URL apart.

    Raises:
        MissingExtra: psycopg is not installed.
        StoreError: the URL is not well formed.
    """
    from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

    psycopg = load_psycopg()
    shown = without_secrets(url)
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        rest = [pair for pair in query if pair[0] != "schema"]
        plain = urlunsplit(parts._replace(query=urlencode(rest, quote_via=quote)))
        options = psycopg.conninfo.conninfo_to_dict(plain)
    except (ValueError, psycopg.Error):
        raise cannot_be_used(shown) from None  # what was wrong is told with the password in it
    schema = dict(query).get("schema") or "dataflow"
    return PostgresUrl(shown, schema, {**_DEFAULTS, **options, "client_encoding": "utf8"})


def load_psycopg() -> Any:
    """The module psycopg.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtra(
            f"A store in PostgreSQL needs psycopg 3, which cannot be loaded ({error}).",
            hint="pip install 'dataflow-runtime[postgres]'",
        ) from error
    return psycopg
