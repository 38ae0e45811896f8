"""The store of a run, opened by whoever has to do with the run: in its process, or in a worker."""

from __future__ import annotations

import socket

from dataflow.errors import RunNotFound, StoreError, StoreUnreachable
from dataflow.execution.open_runs import open_runs
from dataflow.model.batches import StoreAddress
from dataflow.store.run_store import RunStore, open_store
from dataflow.store.store_places import StorePlace, find_place


def open_store_of_run(address: StoreAddress | None) -> RunStore:
    """The store at an address; None: that of the settings.

    Raises:
        StoreUnreachable: it is on another machine.
        StoreError: it cannot be used.
    """
    if address is None or address.run_id in open_runs:
        return open_store(address.place if address is not None else None)
    return _open_elsewhere(address)


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
