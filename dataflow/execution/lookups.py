"""Which calls need not be made, because their results are there.

The run loop asks (:class:`Question`), a thread of its own hashes what the calls would get and looks
in the store, and the run state hears the answer. What is there is read through once before it is
relied on: what is damaged or gone is said, and computed again.
"""

from __future__ import annotations

import logging
import queue
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from dataflow.cache_policies import KeySubject, unhashable_input
from dataflow.clock import now_ns
from dataflow.errors import ResultMissing, StorageError, StoreError
from dataflow.execution.run_results import RunResults, TaskResults
from dataflow.graph.nodes import MapNode, TaskNode
from dataflow.hashing.calls import NO_DIGEST, CallHasher, UnhashableArgument
from dataflow.ids import task_run_id
from dataflow.model.batches import Batch, CallBody, Failure
from dataflow.storage.stored_column import PackPlace, StoredColumn, forget_pack, open_pack
from dataflow.store.run_store import RunStore
from dataflow.store.stored_results import ResultPlace
from dataflow.worker.call_context import place_of
from dataflow.worker.expand import Inputs, expand
from dataflow.worker.failures import describe
from dataflow.worker.task_run import TaskRun

Calls = Iterator[tuple[Any, Any, Any]]


@dataclass(eq=False)
class Question:
    """Some calls of one graph that can begin: elements of a map, or single calls.

    Attributes:
        batch: the calls as a worker would get them.
        node, elements: the map and its elements; None and nothing for single calls.
        nodes: the single calls.
    """

    graph: Any
    batch: Batch
    node: MapNode | None = None
    elements: Sequence[int] = ()
    nodes: Sequence[TaskNode] = ()

    @property
    def count(self) -> int:
        """How many calls."""
        return len(self.nodes) or len(self.elements)


@dataclass(eq=False)
class Answer:
    """What there is of the calls of a question, by position.

    Attributes:
        places: where the result of a call is; None: it has to be made.
        is_own: whether that is what this very call came to before, in this run.
        failures: of calls that cannot have a key.
        column: the results that there are; ``numbers[p]`` is where that of call ``p`` is in it.
        digests: by which a resumed run finds these results again.
    """

    question: Question
    places: list[ResultPlace | None]
    is_own: bytearray
    failures: dict[int, Failure] = field(default_factory=dict)
    column: StoredColumn | None = None
    numbers: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)


