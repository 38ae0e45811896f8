"""Variables: in flows, in tasks on every runner, and outside runs it is one store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dataflow import Variable, flow, records, task
from dataflow.errors import StoreError, StoreUnreachable, VariableError, VariableExists
from dataflow.execution import here
from dataflow.model.batches import Batch, CallBody, RunInfo, StoreAddress
from dataflow.testing import dataflow_test_harness
from dataflow.worker.call_context import CallContext


def test_outside_runs() -> None:
    assert Variable.get("region") is None
    assert Variable.get("region", "us") == "us"
    made = Variable.set("region", {"is": ["eu", 1, None]}, tags=["b", "a", "b"])
    assert (made.name, made.value, made.tags) == ("region", {"is": ["eu", 1, None]}, ("a", "b"))
    assert Variable.get("region", default="us") == {"is": ["eu", 1, None]}
    with pytest.raises(VariableExists, match="region") as caught:
        Variable.set("region", 2)
    assert isinstance(caught.value, ValueError)
    assert "overwrite=True" in (caught.value.hint or "")
    Variable.set("region", None, overwrite=True)
    assert Variable.get("region", "us") is None
    assert records.variables()[0].tags == ()
    assert Variable.unset("region") is True
    assert Variable.unset("region") is False
    assert Variable.get("region", "us") == "us"


def test_tags_find_variables() -> None:
    Variable.set("a", 1, tags=["x", "y"])
    Variable.set("b", 2, tags=["y"])
    assert [each.name for each in records.variables(tags=["y"])] == ["a", "b"]
    assert [each.name for each in records.variables(tags="x")] == ["a"]
    with pytest.raises(VariableError, match="list of strings"):
        Variable.set("c", 1, tags="xy")


@pytest.mark.parametrize("name", ["", "Region", "a b", "ä", "x" * 256, 3, None])
def test_names_are_checked(name: Any) -> None:
    for call in (Variable.get, Variable.unset, lambda name: Variable.set(name, 1)):
        with pytest.raises(VariableError, match="name of a variable"):
            call(name)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", float("nan"), {"a": Path()}])
def test_values_are_json(value: Any) -> None:
    with pytest.raises(VariableError, match="'odd' cannot be written as JSON"):
        Variable.set("odd", value)
    assert records.variables() == []


@task
def counts_up(x: int) -> int:
    Variable.set(f"seen-{x}", x)
    return Variable.get("base") + x


@task
async def counts_up_async(x: int) -> int:
    await Variable.aset(f"seen-{x}", x, overwrite=True)
    return await Variable.aget("base") + x


def test_flows_and_tasks_share_them(runner: str) -> None:
    @flow
    def shares() -> list[int]:
        Variable.set("base", 100, overwrite=True)
        found = counts_up.map(range(5)).result()
        assert [Variable.get(f"seen-{x}") for x in range(5)] == list(range(5))
        Variable.set("base", 200, overwrite=True)
        return [*found, counts_up.submit(5).result(), counts_up(6)]

    assert shares() == [100, 101, 102, 103, 104, 205, 206]
    assert Variable.get("seen-6") == 6


def test_a_task_finds_the_store_of_its_run(runner: str) -> None:
    """Workers that were started for one store serve runs of another."""

    @flow
    def reads() -> Any:
        return counts_up.submit(1).result(), counts_up.map([2]).result()

    Variable.set("base", 1)
    assert reads() == (2, [3])
    with dataflow_test_harness(None, log_to_terminal=False):
        Variable.set("base", 10)
        assert reads.with_options(task_runner=runner)() == (11, [12])
    assert Variable.get("base") == 1


def test_tasks_inside_tasks_and_flows_inside_tasks(runner: str) -> None:
    @flow
    def inner() -> int:
        return counts_up.submit(3).result()

    @task
    def outer() -> list[int]:
        return [inner(), counts_up(4)]

    @flow
    def nested() -> list[int]:
        return outer.submit().result()

    Variable.set("base", 0)
    assert nested() == [3, 4]
    assert Variable.get("seen-3") == 3


def test_awaited(runner: str) -> None:
    @flow
    async def awaits() -> list[int]:
        await Variable.aset("base", 1)
        found = counts_up_async.map(range(3)).result()
        assert await Variable.aunset("base")
        return found

    assert asyncio.run(awaits()) == [1, 2, 3]


def test_one_of_many_tasks_sets_it(runner: str) -> None:
    @task
    def first(x: int) -> bool:
        try:
            Variable.set("first", x)
        except VariableExists:
            return False
        return True

    @flow
    def race() -> int:
        return sum(first.map(range(20)).result())

    assert race() == 1


def test_a_rehearsal_sets_nothing() -> None:
    @flow
    def sets() -> None:
        Variable.set("set", 1)

    sets.trace()
    assert Variable.get("set") is None


# --- where the store cannot be reached -----------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task run whose flow goes on in another process, and its store is at a place."""
    monkeypatch.setattr(here, "_opened", None)

    def run_at(place: str) -> CallContext:
        run_id = "0" * 32
        info = RunInfo(run_id, "run", "flow", store=StoreAddress(place, run_id))
        batch = Batch(1, info, [], CallBody([], [], [], [], []))
        return CallContext(batch, [], {}, {}, lambda line: None)

    return run_at


def test_a_store_that_is_not_there(elsewhere: Any, tmp_path: Path) -> None:
    place = tmp_path / "gone.db"
    with (
        elsewhere(str(place)).entered(),
        pytest.raises(StoreUnreachable, match="no such file") as caught,
    ):
        Variable.get("base")
    assert str(place) in str(caught.value)
    assert "DATAFLOW_STORE_URL" in (caught.value.hint or "")
    assert not place.exists()


def test_another_store_at_the_same_place(elsewhere: Any, home: Path) -> None:
    Variable.set("base", 1)
    here.let_go_of_store()
    with elsewhere(str(home / "dataflow.db")).entered():
        for call in (Variable.get, lambda name: Variable.set(name, 2), Variable.unset):
            with pytest.raises(StoreUnreachable, match="another store"):
                call("base")
    assert Variable.get("base") == 1


def test_a_password_is_not_shown(elsewhere: Any) -> None:
    place = "nosuch://me:secret@db.example.org/runs"
    with elsewhere(place).entered(), pytest.raises(StoreError) as caught:
        Variable.get("base")
    assert "db.example.org" in caught.value.message
    assert "secret" not in str(caught.value)
