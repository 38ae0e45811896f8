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
import sys
import weakref
from collections import OrderedDict
from functools import lru_cache

_PAGE = mmap.PAGESIZE
_MOST_KEPT = 32
_MOST_BYTES = 1_000_000_000
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)
_TOP_BYTE = slice(7 if sys.byteorder == "little" else 0, None, 8)
_IS_OF_FILE = 0x20  # in the top byte of what the system says of a page; 0: there is none

Key = tuple[int, int]


class FileMap:
    """All of a file, mapped into this process.

    It is made of a descriptor of its own: a map would hold the lock that another one has.

    Args:
        path: of the file.
        size: bytes of the file.
        is_private: whether nobody else sees what is written to it.

    Raises:
        OSError: it cannot be mapped.
    """

    __slots__ = ("address", "lent", "size")

    def __init__(self, path: str, size: int, is_private: bool) -> None:
        self.size = size
        self.lent = range(0)
        flags = mmap.MAP_PRIVATE if is_private else mmap.MAP_SHARED | _POPULATE
        descriptor = os.open(path, os.O_RDONLY if is_private else os.O_RDWR)
        try:
            access = mmap.PROT_READ | mmap.PROT_WRITE
            address = _libc.mmap(None, size, access, flags, descriptor, 0)
            if address in (None, _FAILED):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)
        self.address: int = address

    def buffer(self) -> ctypes.Array[ctypes.c_char]:
        """Its bytes, as an object that lasts as long as anybody uses some of them."""
        return _array_of(self.size).from_address(self.address)

    def is_unwritten(self) -> bool:
        """Whether what was lent of a private map is as in the file; False if nobody can say."""
        first, last = (at // _PAGE for at in (self.lent.start, self.lent.stop + _PAGE - 1))
        try:
            descriptor = os.open("/proc/self/pagemap", os.O_RDONLY)
        except OSError:
            return False
        try:
            found = os.pread(descriptor, (last - first) * 8, (self.address // _PAGE + first) * 8)
        finally:
            os.close(descriptor)
        kinds = set(found[_TOP_BYTE])
        is_whole = len(found) == (last - first) * 8
        return is_whole and all(not kind or kind & _IS_OF_FILE for kind in kinds)

    def close(self) -> None:
        """Unmap it: its addresses are no longer to be used."""
        _libc.munmap(self.address, self.size)


class KeptMaps:
    """Maps that nobody uses, by the device and inode of their files, the last used at the end."""

    def __init__(self) -> None:
        self._maps: OrderedDict[Key, FileMap] = OrderedDict()

    def take(self, key: Key, size: int) -> FileMap | None:
        """Take the map of a file of at least so many bytes, if it is here."""
        found = self._maps.pop(key, None)
        if found is not None and found.size < size:
            found.close()
            return None
        return found

    def put(self, key: Key, unused: FileMap) -> None:
        """Keep a map, and no more than there should be."""
        others = self._maps.pop(key, None)
        if others is not None:
            others.close()
        self._maps[key] = unused
        while len(self._maps) > _MOST_KEPT or self._nbytes() > _MOST_BYTES:
            self._maps.popitem(last=False)[1].close()

    def inodes(self) -> set[int]:
        """The inodes of the files."""
        return {inode for _, inode in list(self._maps)}

    def _nbytes(self) -> int:
        return sum(each.size for each in list(self._maps.values()))


written = KeptMaps()
"""Of files that this process has written, shared with those who read them."""
read = KeptMaps()
"""Of files that it has read, private."""


def key_of(status: os.stat_result) -> Key:
    """By what the map of a file is kept."""
    return status.st_dev, status.st_ino


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
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        status = os.fstat(descriptor)
        if status.st_size < wanted.stop:
            raise FileNotFoundError(path)
        found = read.take(key_of(status), status.st_size)
        if found is not None and not found.is_unwritten():
            found.close()
            found = None
        if found is None:
            found = FileMap(path, status.st_size, is_private=True)
    except BaseException:
        os.close(descriptor)
        raise
    found.lent = wanted
    buffer = found.buffer()
    weakref.finalize(buffer, _give_back, found, descriptor).atexit = False
    return memoryview(buffer).cast("B")[wanted.start : wanted.stop]


def _give_back(unused: FileMap, descriptor: int) -> None:
    """Unlock the file, and keep its map unless the file was removed meanwhile.

    It is looked at after it was unlocked, by another descriptor: who removes it afterwards finds no
    lock, and frees its memory (``remove``). A forked process may hold the lock for longer.
    """
    other = None
    with contextlib.suppress(OSError):  # a system without such names
        other = os.open(f"/dev/fd/{descriptor}", os.O_RDONLY)
    os.close(descriptor)
    if other is None:
        unused.close()
        return
    status = os.fstat(other)
    os.close(other)
    if status.st_nlink:
        read.put(key_of(status), unused)
    else:
        unused.close()


def map_to_write(path: str) -> tuple[Key, FileMap]:
    """Map a file that was written before, all of it; ``written`` can keep it afterwards.

    Raises:
        OSError: it cannot be mapped.
    """
    status = os.stat(path)
    key = key_of(status)
    found = written.take(key, status.st_size)
    return key, found or FileMap(path, status.st_size, is_private=False)


def remove(path: str) -> None:
    """Remove a file, and free its memory, whoever keeps a map of it, unless somebody reads it.

    Raises:
        OSError: there is no such file.
    """
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.unlink(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its last reader frees it
            return
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=_MOST_KEPT)
def _array_of(size: int) -> type[ctypes.Array[ctypes.c_char]]:
    return ctypes.c_char * size  # a new class, which is a cycle


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_FAILED = ctypes.c_void_p(-1).value
