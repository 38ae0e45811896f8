"""Files of shared memory in which numpy makes the arrays that calls return.

To copy 100 MB into shared memory takes longer than to make them. So a worker that has seen what
some calls return offers spare files of that size to numpy (``array_places``) before it makes such
calls again. What lies in one of them need not be copied: the file becomes that of the value.

From then on the file must not change, while the array, or whoever else looks at its memory, may be
written to. So it gets a private map instead of the shared one, at the same address. The same is
done before the process forks: parent and child would share the array.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import count, cycle, islice, repeat
from pathlib import Path

from dataflow.worker.file_columns import FileColumn
from dataflow.worker.file_maps import FileMap, Key, remove, take_written, unlock, written
from runners.processes.array_places import LEAST_BYTES, ArrayPlaces, PlaceState, array_places
from runners.processes.spare_files import SpareFiles

_PREFIX = "offered-"
_MOST_OFFERS = 8  # at a time
_MOST_FAILURES = 3  # what is returned is made by others than numpy


@dataclass(slots=True)
class _Known:
    """What some calls made when they were made last.

    Attributes:
        calls: how many there were.
        sizes: bytes of the arrays that they returned.
        others: how many places they take beside those.
        failures: how often in a row there were places, and nothing that was returned lay in one.
    """

    calls: int
    sizes: list[int]
    others: int = 0
    failures: int = 0

    def sizes_of(self, calls: int) -> Iterator[int]:
        """Bytes of the places that so many calls are likely to take."""
        returned = -(-len(self.sizes) * calls // self.calls)
        yield from repeat(max(self.sizes), self.others)
        yield from islice(cycle(self.sizes), returned)


@dataclass(slots=True)
class _Offer:
    """A file that lies at a place: as long as the place is not left, nobody else has the file."""

    path: str
    descriptor: int
    key: Key
    map: FileMap


class ArrayFiles:
    """The files of one worker in which arrays are made.

    Args:
        folder: where they are.
        spare: where they come from, and go if nobody needs them.
    """

    def __init__(self, folder: str, spare: SpareFiles) -> None:
        self._folder = folder
        self._spare = spare
        self._numbers = count(1)
        self._known: dict[Hashable, _Known] = {}
        self._places: ArrayPlaces | None = None
        self._is_begun = False
        self._has_offered = False  # for the batch under way
        self._offers: dict[int, _Offer] = {}  # by the number of the place
        self._lock = threading.RLock()

    def learn(self, tasks: Hashable, calls: int, values: object) -> None:
        """Note what a batch has returned: others of the same tasks may do so again.

        Args:
            tasks: whose calls they were.
            calls: how many.
            values: the column of what was returned.
        """
        if not isinstance(values, FileColumn):
            return
        large = [each for part in values.layout for each in part if each[2] >= LEAST_BYTES]
        if not large:
            return
        sizes = [size for _, _, size in large]
        known = self._known.setdefault(tasks, _Known(calls, sizes))
        known.calls, known.sizes = calls, sizes
        if self._has_offered and self._places is not None:
            is_adopted = any(file for file, _, _ in large)
            known.failures = 0 if is_adopted else known.failures + 1
            known.others += self._places.take_missed() > 0

    def offer(self, tasks: Hashable, calls: int) -> None:
        """A batch is carried out next: offer what it is likely to need.

        Args:
            tasks, calls: see :meth:`learn`.
        """
        self._has_offered = False
        known = self._known.get(tasks)
        if known is None or known.failures > _MOST_FAILURES or "numpy" not in sys.modules:
            return
        with self._lock:
            if not self._is_begun:
                self._begin()
            if self._places is not None:
                self._places.take_missed()
                for size in islice(known.sizes_of(calls), _MOST_OFFERS):
                    self._has_offered |= self._offer(self._places, size)

    def claim(self, path: str, size: int) -> int | None:
        """As ``SpareFiles.claim``; what is offered may be taken for that, too."""
        found = self._spare.claim(path, size)
        if found is None and self._offers:
            self.tidy()
            found = self._spare.claim(path, size)
        return found

    def adopt(self, buffer: memoryview, path: str) -> int | None:
        """Make the file in which a buffer lies the one at ``path``, and of the buffer a copy of it.

        Returns:
            From which byte of the file on the buffer lies in it; None: in none, or there is much
            else in it.
        """
        if len(buffer) < LEAST_BYTES or not self._offers:
            return None
        address = _address_of(buffer)
        with self._lock:
            for number, offer in self._offers.items():
                start = address - offer.map.address
                is_inside = start >= 0 and start + len(buffer) <= offer.map.size
                if is_inside and len(buffer) * 2 >= offer.map.size:
                    if not self._leave(number, offer):
                        return None
                    Path(offer.path).rename(path)
                    return start
        return None

    def tidy(self) -> None:
        """Calls have been made: take back what is not used, and no longer."""
        if not self._offers:
            return
        with self._lock:
            assert self._places is not None
            for number, offer in list(self._offers.items()):
                if self._places.change(number, PlaceState.FREE, PlaceState.EMPTY):
                    del self._offers[number]
                    self._take_back(offer)
                elif self._places.state(number) is PlaceState.ENDED:
                    del self._offers[number]
                    unlock(offer.descriptor)
                    del offer.map
                    self._places.change(number, PlaceState.ENDED, PlaceState.EMPTY)

    def inherit(self, pid: int) -> None:
        """A worker has died: keep what it has offered and not used."""
        for path in Path(self._folder).glob(f"{_PREFIX}{pid}-*"):
            self._spare.keep(str(path))

    def _begin(self) -> None:
        self._is_begun = True
        self._places = array_places()
        if self._places is not None:
            release = self._lock.release
            os.register_at_fork(
                before=self._before_fork, after_in_parent=release, after_in_child=release
            )

    def _offer(self, places: ArrayPlaces, size: int) -> bool:
        path = f"{self._folder}/{_PREFIX}{os.getpid()}-{next(self._numbers)}"
        descriptor = self._spare.claim(path, size)
        if descriptor is None:
            return False
        try:
            key, found = take_written(path)
        except OSError:  # there are as many maps as there may be
            os.close(descriptor)
            remove(path)
            return False
        offer = _Offer(path, descriptor, key, found)
        number = places.offer(found.address, found.size)
        if number is None:
            self._take_back(offer)
            return False
        self._offers[number] = offer
        return True

    def _take_back(self, offer: _Offer) -> None:
        fcntl.flock(offer.descriptor, fcntl.LOCK_UN)
        os.close(offer.descriptor)
        written.put(offer.key, offer.map)
        self._spare.keep(offer.path)

    def _leave(self, number: int, offer: _Offer) -> bool:
        """Have a file stay as it is now, and only look as if it were at its place.

        Returns:
            False: that cannot be done, and nothing has changed.
        """
        assert self._places is not None
        if not self._places.change(number, PlaceState.TAKEN, PlaceState.LEFT):
            return False
        try:
            left = offer.map.leave(offer.descriptor)
        except OSError:
            if not self._places.change(number, PlaceState.LEFT, PlaceState.TAKEN):
                self._places.change(number, PlaceState.ENDED, PlaceState.FREE)
            return False
        written.put(offer.key, offer.map)
        offer.map = left
        fcntl.flock(offer.descriptor, fcntl.LOCK_SH)
        return True

    def _before_fork(self) -> None:
        """Share nothing with a child; who forks has the lock until it has done so."""
        self._lock.acquire()
        self.tidy()
        for number, offer in self._offers.items():
            if self._leave(number, offer):
                self._spare.keep(offer.path)  # nobody else writes to it while it is locked


def is_offered(name: str) -> bool:
    """Whether a file of that name is one in which there are no values yet."""
    return name.startswith(_PREFIX)


def _address_of(buffer: memoryview) -> int:
    address: int = sys.modules["numpy"].frombuffer(buffer, "u1").__array_interface__["data"][0]
    return address
