"""Lines for files and pipes: few, and each with something new."""

from __future__ import annotations

import io

import pytest

from dataflow.display.plain import SUMMARY_SECONDS, PlainScreen
from dataflow.model.states import Failed, StateCode


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def lines(stream):
    return lambda: [line.partition("- ")[2] for line in stream.getvalue().splitlines()]


@pytest.fixture
def screen(story, stream):
    return PlainScreen(story.tally, stream)


def test_the_end_of_each_row_is_told_once(story, clock, screen, lines):
    story.run().add("map", "load", 0, length=2).add("map", "clean", 1, length=9)
    screen.update()
    story.ended("load", 1, node=0)
    clock.now += 3
    story.ended("load", 1, node=0)
    screen.update()
    screen.update()
    assert lines() == ["load: 2 of 2 done in 3.0 s"]


def test_a_summary_comes_every_ten_seconds(story, clock, screen, lines):
    story.run().add("map", "clean", 0, length=1000)
    story.ended("clean", {StateCode.COMPLETED: 95, StateCode.FAILED: 5}, node=0)
    clock.now += SUMMARY_SECONDS
    story.tally.sample([])
    screen.update()
    screen.update()
    assert lines() == [
        "clean: 100 of 1,000 done (10%), 5 failed, 10.0/s, about 1m 30s left",
    ]


def test_the_last_line_adds_it_up(story, clock, screen, lines):
    story.run().add("map", "clean", 0, length=3).add("task", "sum", 1)
    story.ended("clean", {StateCode.COMPLETED: 2, StateCode.FAILED: 1}, node=0)
    story.ended("sum", {StateCode.NOT_READY: 1}).over(Failed())
    screen.end()
    assert lines() == ["Failed: 4 task runs in 0.00 s, 1 failed, 1 not run"]


def test_the_start_is_told_where_no_log_line_tells_it(story, screen, lines, monkeypatch):
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "0")
    story.run()
    screen.update()
    screen.update()
    assert lines() == ["begins (flow 'etl')"]


def test_lines_have_the_shape_of_log_lines(story, stream, screen):
    story.run().over()
    screen.end()
    assert " | STATUS  | 'brisk-otter' - Completed: 0 task runs" in stream.getvalue()