class Lookups:
    """The thread that answers questions, started when there is one.

    Args:
        open_store: opens the store to read in; None: there is none, nothing is found.
    """

    def __init__(self, open_store: Callable[[], RunStore] | None) -> None:
        self._open_store = open_store
        self._store: RunStore | None = None
        self._questions: queue.SimpleQueue[tuple[Question, Callable[[Answer], None]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ask(self, question: Question, done: Callable[[Answer], None]) -> None:
        """Have a question answered; ``done`` gets the answer, in another thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="dataflow lookups", daemon=True)
            self._thread.start()
        self._questions.put((question, done))

    def answer(self, question: Question) -> Answer:
        """The answer to a question, here and now; never raises."""
        try:
            return Finder(question, self.store).find()
        except StoreError as error:
            question.graph.say(logging.WARNING, f"No earlier results were looked up: {error}")
            return Answer(question, [None] * question.count, bytearray(question.count))
        except Exception as error:
            failure = describe(error)
            failures = dict.fromkeys(range(question.count), failure)
            return Answer(question, [None] * question.count, bytearray(question.count), failures)

    @property
    def store(self) -> RunStore | None:
        """The store that is read."""
        with self._lock:
            if self._store is None and self._open_store is not None:
                self._store = self._open_store()
            return self._store

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._questions.put(None)
            self._thread.join()
        if self._store is not None:
            self._store.close()

    def _work(self) -> None:
        while self._turn():  # no variable here, so that nothing is held while it waits
            pass

    def _turn(self) -> bool:
        item = self._questions.get()
        if item is None:
            return False
        question, done = item
        done(self.answer(question))
        return True


class Finder:
    """Answers one question."""

    def __init__(self, question: Question, store: RunStore | None) -> None:
        self.question = question
        self.store = store
        self.batch = question.batch
        self.results: RunResults = question.graph.results
        count = question.count
        self.answer = Answer(question, [None] * count, bytearray(count))
        self._abouts: dict[int, _About] = {}

    def find(self) -> Answer:
        """The answer."""
        keys = self._keys()
        self._find_own(keys)
        self._put_keys(keys)
        wanted = [
            key
            for at, key in enumerate(keys)
            if key != NO_DIGEST and self.answer.places[at] is None and not self._about(at).refreshes
        ]
        if wanted and self.store is not None:
            found = self.store.cached_results(wanted, now_ns())
            for at, key in enumerate(keys):
                if (
                    key in found
                    and self.answer.places[at] is None
                    and not self._about(at).refreshes
                ):
                    self.answer.places[at] = found[key]
        self._drop_damaged()
        self._make_column()
        if self.results.earlier is None:
            self.answer.digests = keys
        return self.answer

    def _about(self, at: int) -> _About:
        body = self.batch.body
        number = body.tasks[at] if isinstance(body, CallBody) else 0
        about = self._abouts.get(number)
        if about is None:
            about = self._abouts[number] = _About(self, self.batch.tasks[number])
        return about

    def _keys(self) -> list[bytes]:
        """The key of each call, and beside it the hash of what it gets, where that is asked for."""
        keys, digests = [], self.answer.digests
        is_later = self.results.earlier is not None
        for at, (function, args, kwargs) in enumerate(self._calls()):
            about = self._about(at)
            if function is not about.mark:  # its arguments are not there: let it fail where it runs
                keys.append(NO_DIGEST)
                digests.append(NO_DIGEST)
                continue
            if is_later:
                digests.append(about.hasher.digest_or_none(args, kwargs))
            keys.append(self._key(about, at, args, kwargs))
        return keys

    def _key(self, about: _About, at: int, args: Any, kwargs: Any) -> bytes:
        if about.key_of is None:
            return NO_DIGEST
        try:
            key: bytes = about.key_of(args, kwargs, lambda: self._context(about, at, args, kwargs))
            return key
        except UnhashableArgument as error:
            self.answer.failures[at] = describe(unhashable_input(about.task, error))
        except Exception as error:  # the user's own function
            self.answer.failures[at] = describe(error)
        return NO_DIGEST

    def _calls(self) -> Calls:
        marks = [self._about_task(number).mark for number in range(len(self.batch.tasks))]
        inputs = Inputs(self.batch.inputs, [], {}, lambda _: "", threading.Lock(), None)
        yield from expand(self.batch, marks, inputs)

    def _about_task(self, number: int) -> _About:
        if number not in self._abouts:
            self._abouts[number] = _About(self, self.batch.tasks[number])
        return self._abouts[number]

    def _context(self, about: _About, at: int, args: Any, kwargs: Any) -> Any:
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
        question, answer = self.question, self.answer
        for at, digest in enumerate(answer.digests):
            node = question.node or question.nodes[at]
            element = question.elements[at] if question.node is not None else 0
            source = self._about(at).results.source
            place = earlier.take(node.key, element, digest, source, keys[at])
            if place is not None:
                answer.places[at] = place
                answer.is_own[at] = place.run_id == question.graph.run_id

    def _put_keys(self, keys: list[bytes]) -> None:
        """Note the keys: what is computed now is to be found by them."""
        question = self.question
        if question.node is None:
            for node, key in zip(question.nodes, keys, strict=True):
                if key != NO_DIGEST:
                    self.results.put_keys(node.id, 1, 0, key)
            return
        if self._about_task(0).key_of is None:
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
        fine: dict[tuple[str, str], bool] = {}
        places = self.answer.places
        for at, place in enumerate(places):
            if place is None:
                continue
            key = place.storage, place.name
            if key not in fine:
                fine[key] = self._is_fine(place)
            if not fine[key]:
                places[at] = None
                self.answer.is_own[at] = 0
                if self.results.earlier is not None:
                    self.results.earlier.lost()

    def _is_fine(self, place: ResultPlace) -> bool:
        where = PackPlace(place.storage, place.name, place.run_id)
        try:
            forget_pack(where)
            open_pack(where).verify()
        except (ResultMissing, StorageError) as error:
            text = f"An earlier result cannot be taken and is computed again: {error.message}"
            self.question.graph.say(logging.WARNING, text)
            return False
        return True

    def _make_column(self) -> None:
        """A column of all that was found."""
        objects: dict[tuple[str, str], int] = {}
        places: list[PackPlace] = []
        which, numbers = array("i"), array("q")
        for place in self.answer.places:
            if place is None:
                self.answer.numbers.append(-1)
                continue
            key = place.storage, place.name
            if key not in objects:
                objects[key] = len(places)
                places.append(PackPlace(place.storage, place.name, place.run_id))
            self.answer.numbers.append(len(numbers))
            which.append(objects[key])
            numbers.append(place.number)
        if places:
            self.answer.column = StoredColumn(places, which, numbers)


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
        self.refreshes = found.options.refresh
        self.mark: Any = object()  # stands for the task among the calls
        self.key_of = None
        if policy is not None:
            parameters = finder.question.graph.info.parameters
            subject = KeySubject(task, run.run_id, parameters, lambda: found.source)
            self.key_of = policy.key_maker(subject)
