"""Large content is hashed in blocks, by several threads: hashing releases the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from hashlib import blake2b, sha256
from typing import Any

BLOCK_BYTES = 1_000_000
_SMALL_BYTES = 2_000
_MOST_THREADS = 4


def buffer_digest(buffer: Any) -> str:
    """The digest of the bytes of a contiguous buffer, in hexadecimal."""
    view = memoryview(buffer).cast("B")
    if view.nbytes <= _SMALL_BYTES:
        return blake2b(view, digest_size=16).hexdigest()
    count = -(-view.nbytes // BLOCK_BYTES)
    return blocks_digest(count, lambda at: [view[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]])


def blocks_digest(count: int, block: Callable[[int], Iterable[Any]]) -> str:
    """The digest of content that is made block by block, in hexadecimal.

    What belongs to which block must follow from the content alone, never from how it lies in
    memory.

    Args:
        count: of the blocks.
        block: gives the contiguous buffers of one, by its number; called by several threads.
    """
    if count <= 1:
        return _digest(block(0) if count else ()).hex()[:32]
    from concurrent.futures import ThreadPoolExecutor

    threads = min(count, os.cpu_count() or 1, _MOST_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        digests = b"".join(pool.map(lambda at: _digest(block(at)), range(count)))
    return blake2b(digests, digest_size=16).hexdigest()


def _digest(buffers: Iterable[Any]) -> bytes:
    hashing = sha256()  # has instructions of its own on most processors
    for buffer in buffers:
        hashing.update(buffer)
    return hashing.digest()
