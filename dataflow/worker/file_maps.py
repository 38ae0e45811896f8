"""Memory maps of files of values, kept for the next value that lies in the same file.

To find the pages of 100 MB that lie in memory takes the system 8 ms where they are read and 10 to
27 ms where they are written, which is more than to read or write them. Files are written again
(``runners.processes.spare_files``), so a map stays when nobody uses it any more: the pages of its
file are the same. A map that is read is private, and what was written to it is seen by its reader
alone; it is kept only if nothing was.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

_PAGE = mmap.PAGESIZE
_MOST_KEPT = 32
_MOST_BYTES = 1_000_000_000
_LOCKED_SHARE = 0.25  # of the files that a process may have open: others need some, too
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)
_TABLE = 2 << 20  # bytes of which one page of a page table tells
_RESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # no memory for it; of Linux, as these:
_MAP_FIXED = 0x10
_REMAP, _REMAP_LEAVING = 1 | 2, 1 | 2 | 4
_TOP_BYTE = slice(7 if sys.byteorder == "little" else 0, None, 8)
_IS_OF_FILE = 0x20  # in the top byte of what the system says of a page; 0: there is none

_NOTHING = compile("None", "", "eval")
_libc = ctypes.CDLL(None, use_errno=True)
_address, _size, _int = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_libc.mmap.restype = _address
_libc.mmap.argtypes = (_address, _size, _int, _int, _int, ctypes.c_long)
_libc.munmap.argtypes = (_address, _size)
if sys.platform == "linux":
    _libc.mremap.restype = _address
    _libc.mremap.argtypes = (_address, _size, _size, _int, _address)
_FAILED = ctypes.c_void_p(-1).value

Key = tuple[int, int]
Buffer = ctypes.Array[ctypes.c_char]


class FileMap:
    """All of a file, mapped into this process until nobody has this object.

    Args:
        address: where it begins.
        size: bytes of the file.
    """

    __slots__ = ("address", "size")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size

    def buffer(self) -> Buffer:
        """Its bytes; they are there for as long as this object is."""
        return _array_of(self.size).from_address(self.address)

    def is_unwritten(self, part: range) -> bool:
        """Whether a part of a private map is as in the file; False if the system does not say."""
        first, last = part.start // _PAGE, -(-part.stop // _PAGE)
        size, start = (last - first) * 8, (self.address // _PAGE + first) * 8
        try:
            descriptor = os.open("/proc/self/pagemap", os.O_RDONLY)
            try:
                found = os.pread(descriptor, size, start)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        kinds = set(found[_TOP_BYTE])
        return len(found) == size and all(not kind or kind & _IS_OF_FILE for kind in kinds)

    def become_private(self, descriptor: int) -> FileMap | None:
        """Become a private map at the same address, which is never without one.

        Who looks there sees the same as before, and writes for itself alone. The map holds what
        lock the descriptor has.

        Args:
            descriptor: of the file.

        Returns:
            The shared map as it was, with its pages, at another address; None: the system moves
            none.

        Raises:
            OSError: there is no memory for a private one; nothing has changed.
        """
        try:
            private = _map(self.size, mmap.MAP_PRIVATE, descriptor)
        except OSError:  # there is no room for another one
            _map(self.size, mmap.MAP_PRIVATE | _MAP_FIXED, descriptor, self.address)
            return None
        try:
            shared = _moved(self) if moves_shared() else None
            _move(private, self.size, self.address, _REMAP)
        except OSError:
            _libc.munmap(private, self.size)
            raise
        return shared

    def __del__(self, unmap: Callable[[int, int], object] = _libc.munmap) -> None:
        unmap(self.address, self.size)


def map_file(path: str, size: int, is_private: bool) -> FileMap:
    """Map a file, by a descriptor of its own: a map would hold the lock that another one has.

    Args:
        path: of the file.
        size: bytes of the file.
        is_private: whether nobody else sees what is written to it.

    Raises:
        OSError: it cannot be mapped.
    """
    flags = mmap.MAP_PRIVATE if is_private else mmap.MAP_SHARED | _POPULATE
    descriptor = os.open(path, os.O_RDONLY if is_private else os.O_RDWR)
    try:
        return FileMap(_map(size, flags, descriptor), size)
    finally:
        os.close(descriptor)


def _map(size: int, flags: int, descriptor: int, address: int | None = None) -> int:
    access = mmap.PROT_READ | mmap.PROT_WRITE
    found: int = _libc.mmap(address, size, access, flags, descriptor, 0)
    if found == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def _move(address: int, size: int, to: int, flags: int) -> None:
    """Move a map to where another one may be; Linux only."""
    if _libc.mremap(address, size, size, flags, to) == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _moved(shared: FileMap) -> FileMap | None:
    """The pages of a map elsewhere; they are there as well then, but have to be found anew.

    They go where a page of a page table begins: the whole of it is moved at once.
    """
    size, room = shared.size, shared.size + 2 * _TABLE
    start = _map(room, _RESERVED, -1)
    begin = -(-start // _TABLE) * _TABLE
    end = -(-(begin + size) // _PAGE) * _PAGE
    for first, stop in ((start, begin), (end, start + room)):
        if first < stop:
            _libc.munmap(first, stop - first)
    try:
        _move(shared.address, size, begin, _REMAP_LEAVING)
    except OSError:  # whether there still is a map at the new address, nobody says
        return None
    return FileMap(begin, size)


@cache
def moves_shared() -> bool:
    """Whether the system moves the pages of shared maps (Linux from 5.13 on)."""
    try:
        shared = FileMap(_map(_PAGE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1), _PAGE)
        return _moved(shared) is not None
    except OSError:
        return False


class KeptMaps:
    """Maps that nobody uses, by the device and inode of their files, the last used at the end.

    The garbage collector may have any thread keep one, at any time: there is no lock.
    """

    def __init__(self) -> None:
        self._maps: OrderedDict[Key, FileMap] = OrderedDict()

    def take(self, key: Key, size: int) -> FileMap | None:
        """Take the map of a file of at least so many bytes, if it is here."""
        found = self._maps.pop(key, None)
        return found if found is None or found.size >= size else None

    def put(self, key: Key, unused: FileMap) -> None:
        """Keep a map, and no more than there should be."""
        if unused.size > _MOST_BYTES:
            return
        self._maps.setdefault(key, unused)
        with contextlib.suppress(KeyError):  # others have taken the last one
            while len(self._maps) > _MOST_KEPT or self._nbytes() > _MOST_BYTES:
                self._maps.popitem(last=False)

    def inodes(self) -> set[int]:
        """The inodes of the files."""
        return {inode for _, inode in list(self._maps)}

    def _nbytes(self) -> int:
        return sum(each.size for each in list(self._maps.values()))


_locked: set[int] = set()
"""The descriptors that hold a lock for somebody who reads."""
written = KeptMaps()
"""Of files that this process has written, shared with those who read them."""
read = KeptMaps()
"""Of files that it has read, private."""


def may_map() -> bool:
    """Whether this process may have so many files open that another one can stay locked."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most == resource.RLIM_INFINITY or len(_locked) < most * _LOCKED_SHARE


