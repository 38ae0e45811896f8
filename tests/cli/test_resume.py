"""``dataflow runs resume``: what can go on does, what cannot is told."""

from __future__ import annotations

import pytest

FLOW = """
from pathlib import Path
from dataflow import flow, task

@task
def count(x):
    with Path("calls.txt").open("a") as file:
        file.write(f"{x}\\n")
    return x

@flow(persist_result=True)
def counting(n: int = 4):
    found = count.map(range(n)).result()
    if not Path("ready").exists():
        raise RuntimeError("not ready")
    return sum(found)
"""


@pytest.fixture
def failed(command):
    """The id of a run that failed."""
    (command.folder / "counting.py").write_text(FLOW)
    return command("run", "counting.py", "-p", "n=5", "--json", status=1).json["id"]


def test_a_failed_run_goes_on(command, failed):
    (command.folder / "ready").touch()
    done = command("runs", "resume", failed[:12], "--json")
    assert (done.json["id"], done.json["result"]) == (failed, 10)
    assert (command.folder / "calls.txt").read_text().split() == list("01234")
    assert "5 results of before reused" in done.err


def test_what_has_completed_does_not_go_on(command, failed):
    (command.folder / "ready").touch()
    command("runs", "resume", failed)
    done = command("runs", "resume", failed, status=None)
    assert done.status != 0
    assert "nothing to resume" in done.err
    assert "Traceback" not in done.err


def test_a_run_that_nobody_knows(command):
    said = command("runs", "resume", "no-such-run", status=2).err
    assert "'no-such-run' in the store" in said and str(command.folder) in said


def test_a_flow_whose_file_is_gone(command, failed):
    (command.folder / "counting.py").rename(command.folder / "moved.py")
    done = command("runs", "resume", failed, status=2)
    assert "not there any more" in done.err
    assert "--flow FILE.py:NAME" in done.err
    (command.folder / "ready").touch()
    moved = command("runs", "resume", failed, "--flow", "moved.py:counting", "--json")
    assert moved.json["result"] == 10


def test_a_flow_that_was_renamed(command, failed):
    (command.folder / "counting.py").write_text(FLOW.replace("def counting", "def renamed"))
    for more in [(), ("--flow", "counting.py")]:
        done = command("runs", "resume", failed, *more, status=2)
        assert "There is no flow 'counting' in" in done.err
        assert "There are: renamed." in done.err
        assert "@flow(name='counting')" in done.err


def test_a_flow_that_is_none_any_more(command, failed):
    (command.folder / "counting.py").write_text("def counting(): pass")
    done = command("runs", "resume", failed, status=2)
    assert "The flow 'counting' of run" in done.err
    assert "is no flow, but function" in done.err


def test_a_flow_that_takes_other_parameters(command, failed):
    (command.folder / "counting.py").write_text(FLOW.replace("n: int", "m: int"))
    done = command("runs", "resume", failed, status=1)
    assert "cannot go on with its parameters, {'n': 5}" in done.err
    assert "Traceback" not in done.err


def test_a_flow_with_a_colon_in_its_name(command):
    text = FLOW.replace("@flow(", "@flow(name='etl: daily', ")
    (command.folder / "counting.py").write_text(text)
    run = command("run", "counting.py:etl: daily", "--json", status=1).json["id"]
    (command.folder / "ready").touch()
    assert command("runs", "resume", run, "--json").json["result"] == 6


def test_code_that_changed(command, failed):
    (command.folder / "counting.py").write_text(FLOW.replace("return x", "return x + 1"))
    (command.folder / "ready").touch()
    kept = command("runs", "resume", failed, "--reuse-changed", "--json")
    assert kept.json["result"] == 10
    assert (command.folder / "calls.txt").read_text().split() == list("01234")
