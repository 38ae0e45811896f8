"""Files of shared memory in which numpy makes the arrays that calls return.

To copy 100 MB into shared memory takes longer than to make them. So a worker that has seen what
some calls return offers spare files of that size to numpy (``array_places``) before it makes such
calls again. What lies in one of them need not be copied: the file becomes that of the value.

From then on the file must not change, while the array, or whoever else looks at its memory, may be
written to. So it gets a private map instead of the shared one, at the same address. The same is
done before the process forks: parent and child would share the array.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, cycle, islice, repeat
from pathlib import Path

from dataflow.worker.file_columns import APART_BYTES
from dataflow.worker.file_maps import (
    FileMap,
    Key,
    moves_shared,
    remove,
    take_written,
    unlock,
    written,
)
from dataflow.worker.interruptible import uninterrupted
from runners.processes.array_places import ArrayPlaces, PlaceState, array_places
from runners.processes.spare_files import OFFERED, SpareFiles

_MOST_OFFERS = 8  # at a time
_MOST_OTHERS = 4
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
        yield from islice(cycle(self.sizes), min(returned, _MOST_OFFERS - self.others))
        yield from repeat(max(self.sizes), self.others)


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
        folder: where they are; None: there is no shared memory, and no array is made there.
        spare: where they come from, and go if nobody needs them.
    """

    def __init__(self, folder: str | None, spare: SpareFiles) -> None:
        self._pid = os.getpid()
        self._folder = folder
        self._spare = spare
        self._numbers = count(1)
        self._known: dict[Hashable, _Known] = {}
        self._offers: dict[int, _Offer] = {}  # by the number of the place
        self._lock = threading.RLock()
        # of the batch under way:
        self._has_offered = self._has_adopted = False
        self._returned: list[int] | None = None

    def offer(self, tasks: Hashable, calls: int) -> None:
        """A batch is carried out next: offer what it is likely to need.

        Args:
            tasks: whose calls it has.
            calls: how many.
        """
        self._has_offered = self._has_adopted = False
        self._returned = []
        known = self._known.get(tasks)
        if known is None or known.failures > _MOST_FAILURES or "numpy" not in sys.modules:
            return
        self.tidy()
        with self._lock:
            if self._places is not None:
                self._places.take_missed()
                for size in known.sizes_of(calls):
                    self._has_offered |= self._offer(self._places, size)

    def learn(self, tasks: Hashable, calls: int) -> None:
        """A batch has been carried out: others of the same tasks may return the same again.

        Args:
            tasks, calls: see :meth:`offer`.
        """
        sizes, self._returned = self._returned, None
        if sizes:
            known = self._known.setdefault(tasks, _Known(calls, sizes))
            known.calls, known.sizes = calls, sizes
        if self._has_offered and self._places is not None:
            known = self._known[tasks]
            known.failures = 0 if self._has_adopted else known.failures + 1
            is_short = self._places.take_missed() > 0
            known.others = min(known.others + is_short, _MOST_OTHERS)

    def claim(self, path: str, size: int) -> int | None:
        """As ``SpareFiles.claim``; what is offered may be taken for that, too."""
        found = self._spare.claim(path, size)
        if found is None and size >= APART_BYTES and self._offers:
            self.tidy()
            found = self._spare.claim(path, size)
        return found

    def adopt(self, buffer: memoryview, path: str) -> int | None:
        """Make the file in which a buffer lies the one at ``path``, and of the buffer a copy of it.

        Args:
            buffer: ``APART_BYTES`` or more.
            path: that of the file of a value.

        Returns:
            From which byte of the file on the buffer lies in it; None: in none, or there is much
            else in it.
        """
        if self._returned is not None:
            self._returned.append(len(buffer))
        if not self._offers:
            return None
        address = _address_of(buffer)
        with self._lock, contextlib.suppress(OSError):
            for number, offer in self._offers.items():
                start = address - offer.map.address
                is_inside = start >= 0 and start + len(buffer) <= offer.map.size
                if is_inside and len(buffer) * 2 >= offer.map.size:
                    if not self._leave(number, offer):
                        break
                    Path(offer.path).rename(path)
                    self._has_adopted = True
                    return start
        return None

    def tidy(self) -> None:
        """Take back what is not used, and what is no longer."""
        if not self._offers:
            return
        with self._lock:
            for number in list(self._offers):
                self._tidy(number)

    def inherit(self, pid: int | str = "*") -> None:
        """Workers have ended, one or all: keep what they have offered and not used."""
        if self._folder is not None:
            for path in Path(self._folder).glob(f"{OFFERED}{pid}-*"):
                self._spare.keep(str(path))

    @cached_property
    def _places(self) -> ArrayPlaces | None:
        """Those of this process, from the first offer on."""
        places = array_places()
        if places is not None:
            moves_shared()  # so that nobody has to find out while a process forks
            for _ in range(2):  # a time limit may end the first before it begins
                os.register_at_fork(
                    before=self._before_fork,
                    after_in_parent=self._after_fork,
                    after_in_child=self._after_fork,
                )
        return places

    def _offer(self, places: ArrayPlaces, size: int) -> bool:
        """Offer a spare file of that size; False: there is none, or no place."""
        if self._folder is None or not places.has_room:
            return False
        path = f"{self._folder}/{OFFERED}{os.getpid()}-{next(self._numbers)}"
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

    def _tidy(self, number: int) -> PlaceState:
        """Take a place back if nobody is there; in which state it was."""
        assert self._places is not None
        change, offer = self._places.change, self._offers[number]
        if change(number, PlaceState.FREE, PlaceState.EMPTY):
            del self._offers[number]
            self._take_back(offer)
            return PlaceState.FREE
        if self._places.state(number) is not PlaceState.ENDED:
            return self._places.state(number)
        del self._offers[number]
        del offer.map  # it holds the lock, too
        if not unlock(offer.descriptor, offer.key):
            written.take(offer.key, 0)  # the file was removed
        change(number, PlaceState.ENDED, PlaceState.EMPTY)
        return PlaceState.ENDED

    def _take_back(self, offer: _Offer) -> None:
        fcntl.flock(offer.descriptor, fcntl.LOCK_UN)
        os.close(offer.descriptor)
        written.put(offer.key, offer.map)
        self._spare.keep(offer.path)

    def _leave(self, number: int, offer: _Offer) -> bool:
        """Have a file stay as it is now, and only look as if it were at its place.

        Returns:
            False: nobody is there.

        Raises:
            OSError: there is no memory for that; nothing has changed.
        """
        assert self._places is not None
        if not self._places.change(number, PlaceState.TAKEN, PlaceState.LEFT):
            return False
        try:
            shared = offer.map.become_private(offer.descriptor)
        except OSError:
            if not self._places.change(number, PlaceState.LEFT, PlaceState.TAKEN):
                self._places.change(number, PlaceState.ENDED, PlaceState.FREE)
            raise
        fcntl.flock(offer.descriptor, fcntl.LOCK_SH)
        if shared is not None:
            written.put(offer.key, shared)
        return True

    def _before_fork(self) -> None:
        """Share nothing with a child; who forks has the lock until it has done so."""
        if os.getpid() != self._pid:
            return  # a child, which has no part in this
        try:
            with uninterrupted():
                self._lock.acquire()
                for number, offer in list(self._offers.items()):
                    self._unshare(number, offer)
        except BaseException:  # a time limit, which rings again: nothing can be raised from here
            return

    def _unshare(self, number: int, offer: _Offer) -> None:
        with contextlib.suppress(OSError):  # there is hardly memory for the child, either
            while self._tidy(number) is PlaceState.TAKEN:
                if self._leave(number, offer):  # else it was let go of, by another thread
                    self._spare.keep(offer.path)  # nobody writes to it while it is locked
                    return

    def _after_fork(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was not taken
            self._lock.release()


def _address_of(buffer: memoryview) -> int:
    address: int = sys.modules["numpy"].frombuffer(buffer, "u1").__array_interface__["data"][0]
    return address
