"""Hosts, and on them a Dask cluster and the flow's process: what is disturbed in a round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.dask_cluster import Cluster
from tests.chaos.disks import Disk
from tests.chaos.evidence import calls_of
from tests.chaos.hosts import Host, Network, Place
from tests.chaos.victims import Started

WORKERS = 3
_TCP_SECONDS = 11  # after which Dask takes a connection for lost; 30 if nothing is said
_DASK = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{_TCP_SECONDS}s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "10s",
    # so little that 100 MB go to the disk
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "0.08",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "0.3",
}
_MEMORY = "1GB"


class FarScene:
    """A host for the scheduler, one for the flow, some for workers.

    Args:
        folder: what all of them see.
        environment: of all processes.

    Attributes:
        head, desk: the hosts of the scheduler and of the flow's process.
        farms: those of the workers, and the disks that these have.
        cluster: the present one.
        calls_before: how many calls had been made when the present life began.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, **_DASK}
        self.calls_before = 0
        self.program: Started | None = None
        self._stack = ExitStack()
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise

    def _build(self) -> None:
        network = Network()
        self._stack.callback(network.close)
        self.head, self.desk = network.add_host("head"), network.add_host("desk")
        self.farms: dict[Host, Disk] = {}
        for number in range(1, WORKERS + 1):
            disk = Disk(self.folder / f"disk-{number}")
            self._stack.callback(disk.close)
            self.farms[network.add_host(f"farm-{number}")] = disk
        self.cluster = FarCluster(self)
        self._stack.callback(self.cluster.close)

    def start_program(self, arguments: list[str], number: int) -> Started:
        """Start the flow's process on its host."""
        mark, log = f"{self.folder}/life-{number}", self.folder / f"life-{number}.log"
        self.program = Started(arguments, self.environment, mark, log, self.desk)
        return self.program

    def use_another_cluster(self) -> None:
        """Mend the hosts, and start a new one."""
        for host, disk in self.farms.items():
            disk.clear()
            host.speed_up()
        for host in (self.head, self.desk, *self.farms):
            host.join()
        self.cluster.start()

    def workers(self) -> list[int]:
        """The worker processes that have made calls in this life."""
        known = {pid for _, pid in calls_of(self.folder, self.calls_before)}
        return sorted(known & self.cluster.alive())

    def close(self) -> None:
        """End all of it."""
        if self.program is not None:
            self.program.kill_all()
        self._stack.close()


class FarCluster(Cluster):
    """A cluster on the hosts of a scene."""

    def __init__(self, scene: FarScene) -> None:
        self._disks = scene.farms
        super().__init__(scene.folder, scene.environment, scene.head, list(scene.farms))

    def options_on(self, place: Place) -> Iterator[str]:
        """A worker's temporary files go to the disk of its host."""
        assert isinstance(place, Host)
        yield from ("--host", place.address)
        yield from ("--local-directory", str(self._disks[place].folder))
        yield from ("--memory-limit", _MEMORY)
