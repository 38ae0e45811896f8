"""Finds the answer to one question: which of some calls need not be made.

It hashes what the calls would get and looks in the store. What is there is read through once before
it is relied on: what is damaged or gone is said, and computed again.
"""

from __future__ import annotations

import logging
import threading
from array import array
from collections.abc import Iterator
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from dataflow.cache_policies import KeySubject, unhashable_input
from dataflow.clock import now_ns
from dataflow.errors import DefinitionError, ResultMissing, StorageError
from dataflow.execution.reuse.answers import LEASE_NS, Answer, Question, nothing_of
from dataflow.execution.reuse.earlier_run import LOST, REUSED
from dataflow.execution.reuse.run_results import RunResults, TaskResults
from dataflow.hashing.calls import NO_DIGEST, CallHasher, UnhashableArgument
from dataflow.ids import task_run_id
from dataflow.model.states import StateCode
from dataflow.storage.stored_column import StoredColumn, forget_pack, open_pack, pack_place
from dataflow.store.run_store import RunStore
from dataflow.store.stored_results import ResultObject, ResultPlace
from dataflow.worker.call_context import place_of
from dataflow.worker.expand import Chain, Inputs, expand
from dataflow.worker.failures import describe
from dataflow.worker.task_run import TaskRun

Calls = Iterator[tuple[Any, Any, Any]]


