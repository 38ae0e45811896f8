"""Hosts in network namespaces: wires are cut and slow, disks full; processes know of no other."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disks import Disk
from tests.chaos.hosts import Host, Network

SERVER = """
import socket
with socket.create_server(("0.0.0.0", 5000)) as server:
    print("there", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while connection.recv(1 << 20):
                pass
"""
CLIENT = """
import socket, sys
address, seconds, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
with socket.create_connection((address, 5000), timeout=seconds) as connection:
    connection.sendall(bytes(size))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)  # it hangs up when it has all of it
"""


@pytest.fixture
def pair(namespaces: None) -> Iterator[tuple[Host, Host]]:
    network = Network()
    try:
        yield network.add_host("one"), network.add_host("two")
    finally:
        network.close()


def reaches(one: Host, other: Host, seconds: float = 30.0, size: int = 1000) -> bool:
    command = [*one.prefix, sys.executable, "-c", CLIENT, other.address, str(seconds), str(size)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_wires_are_cut_and_slow(pair: tuple[Host, Host]) -> None:
    one, other = pair
    command = [*other.prefix, sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert reaches(one, other)
        other.cut()
        assert not reaches(one, other, 0.3)
        other.join()
        assert reaches(one, other)
        other.slow_down(0.3, 0.02)
        assert not reaches(one, other, 0.2)
        begun = time.monotonic()
        assert reaches(one, other, size=200_000)
        assert time.monotonic() - begun > 0.6  # to connect, and to hear that all is there
        other.speed_up()
        assert reaches(one, other, 0.2)
        server.kill()


def test_a_full_disk(namespaces: None, tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk")
    try:
        place = disk.folder / "file"
        disk.fill()
        with pytest.raises(OSError, match="No space") as caught:
            place.write_bytes(bytes(10_000_000))
        assert caught.value.errno == errno.ENOSPC
        disk.clear()
        place.write_bytes(bytes(10_000_000))
    finally:
        disk.close()
    assert not disk.folder.exists()


def run_and_die(code: str) -> None:
    command = [sys.executable, "-c", f"import os; {code}; os._exit(0)"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


def test_a_disk_that_a_killed_process_has_left_is_removed(namespaces: None, tmp_path: Path) -> None:
    """By the next that makes one, which may be somebody else just now."""
    left = tmp_path / "left"
    run_and_die(
        f"from pathlib import Path; from tests.chaos.disks import Disk; Disk(Path({str(left)!r}))"
    )
    disk = Disk(tmp_path / "disk")
    try:
        assert not left.is_mount()
        assert disk.folder.is_mount()
    finally:
        disk.close()


def test_what_a_killed_process_has_left_is_removed(namespaces: None) -> None:
    run_and_die("from tests.chaos.hosts import Network; Network().add_host('x')")
    Network().close()
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    owners = {line.split("-")[2] for line in listed.stdout.splitlines() if "chaos" in line}
    assert all(Path("/proc", owner).exists() or int(owner) == os.getpid() for owner in owners)
