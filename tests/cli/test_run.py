"""``dataflow run``: parameters, runners, plans, what is printed, and the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest


def test_a_flow_runs_and_its_progress_is_told(command):
    done = command("run", "flows.py:etl")
    assert done.out == ""
    assert "Finished in state Completed" in done.err
    assert "Completed: 7 task runs in" in done.err.splitlines()[-1]


@pytest.mark.parametrize("runner", ["inline", "threads", "processes"])
def test_a_flow_of_a_file_runs_on_every_local_runner(command, runner):
    done = command("run", "flows.py:etl", "--runner", runner, "--json", "-p", "count=3")
    assert done.json["result"] == [0, 2, 4]
    assert done.json["runner"] == runner


def test_a_flow_of_a_module(command):
    assert command("run", "flows:waits", "--json").json["result"] == [0, 2, 4, 6]


def test_parameters_are_json_and_then_of_the_flows_types(command):
    given = ["-p", "day=2013-01-31", "-p", "name=2013", "-p", 'limit="7"']
    done = command("run", "flows.py:report", *given, "--json")
    assert done.json["result"] == {"day": "2013-01-31", "name": "2013", "limit": 7}
    assert done.json["parameters"]["name"] == "2013"


CHECKED = """
import sys
from typing import Annotated

from pydantic import AfterValidator

from dataflow import flow


def check(value):
    print("checked", value, file=sys.stderr)
    return value + 1


@flow
def checked(first: Annotated[int, AfterValidator(check)], *, last: int = 5, **others: int):
    return [first, last, others]
"""


@pytest.mark.parametrize("more", [(), ("--plan",)])
def test_parameters_are_validated_once(command, more):
    (command.folder / "checked.py").write_text(CHECKED)
    done = command("run", "checked.py", "-p", "first=1", "-p", "x=7", "--json", *more)
    assert done.err.count("checked 1\n") == 1
    if not more:
        assert done.json["result"] == [2, 5, {"x": 7}]
        assert done.json["parameters"] == {"first": 2, "last": 5, "others": {"x": 7}}


def test_json_is_all_there_is_on_standard_output(command):
    done = command("run", "flows.py:report", "-p", "day=2013-01-31", "--json")
    assert done.json["state"]["name"] == "Completed"
    assert "a line on standard output" in done.err


def test_a_plan_runs_nothing(command):
    done = command("run", "flows.py:waits", "--plan")
    assert done.out.startswith("Plan of 'waits'")
    assert "double-0" in done.out
    assert command("run", "flows.py:waits", "--plan", "--json").json["flow_name"] == "waits"
    assert command("runs", "ls", "--json").json == []


def test_a_plan_of_a_body_that_needs_values_is_refused_with_the_place(command):
    done = command("run", "flows.py:asks", "--plan", status=2)
    assert "flows.py, line" in done.err
    assert "Traceback" not in done.err


# --- what failed ---------------------------------------------------------------------------------


def test_failed_task_runs_are_told_once_with_the_users_lines(command):
    done = command("run", "flows.py:etl", "-p", "count=14", status=1)
    report = done.err.partition("✗ etl")[2]
    assert "clean-0[3]" in report
    assert 'raise ValueError(f"bad row {row.number}")' in report
    assert "ValueError: bad row 3\n" in report
    assert "and 2 more like it: clean-0[8], clean-0[13]" in report
    assert "3 task runs that depend on what failed did not run." in report
    assert "attempt 2" in report
    assert "dataflow runs show" in report
    assert "--failures" in report
    assert "Traceback" not in report
    assert "During handling" not in report
    assert "/dataflow/execution" not in done.err


def test_an_error_of_the_body_is_told_from_its_own_line_on(command):
    done = command("run", "flows.py:broken", status=1)
    report = done.err.partition("✗ broken")[2]
    assert "in the flow itself" in report
    assert "return [1, 2][index]" in report
    assert "IndexError: list index out of range" in report
    assert "/dataflow/" not in report


def test_the_line_of_the_body_that_asked_is_told(command):
    done = command("run", "flows.py:asks", status=1)
    report = done.err.partition("✗ asks")[2]
    assert report.index("ValueError: bad row 3") < report.index("which ended the flow here")
    assert "return double.submit(clean.submit(Row(3))).result()" in report


def test_failures_of_subflows_are_told(command):
    done = command("run", "flows.py:outer", status=1)
    report = done.err.partition("✗ outer")[2]
    assert "etl (" in report
    assert "clean-0[3]" in report


def test_a_failed_run_as_json(command):
    done = command("run", "flows.py:broken", "--json", status=1)
    assert done.json["state"]["type"] == "FAILED"
    assert "result" not in done.json


def test_ctrl_c_ends_the_run_as_cancelled(command):
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "dataflow", "run", "flows.py:long", "--runner", "threads"],
        cwd=command.folder,
        env=command.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killer = threading.Timer(30, process.kill)
        killer.start()
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if "in the body" in line:
                os.kill(process.pid, signal.SIGINT)
        killer.cancel()
    assert process.returncode == 130
    assert lines[-1].startswith("Cancelled by Ctrl-C.")
    assert "Traceback" not in "".join(lines)
    (run,) = command("runs", "ls", "--json").json
    assert run["state"]["type"] == "CANCELLED"


STUBBORN = """
import time
from dataflow import flow

