"""What a place for results promises, and which one a URL means.

An object is written once, whole, and never changed: whoever reads it sees all of it or nothing.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dataflow.errors import MissingExtra, StorageError
from dataflow.settings import get_settings

_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
}
_HALF_A_URL = re.compile(rf"({'|'.join([*_EXTRAS, 'file', 'memory'])}):(?!//)")
_FORMS = "Give a folder, or a URL such as s3://bucket/folder, gs://..., az://..."


class ResultStorage(Protocol):
    """A place for objects, each under a name such as ``<run id>/<number>``.

    Attributes:
        url: what :func:`open_storage` makes the same place of, in any process.
        shown: the same as people may see it.
        is_local: whether reading an object costs next to nothing.
        is_shared: whether other processes see what is written.
    """

    url: str
    shown: str
    is_local: bool
    is_shared: bool

    def check(self) -> None:
        """See that objects can be written.

        Raises:
            StorageError: they cannot.
        """

    def write(self, name: str, parts: Sequence[Any]) -> None:
        """Write an object, which is its parts (buffers) one after the other.

        Raises:
            StorageError: it could not be written; nothing is there then.
        """

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """An object, or some of its bytes.

        Raises:
            ResultMissing: it is not there.
            StorageError: it cannot be read.
        """

    def size(self, name: str) -> int:
        """How many bytes an object has.

        Raises:
            ResultMissing: it is not there.
            StorageError: the place cannot be reached.
        """

    def folders(self) -> set[str]:
        """The names that end at the first ``/`` of those of its objects: runs, for the most part.

        Raises:
            StorageError: the place cannot be read.
        """

    def names(self, folder: str) -> list[str]:
        """The objects in one of these, and what writers that died have left of such.

        Raises:
            StorageError: the place cannot be read.
        """

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, of one folder, and the folder if that leaves it empty.

        Raises:
            StorageError: they cannot be removed.
        """


def open_storage(url: str) -> ResultStorage:
    """The storage at a path or URL; the same object each time in a process.

    Raises:
        MissingExtra: the library for that kind of URL is not installed.
        StorageError: there is no such kind of URL, or what it names cannot be reached.
    """
    return _open(url, os.getpid())


@functools.lru_cache(maxsize=64)
def _open(url: str, _pid: int) -> ResultStorage:
    from dataflow.storage.local_folder import LocalFolder

    scheme, separator, rest = url.partition("://")
    if not separator or scheme in ("file", "local"):
        return LocalFolder(Path(rest if separator else url).expanduser().absolute())
    from dataflow.storage.remote_folder import RemoteFolder, without_password

    if scheme in _EXTRAS and not rest.strip("/"):
        raise StorageError(f"The result storage {url!r} names no bucket.", hint=_FORMS, url=url)
    try:
        return RemoteFolder(url)
    except ImportError as error:
        raise _missing(without_password(url), scheme, error) from error


def _missing(url: str, scheme: str, error: ImportError) -> MissingExtra:
    extra = _EXTRAS.get(scheme)
    install = f"pip install 'dataflow-runtime[{extra}]'" if extra else f"({error})"
    return MissingExtra(
        f"The result storage {url!r} needs a library that is not installed.",
        hint=f"Install it: {install}." if extra else f"Install it {install}.",
        url=url,
    )


def storage_url(place: Any) -> str:
    """The URL of what a user gave as a storage: a path, a URL, or None for that of the settings.

    Raises:
        StorageError: it is nothing of that kind.
    """
    if place is None or place == "":
        settings = get_settings()
        place = settings.results_storage or settings.home / "results"
    if isinstance(place, Path):
        return str(place.expanduser().absolute())
    url = getattr(place, "url", place)
    if isinstance(url, str) and _HALF_A_URL.match(url):
        raise StorageError(f"The result storage {url!r} is no URL.", hint=_FORMS, url=url)
    if not isinstance(url, str):
        raise StorageError(
            f"A result storage is a folder or a URL, not {type(place).__name__} ({place!r:.60}).",
            hint=_FORMS,
        )
    return url if "://" in url else str(Path(url).expanduser().absolute())
