"""Of a run that goes on and on it is said what has not ended, and where its threads are."""

from __future__ import annotations

import os
from pathlib import Path

from tests.chaos.evidence import Recorded
from tests.chaos.rounds import ROOT
from tests.chaos.victims import Started
from tests.chaos.watchdog import wait_until, what_it_waits_for

PROGRAM = """
import faulthandler, signal, time
faulthandler.register(signal.SIGUSR1)
from dataflow import flow, task

@task
def hangs_at_one(number):
    while number == 1:
        time.sleep(0.1)
    return number

@flow(name="chaos", task_runner="threads")
def waits():
    return hangs_at_one.map(range(4)).result()

waits()
"""


def test_a_run_that_hangs(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    place = tmp_path / "program.py"
    place.write_text(PROGRAM)
    environment = {**os.environ, "DATAFLOW_HOME": str(home), "PYTHONPATH": str(ROOT)}
    program = Started([str(place)], environment, str(tmp_path), log)

    def recorded() -> Recorded:
        return Recorded(tmp_path, str(home / "dataflow.db"))

    def others_have_ended() -> bool:
        main = recorded().main
        return main is not None and sum(node.recorded for node in main.nodes()) == 3

    try:
        assert wait_until(others_have_ended, 60), log.read_text()
        told = "\n".join(what_it_waits_for(program, recorded(), log))
    finally:
        program.kill_all()
    assert "hangs_at_one-0 of chaos: 3 of 4 have ended" in told
    assert "in hangs_at_one" in told
