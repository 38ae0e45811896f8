"""A Dask cluster that is ready, what is known of it, and what is wrong with it, in words."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.needs import ALL_CODE, Needs
from dataflow.display.quantities import count_text, duration_text
from dataflow.errors import RunnerUnavailable
from dataflow.execution.runner_protocol import Remaining
from dataflow.model.batches import Batch
from runners.dask.patience import resources_of, resources_text, suits


def _do_nothing() -> None:
    """A cluster that was given is not ours to end, nor what it costs ours to count."""


def tell_nobody(remaining: Remaining) -> None:
    """Its size is not ours to choose."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster that is ready.

    Attributes:
        client: connected to its scheduler; ours.
        boards: the folder in which its workers, on this machine, write down what they are at.
        lines: a socket to which its workers, on this machine, connect.
        close: ends the cluster, if it is ours.
        ends_idle: whether it should end when it has not been used for a while.
        where: what messages call it; None: by its address.
        needs: what a run needs of it.
        offers: the resources that each of its workers has or will have; None: nobody says.
        expect: tells whoever sizes it what remains.
        report: says what its provider knows of workers that are not there; None: it has none.
        note_use: notes how long its workers have been there, if that has a limit.
    """

    client: Any
    boards: str | None = None
    lines: socket.socket | None = None
    close: Callable[[], None] = _do_nothing
    ends_idle: bool = False
    where: str | None = None
    needs: Needs = ALL_CODE
    offers: Mapping[str, float] | None = None
    expect: Callable[[Remaining], None] = tell_nobody
    report: Callable[[], str] | None = None
    note_use: Callable[[], None] = _do_nothing

    @property
    def is_lost(self) -> bool:
        """Whether the scheduler hung up (Dask's client may be trying to reach it again)."""
        return bool(self.client.status != "running")

    @property
    def _name(self) -> str:
        return self.where or f"The Dask cluster at {self.client.scheduler.address}"

    def check_resources(self, batch: Batch) -> None:
        """Refuse what no worker can ever give; Dask would wait for ever.

        Raises:
            RunnerUnavailable: neither a worker that is there nor one that will come has it.
        """
        wanted = resources_of(batch)
        if not wanted or self.offers is None or suits(wanted, self.offers):
            return
        info = self.client.scheduler_info(n_workers=-1)["workers"].values()
        there = [worker["resources"] for worker in info]  # somebody may have started others
        if not any(suits(wanted, offer) for offer in there):
            raise self.lacks(batch, [self.offers, *there])

    def lacks(
        self, batch: Batch, offers: Iterable[Mapping[str, float]], waited: float | None = None
    ) -> RunnerUnavailable:
        """The error of a batch for which there is no worker.

        Args:
            batch: that needs resources.
            offers: what workers have.
            waited: for how long such a worker was waited for; None: none can ever come.
        """
        wanted = resources_of(batch)
        has = " or ".join(dict.fromkeys(resources_text(sorted(each.items())) for each in offers))
        time = "" if waited is None else f", and none has come in {duration_text(waited)}"
        asked = ", ".join(f'"{name}": {amount:g}' for name, amount in wanted)
        written = ", ".join(f"{name} = {amount:g}" for name, amount in wanted)
        return RunnerUnavailable(
            f"{self._name} has no worker with what task {batch.tasks[0].name!r} needs "
            f"({resources_text(wanted)}): its workers have {has}{time}.",
            hint=f"Say resources = {{{written}}} in the cluster's spec (or cluster_kwargs="
            f'{{"resources": {{{asked}}}}}), start workers that have them, or ask for less.',
        )

    def has_no_workers(self, batches: int, waited: float) -> str:
        """That a run waits, and what the provider reports; it is asked, which may take a while."""
        return (
            f"{self._name} has had no worker for {duration_text(waited)}, while "
            f"{count_text(batches)} batch(es) of tasks wait.{self._reported()}"
        )

    def _reported(self) -> str:
        if self.report is None:
            return " Its scheduler answers, and has 0 workers; nothing else is known of it here."
        try:
            text = self.report()
        except Exception as error:  # it may have ended, or be on another machine
            text = f"nothing ({type(error).__name__}: {error})"
        return "\nIts provider reports:" + "".join(f"\n  {line}" for line in text.splitlines())


def connection_lost() -> RunnerUnavailable:
    """The error of a run whose scheduler is gone."""
    return RunnerUnavailable(
        "The connection to the Dask scheduler was lost.",
        hint="Did its process end? What it had not finished has to run again.",
    )
