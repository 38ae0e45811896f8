"""The jobs that batch systems are given, as dask-jobqueue writes them; none is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.hosted import make_folder
from cluster.provider_protocol import Opening
from cluster.spec import ClusterSpec
from cluster.tls import temporary_tls

COMMON: dict[str, Any] = {
    "cores": 4,
    "memory": "8GB",
    "processes": 2,
    "python": "/opt/python",
    "prologue": ["module load python"],
    "host": "127.0.0.1",
}
QUEUE = {"directives": ["--more"], "queue": "long", "account": "physics", "walltime": "01:00"}


@pytest.mark.parametrize(
    ("provider", "options", "lines"),
    [
        (
            "slurm",
            QUEUE,
            ["--more", "-p long", "-A physics", "-t 01:00", "-task=4", "--mem=8G"],
        ),
        (
            "pbs",
            QUEUE,
            ["--more", "-q long", "-A physics", "walltime=01:00", "ncpus=4"],
        ),
        ("lsf", QUEUE, ["--more", "-q long", '-P "physics"', "-W 01:00", "-n 4"]),
        ("sge", QUEUE, ["--more", "-q long", "-P physics", "h_rt=01:00"]),
        ("htcondor", {"disk": "1GB", "directives": {"My": 1}}, ["DaskWorkerCores = 4", "My = 1"]),
    ],
)
def test_the_script_has_what_the_spec_says(
    provider: str, options: dict[str, Any], lines: list[str], tmp_path: Path
) -> None:
    spec = ClusterSpec(provider, name="lab", **COMMON, **options)
    tls = temporary_tls()
    with spec.find_provider().open(spec.options, Opening("lab", tmp_path, tls)) as cluster:
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        script = cluster.job_script()
    for line in [*lines, "module load python", "/opt/python -m", "--nworkers 2"]:
        assert line in script
    assert str(tmp_path / "key.pem") in script
    assert "PRIVATE KEY" not in script
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_certificates_in_a_folder_that_the_nodes_share(tmp_path: Path) -> None:
    spec = ClusterSpec("slurm", memory="1GB", shared_folder=str(tmp_path / "shared"))
    folder = Path(make_folder(spec))
    assert folder.parent == tmp_path / "shared"
    assert folder.stat().st_mode & 0o777 == 0o700
