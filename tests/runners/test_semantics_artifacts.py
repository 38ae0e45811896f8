"""Artifacts: from flows, from tasks on every runner, and outside runs."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from dataflow import flow, records, runtime, task
from dataflow.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from dataflow.errors import ArtifactError, ArtifactNotFound
from tests.runners.conftest import BATCHES, RUNNERS
from tests.runners.stored import run_of


@task
def shows(x: int) -> str:
    return create_markdown_artifact(f"# {x}", key="title", description=f"number {x}")


@pytest.mark.parametrize("runner", [*RUNNERS, *BATCHES], indirect=True)
def test_from_flows_and_tasks(runner: str) -> None:
    @flow
    def showing() -> list[str]:
        create_table_artifact([{"a": 1}], key="table")
        return [*shows.map(range(10)).result(), shows.submit(10).result(), shows(11)]

    made = showing()
    run = run_of(showing)
    found = run.artifacts("title")
    assert {each.id: each.data for each in found} == {
        each: f"# {number}" for number, each in enumerate(made)
    }
    assert sorted(each.version for each in found) == list(range(1, 13))
    places = {each.data: (each.node, each.index) for each in found}
    assert places["# 7"] == (run.node("shows-0").node, 7)
    assert places["# 10"] == (run.node("shows-1").node, 0)
    assert places["# 11"] == (run.node("shows-2").node, 0)
    (table,) = records.artifacts("table")
    assert (table.run_id, table.node, table.description) == (run.id, None, None)
    assert {each.key for each in records.artifacts(latest=True)} == {"title", "table"}
    assert len(records.artifacts(run=run)) == len(records.artifacts(run=run.name)) == 13


def test_progress_from_task_to_task(runner: str) -> None:
    @task
    def begin() -> str:
        return create_progress_artifact(0, description="begun")

    @task
    def go_on(progress: str, percent: int) -> str:
        return update_progress_artifact(progress, percent)

    @flow
    def moves() -> str:
        progress = begin.submit()
        for percent in (30, 60):
            progress = go_on.submit(progress, percent)
        return progress.result()

    artifact_id = moves()
    (found,) = records.artifacts(type="progress")
    assert (found.id, found.data, found.description) == (artifact_id, 60, "begun")
    assert found.updated > found.created
    update_progress_artifact(UUID(artifact_id), 100, "over")  # outside runs
    (found,) = records.artifacts(type="progress")
    assert (found.data, found.description) == (100, "over")


def test_progress_is_seen_while_a_task_runs(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("the body itself carries out the task")

    @task
    def works(folder: str) -> None:
        artifact_id = create_progress_artifact(0.0)
        update_progress_artifact(artifact_id, 50.0)
        deadline = time.monotonic() + 60
        while not Path(folder, "seen").exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    @flow
    def watched() -> list[float]:
        future = works.submit(str(tmp_path))
        deadline = time.monotonic() + 50
        while not (seen := records.artifacts(type="progress")) or seen[0].data != 50.0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not future.state.is_final()
        (tmp_path / "seen").touch()
        return [each.data for each in seen]

    assert watched() == [50.0]


@task(retries=1)
def shows_each_attempt() -> None:
    create_markdown_artifact("an attempt", key="attempts")
    if runtime.task_run.run_count == 1:
        raise ValueError("first")


def test_attempts_are_told_apart(runner: str) -> None:
    @flow
    def tries() -> None:
        shows_each_attempt.submit().result()

    tries()
    assert sorted(each.attempt for each in records.artifacts("attempts")) == [1, 2]


def test_from_tasks_and_flows_inside_tasks(runner: str) -> None:
    @flow
    def inner() -> str:
        return create_markdown_artifact("inner", key="inner")

    @task
    def outer() -> list[str]:
        return [inner(), shows(1), shows.submit(2).result()]

    @flow
    def nested() -> list[str]:
        return outer.submit().result()

    made = nested()
    assert {each.id for each in records.artifacts()} == set(made)
    known = {run.id for run in records.runs(limit=None)}
    assert all(each.run_id in known for each in records.artifacts())


def test_awaited(runner: str) -> None:
    @task
    async def each(x: int) -> str:
        return await acreate_markdown_artifact(str(x), key="awaited")

    @flow
    async def awaits() -> list[str]:
        progress = await acreate_progress_artifact(1)
        await aupdate_progress_artifact(progress, 2)
        return [
            *each.map(range(3)).result(),
            progress,
            await each(3),
            await acreate_table_artifact({"a": [1]}),
            await acreate_link_artifact("https://example.org"),
            await acreate_image_artifact("https://example.org/a.png"),
        ]

    made = asyncio.run(awaits())
    assert {each.id for each in records.artifacts()} == set(made)
    assert {each.data for each in records.artifacts("awaited")} == {"0", "1", "2", "3"}


def test_outside_runs() -> None:
    create_link_artifact("https://example.org", "an example", key="link")
    create_image_artifact("https://example.org/a.png", description="a picture")
    image, link = records.artifacts()
    assert (link.type, link.data) == ("link", "[an example](https://example.org)")
    assert (image.type, image.data) == ("image", "https://example.org/a.png")
    assert link.run_id is None
    assert records.get_artifact("link") == records.get_artifact(link.id) == link
    assert records.delete_artifacts(image.id) == 1
    with pytest.raises(ArtifactNotFound, match="image"):
        records.get_artifact("image")


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        ([{"a": 1, "b": "x"}], [{"a": 1, "b": "x"}]),
        ({"a": (1, 2), "b": range(2)}, {"a": [1, 2], "b": [0, 1]}),
        ([[1, 2], (3, None)], [[1, 2], [3, None]]),
        ([], []),
        (
            [{"a": float("nan"), "b": np.float64(2), "c": Path("x")}],
            [{"a": None, "b": 2, "c": "x"}],
        ),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    ],
)
def test_tables(table: Any, shown: Any) -> None:
    create_table_artifact(table)
    assert records.artifacts()[0].data == shown


@pytest.mark.parametrize("key", ["", "Title", "a_b", "a b", "ä", 3])
def test_keys_are_checked(key: Any) -> None:
    with pytest.raises(ArtifactError, match="cannot be used"):
        create_markdown_artifact("x", key=key)
    assert records.artifacts() == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: create_markdown_artifact(3),
        lambda: create_markdown_artifact(""),
        lambda: create_link_artifact(None),
        lambda: create_image_artifact(b"x"),
        lambda: create_table_artifact("text"),
        lambda: create_table_artifact([1, 2]),
        lambda: create_progress_artifact("much"),
        lambda: create_progress_artifact(float("nan")),
        lambda: update_progress_artifact("no id", 3),
    ],
)
def test_what_cannot_be_shown(call: Any) -> None:
    with pytest.raises(ArtifactError):
        call()
    assert records.artifacts() == []


def test_progress_stays_within_bounds() -> None:
    @flow
    def beyond() -> None:
        create_progress_artifact(101)

    beyond()
    assert records.artifacts()[0].data == 100
    assert any("101 %" in line.message for line in run_of(beyond).logs())
    with pytest.raises(ArtifactNotFound):
        update_progress_artifact("0" * 32, 3)


def test_a_rehearsal_shows_nothing() -> None:
    @flow
    def shown() -> None:
        create_markdown_artifact("x")
        shows.submit(1)

    shown.trace()
    assert records.artifacts() == []


def test_many_artifacts_of_one_batch(runner: str) -> None:
    @task
    def busy(x: int) -> int:
        progress = create_progress_artifact(0)
        for percent in range(100):
            update_progress_artifact(progress, percent)
        return os.getpid()

    @flow
    def many() -> None:
        busy.map(range(20)).wait()

    many()
    assert [each.data for each in records.artifacts(limit=None)] == [99] * 20
