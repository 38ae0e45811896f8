"""Objects as files of a folder: written beside their place, and then moved there in one step."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataflow.errors import ResultMissing, StorageError
from dataflow.full_disk import is_full

_MOST_PARTS = 500  # that one system call writes
_numbers = itertools.count(1)


class LocalFolder:
    """The storage in a folder; folders are made as they are needed."""

    is_local = True
    is_shared = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = self.shown = str(path)

    def __repr__(self) -> str:
        return f"LocalFolder({self.url!r})"

    def check(self) -> None:
        """See :meth:`ResultStorage.check`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(f"its folder cannot be made ({error.strerror})") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise self._refusal("it is read-only, or belongs to someone else")

    def write(self, name: str, parts: Sequence[Any]) -> None:
        """See :meth:`ResultStorage.write`."""
        path = f"{self.url}/{name}"
        beside = f"{path}.{os.getpid()}-{next(_numbers)}.part"
        try:
            self._write(beside, parts)
            os.replace(beside, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise self._refusal(_reason(error)) from error

    def _write(self, path: str, parts: Sequence[Any]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags, 0o644)
        try:
            views = [memoryview(part).cast("B") for part in parts]
            for at in range(0, len(views), _MOST_PARTS):
                _write_all(descriptor, views[at : at + _MOST_PARTS])
        finally:
            os.close(descriptor)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """See :meth:`ResultStorage.read`."""
        try:
            with open(f"{self.url}/{name}", "rb") as file:
                if start:
                    file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(name) from None
        except OSError as error:
            raise self._refusal(f"{name} cannot be read ({error.strerror})") from error

    def size(self, name: str) -> int:
        """See :meth:`ResultStorage.size`."""
        try:
            return os.stat(f"{self.url}/{name}").st_size
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(name) from None
        except OSError as error:
            raise self._refusal(f"{name} cannot be read ({error.strerror})") from error

    def folders(self) -> set[str]:
        """See :meth:`ResultStorage.folders`."""
        return {entry.name for entry in self._entries(self.url) if entry.is_dir()}

    def names(self, folder: str) -> list[str]:
        """See :meth:`ResultStorage.names`."""
        entries = self._entries(f"{self.url}/{folder}")
        return sorted(f"{folder}/{entry.name}" for entry in entries if entry.is_file())

    def _entries(self, path: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._refusal(f"{path} cannot be read ({error.strerror})") from error

    def remove(self, names: Sequence[str]) -> None:
        """See :meth:`ResultStorage.remove`."""
        for name in names:
            try:
                Path(f"{self.url}/{name}").unlink(missing_ok=True)
            except OSError as error:
                raise self._refusal(f"{name} cannot be removed ({error.strerror})") from error
        for folder in {name.partition("/")[0] for name in names if "/" in name}:
            with contextlib.suppress(OSError):  # there is more in it
                os.rmdir(f"{self.url}/{folder}")

    def _missing(self, name: str) -> ResultMissing:
        return ResultMissing(
            f"The result {self.url}/{name} is not there any more.",
            hint="Somebody has removed it; a run that needs it computes it again.",
        )

    def _refusal(self, reason: str) -> StorageError:
        return StorageError(
            f"The result storage {self.url} cannot be used: {reason}.",
            hint="Make room, change its rights, or give another place with result_storage=.",
            url=self.url,
        )


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    while views:
        done = os.writev(descriptor, views)
        while views and done >= len(views[0]):
            done -= len(views.pop(0))
        if views and done:
            views[0] = views[0][done:]


def _reason(error: OSError) -> str:
    if is_full(error):
        return "there is no room"
    return f"it cannot be written ({error.strerror})"
