"""What to do while batches wait for workers that are not there: wait, say so, or give up.

A decision without I/O; who is asked why, and what an error says, stands in ``connection``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from dataflow.model.batches import Batch

Resources = tuple[tuple[str, float], ...]
"""What a batch needs beside a thread, by name; nothing, for most."""

_SAY_SECONDS = 60.0
_MOST_GAP_SECONDS = 5.0


def resources_of(batch: Batch) -> Resources:
    """What a batch needs of a worker."""
    return tuple(sorted(batch.resources.items()))


def suits(resources: Resources, offer: Mapping[str, float]) -> bool:
    """Whether a worker that has all this can carry out what needs that."""
    return all(offer.get(name, 0) >= amount for name, amount in resources)


def resources_text(resources: Iterable[tuple[str, float]]) -> str:
    """Resources as messages have them."""
    return ", ".join(f"{name}: {amount:g}" for name, amount in resources) or "no resources"


class Patience:
    """How long batches have waited for workers.

    Args:
        seconds: after so many nobody waits any more.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waited: dict[Resources, float] = {}
        self._looked = 0.0
        self._said = 0.0

    def look(
        self, wanted: Collection[Resources], offers: Collection[Mapping[str, float]], now: float
    ) -> dict[Resources, float]:
        """What no worker has, and for how many seconds it has been waited for.

        Args:
            wanted: what batches under way need.
            offers: the resources of each worker that is there.
            now: the moment; one long after the last look counts for little, as this process, or
                the machine, stood still in between.
        """
        passed = min(now - self._looked, _MOST_GAP_SECONDS)
        self._looked = now
        self._waited = {
            each: self._waited[each] + passed if each in self._waited else 0.0
            for each in wanted
            if not any(suits(each, offer) for offer in offers)
        }
        if not self._waited:
            self._said = 0.0
        return self._waited

    def is_over(self, waited: float) -> bool:
        """Whether that was too long."""
        return waited >= self.seconds

    def should_say(self) -> bool:
        """Whether it is time to say that something is waited for: after a minute, two, four ..."""
        waited = max(self._waited.values(), default=0.0)
        if waited < max(_SAY_SECONDS, 2 * self._said):
            return False
        self._said = waited
        return True
