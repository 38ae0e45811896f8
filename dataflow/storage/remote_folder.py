"""Objects wherever fsspec reaches: S3, Google Cloud, Azure, memory, SFTP ...

Object stores show an object when all of it is there; in other file systems it is written beside its
place and moved.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dataflow.errors import ResultMissing, StorageError

_WHOLE = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory", "oci", "r2"))
T = TypeVar("T")


class RemoteFolder:
    """The storage at a URL.

    Raises:
        ImportError: the library that it needs is not there.
        StorageError: there is no such kind of URL, or what it names cannot be reached.
    """

    is_local = False

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        self.shown = without_password(self.url)
        self._scheme = url.partition("://")[0]
        self.is_shared = self._scheme != "memory"
        try:
            files, root = url_to_fs(url)
        except ImportError:
            raise
        except Exception as error:  # some connect at once; each has errors of its own
            raise self._refusal(error) from error
        self._files: Any = files
        self._root = root.rstrip("/")

    def __repr__(self) -> str:
        return f"RemoteFolder({self.shown!r})"

    def check(self) -> None:
        """See :meth:`ResultStorage.check`."""
        name = f"{self._root}/.dataflow-{os.getpid()}"

        def write_and_remove() -> None:
            self._make_folder(name)
            self._files.pipe_file(name, b"dataflow")
            self._files.rm_file(name)

        self._try(write_and_remove)

    def write(self, name: str, parts: Sequence[Any]) -> None:
        """See :meth:`ResultStorage.write`."""
        path = f"{self._root}/{name}"
        data = b"".join(parts)

        def write() -> None:
            if self._scheme in _WHOLE:
                self._files.pipe_file(path, data)
                return
            beside = f"{path}.{os.getpid()}.part"
            self._make_folder(path)
            self._files.pipe_file(beside, data)
            self._files.mv(beside, path)

        self._try(write)

    def _make_folder(self, path: str) -> None:
        if self._scheme not in _WHOLE:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """See :meth:`ResultStorage.read`."""
        stop = None if length is None else start + length
        path = f"{self._root}/{name}"
        data: bytes = self._try(lambda: self._files.cat_file(path, start=start, end=stop), name)
        return data

    def size(self, name: str) -> int:
        """See :meth:`ResultStorage.size`."""
        return int(self._try(lambda: self._files.size(f"{self._root}/{name}"), name))

    def folders(self) -> set[str]:
        """See :meth:`ResultStorage.folders`."""
        return {name for name, kind in self._entries("") if kind == "directory"}

    def names(self, folder: str) -> list[str]:
        """See :meth:`ResultStorage.names`."""
        found = self._entries(f"/{folder}")
        return sorted(f"{folder}/{name}" for name, kind in found if kind == "file")

    def _entries(self, folder: str) -> list[tuple[str, str]]:
        """Names and kinds of what is directly in a folder."""

        def entries() -> list[tuple[str, str]]:
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}{folder}", detail=True)
            except FileNotFoundError:
                return []
            return [(each["name"].rstrip("/").rpartition("/")[2], each["type"]) for each in found]

        return self._try(entries)

    def remove(self, names: Sequence[str]) -> None:
        """See :meth:`ResultStorage.remove`."""

        def remove() -> None:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(f"{self._root}/{name}")

        self._try(remove)

    def _try(self, act: Callable[[], T], name: str = "") -> T:
        try:
            return act()
        except FileNotFoundError as error:
            if name:
                raise ResultMissing(
                    f"The result {self.shown}/{name} is not there any more.",
                    hint="Somebody has removed it; a run that needs it computes it again.",
                ) from None
            raise self._refusal(error) from error
        except Exception as error:  # every library has errors of its own
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> StorageError:
        said = str(error).strip().partition("\n")[0].replace(*_secret(self.url))
        why = f"{type(error).__name__}: {said:.200}" if said else type(error).__name__
        return StorageError(
            f"The result storage {self.shown} cannot be used: {why}",
            hint="Check the URL, your credentials and rights there, and the network, or give "
            "another place with result_storage=.",
            url=self.shown,
        )


def without_password(url: str) -> str:
    """A URL as people may see it."""
    return url.replace(*_secret(url))


def _secret(url: str) -> tuple[str, str]:
    """What of a URL is not to be seen, and what stands in its place."""
    whose, _, _ = url.partition("://")[2].rpartition("@")
    password = whose.partition(":")[2]
    return f":{password}@", ":***@" if password else ":@"
