"""The machine and the moment of a session of measurements."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures depend on, besides the code."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    load_average: float
    """Over the last minute, when the session began: near 0 on an idle machine."""
    started_at: datetime
    commit: str | None


def look_at_machine() -> Machine:
    """This machine, now."""
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_gib=_memory_gib(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_average=round(os.getloadavg()[0], 2),
        started_at=datetime.now(UTC).replace(microsecond=0),
        commit=_commit(),
    )


def _cpu() -> str:
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _memory_gib() -> float:
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return round(total_bytes / 2**30, 1)


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty=, modified"]
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