def map_to_read(path: str, wanted: range) -> memoryview:
    """Map a file; it stays locked, shared, until nothing refers to the view or a part of it.

    Args:
        path: of the file.
        wanted: which bytes of it.

    Returns:
        These bytes, which can be written to: nobody else sees that.

    Raises:
        OSError: there is no such file, or it cannot be mapped.
    """
    descriptor = os.open(path, os.O_RDONLY)
    _locked.add(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        if status.st_size < wanted.stop:
            raise FileNotFoundError(path)
        key = _key(status)
        found = read.take(key, status.st_size)
        if found is None:
            found = map_file(path, status.st_size, is_private=True)
    except BaseException:  # a time limit, or Ctrl-C: the lock must not stay
        _locked.discard(descriptor)
        os.close(descriptor)
        raise
    buffer = found.buffer()
    _when_unused(buffer, found, wanted, descriptor, key)
    return memoryview(buffer).cast("B")[wanted.start : wanted.stop]


def _when_unused(buffer: Buffer, lent: FileMap, part: range, descriptor: int, key: Key) -> None:
    """Have a map given back when nobody refers to its buffer any more.

    The garbage collector calls back for what it collects before it calls ``__del__`` of others, who
    may still look at the buffer. So the buffer has something that the collector does not look at,
    and that therefore ends only with it: there is little else of that kind than code.
    """
    last = _NOTHING.replace()
    weakref.finalize(last, _give_back, lent, part, descriptor, key).atexit = False
    buffer.last = last  # type: ignore[attr-defined]


def _give_back(unused: FileMap, part: range, descriptor: int, key: Key) -> None:
    """Unlock a file, and keep its map if only the file is to be seen in it."""
    _locked.discard(descriptor)
    if unlock(descriptor, key) and unused.is_unwritten(part):
        read.put(key, unused)


def unlock(descriptor: int, key: Key) -> bool:
    """Let go of the lock that a descriptor holds, and of the memory of a file that was removed.

    It is looked at after it was unlocked, by another descriptor: who removes it later finds no
    lock, and frees its memory. A forked process may hold the lock for longer; where it has closed
    what it inherited, the descriptor may be another file's by now, and is left alone.

    Args:
        descriptor: what holds the lock.
        key: of its file.

    Returns:
        Whether the file is still there.
    """
    try:
        if _key(os.fstat(descriptor)) != key:
            return False
    except OSError:
        return False
    other = None
    try:
        with contextlib.suppress(OSError):  # a system without such names
            other = os.open(f"/dev/fd/{descriptor}", os.O_RDWR)
    finally:
        os.close(descriptor)
    if other is None:
        return False
    try:
        if os.fstat(other).st_nlink:
            return True
        _free(other)
        return False
    finally:
        os.close(other)


@contextlib.contextmanager
def map_to_write(path: str) -> Iterator[memoryview]:
    """A file that was written before, and that nobody reads, as a view that writes to it.

    Raises:
        OSError: it cannot be mapped.
    """
    key, found = take_written(path)
    yield memoryview(found.buffer()).cast("B")
    written.put(key, found)


def take_written(path: str) -> tuple[Key, FileMap]:
    """The shared map of a file that was written before, with the key by which it is kept.

    Raises:
        OSError: it cannot be mapped.
    """
    status = os.stat(path)
    key = _key(status)
    found = written.take(key, status.st_size)
    return key, map_file(path, status.st_size, is_private=False) if found is None else found


def remove(path: str) -> None:
    """Remove a file, and free its memory, whoever keeps a map of it; if somebody reads it, then.

    Raises:
        OSError: there is no such file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:  # so many are open
        Path(path).unlink()
        return
    try:
        Path(path).unlink()
        _free(descriptor)
    finally:
        os.close(descriptor)


def _free(descriptor: int) -> None:
    """Free the memory of a file that has no name any more, unless somebody reads it."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)


def _key(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


@lru_cache(maxsize=_MOST_KEPT)
def _array_of(size: int) -> type[Buffer]:
    return ctypes.c_char * size  # a new class, which is a cycle
