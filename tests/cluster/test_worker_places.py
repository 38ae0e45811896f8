"""What a spec says of its workers is so in each of them, on every provider that can run here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import standing
from cluster.opening import find_cluster
from cluster.spec import ClusterSpec
from cluster.standing_records import StandingRecord
from dataflow import DaskTaskRunner, flow, task
from dataflow.errors import RunnerUnavailable, SettingsError
from tests.cluster import real_servers

SECRET = "not to be seen"
PRELOADED = "import os\ndef dask_setup(worker):\n    os.environ['PRELOADED'] = os.getcwd()\n"


@task(resources={"GPU": 1})
def place() -> dict[str, Any]:
    from distributed import get_worker

    worker = get_worker()
    memory = worker.memory_manager.memory_limit
    names = ("MODE", "OMP_NUM_THREADS", "PRELOADED")
    commands = [path.read_bytes() for path in processes()]
    return {
        **{name: os.environ.get(name) for name in names},
        "folder": str(Path.cwd()),
        "threads": worker.state.nthreads,
        "memory": memory and round(memory / 1e6),
        "resources": dict(worker.state.total_resources),
        "shown": any(SECRET.encode() in command for command in commands),
    }


def processes() -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            path.read_bytes()
        except OSError:
            continue
        yield path


@flow
def asks() -> Any:
    return place.submit().result()


@contextmanager
def nothing() -> Iterator[str]:
    yield ""


PROVIDERS: dict[str, tuple[str, Callable[[], Any], str, bool]] = {
    "local": ("local", nothing, 'workers = 1\nthreads = 2\nmemory = "300MB"\n', False),
    "local that stands": ("local", nothing, 'workers = 1\nthreads = 2\nmemory = "300MB"\n', True),
    "ssh": ("ssh", real_servers.ssh_server, 'threads = 2\nmemory = "300MB"\n', False),
    "slurm": (
        "slurm",
        real_servers.slurm,
        'workers = 2\ncores = 4\nprocesses = 2\nmemory = "600MB"\n',
        False,
    ),
}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_what_the_spec_says_of_workers(kind: str, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (tmp_path / "first.py").write_text(PRELOADED)
    provider, serve, sizes, stands = PROVIDERS[kind]
    with serve() as text:
        lines = dict(line.split(" = ", 1) for line in (text + sizes).splitlines())
        home.mkdir(exist_ok=True)
        (home / "dataflow.toml").write_text(
            f'[clusters.lab]\nprovider = "{provider}"\n'
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
            + f'env = {{MODE = "{SECRET}", OMP_NUM_THREADS = "3"}}\n'
            + f'working_folder = "{folder}"\n'
            + f'preload = ["{tmp_path}/first.py"]\n'
            + "resources = {GPU = 1}\n"
        )
        if stands:
            spec = find_cluster("lab")
            assert isinstance(spec, ClusterSpec)
            standing.start("lab", spec)
        try:
            with DaskTaskRunner(cluster="lab") as runner:
                found = asks.with_options(task_runner=runner)()
        finally:
            record = find_cluster("lab")
            if isinstance(record, StandingRecord):
                standing.stop(record)
    assert found == {
        "MODE": SECRET,
        "OMP_NUM_THREADS": "3",
        "PRELOADED": str(folder),
        "folder": str(folder),
        "threads": 2,
        "memory": 300,
        "resources": {"GPU": 1},
        "shown": False,
    }


def test_a_working_folder_that_is_not_there(home: Path, tmp_path: Path) -> None:
    spec = ClusterSpec("local", working_folder=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"working_folder = .*none' is no folder"):
        asks.with_options(task_runner=DaskTaskRunner(cluster=spec))()
    with real_servers.ssh_server() as text:
        import tomllib

        far = ClusterSpec("ssh", **tomllib.loads(text), working_folder=str(tmp_path / "none"))
        with pytest.raises(RunnerUnavailable, match=r"(?s)did not start.*No such file.*none"):
            asks.with_options(task_runner=DaskTaskRunner(cluster=far))()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": {"A B": "1"}}, "env"),
        ({"env": {"A": 1}}, "env.A"),
        ({"resources": {"GPU": 0}}, "resources.GPU"),
        ({"resources": {"a=b": 1}}, "resources"),
        ({"resources": {"GPU": float("nan")}}, "resources.GPU"),
        ({"patience_seconds": 0}, "patience_seconds"),
    ],
)
def test_what_cannot_be_so_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ClusterSpec("local", **options)
