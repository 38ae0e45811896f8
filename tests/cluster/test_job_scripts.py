"""The jobs that batch systems are given, as dask-jobqueue writes them; none is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.hosted import make_folder
from cluster.job_queues import telling_lines
from cluster.options import offers_of
from cluster.provider_protocol import Opening
from cluster.spec import ClusterSpec
from cluster.tls import temporary_tls

COMMON: dict[str, Any] = {
    "cores": 4,
    "memory": "8GB",
    "processes": 2,
    "python": "/opt/python",
    "prologue": ["module load python"],
    "env": {"MODE": "it's on"},
    "working_folder": "/data/my flows",
    "preload": ["my_package.setup"],
    "resources": {"GPU": 2, "disk": 0.5},
    "host": "127.0.0.1",
}
WORKERS = [
    "module load python",
    """export MODE='it'"'"'s on'""",
    "cd '/data/my flows' || exit",
    "/opt/python -m",
    "--nworkers 2",
    "--preload my_package.setup --resources GPU=2.0,disk=0.5",
]
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
    plain = script.replace("''", "'").replace('""', '"')  # HTCondor's quotes
    for line in [*lines, *WORKERS]:
        assert line in plain
    assert plain.index("export MODE") < plain.index("cd ") < plain.index("/opt/python -m")
    assert str(tmp_path / "key.pem") in script
    assert "PRIVATE KEY" not in script
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_certificates_in_a_folder_that_the_nodes_share(tmp_path: Path) -> None:
    spec = ClusterSpec("slurm", memory="1GB", shared_folder=str(tmp_path / "shared"))
    folder = Path(make_folder(spec))
    assert folder.parent == tmp_path / "shared"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_dask_is_configured_to_add_stays() -> None:
    import dask
    import dask_jobqueue  # noqa: F401  (brings its defaults, which `set` would take away again)

    spec = ClusterSpec("slurm", memory="1GB", resources={"GPU": 1}, security=False)
    provider = spec.find_provider()
    with (
        dask.config.set({"jobqueue.slurm.worker-extra-args": ["--lifetime", "1h"]}),
        provider.open(spec.options, Opening("lab", Path(), None)) as cluster,
    ):
        assert "--lifetime 1h --resources GPU=1.0" in cluster.job_script()
    more = spec.with_options(kwargs={"worker_extra_args": ["--resources", "TPU=1"]}, resources={})
    with provider.open(more.options, Opening("lab", Path(), None)) as cluster:
        assert "--resources TPU=1" in cluster.job_script()
    assert offers_of(spec.options) == {"GPU": 1}
    assert offers_of(more.options) is None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Job Id: 1.pbs\n    Job_Name = x\n    job_state = Q\n    comment = Not Running: no node\n"
         "    Variable_List = A=1", "job_state = Q; comment = Not Running: no node"),
        ("Following jobs do not exist: \n7", "Following jobs do not exist:"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_a_batch_system_says_in_short(output: str, expected: str) -> None:
    assert telling_lines(output) == expected
