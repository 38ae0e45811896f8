"""Where results are, read; what was set beside them; and who computes what a cache key leads to."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.model.records import SINGLE_CALLS
from dataflow.store.database import Transaction
from dataflow.store.run_keys import run_key
from dataflow.store.stored_results import (
    ResultObject,
    ResultPlace,
    ResultsSummary,
    read_results,
)

_KEYS_AT_ONCE = 500


def results(view: Transaction, run_id: str) -> list[ResultsSummary]:
    """Where the results of a run are, in the order of writing."""
    return list(map(read_results, view.rows("results", (run_key(run_id),))))


def result_at(view: Transaction, run_id: str, node: int, index: int) -> ResultPlace | None:
    """Where the result of one element is; None: it was not kept."""
    places = [(node, index)]
    if index == 0 and node >= 0:
        places.append((SINGLE_CALLS, node))
    for number, element in places:
        for row in view.rows("results_around", (run_key(run_id), number, element, element)):
            found = read_results(row)
            if element in found.elements:
                at = found.numbers[found.elements.index(element)]
                return found.object_of(run_id), at
    return None


def transaction_values(view: Transaction, run_id: str) -> list[tuple[int, int, str, bytes | None]]:
    """What the task runs of a run have set in transactions: node, element, name and value."""
    rows = view.rows("transaction_values", (run_key(run_id),))
    return [(node, element, name, value) for node, element, name, value in rows]


def committed_nodes(view: Transaction, run_id: str) -> dict[int, int]:
    """The nodes of a run whose task runs were committed, and until when."""
    return dict(view.rows("committed_nodes", (run_key(run_id),)))


def cached_results(
    view: Transaction, keys: Sequence[bytes], now_ns: int
) -> dict[bytes, ResultPlace]:
    """What cache keys lead to; those that lead nowhere are not in it."""
    places: dict[bytes, tuple[tuple[int, int], int]] = {}
    for at in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[at : at + _KEYS_AT_ONCE]
        among = f"AND key IN ({','.join('?' * len(some))})"
        for key, run, result, number in view.rows("cached_results", (now_ns, *some), among):
            places[bytes(key)] = (result, run), number
    objects: dict[tuple[int, int], ResultObject] = {}
    for result in {result for result, _ in places.values()}:
        row = view.row("result_object", result)
        if row is not None:
            objects[result] = ResultObject(*row)
    return {
        key: (objects[result], number)
        for key, (result, number) in places.items()
        if result in objects
    }


def take_leases(
    transaction: Transaction, keys: Sequence[bytes], holder: str, now_ns: int, expires_ns: int
) -> set[bytes]:
    """The keys that this run may compute now; none if it has ended."""
    transaction.hold([run_key(holder)])
    ended = transaction.row("find_run_ended", (run_key(holder),))
    if ended is not None and ended[0] is not None:  # it was asked for before that
        return set()
    return {
        key
        for key in sorted(keys)
        if transaction.row("take_lease", (key, holder, expires_ns, now_ns)) is not None
    }


def renew_leases(
    transaction: Transaction, holder: str, expires_ns: int, done: Sequence[bytes]
) -> None:
    """Keep the leases of a run, but for those of keys that it is done with."""
    transaction.change("drop_lease", [(key,) for key in sorted(done)])
    transaction.change("renew_leases", [(expires_ns, holder)])


def drop_leases(transaction: Transaction, holder: str) -> None:
    """Let go of all leases of a run."""
    transaction.change("drop_leases", [(holder,)])
