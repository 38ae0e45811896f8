"""Where a store is: a SQLite file, or a PostgreSQL database; a path or a URL names it.

``str()`` of a place has no password in it, and is all that messages show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from dataflow.errors import StoreError
from dataflow.settings import get_settings

POSTGRES = ("postgresql", "postgres")
_FORMS = (
    "Give a path, sqlite:///path (with four slashes for an absolute path), "
    "or postgresql://user:password@host/database."
)
_SHOWN = ("host", "port", "dbname", "user", "schema", "sslmode")


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A place that a store is at, or may be made at.

    Attributes:
        shown: what people may see.
        path: the file of a SQLite store; None for other databases.
        url: what other databases are reached by, with all its secrets.
    """

    shown: str
    path: Path | None = None
    url: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """What another process finds it by, with all its secrets."""
        return self.url or str(self.path)

    def __str__(self) -> str:
        return self.shown


def find_place(place: str | Path | StorePlace | None = None) -> StorePlace:
    """The place that a path or URL names, by default the one of the settings.

    Raises:
        StoreError: the URL is of a kind that is not known.
    """
    if isinstance(place, StorePlace):
        return place
    if isinstance(place, Path):
        return _file(place)
    settings = get_settings()
    text = place or settings.store_url or str(settings.home / "dataflow.db")
    return _file_at(text) if text.startswith("/") else _place_named(text)


@lru_cache(maxsize=64)  # asked whenever a task is called outside a flow
def _file_at(path: str) -> StorePlace:
    return _file(Path(path))


def _place_named(text: str) -> StorePlace:
    scheme, separator, rest = text.partition("://")
    if not separator:
        if scheme.partition(":")[0] in (*POSTGRES, "sqlite") and ":" in scheme:
            raise cannot_be_used(f"{scheme.partition(':')[0]}:***")
        return _file(Path(text))
    if scheme in POSTGRES:
        return StorePlace(without_secrets(text), url=text)
    path = rest.removeprefix("/")
    if scheme != "sqlite" or path == rest or not path:
        raise cannot_be_used(without_secrets(text))
    return _file(Path(path))


def _file(path: Path) -> StorePlace:
    absolute = path.expanduser().absolute()
    return StorePlace(str(absolute), path=absolute)


def cannot_be_used(shown: str) -> StoreError:
    """The URL is of no use; ``shown`` is it without its secrets."""
    return StoreError(f"The store URL {shown!r} cannot be used.", hint=_FORMS, url=shown)


def without_secrets(url: str) -> str:
    """A URL as people may see it: without password, and whole only if it is well formed."""
    from urllib.parse import parse_qsl, urlencode, urlsplit

    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
        user, password, port = parts.username, parts.password, parts.port
    except ValueError:
        return f"{scheme}://***"
    if "@" in parts.path + parts.query + parts.fragment:  # a password with / or ? in it, perhaps
        return f"{scheme}://***"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    whose = "" if user is None else f"{user}{'' if password is None else ':***'}@"
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] in _SHOWN], safe="/")
    where = f"{whose}{host}{'' if port is None else f':{port}'}{parts.path}"
    return f"{scheme}://{where}{f'?{query}' if query else ''}"
