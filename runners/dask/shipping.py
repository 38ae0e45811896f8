"""The user's modules on their way to Dask workers: put on the cluster once a version.

Workers fetch a version when the first batch that needs it comes to them, whenever they came
themselves. A run keeps the version that it began with, unless it imports more modules later.
"""

from __future__ import annotations

import pickle
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from cluster.local_code import CodeVersion, LocalCode
from cluster.local_modules import OwnModule, own_modules
from cluster.needs import Needs
from dataflow.model.batches import Batch
from dataflow.process_ids import this_process
from runners.dask.code import Code
from runners.dask.constants import Constants, is_gone, pending
from runners.dask.messages import CodeReference, FromConstant

_MOST_RUNS = 64
_MOST_HELD = 16


class _Begun(NamedTuple):
    """What a run needs, as far as it has been seen.

    Attributes:
        version: None: its workers import all that it needs by themselves.
        loaded: how many modules this process had loaded.
        names: the user's own among them.
    """

    version: CodeVersion | None
    loaded: int
    names: frozenset[str]


class CodeShipping:
    """Says which modules a batch needs, and puts them on the cluster.

    Args:
        needs: what the cluster's spec says of it.
        workers: what its workers can import by themselves; None: nothing that is known here.
        constants: where they are put.
    """

    def __init__(
        self,
        needs: Needs,
        workers: SharedFiles | None,
        constants: Constants,
    ) -> None:
        self._code = LocalCode(needs)
        self._workers = None if needs.folders else workers
        self._constants = constants
        self._lock = threading.Lock()
        self._runs: dict[str, _Begun] = {}
        self._held: dict[bytes, tuple[FromConstant, Any]] = {}

    def is_needless(self, batch: Batch) -> bool:
        """Whether workers have what a batch needs; never waits, and no, if that would be needed."""
        begun = self._runs.get(batch.run.run_id)
        if begun is None and self._workers is not None and self._lock.acquire(blocking=False):
            try:
                own = own_modules.now()
                if self._workers.have(own):
                    begun = _Begun(None, len(sys.modules), frozenset(own))
                    self._note(batch.run.run_id, begun)
            finally:
                self._lock.release()
        return begun is not None and begun.version is None and begun.loaded == len(sys.modules)

    def reference(self, batch: Batch) -> CodeReference | None:
        """What a batch needs, which comes to the cluster; None: workers have it.

        Raises:
            TransferError: it cannot be sent.
        """
        with self._lock:
            version = self._version_of(batch.run.run_id)
            if version is None:
                return None
            held = self._held.pop(version.digest, None)
            if held is None or is_gone(held[1]):
                data = pickle.dumps(Code(version.archive, version.origins), 5)
                held = self._constants.put(data)
            self._held[version.digest] = held  # used last
            while len(self._held) > _MOST_HELD:
                del self._held[next(iter(self._held))]
            return CodeReference(version.digest, this_process(), held[0])

    def awaited(self, code: CodeReference) -> list[Any]:
        """The future of a version that has yet to come to the cluster: batches have to wait."""
        held = self._held.get(code.digest)
        return [] if held is None else pending(held[1])

    def _version_of(self, run_id: str) -> CodeVersion | None:
        begun, loaded = self._runs.get(run_id), len(sys.modules)
        if begun is None or begun.loaded != loaded:
            begun = self._look(begun, loaded)
            self._note(run_id, begun)
        return begun.version

    def _note(self, run_id: str, begun: _Begun) -> None:
        self._runs[run_id] = begun
        while len(self._runs) > _MOST_RUNS:
            del self._runs[next(iter(self._runs))]

    def _look(self, begun: _Begun | None, loaded: int) -> _Begun:
        own = own_modules.now()
        names = frozenset(own)
        if begun is not None and names == begun.names:
            return begun._replace(loaded=loaded)
        has_all = self._workers is not None and self._workers.have(own)
        return _Begun(None if has_all else self._code.now(), loaded, names)


class SharedFiles:
    """The files that workers of this machine import, whose import path was that of this process.

    They have a module as it was when it was first seen here, if they have it: another text of it,
    loaded here since, cannot be imported in the same process.
    """

    def __init__(self) -> None:
        self._path = frozenset(sys.path)
        self._seen: dict[str, OwnModule] = {}
        self.have(own_modules.now())

    def have(self, modules: dict[str, OwnModule]) -> bool:
        """Whether workers that import these modules get what is loaded here."""
        has = [self._has(module) for module in modules.values()]  # each is noted
        return all(has)

    def _has(self, module: OwnModule) -> bool:
        seen = self._seen.setdefault(module.name, module)
        if seen is module:
            return module.is_as_on_disk and self._is_found(module)
        return seen.source is not None and seen.source == module.source and module.is_as_on_disk

    def _is_found(self, module: OwnModule) -> bool:
        """Whether its folder was not put on the path when the workers were there already."""
        if "." in module.name:
            return True
        place = module.places[0] if module.places else module.path
        folder = str(Path(place or "").parent)
        return folder in self._path or folder not in sys.path
