"""The number that stands for a run inside the tables.

It is computed from the run's id, not handed out by the database: so records may arrive in any
order, no look-up comes before a write, and an entry of an index takes 9 bytes instead of 33.
Among a million runs the chance that any two share a key is about one in twenty million.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b


@lru_cache(maxsize=4096)
def run_key(run_id: str) -> int:
    """A 63-bit number, the same for this id always and everywhere."""
    digest = blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
