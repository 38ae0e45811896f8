"""Carries out measurements: every one in a fresh process of the peer's own interpreter.

Rounds go over all peers and cases before the next round begins, so that what disturbs the machine
for a while disturbs all alike. What fails once is not tried again, and is a result like any other.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.environments import interpreter
from benchmarks.peers import Peer

WORK_SECONDS = 180.0
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Timeout|Unavailable|Interrupt)\b")
_OWN_VARIABLES = ("DATAFLOW_", "DASK_", "PREFECT_", "RAY_", "PARSL_", "PYTHON")


class MeasurementFailed(Exception):
    """A measured process ended badly, or not in time; the message says how."""


@dataclass(frozen=True, slots=True)
class Work:
    """A case on a number of elements."""

    name: str
    case: str
    n: int
    may_share: bool
    """Other work may be done in the same process, where starting one is slow."""
    variant: str = ""
    """Which of the kinds of the case, where it has several."""

    @property
    def item(self) -> str:
        """What the measured process is told."""
        return f"{self.case}:{self.n}" + (f":{self.variant}" if self.variant else "")


@dataclass(slots=True)
class Results:
    """What was measured of one peer."""

    versions: dict[str, str] = field(default_factory=dict)
    unavailable: str | None = None
    values: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """By work and measure, one for each round."""
    failures: dict[str, str] = field(default_factory=dict)
    """By work."""


class Harness:
    """A session: one folder for all that the peers leave behind, removed at the end."""

    def __init__(self, workers: int, tell: Callable[[str], None]) -> None:
        self._workers, self._tell = workers, tell

    def measure(
        self, plan: dict[Peer, list[Work]], rounds: int, reasons: dict[str, str]
    ) -> dict[Peer, Results]:
        """Do the work of every peer, `rounds` times.

        Args:
            plan: the work of each peer.
            rounds: how often.
            reasons: why an environment could not be made, by its name.
        """
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            # peers must be able to import these packages, but not what lies beside them
            (Path(folder) / "path").mkdir()
            (Path(folder) / "path" / "benchmarks").symlink_to(Path(__file__).parent)
            results = {peer: self._find(peer, Path(folder), reasons) for peer in plan}
            for number in range(rounds):
                for peer, works in plan.items():
                    if results[peer].unavailable is None:
                        self._tell(f"round {number + 1} of {rounds}: {peer.title}")
                        self._round(peer, works, results[peer], Path(folder))
        return results

    def _find(self, peer: Peer, folder: Path, reasons: dict[str, str]) -> Results:
        """Its versions; its modules and home are warm after this."""
        results = Results()
        try:
            lines = self._process(peer, [measure.VERSIONS], folder)
            results.versions = {name: value for _, name, value in lines}
            if peer.keeps_home:
                self._tell(f"making the home of {peer.title}")
                self._process(peer, ["fresh_submits:1"], folder)
        except MeasurementFailed as failure:
            results.unavailable = reasons.get(peer.environment) or _how_to_get(peer, failure)
            self._tell(f"{peer.title}: {results.unavailable}")
        return results

    def _round(self, peer: Peer, works: list[Work], results: Results, folder: Path) -> None:
        for together in _processes(peer, works):
            todo = {work.item: work.name for work in together if work.name not in results.failures}
            if not todo:
                continue
            try:
                lines = self._process(peer, list(todo), folder)
            except MeasurementFailed as failure:
                results.failures.update(dict.fromkeys(todo.values(), str(failure)))
                self._tell(f"{peer.title}: {failure}")
            else:
                first = next(iter(todo))
                for item, name, value in lines:
                    # memory that earlier work has left free in the same process hides growth
                    if name != "grown_bytes" or item == first:
                        results.values[todo[item], name].append(float(value))

    def _process(self, peer: Peer, items: list[str], folder: Path) -> list[tuple[str, str, str]]:
        """Run one measured process: (item, measure, value) of all that it measured."""
        home = folder / (peer.key if peer.keeps_home else "home")
        if not peer.keeps_home:
            shutil.rmtree(home, ignore_errors=True)
        home.mkdir(exist_ok=True)
        values = folder / "values"
        values.unlink(missing_ok=True)
        python = interpreter(peer)
        command = [str(python), "-c", measure.PROGRAM, peer.rival, peer.option, str(home)]
        command += [str(self._workers), str(values), *items]
        seconds = _run(
            command, _environment(python, home, folder / "path"), home, WORK_SECONDS * len(items)
        )
        lines = [line.split("\t") for line in values.read_text().splitlines()]
        measured = [(item, name, value) for item, name, value in lines]
        if len(items) == 1 and items != [measure.VERSIONS]:
            measured.append((items[0], "process_seconds", str(seconds)))
        return measured


def _processes(peer: Peer, works: list[Work]) -> Iterator[list[Work]]:
    """Which cases are done together in one process."""
    sharing = [work for work in works if work.may_share]
    if peer.shares_process and sharing:
        yield sharing
        works = [work for work in works if not work.may_share]
    for work in works:
        yield [work]


def _environment(python: Path, home: Path, path: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)
    }
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(path),
    }


def _run(
    command: list[str], environment: dict[str, str], home: Path, limit_seconds: float
) -> float:
    """The wall time of a process from its start to its end; whatever it leaves is ended too."""
    # files, not pipes: a server left behind would hold a pipe open
    with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        with _ended_group(process):
            try:
                status = process.wait(limit_seconds)
            except subprocess.TimeoutExpired:
                raise MeasurementFailed(f"not done within {limit_seconds:.0f} s") from None
            seconds = time.perf_counter() - started
    if status:
        raise MeasurementFailed(_last_line(home / "stderr") or f"ended with status {status}")
    return seconds


@contextmanager
def _ended_group(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()


def _last_line(errors: Path) -> str:
    """The last exception that ended a traceback, or whatever else was said last."""
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    said = exceptions or lines
    return said[-1].strip()[:300] if said else ""


def _how_to_get(peer: Peer, failure: MeasurementFailed) -> str:
    if "ModuleNotFoundError" in str(failure) and peer.requirements:
        return "not found; `--make-environments` installs it"
    return f"not available: {failure}"
