"""Bars: what is drawn, in how many lines, at which width."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from dataflow import logs
from dataflow.display.bars import BarScreen, Painter
from dataflow.model.states import Failed, StateCode
from tests.display.screen import Screen
from tests.store.samples import log_record

_COLOURS = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def paint(story):
    def draw(width=100, most=16, encoding="utf-8") -> list[str]:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        console = Console(file=stream, force_terminal=True, width=width, legacy_windows=False)
        lines = Painter(console, width).lines(story.tally.boards[0], most)
        return [_COLOURS.sub("", line).rstrip() for line in lines]

    return draw


def test_a_row_says_how_far_how_fast_and_how_long(story, clock, paint):
    story.run().add("map", "clean", 0, length=100_000)
    clock.now += 10
    story.tally.sample([])
    story.ended("clean", {StateCode.COMPLETED: 34_120, StateCode.FAILED: 12}, node=0)
    clock.now += 10
    story.tally.sample([])
    heading, row = paint()
    assert "etl  brisk-otter  20 s" in heading
    assert re.fullmatch(r"  clean  \S+  34,132/100,000  12 failed  3,410/s  19 s left", row)


def test_the_end_says_how_it_ended(story, clock, paint):
    story.run().add("map", "clean", 0, length=2).ended("clean", 1, node=0)
    clock.now += 2
    story.ended("clean", {StateCode.FAILED: 1}, node=0).over(Failed(message="1/2 states failed."))
    heading, row = paint()
    assert heading == "✗ etl  brisk-otter  Failed in 2.0 s"
    assert row.endswith("2/2  1 failed  2.0 s")


@pytest.mark.parametrize("width", [30, 45, 60, 80, 120, 250])
def test_no_line_is_wider_than_the_terminal(story, clock, paint, width):
    story.run(flow_name="a-flow-with-quite-a-long-name-for-a-flow")
    story.add("map", "a_task_with_quite_a_long_name_for_a_task", 0, length=10**9)
    clock.now += 10
    counts = {StateCode.COMPLETED: 10**6, StateCode.FAILED: 10**5, StateCode.NOT_READY: 10**4}
    story.ended("a_task_with_quite_a_long_name_for_a_task", counts, node=0)
    clock.now += 10
    lines = paint(width)
    assert len(lines) == 2
    assert max(map(len, lines)) <= width


def test_an_unknown_length_is_a_question_mark(story, paint):
    story.run().add("map", "clean", 0, length=None)
    assert paint()[1].endswith("0/?")


def test_an_empty_map_is_done(story, paint):
    story.run().add("map", "clean", 0, length=0)
    assert paint()[1].endswith("0/0")


def test_many_rows_are_cut_to_those_that_tell_most(story, clock, paint):
    story.run()
    for number in range(30):
        story.add("map", f"task_{number:02d}", number, length=2)
    for number in range(10):
        clock.now += 1
        story.ended(f"task_{number:02d}", 2, node=number)
    story.ended("task_03", {StateCode.FAILED: 0}, node=3)
    story.ended("task_11", 1, node=11)
    lines = paint(most=5)
    assert [line.split()[0] for line in lines[1:-1]] == ["task_03", "task_08", "task_09", "task_11"]
    assert lines[-1] == "  … and 26 more: 7 done, 19 waiting"


def test_a_terminal_without_unicode_gets_ascii(story, paint):
    story.run().add("map", "clean", 0, length=2).ended("clean", 1, node=0).over()
    text = "\n".join(paint(encoding="ascii"))
    assert text.replace("…", "").isascii()


def test_runs_that_have_ended_stay_on_the_screen_above_the_others(story, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    screen: Any = Screen()
    bars = BarScreen(story.tally, screen)
    story.run("r", "first").add("map", "load", 0, length=2).ended("load", 2, node=0)
    bars.begin()
    bars.update()
    assert screen.lines[1].endswith("first  brisk-otter  0.00 s")
    story.over()
    story.run("s", "second").add("map", "clean", 0, run_id="s", length=3)
    logs.show_logs([log_record("r", "a line")])
    bars.update()
    bars.update()
    said = [line.split("  ")[0] for line in screen.lines]
    assert screen.lines[0].endswith("a line")
    assert said[1] == "✓ first"
    assert said[4] == "⠸ second"
    assert len(said) == 6
    story.over(run_id="s")
    bars.end()
    assert [line for line in screen.lines if line.startswith("✓")] == [
        "✓ first  brisk-otter  Completed in 0.00 s",
        "✓ second  brisk-otter  Completed in 0.00 s",
    ]
