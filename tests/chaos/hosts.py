"""Hosts on this one machine: network namespaces, each with a wire to one switch.

A wire can be cut, and it can be made slow and unreliable. It needs root and ``ip`` (iproute2); the
machine's own network is not touched: the switch has a namespace of its own.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_PREFIX = "dataflow-chaos"
_BRIDGE = "bridge"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """Where processes are started.

    Attributes:
        name: what it is called.
        address: under which others reach it.
        prefix: the command that starts another one there.
    """

    name: str = "here"
    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()


HERE = Place()


@dataclass(frozen=True)
class Host(Place):
    """A host of a network, and its wire."""

    switch: str = ""
    _slow: list[subprocess.Popen[bytes]] = field(default_factory=list, compare=False)

    def cut(self) -> None:
        """Pull the plug out of the switch."""
        _ip("-n", self.switch, "link", "set", self.name, "down")

    def join(self) -> None:
        """Put it back."""
        _ip("-n", self.switch, "link", "set", self.name, "up")

    def slow_down(self, seconds: float, loss: float) -> None:
        """Have whatever goes over its wire take so long there and back, and some of it get lost.

        Kernels have that (``tc qdisc add ... netem``), but many are built without it.
        """
        near, far = f"{self.name}-near", f"{self.name}-far"
        _ip("-n", self.switch, "link", "add", near, "type", "veth", "peer", "name", far)
        _ip("-n", self.switch, "link", "set", self.name, "nomaster")
        _ip("-n", self.switch, "link", "set", near, "master", _BRIDGE, "up")
        _ip("-n", self.switch, "link", "set", far, "up")
        program = [
            "ip",
            "netns",
            "exec",
            self.switch,
            sys.executable,
            "-m",
            "tests.chaos.slow_wire",
        ]
        ends = [self.name, far, str(seconds / 2), str(loss)]
        self._slow.append(subprocess.Popen([*program, *ends], cwd=_ROOT, stdin=subprocess.DEVNULL))

    def speed_up(self) -> None:
        """Make the wire quick and reliable again."""
        while self._slow:
            wire = self._slow.pop()
            wire.kill()
            wire.wait()
            _ip("-n", self.switch, "link", "del", f"{self.name}-near")
            _ip("-n", self.switch, "link", "set", self.name, "master", _BRIDGE)


class Network:
    """Some hosts and the switch between them, until it is closed."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        _remove_left()
        self._name = f"{_PREFIX}-{os.getpid()}-{next(self._numbers)}"
        self._switch = f"{self._name}-switch"
        self.hosts: list[Host] = []
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", _BRIDGE, "type", "bridge")
        _ip("-n", self._switch, "link", "set", _BRIDGE, "up")

    def add_host(self, name: str) -> Host:
        """One host more."""
        space = f"{self._name}-{name}"
        address = f"10.77.0.{len(self.hosts) + 1}"
        host = Host(name, address, ("ip", "netns", "exec", space), self._switch)
        self.hosts.append(host)
        _ip("netns", "add", space)
        wire = ["link", "add", name, "type", "veth", "peer", "name", "wire", "netns", space]
        _ip("-n", self._switch, *wire)
        _ip("-n", self._switch, "link", "set", name, "master", _BRIDGE, "up")
        _ip("-n", space, "address", "add", f"{address}/24", "dev", "wire")
        _ip("-n", space, "link", "set", "wire", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        return host

    def close(self) -> None:
        """Remove all of it, and whoever still runs there."""
        for host in self.hosts:
            host.speed_up()
        for space in [host.prefix[-1] for host in self.hosts] + [self._switch]:
            _remove(space)


@cache
def why_no_hosts() -> str | None:
    """Why there can be no hosts here; None: there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root may add network namespaces"
    if shutil.which("ip") is None:
        return "ip is not installed (on Debian: apt-get install iproute2)"
    try:
        network = Network()
        try:
            network.add_host("probe")
        finally:
            network.close()
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be added: {error.stderr.strip()}"
    return None


def _remove_left() -> None:
    """Remove what a process has left that was killed."""
    for line in _ip("netns", "list").splitlines():
        found = re.match(rf"{_PREFIX}-(\d+)-", line)
        if found and not Path("/proc", found[1]).exists():
            _remove(line.split()[0])


def _remove(space: str) -> None:
    for pid in _ip("netns", "pids", space).split():
        os.kill(int(pid), signal.SIGKILL)
    _ip("netns", "del", space)


def _ip(*arguments: str) -> str:
    """Call ``ip``; what it says."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