class Finder:
    """Answers one question."""

    def __init__(self, question: Question, store: RunStore | None) -> None:
        self.question = question
        self.store = store
        self.batch = question.batch
        self.results: RunResults = question.graph.results
        self.answer = nothing_of(question)
        self.about = _About(self, self.batch.tasks[0])
        self.missed: list[str] = []  # why the results of before are not taken

    def find(self) -> Answer:
        """The answer."""
        keys = self._keys()
        self._find_own(keys)
        self._put_keys(keys)
        self._find_cached(keys)
        self._drop_damaged()
        self._make_column()
        if self.results.earlier is None:
            self.answer.digests = keys
        else:  # those that are held are asked for again
            held = self.answer.held
            missed = [each for at, each in enumerate(self.missed) if at not in held]
            self.results.earlier.count(missed)
        return self.answer

    def _keys(self) -> list[bytes]:
        """The key of each call, and beside it the hash of what it gets, where that is asked for."""
        keys: list[bytes] = []
        digests = self.answer.digests
        is_later = self.results.earlier is not None
        about = self.about
        key_of, mark = about.key_of, about.mark
        for at, (function, args, kwargs) in enumerate(self._calls()):
            if function is not mark:  # its arguments are not there: let it fail where it runs
                keys.append(NO_DIGEST)
                digests.append(NO_DIGEST)
                continue
            if is_later:
                digests.append(about.hasher.digest_or_none(args, kwargs))
            try:
                keys.append(NO_DIGEST if key_of is None else key_of(args, kwargs, at))
            except Exception as error:  # of the user's own function as well
                keys.append(NO_DIGEST)
                refused = isinstance(error, UnhashableArgument)
                found = unhashable_input(about.task, error) if refused else error  # type: ignore[arg-type]
                self.answer.failures[at] = describe(found)
        return keys

    def _find_cached(self, keys: list[bytes]) -> None:
        """What other calls with the same keys came to."""
        about = self.about
        if about.key_of is None or about.results.options.refresh or self.store is None:
            return
        wanted = self._missing(keys)
        if wanted:
            self._take(keys, self.store.cached_results(wanted, now_ns()))
            if about.results.options.policy.isolation is not None:
                self._hold(keys, self.store)

    def _take(self, keys: list[bytes], found: dict[bytes, ResultPlace]) -> None:
        places = self.answer.places
        places[:] = [place or found.get(key) for key, place in zip(keys, places, strict=True)]

    def _hold(self, keys: list[bytes], store: RunStore) -> None:
        """Of calls that are to be made once only, let those wait that somebody else makes."""
        self.results.has_leased = True
        missing = list(dict.fromkeys(self._missing(keys)))
        now = now_ns()
        run_id = self.question.graph.run_id
        granted = store.take_leases(missing, run_id, now, now + LEASE_NS)
        found = store.cached_results(missing, now)  # it may have come meanwhile
        self._take(keys, found)
        if granted & found.keys():
            store.renew_leases(run_id, now + LEASE_NS, list(granted & found.keys()))
        for at, key in enumerate(keys):
            if self.answer.places[at] is not None or not any(key):
                continue
            if key in granted:
                granted.discard(key)
                self.answer.leased[at] = key
            else:
                self.answer.held.add(at)

    def _missing(self, keys: list[bytes]) -> list[bytes]:
        places = self.answer.places
        return [key for key, place in zip(keys, places, strict=True) if place is None and any(key)]

    def _calls(self) -> Calls:
        inputs = Inputs(self.batch.inputs, [], {}, lambda _: "", threading.Lock(), None)
        calls = expand(self.batch, [self.about.mark], inputs)
        assert not isinstance(calls, Chain)  # there is one stage
        return calls

    def context_of(self, at: int, args: Any, kwargs: Any) -> Any:
        """What key functions are told of a call."""
        about = self.about
        place = place_of(self.batch.tasks, self.batch.body, at)
        run = self.batch.run
        parameters = about.hasher.arguments(args, kwargs)
        task_run = TaskRun(
            id=task_run_id(run.run_id, place.node, place.index or 0),
            name=place.default_name,
            task_name=about.task.name,
            flow_run_id=run.run_id,
            map_index=place.index,
            run_count=1,
            tags=run.tags,
            parameters=parameters,
        )
        return SimpleNamespace(task=about.task, task_run=task_run, parameters=parameters)

    def _find_own(self, keys: list[bytes]) -> None:
        """What these very calls came to before, in this run."""
        earlier = self.results.earlier
        if earlier is None:
            return
        answer = self.answer
        source, run_id = self.about.results.source, self.question.graph.run_id
        for at, digest in enumerate(answer.digests):
            key, element = self._call_at(at)
            found = earlier.take(key, element, digest, source, keys[at])
            self.missed.append(found.missed)
            if found.place is not None:
                answer.places[at] = found.place
                answer.is_own[at] = earlier.run_id == run_id
                if answer.is_own[at] and not found.was_cached:
                    answer.codes[at] = StateCode.COMPLETED
                if found.is_spoiled:
                    answer.restated.add(at)

    def _call_at(self, at: int) -> tuple[str, int]:
        """The key of the node of a call, and which of its elements it is."""
        question = self.question
        if question.node is None:
            return question.nodes[at].key, 0
        return question.node.key, question.elements[at]

    def _put_keys(self, keys: list[bytes]) -> None:
        """Note the keys: what is computed now is to be found by them."""
        question = self.question
        if question.node is None:
            for node, key in zip(question.nodes, keys, strict=True):
                if key != NO_DIGEST:
                    self.results.put_keys(node.id, 1, 0, key)
            return
        if self.about.key_of is None:
            return
        assert question.node.length is not None
        elements = question.elements
        if isinstance(elements, range):
            first, joined = elements.start, b"".join(keys)
            self.results.put_keys(question.node.id, question.node.length, first, joined)
            return
        for element, key in zip(elements, keys, strict=True):
            self.results.put_keys(question.node.id, question.node.length, element, key)

    def _drop_damaged(self) -> None:
        """Read what was found; forget what is gone or damaged, and say so."""
        places = self.answer.places
        objects = {id(place[0]): place[0] for place in places if place is not None}
        damaged = {key for key, found in objects.items() if not self._is_fine(found)}
        if not damaged:
            return
        for at, place in enumerate(places):
            if place is not None and id(place[0]) in damaged:
                places[at] = None
                self.answer.is_own[at] = 0
                self.answer.restated.discard(at)
                if self.missed and self.missed[at] == REUSED:
                    self.missed[at] = LOST
                    self.results.earlier.note_lost(*self._call_at(at))

    def _is_fine(self, found: ResultObject) -> bool:
        where = pack_place(found)
        try:
            forget_pack(where)
            open_pack(where).verify()
        except (ResultMissing, StorageError, DefinitionError) as error:
            text = f"An earlier result cannot be taken and is computed again: {error.message}"
            self.question.graph.say(logging.WARNING, text)
            return False
        return True

    def _make_column(self) -> None:
        """A column of all that was found."""
        answer = self.answer
        found = [place for place in answer.places if place is not None]
        answer.numbers = range(len(found))
        if len(found) < len(answer.places):
            ahead = accumulate((place is not None for place in answer.places), initial=0)
            answer.numbers = list(ahead)
        if found:
            objects = {id(each): each for each, _ in found}
            order = {key: number for number, key in enumerate(objects)}
            which = array("i", [order[id(each)] for each, _ in found])
            numbers = array("q", [number for _, number in found])
            places = list(map(pack_place, objects.values()))
            answer.column = StoredColumn(places, which if len(places) > 1 else None, numbers)


class _About:
    """What is needed to hash the calls of one task."""

    def __init__(self, finder: Finder, task: Any) -> None:
        found = finder.results.of(task)
        assert found is not None
        run = finder.batch.run
        self.task = task
        self.results: TaskResults = found
        self.hasher = CallHasher(task)
        policy = found.options.policy
        self.mark: Any = object()  # stands for the task among the calls
        self.key_of = None
        if policy is not None:
            parameters = finder.question.graph.info.parameters
            subject = KeySubject(
                task, run.run_id, parameters, lambda: found.source, finder.context_of
            )
            self.key_of = policy.key_maker(subject)
