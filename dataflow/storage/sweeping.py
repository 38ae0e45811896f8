"""Removes results that no record names any more: of runs that were removed from the store.

Only what lies in the folder of such a run is looked at: results under names of the user's own
(``result_storage_key``) stay, and so does whatever other stores have in the same storage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataflow.errors import DataflowError
from dataflow.storage.result_storage import open_storage, storage_url

if TYPE_CHECKING:
    from dataflow.store.run_store import RunStore


@dataclass(slots=True)
class Swept:
    """What was removed.

    Attributes:
        objects: how many objects.
        problems: why nothing was removed from a storage, by its URL; it is tried again next time.
    """

    objects: int = 0
    problems: dict[str, DataflowError] = field(default_factory=dict)


def sweep_results(store: RunStore) -> Swept:
    """Remove what nobody can name; what cannot be reached now is left for another time."""
    by_storage: dict[str, list[tuple[str, str]]] = {}
    for dropped in store.dropped_results():
        by_storage.setdefault(storage_url(dropped[0]), []).append(dropped)
    swept = Swept()
    for url, all_dropped in by_storage.items():
        try:
            swept.objects += _sweep(store, url, {run_id for _, run_id in all_dropped})
        except DataflowError as error:
            swept.problems[url] = error
        else:
            store.forget_dropped(all_dropped)
    return swept


def _sweep(store: RunStore, url: str, run_ids: set[str]) -> int:
    storage = open_storage(url)
    removed = 0
    for run_id in sorted(run_ids & storage.folders()):
        named = store.named_results(url, run_id)
        if named is not None:
            names = [name for name in storage.names(run_id) if name not in named]
            storage.remove(names)
            removed += len(names)
    return removed
