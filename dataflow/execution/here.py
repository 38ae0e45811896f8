"""Where something is said or asked for: in a task, in a flow's body, or outside runs.

Records of a task in a worker travel back with the report of its batch, or with a part of that; all
others go to the record writer of their run. What has to be in the store at once is read and written
there directly, by workers too: each run tells its tasks where its store is.
"""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from dataflow.errors import RunNotFound, StoreError, StoreUnreachable
from dataflow.execution.scope import RunScope, scope_of
from dataflow.model.batches import RunInfo, StoreAddress
from dataflow.model.records import Record
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.store_places import StorePlace, find_place
from dataflow.worker.call_context import current_call, current_scope

_opened: tuple[int, str, RunStore] | None = None


class Maker(NamedTuple):
    """Who is at work here: a task run, a flow run, or nobody."""

    run_id: str | None = None
    node: int | None = None
    element: int | None = None
    attempt: int = 1


def maker_here() -> Maker:
    """Who calls this."""
    call = current_call.get()
    if call is not None:
        place = call.place
        return Maker(call.run.run_id, place.node, place.index or 0, call.attempt)
    scope: RunScope | None = current_scope.get()
    return Maker() if scope is None else Maker(scope.info.run_id, attempt=scope.info.run_count)


def is_rehearsal() -> bool:
    """Whether a flow is only traced here, so that nothing may come of it."""
    scope: RunScope | None = current_scope.get()
    return scope is not None and scope.graph.is_dry


def leave(record: Record) -> None:
    """Have something recorded; inside a run that takes no time and happens soon.

    Raises:
        StoreError: outside runs, where it is written at once, and cannot be.
    """
    call = current_call.get()
    scope: RunScope | None = current_scope.get() if call is None else scope_of(call.run.run_id)
    if scope is not None:
        if not scope.graph.is_dry:
            scope.loop.writer.write([record], [])
    elif call is not None:
        call.shown.append(record)
    else:
        store_here().write([record])


def store_here() -> RunStore:
    """The store of the run that calls this; outside runs that of the settings.

    Raises:
        StoreUnreachable: it is on another machine.
        StoreError: it cannot be used.
    """
    global _opened
    info = _info()
    address = info.store if info is not None else None
    place = address.place if address is not None else find_place().address
    kept = _opened
    if kept is not None and kept[:2] == (os.getpid(), place):
        return kept[2]
    if info is None or address is None or scope_of(address.run_id) is not None:
        store = open_store(place)
    else:
        store = _open_elsewhere(address)
    _opened = os.getpid(), place, store
    return store


def let_go_of_store() -> None:
    """Close the store that was opened here last, if there is one."""
    global _opened
    if _opened is not None and _opened[0] == os.getpid():
        _opened[2].close()
    _opened = None


def _info() -> RunInfo | None:
    call = current_call.get()
    if call is not None:
        return call.run
    scope: RunScope | None = current_scope.get()
    return None if scope is None else scope.info


def _open_elsewhere(address: StoreAddress) -> RunStore:
    """The store of a run that goes on in another process, perhaps on another machine."""
    place = find_place(address.place)
    if place.path is not None and not place.path.exists():  # opening it would make it
        raise _unreachable(place, "there is no such file")
    try:
        store = open_store(place)
    except StoreError as error:
        raise _unreachable(place, error.message) from error
    try:
        store.run(address.run_id)
    except RunNotFound:
        store.close()
        raise _unreachable(place, "that is another store, which does not have this run") from None
    return store


def _unreachable(place: StorePlace, why: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"The store of this run, {place}, cannot be reached from {socket.gethostname()}: {why}.",
        hint="Pass the value to the task as an argument, or record in a store that all machines "
        "reach (DATAFLOW_STORE_URL).",
        place=str(place),
    )
