"""Transactions: committed together, or rolled back in reverse, on every runner."""

from __future__ import annotations

import asyncio
import time

import pytest

from dataflow import flow, get_transaction, task, transaction
from dataflow.errors import UnhandledTaskFailure
from tests.runners.stored import run_of

heard: list[tuple[str, ...]] = []


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    heard.clear()


def undo(part) -> None:
    heard.append(("undo", part.get("what")))


def keep(part) -> None:
    heard.append(("keep", part.get("what")))


@task
def write(what):
    part = get_transaction()
    assert part is not None
    part.set("what", what)
    return what


@task
def fail():
    raise ValueError("no")


kept = write.with_options(on_rollback=[undo], on_commit=[keep])


def test_what_completed_is_rolled_back_the_last_first(runner: str) -> None:
    @flow
    def whole():
        with transaction():
            kept("a")
            kept.submit("b").wait()
            kept.map(["c", "d"]).wait()
            fail()

    with pytest.raises(ValueError, match="no"):
        whole()
    assert heard == [("undo", "d"), ("undo", "c"), ("undo", "b"), ("undo", "a")]
    counts = [node.counts for node in run_of(whole).nodes()]
    assert counts == [{"RolledBack": 1}, {"RolledBack": 1}, {"RolledBack": 2}, {"Failed": 1}]
    assert run_of(whole).state.name == "Failed"


def test_what_ended_well_is_committed_in_order(runner: str) -> None:
    @flow
    def whole():
        with transaction() as outer:
            kept.submit("a")
            kept("b")
            assert outer.is_active()
        assert outer.is_committed()
        return outer.state.value

    assert whole() == "COMMITTED"
    assert heard == [("keep", "a"), ("keep", "b")]
    assert [node.counts for node in run_of(whole).nodes()] == [{"Completed": 1}] * 2


def test_a_failed_task_run_that_nobody_looked_at_rolls_back(runner: str) -> None:
    @flow
    def whole():
        with transaction() as outer:
            kept.submit("a")
            fail.submit()
        assert outer.is_rolled_back()

    with pytest.raises(UnhandledTaskFailure):
        whole()
    assert heard == [("undo", "a")]


def test_one_that_was_looked_at_does_not(runner: str) -> None:
    @flow
    def whole():
        with transaction():
            kept.submit("a")
            assert isinstance(fail.submit().result(raise_on_failure=False), ValueError)
        return "fine"

    assert whole() == "fine"
    assert heard == [("keep", "a")]


def test_inner_ones_wait_for_the_outer_one(runner: str) -> None:
    @flow
    def whole(fails: bool):
        with transaction() as outer:
            outer.set("shared", "outer's")
            with transaction() as first:
                kept.submit("a")
                assert first.get("shared") == "outer's"
            assert first.is_staged()
            with transaction():
                kept.submit("b")
            if fails:
                fail()

    whole(False)
    assert heard == [("keep", "a"), ("keep", "b")]
    heard.clear()
    with pytest.raises(ValueError):
        whole(True)
    assert heard == [("undo", "b"), ("undo", "a")]


def test_an_inner_one_that_fails_alone_is_undone_alone(runner: str) -> None:
    @flow
    def whole():
        with transaction():
            kept("a")
            with pytest.raises(ValueError), transaction():
                kept("b")
                fail()
            kept("c")

    whole()
    assert heard == [("undo", "b"), ("keep", "a"), ("keep", "c")]


def test_a_key_is_committed_once(runner: str) -> None:
    @flow
    def whole(fails: bool = False, overwrite: bool = False):
        with transaction(key="load-2013", overwrite=overwrite) as outer:
            if not outer.is_committed():
                kept("a")
                if fails:
                    fail()
                return "done"
        return "was done"

    with pytest.raises(ValueError):
        whole(fails=True)
    assert [whole(), whole(), whole(overwrite=True), whole()] == [
        "done",
        "was done",
        "done",
        "was done",
    ]
    assert heard == [("undo", "a"), ("keep", "a"), ("keep", "a")]


def test_hooks_of_its_own_and_values(runner: str) -> None:
    @flow
    def whole(fails: bool):
        with transaction() as outer:
            assert get_transaction() is outer
            outer.stage(
                "value",
                on_rollback_hooks=[lambda part: heard.append(("undo", part.get("staged")))],
                on_commit_hooks=[lambda part: heard.append(("keep", part.get("staged")))],
            )
            with pytest.raises(ValueError, match="No value 'nothing'"):
                outer.get("nothing")
            assert outer.get("nothing", 3) == 3
            if fails:
                raise KeyError("x")
        assert get_transaction() is None

    whole(False)
    with pytest.raises(KeyError):
        whole(True)
    assert heard == [("keep", "value"), ("undo", "value")]


def test_a_hook_that_raises_harms_nothing(runner: str) -> None:
    def bad(part) -> None:
        raise RuntimeError("bad hook")

    broken = kept.with_options(on_rollback=[bad, undo])

    @flow
    def whole():
        with transaction():
            broken("a")
            fail()

    with pytest.raises(ValueError, match="no"):
        whole()
    assert heard == [("undo", "a")]
    assert any("bad hook" in line.message for line in run_of(whole).logs())


def test_that_it_completed_is_told_before_it_is_rolled_back(runner: str) -> None:
    def slow(_task, run, _state) -> None:
        time.sleep(0.1)
        heard.append(("slow", run.name))

    def told(_task, run, state) -> None:
        heard.append((state.name, run.name, state.data))

    hooked = write.with_options(on_completion=[slow, told], on_rollback=[undo])

    @flow
    def whole():
        with transaction():
            hooked.submit("a").wait()
            hooked.map(["b"]).wait()
            fail()

    with pytest.raises(ValueError, match="no"):
        whole()
    assert heard == [
        ("slow", "write-0"),
        ("Completed", "write-0", "a"),
        ("slow", "write-1[0]"),
        ("Completed", "write-1[0]", "b"),
        ("undo", "b"),
        ("undo", "a"),
    ]


def test_outside_of_transactions_no_hook_is_called(runner: str) -> None:
    @flow
    def whole():
        kept("a")
        kept.submit("b")
        fail()

    with pytest.raises(ValueError):
        whole()
    assert heard == []


def test_async_flows_have_transactions(runner: str) -> None:
    @flow
    async def whole(fails: bool):
        async with transaction():
            kept.submit("a")
            await asyncio.sleep(0)
            if fails:
                raise KeyError("x")

    asyncio.run(whole(False))
    with pytest.raises(KeyError):
        asyncio.run(whole(True))
    assert heard == [("keep", "a"), ("undo", "a")]


def test_what_a_subflow_did_belongs_to_the_transaction_around_it(runner: str) -> None:
    @flow
    def inner():
        kept.submit("a")

    @flow
    def whole():
        with transaction():
            inner()
            fail()

    with pytest.raises(ValueError):
        whole()
    assert heard == [("undo", "a")]
    assert run_of(inner).node("write-0").counts == {"RolledBack": 1}


def test_hooks_are_given_by_decorators(runner: str) -> None:
    decorated = write.with_options(name="decorated")
    assert decorated.on_rollback(undo) is undo
    assert decorated.on_commit(keep) is keep

    @flow
    def whole():
        with transaction():
            decorated.submit("a")

    whole()
    assert heard == [("keep", "a")]
