"""Who is measured: dataflow on two runners, and the peers that can be named on the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One column of the tables."""

    key: str
    title: str
    rival: str
    """The file in `rivals`."""
    option: str = ""
    environment: str = ""
    """The virtual environment in `.environments`; empty: the interpreter of this command."""
    requirements: tuple[str, ...] = ()
    shares_process: bool = False
    """Starting takes seconds: the warm cases of one round are done in one process."""
    keeps_home: bool = False
    """Its home is made once, before the first measurement, as on the machine of a regular user."""
    remark: str = ""


OURS = (
    Peer("dataflow", "dataflow, processes", "dataflow", "processes"),
    Peer("dataflow-dask", "dataflow, Dask", "dataflow", "dask"),
)

_POOL_REMARK = "keeps no records; no dependencies, so a chain waits for each result"
_DASK = Peer(
    "dask",
    "Dask futures",
    "dask",
    environment="dask",
    requirements=("dask[distributed]", "numpy", "pandas", "pyarrow"),
    shares_process=True,
    remark="`LocalCluster` of processes, no dashboard; its scheduler is in the measured process",
)
_PREFECT = Peer(
    "prefect",
    "Prefect, threads",
    "prefect",
    environment="prefect",
    # Prefect 3.8.8 says fastapi<1, but does not start with 0.165: Body() lost `min_items`
    requirements=("prefect>=3.8,<4", "fastapi<0.150"),
    # not in one process: its server is still busy with one flow's events when the next is measured
    keeps_home=True,
    remark="`ThreadPoolTaskRunner`; temporary server, telemetry off, its database made before",
)
_RAY = Peer(
    "ray",
    "Ray",
    "ray",
    environment="ray",
    requirements=("ray",),
    shares_process=True,
    remark="local, without dashboard",
)
_PARSL = Peer(
    "parsl",
    "Parsl HTEX",
    "parsl",
    environment="parsl",
    requirements=("parsl",),
    shares_process=True,
    remark="`HighThroughputExecutor`, one local block; no map, so one app call for each element",
)

PEERS: dict[str, tuple[Peer, ...]] = {
    "pool": (
        Peer("pool", "pool, chunksize 1", "pool", "1", environment="pool", remark=_POOL_REMARK),
        Peer("pool-500", "pool, chunksize 500", "pool", "500", environment="pool"),
        Peer("pool-map", "multiprocessing, `Pool.map`", "pool", "default", environment="pool"),
    ),
    "dask": (_DASK,),
    "ray": (_RAY,),
    "parsl": (_PARSL,),
    "prefect": (_PREFECT,),
}
"""By the name that `--peers` takes."""


def choose_peers(names: list[str]) -> tuple[Peer, ...]:
    """dataflow, then the named peers in the order of the table above.

    Raises:
        ValueError: a name that is not known.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ValueError(f"No such peer: {', '.join(unknown)}. Known: {', '.join(PEERS)}.")
    return (*OURS, *(peer for name in PEERS if name in names for peer in PEERS[name]))
