"""Large buffers are hashed in blocks, by several threads: hashing releases the interpreter lock."""

from __future__ import annotations

import os
from hashlib import blake2b, sha256
from typing import Any

_BLOCK_BYTES = 4_000_000
_SMALL_BYTES = 2_000
_MOST_THREADS = 4


def buffer_digest(buffer: Any) -> str:
    """The digest of the bytes of a contiguous buffer, in hexadecimal."""
    view = memoryview(buffer).cast("B")
    if view.nbytes <= _SMALL_BYTES:
        return blake2b(view, digest_size=16).hexdigest()
    if view.nbytes <= _BLOCK_BYTES:
        return sha256(view).hexdigest()[:32]
    from concurrent.futures import ThreadPoolExecutor

    blocks = [view[at : at + _BLOCK_BYTES] for at in range(0, view.nbytes, _BLOCK_BYTES)]
    threads = min(len(blocks), os.cpu_count() or 1, _MOST_THREADS)
    with ThreadPoolExecutor(threads) as pool:
        digests = b"".join(pool.map(_digest, blocks))
    return blake2b(digests, digest_size=16).hexdigest()


def _digest(block: memoryview) -> bytes:
    return sha256(block).digest()  # has instructions of its own on most processors