@flow
def stubborn():
    while True:
        try:
            while True:
                print("in the body", flush=True)
                time.sleep(0.05)
        except BaseException:
            print("caught", flush=True)
"""


def test_ctrl_c_twice_ends_a_body_that_catches_everything(command):
    (command.folder / "stubborn.py").write_text(STUBBORN)
    wanted = iter(["in the body", *["caught"] * 3, None])
    awaited = next(wanted)
    with subprocess.Popen(
        [sys.executable, "-m", "dataflow", "run", "stubborn.py"],
        cwd=command.folder,
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        killer = threading.Timer(30, process.kill)
        killer.start()
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.strip() == awaited:
                if awaited == "in the body":
                    os.kill(process.pid, signal.SIGINT)
                awaited = next(wanted)
                if awaited is None:  # it was raised again and again
                    os.kill(process.pid, signal.SIGINT)
        killer.cancel()
        lines = process.stderr.readlines()
    assert process.returncode == 130
    assert lines[-1].startswith("Cancelled by Ctrl-C, at once. What was done: dataflow runs show ")
    assert "Traceback" not in "".join(lines)
    (run,) = command("runs", "ls", "--json").json
    assert run["state"]["type"] == "CANCELLED"


# --- misuse: nothing has run ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["flows.py"], "There are 7 flows in flows.py: etl, report, broken, asks"),
        (["flows.py:nope"], "There is no flow 'nope' in flows.py."),
        (["flows.py:clean"], "'clean' in flows.py is no flow, but Task."),
        (["nofile.py"], "There is no file 'nofile.py'."),
        (["nomodule:etl"], "There is no module 'nomodule'."),
        (["flows:"], "There are 7 flows"),
        ([], "Missing argument"),
        (["flows.py:etl", "--nope"], "No such option"),
        (["flows.py:etl", "-p", "count"], "'count' is no parameter."),
        (["flows.py:etl", "-p", "count=1", "-p", "count=2"], "was given twice"),
        (["flows.py:etl", "-p", "cuont=1"], "Did you mean 'count' instead of 'cuont'?"),
        (["flows.py:report"], "day"),
        (["flows.py:etl", "--runner", "nope"], "There is no runner 'nope'."),
    ],
)
def test_misuse_is_told_and_exits_with_2(command, arguments, said):
    done = command("run", *arguments, status=2)
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (command.folder / "home").exists()


def test_every_bad_parameter_is_named(command):
    done = command("run", "flows.py:report", "-p", "day=2013-13-01", "-p", "limit=x", status=2)
    assert "2 parameters of flow 'report' cannot be used" in done.err
    assert "day:" in done.err
    assert "limit:" in done.err


def test_a_store_that_cannot_be_used_is_told(command):
    home = command.folder / "home"
    home.mkdir()
    (home / "dataflow.db").write_text("this is no database, however long one looks at it" * 50)
    done = command("run", "flows.py:etl", status=1)
    assert "Error: " in done.err
    assert "Traceback" not in done.err
    assert "is not a SQLite database" in done.err


def test_a_setting_of_the_wrong_kind_is_told(command):
    done = command("run", "flows.py:etl", status=2, DATAFLOW_PROGRESS="loud")
    assert "DATAFLOW_PROGRESS='loud' is not usable" in done.err
    assert "Traceback" not in done.err


def test_progress_and_logs_can_be_turned_off(command):
    done = command("run", "flows.py:waits", DATAFLOW_PROGRESS="off", DATAFLOW_LOG_TO_TERMINAL="0")
    assert done.out + done.err == ""
