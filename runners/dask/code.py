"""The user's modules on a Dask worker: each version is fetched and unpacked once in a process.

A batch is loaded and carried out in the world of its version (``code_worlds``). Versions
that no batch is at are let go, but for the last few: their modules may hold much.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

from dataflow.errors import InfrastructureError, TransferError
from dataflow.process_ids import this_process
from dataflow.worker.interruptible import uninterrupted
from runners.dask.code_worlds import AnyWorld, World, behind, entered, native
from runners.dask.inputs import fetch
from runners.dask.messages import CodeReference

_MOST_IDLE = 3


@dataclass(frozen=True, slots=True)
class Code:
    """A version as it is sent.

    Attributes:
        archive: its files, as a compressed tar file.
        origins: what tracebacks are to call them, by their path there.
    """

    archive: bytes
    origins: dict[str, str]


class _Versions:
    """The versions of this process, last used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._worlds: OrderedDict[bytes, World] = OrderedDict()
        self._users: Counter[bytes] = Counter()

    def keep(self, digest: bytes) -> None:
        """A batch needs a version, if it is or comes here."""
        with self._lock:
            self._users[digest] += 1

    def let_go(self, digest: bytes) -> None:
        """That batch has ended."""
        with self._lock:
            self._users[digest] -= 1

    @contextlib.contextmanager
    def used(self, digest: bytes) -> Iterator[None]:
        """Keep a version for a batch; it is interrupted only inside this."""
        self.keep(digest)
        try:
            with behind():
                yield
        finally:
            self.let_go(digest)

    def find(self, worker: Any, code: CodeReference) -> World:
        """The world of a version that is used.

        Raises:
            ConstantMissing: it is on no worker any more.
        """
        world = self._known(code.digest)
        if world is not None:
            return world
        with self._fetching:
            world = self._known(code.digest)
            if world is not None:
                return world
            data = fetch(worker, code.place.key)
            with uninterrupted():
                return self._take(code.digest, pickle.loads(data), worker.local_directory)

    def _known(self, digest: bytes) -> World | None:
        with self._lock:
            world = self._worlds.get(digest)
            if world is not None and not world.folder.exists():  # that worker of several has gone
                del self._worlds[digest]
                world.forget()
                return None
            if world is not None:
                self._worlds.move_to_end(digest)
            return world

    def _take(self, digest: bytes, code: Code, folder: str) -> World:
        world = World(_unpack(code.archive, folder), code.origins)
        with self._lock:
            self._worlds[digest] = world
            self._users = +self._users
            idle = [each for each in self._worlds if each not in self._users]
            old = [self._worlds.pop(each) for each in idle[: max(0, len(idle) - _MOST_IDLE)]]
        for each in old:
            each.forget()
            rmtree(each.folder, ignore_errors=True)
        return world


_versions = _Versions()


def used(code: CodeReference | None) -> contextlib.AbstractContextManager[None]:
    """Keep the version that a batch needs as long as this lasts."""
    if code is None or _is_here(code):
        return contextlib.nullcontext()
    return _versions.used(code.digest)


def keep(code: CodeReference | None) -> Callable[[], object]:
    """The same until what this returns is called, by any thread."""
    if code is None or _is_here(code):
        return _let_nothing_go
    _versions.keep(code.digest)
    return partial(_versions.let_go, code.digest)


def _let_nothing_go() -> None:
    """What the process imports by itself is always there."""


@contextlib.contextmanager
def code_of(worker: Any, code: CodeReference | None) -> Iterator[AnyWorld]:
    """Have what is imported in here be the version that a batch needs.

    Raises:
        ConstantMissing: it is on no worker any more.
    """
    is_native = code is None or _is_here(code)
    world: AnyWorld = native if code is None or is_native else _versions.find(worker, code)
    with entered(world):
        yield world


def load_error(worker: Any, error: Exception) -> Exception:
    """The error of a batch that could not be loaded in a worker."""
    if isinstance(error, InfrastructureError):
        return error
    hint = "Modules are imported on the workers, too: there, this one cannot be."
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.partition(".")[0]
        hint = (
            f"If {name!r} is your own, import it where the flow is, or name its folder in the "
            'cluster\'s spec: code = ["src"]. If not, install it where the workers are.'
        )
    found = TransferError(
        f"A batch could not be loaded in the worker {worker.address}: "
        f"{type(error).__name__}: {error}",
        hint=hint,
    )
    found.__cause__ = error
    return found


def _is_here(code: CodeReference) -> bool:
    """Whether this is the flow's own process, which has its modules."""
    return code.process == this_process()


def _unpack(archive: bytes, parent: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dataflow-code-", dir=parent))
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4
            files.extraction_filter = tarfile.data_filter
        files.extractall(folder)
    return folder
