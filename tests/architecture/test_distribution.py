"""What is installed: the metadata, the entry points and the files of the wheel."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import dataflow

GROUPS = {
    "dataflow.runners": {"inline", "threads", "processes", "dask"},
    "dataflow.clusters": {
        "local",
        "address",
        "ssh",
        "slurm",
        "pbs",
        "lsf",
        "sge",
        "htcondor",
        "kubernetes",
        "gateway",
    },
    "dataflow.commands": {"cluster"},
    "dataflow.exports": {"ClusterSpec"},
    "dataflow.displays": {"progress"},
}


LIBRARY = "runners/processes/libarray_places.so"


def build_wheel(repository: Path, folder: Path, **environment: str) -> tuple[str, set[str]]:
    """Build a wheel; its name, and those of the files in it."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=repository,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return path.name, set(wheel.namelist())


@pytest.fixture(scope="module")
def wheel_files(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    return build_wheel(repository, tmp_path_factory.mktemp("wheel"))[1]


@pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("cc") or "CC" in os.environ),
    reason="there is no compiler",
)
def test_what_is_compiled_is_in_a_wheel_for_that_system(repository: Path, tmp_path: Path) -> None:
    name, files = build_wheel(repository, tmp_path)
    assert LIBRARY in files
    assert name.endswith(f"-py3-none-linux_{platform.machine()}.whl")


def test_without_a_compiler_the_wheel_is_for_every_system(repository: Path, tmp_path: Path) -> None:
    name, files = build_wheel(repository, tmp_path, CC="/nowhere/cc")
    assert LIBRARY not in files
    assert name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_the_packages_and_nothing_else(wheel_files: set[str]) -> None:
    folders = {name.partition("/")[0] for name in wheel_files}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "dataflow",
        "runners",
        "cluster",
    }


def test_the_wheel_holds_the_type_marker_and_every_sql_file(
    wheel_files: set[str], repository: Path
) -> None:
    sql = {str(path.relative_to(repository)) for path in repository.glob("dataflow/**/*.sql")}
    assert sql
    assert sql | {"dataflow/py.typed"} <= wheel_files


def test_the_version_is_the_one_of_pyproject(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert importlib.metadata.version(project["name"]) == project["version"]
    assert dataflow.__version__ == project["version"]


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_the_entry_points_are_there_and_load(group: str) -> None:
    ours = {
        point.name: point
        for point in importlib.metadata.entry_points(group=group)
        if point.dist is not None and point.dist.name == "dataflow-runtime"
    }
    assert set(ours) == GROUPS[group]
    assert all(callable(point.load()) for point in ours.values())


def test_pytest_finds_the_fixtures() -> None:
    points = importlib.metadata.entry_points(group="pytest11", name="dataflow")
    [ours] = [point for point in points if point.dist and point.dist.name == "dataflow-runtime"]
    assert callable(ours.load().dataflow_harness)


def test_the_command_is_installed() -> None:
    [script] = importlib.metadata.entry_points(group="console_scripts", name="dataflow")
    assert callable(script.load())
