"""Large values of the pool lie in shared memory while there is room, and on disk beyond that."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from dataflow import FutureList, ProcessPoolTaskRunner, flow, task
from dataflow.errors import StorageError
from dataflow.settings import get_settings
from dataflow.worker.columns import pack
from dataflow.worker.file_columns import FileColumn
from runners.processes.memory_room import available_bytes, total_bytes
from runners.processes.spare_files import is_spare
from runners.processes.value_files import Folders, ValueFiles
from runners.processes.value_folders import make_folders
from tests.runners.programs import wait_until

MEGABYTE = 1_000_000
MUCH = 1 << 50


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    (tmp_path / "memory").mkdir()
    return Folders(str(tmp_path / "memory"), str(tmp_path / "disk"), 10 * MEGABYTE)


_names = map(str, count())


def write(files: ValueFiles, megabytes: float) -> FileColumn:
    column = pack([np.full(int(megabytes * MEGABYTE / 8), 7.0)], exact=True)
    return files.write(column, next(_names))


def place(column: FileColumn) -> str:
    return Path(column.paths[0]).parent.name


def test_values_go_to_disk_when_memory_has_what_it_may_have(folders: Folders) -> None:
    files = ValueFiles(folders, available=lambda: MUCH)
    columns = [write(files, 4) for _ in range(4)]
    assert [place(each) for each in columns] == ["memory", "memory", "disk", "disk"]
    assert all(each.load(0)[-1] == 7.0 for each in columns)
    files.spare.keep(columns[0].paths[0])  # what nobody needs does not count
    assert place(write(files, 4)) == "memory"
    files.spare.keep(columns[2].paths[0])
    assert not Path(columns[2].paths[0]).exists()


def test_values_go_to_disk_when_the_machine_needs_its_memory(folders: Folders) -> None:
    left = [MUCH]
    files = ValueFiles(folders, available=lambda: left[0])
    first = write(files, 1)
    files.spare.keep(first.paths[0])
    left[0] = int(total_bytes() * 0.15)
    assert place(write(files, 1)) == "disk"
    assert len(files.spare) == 0  # nor is memory held for later


def test_where_there_is_no_room_at_all_an_error_says_what_to_do(folders: Folders) -> None:
    Path(folders.disk).write_text("a file")
    files = ValueFiles(folders._replace(memory_limit=0), available=lambda: MUCH)
    with pytest.raises(StorageError, match=r"1,000,\d+ bytes found no room") as caught:
        write(files, 1)
    assert "DATAFLOW_SPILL_FOLDER" in str(caught.value)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="the system has no /dev/shm")
def test_the_folders_of_processes_that_are_gone_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLOW_SPILL_FOLDER", str(tmp_path))
    gone, alive = tmp_path / f"dataflow-{2**22 + 1}-x", tmp_path / f"dataflow-{os.getpid()}-y"
    for folder in (gone, alive):
        folder.mkdir()
    made = make_folders(None)
    assert Path(made.disk).parent == tmp_path
    assert Path(made.memory).is_relative_to("/dev/shm")
    assert alive.is_dir()
    assert not gone.exists()
    made.remove_empty()
    assert not Path(made.memory).exists()


# --- the memory that there is ---------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path) -> Callable[[dict[str, str]], tuple[Path, Path]]:
    """Makes the files in which a system says what memory it has."""

    def make(files: dict[str, str]) -> tuple[Path, Path]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc", tmp_path / "groups"

    return make


MACHINE = {"proc/meminfo": "MemTotal:  900 kB\nMemAvailable:    800 kB\nBuffers: 1 kB\n"}


def test_a_machine_without_limits_says_what_is_available(system) -> None:
    places = system({**MACHINE, "proc/self/cgroup": "0::/\n", "groups/memory.max": "max\n"})
    assert available_bytes(*places) == 800 * 1024
    assert total_bytes(*places) == total_bytes(Path("/nowhere"), Path("/nowhere"))


def test_the_tightest_of_the_groups_counts_with_pages_that_can_be_taken_back(system) -> None:
    stat = "anon 3\ninactive_file 1000\nactive_file 7\n"
    places = system(
        {
            **MACHINE,
            "proc/self/cgroup": "1:name=systemd:/x\n0::/box/job\n",
            "groups/box/job/memory.max": "max",
            "groups/box/memory.max": "500000\n",
            "groups/box/memory.current": "400000\n",
            "groups/box/memory.stat": stat,
        }
    )
    assert available_bytes(*places) == 101_000
    assert total_bytes(*places) == 500_000


def test_groups_of_the_first_version_count_as_well(system) -> None:
    places = system(
        {
            **MACHINE,
            "proc/self/cgroup": "4:memory:/box\n3:cpuset:/\n0::/\n",
            "groups/memory/box/memory.limit_in_bytes": "300000",
            "groups/memory/box/memory.usage_in_bytes": "100000",
            "groups/memory/box/memory.stat": "total_inactive_file 50\n",
            "groups/memory/memory.limit_in_bytes": str((1 << 63) - 4096),
        }
    )
    assert available_bytes(*places) == 200_050


def test_where_nobody_knows_there_is_much(tmp_path: Path) -> None:
    assert available_bytes(tmp_path, tmp_path) > MUCH


# --- in a flow ------------------------------------------------------------------------------------


@task
def block(number: int) -> np.ndarray:
    return np.full(MEGABYTE, float(number))


@task
def total(*blocks: np.ndarray) -> float:
    return float(sum(each[-1] for each in blocks))


@task
def spilled() -> int:
    """Bytes on disk."""
    return sum(each.stat().st_size for each in (get_settings().home / "spill").glob("*/*"))


@flow
def wide() -> tuple[float, int]:
    blocks = [block.submit(number) for number in range(10)]
    on_disk = spilled.submit(wait_for=blocks)
    return total.submit(*blocks).result(), on_disk.result()


def test_a_flow_whose_values_exceed_its_memory_spills_and_cleans_up() -> None:
    with ProcessPoolTaskRunner(max_workers=2, memory_limit="20 MB") as runner:
        found, on_disk = wide.with_options(task_runner=runner)()
        assert found == 45.0
        # of 80: each of two workers may find that its values still fit, before the other writes
        assert on_disk >= 40 * MEGABYTE
    assert list((get_settings().home / "spill").glob("*")) == []


def test_calls_whose_values_find_no_room_fail_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder")
    monkeypatch.setenv("DATAFLOW_SPILL_FOLDER", str(place))

    @task
    def number() -> int:
        return 7

    @flow
    def full() -> int:
        large, small = block.submit(1), number.submit()
        with pytest.raises(StorageError, match="found no room"):
            large.result()
        assert large.state.is_failed()
        return small.result()

    with ProcessPoolTaskRunner(max_workers=1, memory_limit=0) as runner:
        assert full.with_options(task_runner=runner)() == 7


@pytest.mark.parametrize("limit", ["much", -1])
def test_a_limit_that_cannot_be_is_refused(limit: str | int) -> None:
    with pytest.raises(ValueError, match="memory_limit"):
        ProcessPoolTaskRunner(memory_limit=limit)


def value_files() -> list[str]:
    """What the pools of this process have in memory and somebody may ask for."""
    folders = Path("/dev/shm").glob(f"dataflow-{os.getpid()}-*")
    names = [path.name for folder in folders for path in folder.iterdir()]
    return [name for name in names if not is_spare(name)]


@flow
def maps_that_are_let_go_of(before: int) -> tuple[list[float], float]:
    def is_gone() -> bool:
        return len(value_files()) == before

    for use in (list, FutureList.result, lambda found: [each.result() for each in found]):
        found = block.map(range(3))
        use(found)
        found.wait()
        assert not is_gone()
        del found
        wait_until(is_gone, "the values of a map that nobody can ask for")
    found = block.map(range(4))
    last, part = found[0], found[2:]
    del found
    assert part.result()[0][0] == 2.0
    assert last.result()[0] == 0.0
    del last
    assert part[0].result()[0] == 2.0
    changed = block.map(range(2))
    changed.append(block.submit(5))
    part[0] = changed[0]
    found = [float(each.result()[0]) for each in (*part, *changed)]
    used = total.submit(*part, *changed)
    del part, changed
    return found, used.result()


def test_values_of_a_map_are_there_as_long_as_any_of_its_futures() -> None:
    with ProcessPoolTaskRunner(max_workers=2) as runner:
        found, summed = maps_that_are_let_go_of.with_options(task_runner=runner)(len(value_files()))
    assert found == [0.0, 3.0, 0.0, 1.0, 5.0]
    assert summed == sum(found)
