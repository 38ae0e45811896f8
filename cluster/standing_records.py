"""Clusters that stand: what is written down of each, so that later runs find it by its name.

One file a cluster, in ``DATAFLOW_HOME/clusters``, which only this user can read: with TLS it has
the key that lets one in. Who starts a cluster holds a lock meanwhile. What was written by a process
that is gone is removed by whoever comes upon it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cluster.needs import ALL_CODE, Needs
from cluster.tls import Tls, write_private
from dataflow.errors import ClusterError
from dataflow.process_ids import ProcessId, is_gone
from dataflow.settings import get_settings

CONTROL_PREFIX = "dataflow-cluster-"


@dataclass(frozen=True, slots=True)
class StandingPlace:
    """Where what concerns a standing cluster is: its record, its log, its lock."""

    name: str
    folder: str

    def path(self, kind: str) -> Path:
        """The file of a kind: ``json``, ``log`` or ``lock``."""
        return Path(self.folder) / f"{self.name}.{kind}"


@dataclass(frozen=True, slots=True)
class StandingRecord:
    """A cluster that stands.

    Attributes:
        name: by which it is found.
        provider: who made it.
        address: of its scheduler.
        control: the socket of its host, on the machine of ``process``.
        folder: with files of its processes.
        process: its host.
        started: when it was there, in seconds since 1970.
        spec: as it may be shown.
        needs: what a run needs of it.
        offers: the resources that each worker has or will have; None: nobody says.
        dashboard: the link, if it has one.
        tls: what it is to be spoken to with.
    """

    name: str
    provider: str
    address: str
    control: str
    folder: str
    process: ProcessId
    started: float
    spec: dict[str, Any]
    needs: Needs = ALL_CODE
    offers: dict[str, float] | None = None
    dashboard: str | None = None
    tls: Tls | None = field(default=None, repr=False)

    @property
    def security(self) -> Any:
        """For Dask's client."""
        return self.tls.security() if self.tls is not None else None

    @property
    def host(self) -> str:
        """The machine of its host."""
        return self.process.place.partition("/")[0]


def place_of(name: str) -> StandingPlace:
    """Where a cluster of this name is written down; the folder is made."""
    folder = get_settings().home / "clusters"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return StandingPlace(name, str(folder))


def write_record(place: StandingPlace, record: StandingRecord) -> None:
    """Write down a cluster that stands."""
    write_private(place.path("json"), json.dumps(asdict(record)))


def find_record(name: str) -> StandingRecord | None:
    """What is written down of a cluster; None: nothing, or its host is gone."""
    path = get_settings().home / "clusters" / f"{name}.json"
    record = _read(path)
    if record is None or not is_gone(record.process):
        return record
    path.unlink(missing_ok=True)
    control = Path(record.control).parent
    if control.name.startswith(CONTROL_PREFIX):
        shutil.rmtree(control, ignore_errors=True)
    shutil.rmtree(record.folder, ignore_errors=True)
    return None


def all_records() -> list[StandingRecord]:
    """All clusters that stand, by name."""
    paths = sorted((get_settings().home / "clusters").glob("*.json"))
    return [record for path in paths if (record := find_record(path.stem)) is not None]


@contextlib.contextmanager
def starting(place: StandingPlace) -> Iterator[None]:
    """Be the only one who starts a cluster of this name; others wait."""
    import fcntl

    with place.path("lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> StandingRecord | None:
    try:
        found = json.loads(path.read_text())
        tls = Tls(**found.pop("tls")) if found.get("tls") else None
        process = ProcessId(*found.pop("process"))
        needs = Needs.read(found.pop("needs"))
        return StandingRecord(**{**found, "tls": tls, "process": process, "needs": needs})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ClusterError(
            f"{path} cannot be understood: {error}.", hint="Remove it if no cluster runs."
        ) from None
