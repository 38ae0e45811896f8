"""Which display comes up when, that it goes by itself, and costs nothing where none does."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dataflow import events, flow
from dataflow.display import progress
from dataflow.execution import displays
from dataflow.model.states import Completed
from tests.display.screen import Screen

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import sys, time
from dataflow import flow, task

@task
def work(number):
    time.sleep({seconds})
    if number == 3:
        raise ValueError(number)
    return number

@flow(task_runner="inline")
def sums():
    work.map(range(10)).wait()
    print("printed by the body")

sums(return_state=True)
print("rich" in sys.modules, "dataflow.display" in sys.modules)
"""


@pytest.fixture
def environment(tmp_path):
    return {
        **os.environ,
        "DATAFLOW_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLUMNS": "100",
    }


def run_on_a_terminal(command: list[str], environment: dict[str, str]) -> Screen:
    """Run a program whose output is a terminal; what is to be seen at its end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    screen = Screen()
    data = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                data += os.read(ours, 65536)
            except OSError:
                break
    process.wait()
    os.close(ours)
    screen.write(data.decode().replace("\r\n", "\n"))
    return screen


@pytest.mark.parametrize("seconds", [0.1])
def test_a_script_on_a_terminal_has_bars(tmp_path, environment, seconds):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(seconds=seconds))
    screen = run_on_a_terminal([sys.executable, str(script)], environment)
    text = "\n".join(screen.lines)
    assert "Beginning flow run" in screen.lines[0]
    assert "printed by the body" in screen.lines
    heading = next(line for line in screen.lines if line.startswith("✗ sums"))
    row = screen.lines[screen.lines.index(heading) + 1]
    assert "10/10  1 failed" in row, text
    assert text.count("10/10") == 1, text
    assert screen.cursor_is_visible
    assert screen.lines[-1] == "True True"


def test_a_short_script_on_a_terminal_imports_no_rich(tmp_path, environment):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(seconds=0))
    screen = run_on_a_terminal([sys.executable, str(script)], environment)
    assert screen.lines[-1] == "False True"


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_a_script_without_a_terminal_imports_no_display(tmp_path, environment, mode):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(seconds=0))
    environment["DATAFLOW_PROGRESS"] = mode
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"
    assert "STATUS" not in done.stderr


def test_a_script_that_asks_for_plain_lines_gets_them_without_rich(tmp_path, environment):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(seconds=0))
    environment["DATAFLOW_PROGRESS"] = "plain"
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False True"
    assert "Failed: 10 task runs in" in done.stderr


# --- the choice ----------------------------------------------------------------------------------


class Terminal:
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("mode", "is_terminal", "for_command", "kind"),
    [
        ("auto", True, False, "bars"),
        ("auto", False, False, "off"),
        ("auto", False, True, "plain"),
        ("plain", True, False, "plain"),
        ("bars", False, False, "bars"),
        ("off", True, True, "off"),
    ],
)
def test_the_choice(monkeypatch, mode, is_terminal, for_command, kind):
    monkeypatch.setenv("DATAFLOW_PROGRESS", mode)
    monkeypatch.setenv("TERM", "xterm")
    if is_terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.chosen_kind(for_command=for_command) == kind


def test_a_dumb_terminal_has_no_bars(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.chosen_kind("auto") == "off"


# --- coming and going ----------------------------------------------------------------------------


class Fake:
    """A screen that notes what is asked of it."""

    interval_seconds = 0.001

    def __init__(self):
        self.asked = []
        self.updated = threading.Event()

    def begin(self):
        self.asked.append("begin")

    def update(self):
        if "update" not in self.asked:
            self.asked.append("update")
        self.updated.set()

    def end(self):
        self.asked.append("end")


@pytest.fixture
def fake(monkeypatch):
    screen = Fake()
    monkeypatch.setattr(progress, "_screen", lambda kind, tally: screen)
    monkeypatch.setitem(progress._DELAYS, "bars", 0.0)
    return screen


def begin(run_id, parent=None):
    events.publish(events.RunStarted(run_id, "name", "flow", parent))


def end(run_id):
    events.publish(events.RunStateChanged(run_id, "name", Completed()))


def test_a_display_goes_with_the_last_root_run(fake):
    progress.start_display("bars")
    begin("a")
    progress.start_display("bars")
    begin("b")
    begin("child", "a")
    assert fake.updated.wait(60)
    end("child")
    end("a")
    assert fake.asked == ["begin", "update"]
    end("b")
    assert fake.asked == ["begin", "update", "end"]
    assert progress._active is None
    assert not events.has_subscribers()


def test_within_show_progress_runs_bring_up_no_other(fake):
    with progress.show_progress("bars"):
        for run_id in "ab":
            progress.start_display("bars")
            begin(run_id)
            end(run_id)
        assert fake.updated.wait(60)
        assert "end" not in fake.asked
    assert fake.asked == ["begin", "update", "end"]


def test_a_run_that_is_over_at_once_is_not_shown(fake, monkeypatch):
    monkeypatch.setitem(progress._DELAYS, "bars", 60.0)
    began = time.monotonic()
    progress.start_display("bars")
    begin("a")
    end("a")
    assert fake.asked == []
    assert time.monotonic() - began < 30


def test_a_display_that_breaks_harms_nothing(fake):
    def fail():
        fake.updated.set()
        raise RuntimeError("no terminal")

    fake.update = fail
    progress.start_display("bars")
    begin("a")
    assert fake.updated.wait(60)
    end("a")
    assert fake.asked == ["begin", "end"]


def test_off_starts_nothing(fake):
    with progress.show_progress("off"):
        assert not events.has_subscribers()


def test_a_missing_display_harms_no_run(home, monkeypatch):
    asked = []

    def fail(*names):
        asked.append(names)
        raise LookupError("not installed")

    @flow(task_runner="inline")
    def unshown():
        return 5

    monkeypatch.setenv("DATAFLOW_PROGRESS", "bars")
    monkeypatch.setattr(displays, "load_plugin", fail)
    assert unshown() == 5
    assert len(asked) == 1
