"""What an earlier attempt at a run, or an earlier process, left of it.

Nodes line up by their keys, elements by their index. A result is taken again if the code of its
task and the hash of what its call gets are the same as then, and if it was not rolled back; for all
else it is counted why not.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from dataflow.errors import StoreError
from dataflow.hashing.calls import NO_DIGEST
from dataflow.model.records import BY_KEY, FLOW_RESULT, SINGLE_CALLS
from dataflow.model.states import SUCCESSFUL, StateCode
from dataflow.store.run_store import RunStore
from dataflow.store.stored_results import ResultObject, ResultPlace, ResultsSummary

_UNKNOWN = "had not finished before"
_INPUTS = "get other inputs now"
_UNHASHABLE = "get what cannot be hashed"
_SOURCE = "are of a task whose code has changed"
_UNDONE = "were rolled back"
LOST = "had a result that is gone or damaged"
_ROLLED_BACK = (StateCode.ROLLED_BACK,)
_BAD = frozenset(StateCode) - SUCCESSFUL
_Place = tuple[ResultsSummary, int]


REUSED = ""


class Found(NamedTuple):
    """What an earlier run has for a call.

    Attributes:
        missed: why its result is not taken; ``REUSED``: it is.
        place: where the result is.
        was_cached: whether it was taken from the cache then.
        is_spoiled: whether the call has been made again since, and has not completed.
    """

    missed: str
    place: ResultPlace | None = None
    was_cached: bool = False
    is_spoiled: bool = False


class EarlierRun:
    """The nodes and results of a run as the store has them.

    Args:
        store: where it is recorded.
        run_id: the run.
        reuse_changed: whether results count though the code of their task has changed.

    Attributes:
        is_undone: whether any of its task runs were rolled back.
    """

    def __init__(self, store: RunStore, run_id: str, reuse_changed: bool = False) -> None:
        self.run_id = run_id
        self._store = store
        self.reuse_changed = reuse_changed
        self.reused = 0
        self.missed: Counter[str] = Counter()
        nodes = store.nodes(run_id)
        self.ids = {(node.key, node.kind): node.node for node in nodes}
        self.children = {node.key: node.child_run_id for node in nodes if node.child_run_id}
        self.ended = {node.key for node in nodes if node.child_run_id and node.recorded}
        self.is_undone = any(StateCode.ROLLED_BACK in node.codes for node in nodes)
        self._undone = set(store.elements_in(run_id, _ROLLED_BACK)) if self.is_undone else set()
        self._lock = threading.Lock()
        self._numbers = {node.key: node.node for node in nodes}
        self._completed = {
            node.node: sum(node.codes.get(code, 0) for code in SUCCESSFUL) for node in nodes
        }
        mine = (self._completed[node.node] for node in nodes if node.child_run_id is None)
        self._unkept = sum(mine)  # the results that there are go off
        self._missed: dict[str, set[int]] = {}  # elements whose results are not taken
        self._spoiled: dict[int, set[int]] = {}
        self._rows: dict[int, list[ResultsSummary]] = {}
        self._calls: dict[int, _Place] = {}
        self._elements: dict[int, dict[int, _Place]] = {}
        self._objects: dict[int, ResultObject] = {}  # by id() of a row
        for row in store.results(run_id):
            self._unkept -= len(row.elements) if row.node != FLOW_RESULT else 0
            if row.node == SINGLE_CALLS:
                self._calls.update((call, (row, at)) for at, call in enumerate(row.elements))
            elif row.node != FLOW_RESULT:
                self._rows.setdefault(row.node, []).append(row)

    def take(self, key: str, element: int, digest: bytes, source: bytes, cache_key: bytes) -> Found:
        """What there is of an element of a node; it is not counted yet (see :meth:`count`).

        Args:
            key, element: the node, and which of its elements.
            digest: the hash of what the call gets.
            source: the hash of the task's source.
            cache_key: its cache key, or zeros.
        """
        with self._lock:
            found = self._find(key, element)
            reason = self._obstacle(found, digest, source, cache_key)
            if self.is_undone and self._was_undone(key, element, found):
                reason = _UNDONE
            if reason is not None and found is not None:
                self._note_missed(key, element)
            is_spoiled = reason is None and element in self._spoiled_of(self._numbers[key])
        if reason is not None:
            return Found(reason)
        assert found is not None
        row, at = found
        result_object = self._objects.get(id(row))
        if result_object is None:
            result_object = self._objects[id(row)] = row.object_of(self.run_id)
        place = result_object, row.numbers[at]
        return Found(REUSED, place, row.made_by is not None, is_spoiled)

    def note_lost(self, key: str, element: int) -> None:
        """The result that was found of an element is gone or damaged."""
        with self._lock:
            self._note_missed(key, element)

    def _note_missed(self, key: str, element: int) -> None:
        self._missed.setdefault(key, set()).add(element)

    def _spoiled_of(self, node: int) -> set[int]:
        """The elements that have a result and did not complete when they were made again.

        That is most often none: then there are no more results than elements that have completed.
        """
        spoiled = self._spoiled.get(node)
        if spoiled is None:
            spoiled = set()
            if len(self._elements[node]) > self._completed[node]:
                bad = self._store.elements_in(self.run_id, _BAD)
                spoiled.update(element for number, element in bad if number == node)
            self._spoiled[node] = spoiled
        return spoiled

    def standing(self, key: str, elements: range) -> set[int]:
        """Those of some elements that have completed, for all that is known by now.

        They stay so if this run ends before it has come to them.
        """
        with self._lock:
            missed = self._missed.get(key, ())
            found = {each: self._find(key, each) for each in elements if each not in missed}
            standing = {each for each, place in found.items() if place is not None}
            if standing:
                with contextlib.suppress(StoreError):  # it may be what ends the run
                    standing -= self._spoiled_of(self._numbers[key])
            if self.is_undone:
                standing = {e for e in standing if not self._was_undone(key, e, found[e])}
            return standing

    def was_committed(self, key: str, element: int) -> bool:
        """Whether the result of an element, which was taken again, was committed before."""
        with self._lock:
            committed_ns = self._committed.get(self._numbers.get(key, -1))
            found = None if committed_ns is None else self._find(key, element)
        return found is not None and committed_ns is not None and found[0].created_ns < committed_ns

    @property
    def has_committed(self) -> bool:
        """Whether any of it was committed by a transaction."""
        return bool(self._committed)

    def is_uncommitted(self) -> bool:
        """Whether it has made any result that no transaction has committed."""
        with self._lock:
            made = [(node, row) for node, rows in self._rows.items() for row in rows]
            made += [(node, row) for node, (row, _) in self._calls.items()]
            return any(
                row.made_by is None and row.created_ns >= self._committed.get(node, 0)
                for node, row in made
            )

    @cached_property
    def _committed(self) -> dict[int, int]:
        return self._store.committed_nodes(self.run_id)

    @cached_property
    def transaction_values(self) -> dict[tuple[str, int], dict[str, bytes | None]]:
        """What the elements of nodes have set in transactions, pickled."""
        keys = {node: key for key, node in self._numbers.items()}
        found: dict[tuple[str, int], dict[str, bytes | None]] = {}
        for node, element, name, value in self._store.transaction_values(self.run_id):
            found.setdefault((keys[node], element), {})[name] = value
        return found

    def _find(self, key: str, element: int) -> _Place | None:
        node = self._numbers.get(key)
        if node is None:
            return None
        elements = self._elements.get(node)
        if elements is None:
            elements = self._elements[node] = {
                each: (row, at)
                for row in self._rows.pop(node, ())
                for at, each in enumerate(row.elements)
            }
            if node in self._calls:
                elements[0] = self._calls[node]
        return elements.get(element)

    def _was_undone(self, key: str, element: int, found: _Place | None) -> bool:
        """Whether an element was rolled back, or may have its result from another that was."""
        if found is not None and found[0].made_by == self.run_id:
            return True  # if that other one was not, the cache still has it
        return (self._numbers.get(key), element) in self._undone

    def _obstacle(
        self, found: _Place | None, digest: bytes, source: bytes, cache_key: bytes
    ) -> str | None:
        if found is None:
            return _UNKNOWN
        row, at = found
        if row.source == BY_KEY:
            return None if row.digest(at) == cache_key != NO_DIGEST else _INPUTS
        if row.source != source and not self.reuse_changed:
            return _SOURCE
        if digest == NO_DIGEST:
            return _UNHASHABLE
        return None if row.digest(at) == digest else _INPUTS

    def count(self, missed: Iterable[str]) -> None:
        """Count what became of some calls: why they were missed, or that they were reused."""
        counts = Counter(missed)
        with self._lock:
            self.reused += counts.pop(REUSED, 0)
            self.missed += counts

    def summary(self) -> str:
        """How many results were reused, and why others were not."""
        text = f"{self.reused} result{'' if self.reused == 1 else 's'} of before reused"
        if self.missed:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.missed.most_common())
            text += f"; computed: {reasons}"
        if self._unkept > 0:
            text += f"; {self._unkept} had not been kept (persist_result=True keeps them)"
        return text
