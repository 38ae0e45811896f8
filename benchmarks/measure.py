"""The measured process: does cases on one rival and writes what it measured, line by line.

``python -c PROGRAM RIVAL OPTION HOME WORKERS RESULTS CASE:N[:VARIANT]...`` in the rival's own
interpreter. It imports next to nothing itself, so that import times and start-up times are those
of the rival.
"""

from __future__ import annotations

import sys

PROGRAM = "from benchmarks.measure import main; main()"
VERSIONS = "versions"
WARM_ELEMENTS = 20

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from benchmarks.rivals.protocol import Rival


def main() -> None:
    """Carry out what the command line says; any failure is a traceback and an exit status of 1."""
    name, option, home, workers, results, *work = sys.argv[1:]
    rival: Rival = _module("rivals", name).Rival(option, home, int(workers))
    with open(results, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not free
        if work == [VERSIONS]:
            _write(file, VERSIONS, versions(rival))
        else:
            _measure(rival, work, file)
    rival.close()


def _measure(rival: Rival, work: list[str], file: Any) -> None:
    warm = False
    for item in work:
        name, n, *variant = item.split(":")
        case = _module("cases", name)
        if case.WARM and not warm:
            rival.open()
            warm = rival.submit(WARM_ELEMENTS) == list(range(WARM_ELEMENTS))
        _write(file, item, case.run(rival, int(n), *variant))


def versions(rival: Rival) -> dict[str, str]:
    """The versions of the interpreter and of the rival, which must be importable."""
    rival.load()
    from importlib.metadata import version

    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, **{name: version(name) for name in rival.distributions()}}


def _write(file: Any, item: str, measures: dict[str, Any]) -> None:
    for name, value in measures.items():
        file.write(f"{item}\t{name}\t{value}\n")


def _module(kind: str, name: str) -> Any:
    return __import__(f"benchmarks.{kind}.{name}", fromlist=["name"])
