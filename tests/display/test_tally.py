"""What displays show is counted from events, in rows that stay few."""

from __future__ import annotations

import pytest

from dataflow.display.tally import MAPS_APART
from dataflow.execution.loop.activity import UnderWay
from dataflow.model.states import StateCode


def test_single_calls_of_a_task_share_a_row_and_a_map_has_its_own(story):
    story.run().add("task", "load", 0, 1, 2).add("map", "clean", 3, length=10)
    story.ended("load", 2).ended("clean", 4, node=3)
    assert story.told() == [("load", 2, 3), ("clean", 4, 10)]


def test_rows_stand_in_the_order_in_which_they_were_traced(story):
    story.run().add("map", "later", 5).add("map", "sooner", 1)
    assert [row.title for row in story.rows] == ["sooner", "later"]


def test_states_are_told_apart(story):
    story.run().add("map", "clean", 0, length=9)
    counts = {
        StateCode.COMPLETED: 2,
        StateCode.CACHED: 1,
        StateCode.FAILED: 1,
        StateCode.TIMED_OUT: 1,
        StateCode.NOT_READY: 1,
        StateCode.AWAITING_RETRY: 3,
    }
    story.ended("clean", counts, node=0)
    (row,) = story.rows
    assert (row.done, row.failed, row.not_run, row.retried) == (6, 2, 1, 3)
    assert not row.is_over


def test_two_maps_of_a_task_have_names_and_many_share_a_row(story):
    story.run().add("map", "clean", 0, 1, length=5)
    assert [row.title for row in story.rows] == ["clean-0", "clean-1"]
    story.ended("clean", 5, node=0)
    story.add("map", "clean", *range(2, MAPS_APART + 3), length=5)
    number = MAPS_APART + 3
    assert story.told() == [(f"clean ({number} maps)", 5, 5 * number)]
    story.ended("clean", 5, node=1).ended("clean", 5, node=number - 1)
    assert story.told() == [(f"clean ({number} maps)", 15, 5 * number)]


def test_a_dynamic_map_has_no_total_until_its_length_is_known(story):
    story.run().add("map", "clean", 0, length=None)
    (row,) = story.rows
    assert row.unknown
    assert not row.is_over
    story.length(0, 7)
    assert story.told() == [("clean", 0, 7)]


def test_a_map_that_will_never_have_a_length_is_over(story):
    story.run().add("map", "clean", 0, length=None).ended("clean", {}, node=0)
    assert story.rows[0].is_over


def test_runs_of_a_subflow_share_the_rows_below_it(story):
    story.run().add("flow", "region", 0, 1)
    for child in ("a", "b"):
        story.run(child, "region", "some-name", parent="r")
        story.add("map", "score", 0, run_id=child, length=5)
        story.ended("score", 3, node=0, run_id=child)
    assert [(row.title, row.depth) for row in story.rows] == [("region", 0), ("score", 1)]
    assert story.told()[1] == ("score", 6, 10)
    assert len(story.tally.boards) == 1


def test_events_of_unknown_runs_are_nobodys(story):
    story.run().add("task", "load", 0, run_id="other").ended("load", 1, run_id="other")
    story.run("child", parent="other")
    assert story.rows == []
    assert len(story.tally.boards) == 1


def test_rate_and_time_left_are_those_of_the_last_seconds(story, clock):
    story.run().add("map", "clean", 0, length=1000)
    story.ended("clean", 100, node=0)
    for _ in range(40):
        clock.now += 0.5
        story.ended("clean", 10, node=0)
        story.tally.sample([])
    (row,) = story.rows
    assert row.rate(clock.now) == pytest.approx(20, rel=0.1)
    assert row.seconds_left(clock.now) == pytest.approx(25, rel=0.1)


def test_few_long_calls_have_a_rate_as_well(story, clock):
    story.run().add("map", "train", 0, length=4)
    story.tally.sample([UnderWay("r", 0, "train", 2)])
    clock.now += 60
    story.ended("train", 2, node=0)
    story.tally.sample([UnderWay("r", 0, "train", 2)])
    (row,) = story.rows
    assert row.running == 2
    assert row.seconds_left(clock.now) == pytest.approx(60)


def test_runs_that_have_ended_are_taken_once(story):
    story.run().add("map", "clean", 0).over()
    story.run("second", "etl").add("map", "clean", 0, run_id="second")
    assert [board.run_id for board in story.tally.take_ended()] == ["r"]
    assert story.tally.take_ended() == []
    assert [board.run_id for board in story.tally.boards] == ["second"]
    story.ended("clean", 1, node=0)
    assert story.told() == [("clean", 0, 1)]
