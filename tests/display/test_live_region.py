"""A live region keeps its place, whatever else is written to the terminal."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from dataflow.display.live_region import LiveRegion
from tests.display.screen import Screen


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def region(screen):
    return LiveRegion(screen)


def test_what_is_drawn_replaces_what_was_drawn(screen, region):
    screen.write("$ run\n")
    region.draw(["one", "two", "three"])
    region.draw(["1", "2"])
    assert screen.lines == ["$ run", "", "1", "2"]
    assert not screen.cursor_is_visible


def test_lines_above_stay_above(screen, region):
    region.draw(["bar bar bar"])
    region.above("first\n")
    region.above("second\nthird\n")
    region.draw(["bar"])
    assert screen.lines == ["first", "second", "third", "", "bar"]


def test_the_end_leaves_the_last_lines_and_the_cursor(screen, region):
    region.draw(["bar", "bar", "bar"])
    region.above("log\n")
    region.close(["final"])
    screen.write("$ ")
    assert screen.lines == ["log", "final", "$"]
    assert screen.cursor_is_visible


def test_a_line_that_another_process_prints_stays(screen, region):
    region.draw(["bar 1", "bar 2"])
    screen.write("from a worker\n")
    region.draw(["bar 1", "bar 2"])
    screen.write("and another\n")
    region.draw(["bar 1", "bar 2"])
    assert screen.lines == ["from a worker", "and another", "", "bar 1", "bar 2"]


def test_a_region_may_become_empty_and_come_back(screen, region):
    region.draw(["bar", "bar"])
    region.above("done\n")
    region.draw([])
    screen.write("from elsewhere\n")
    assert screen.lines == ["done", "from elsewhere"]
    region.draw(["bar"])
    assert screen.lines == ["done", "from elsewhere", "", "bar"]


def test_a_region_that_never_came_up_only_writes_what_was_queued(screen, region):
    region.above("log\n")
    region.close()
    assert screen.lines == ["log"]


def test_prints_go_above_and_streams_come_back(screen, region, monkeypatch):
    monkeypatch.setattr(sys, "stdout", screen)
    region.take_over()
    region.draw(["bar"])
    kept: Any = sys.stdout
    print("hello", end=" ")
    print("world\nagain")
    print("no end", end="")
    region.draw(["bar"])
    assert screen.lines == ["hello world", "again", "", "bar"]
    region.close(["final"])
    assert sys.stdout == screen
    assert screen.lines == ["hello world", "again", "no end", "final"]
    kept.write("someone kept the stream\n")
    assert screen.lines[-1] == "someone kept the stream"


def test_a_stream_that_is_no_terminal_is_left_alone(region, monkeypatch, tmp_path):
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        region.take_over()
        assert sys.stdout is file
        region.close()


def test_nothing_is_drawn_while_someone_types(screen, region, monkeypatch):
    monkeypatch.setattr(sys, "stdout", screen)

    def ask(prompt):
        screen.write(prompt)
        region.draw(["bar"])
        assert screen.lines == ["before", "name?"]
        assert screen.cursor_is_visible
        screen.write("Bob\n")
        return "Bob"

    monkeypatch.setattr(builtins, "input", ask)
    region.take_over()
    region.draw(["bar"])
    print("before")
    assert input("name? ") == "Bob"
    region.close(["final"])
    assert builtins.input is ask
    assert screen.lines == ["before", "name? Bob", "final"]
