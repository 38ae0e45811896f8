"""Semantics, logging and context, names, and that the store says what the futures say."""

from __future__ import annotations

import datetime
import itertools
import logging
from typing import Any

import pytest

from dataflow import flow, get_run_logger, runtime, tags, task
from dataflow.context import get_run_context
from dataflow.errors import DefinitionError, MissingContextError
from tests.runners.conftest import every_batch_size
from tests.runners.stored import messages_of, run_of

pytestmark = [pytest.mark.usefixtures("runner"), every_batch_size]


@task
def says(x):
    logger = get_run_logger()
    logger.info("first %s", x)
    logger.warning("second %s", x)
    logger.debug("not kept %s", x)
    return x


@task
async def says_async(x):
    get_run_logger().info("async %s", x)


@task(log_prints=True)
def prints(x):
    print("printed", x, sep=": ")
    return x


@flow
def logs():
    get_run_logger().info("in the body")
    says.submit(1)
    says.map(range(3))
    says(7)
    says_async.map([1, 2])
    prints.map([1, 2])
    prints(3)


def test_logs_reach_the_store_in_order_with_their_names() -> None:
    logs()
    run = run_of(logs)
    assert messages_of(run, "says-0") == ["first 1", "second 1"]
    for index in range(3):
        lines = run.logs("says-1", index)
        assert [line.message for line in lines] == [f"first {index}", f"second {index}"]
        assert {line.task_run_name for line in lines} == {f"says-1[{index}]"}
        assert [line.level_name for line in lines] == ["INFO", "WARNING"]
    assert messages_of(run, "says-2") == ["first 7", "second 7"]
    assert [messages_of(run, "says_async-0", n) for n in (0, 1)] == [["async 1"], ["async 2"]]
    assert [messages_of(run, "prints-0", n) for n in (0, 1)] == [["printed: 1"], ["printed: 2"]]
    assert messages_of(run, "prints-1") == ["printed: 3"]
    own = [line.message for line in run.logs() if line.node is None]
    assert "in the body" in own
    moments = [line.timestamp_ns for line in run.logs()]
    assert all(a <= b for a, b in itertools.pairwise(moments))
    element = run.element("says-1", 2)
    assert [line.message for line in element.logs] == ["first 2", "second 2"]


@flow(log_prints=True)
def printing():
    print("from the body")
    plain_print.submit("a")
    plain_print.with_options(log_prints=False).submit("b")
    plain_print("c")


@task
def plain_print(x):
    print(f"print {x}")


def test_log_prints_of_a_flow_holds_for_its_tasks(capfd: pytest.CaptureFixture[str]) -> None:
    printing()
    run = run_of(printing)
    assert sorted(messages_of(run)) == ["print a", "print c"]
    assert "from the body" in [line.message for line in run.logs()]
    assert "print a" not in capfd.readouterr().out


@task(retries=1)
def logs_each_attempt():
    get_run_logger().info("attempt %s", runtime.task_run.run_count)
    if runtime.task_run.run_count == 1:
        raise ValueError("again")


@flow
def attempts():
    logs_each_attempt.submit()


def test_log_lines_know_their_attempt() -> None:
    attempts()
    lines = run_of(attempts).logs("logs_each_attempt-0")
    assert [(line.attempt, line.message) for line in lines if line.message[0] == "a"] == [
        (1, "attempt 1"),
        (2, "attempt 2"),
    ]
    (told,) = [line for line in lines if line.message[0] != "a"]
    assert (told.attempt, told.level_name) == (1, "WARNING")
    assert told.message.endswith("ValueError: again; attempt 2 follows at once")


@flow
def talking_child(x):
    get_run_logger().info("child %s", x)


@task
def calls_a_flow(x):
    talking_child(x)


@flow
def talking_parent():
    calls_a_flow.submit(1)
    talking_child.submit(2)


def test_lines_of_flows_inside_workers_are_shown_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATAFLOW_LOG_TO_TERMINAL", "1")
    talking_parent()
    shown = capfd.readouterr().err
    assert shown.count("- child 1") == shown.count("- child 2") == 1
    assert shown.count("for flow 'talking-child'") == 2


@task
def standard(x):
    logging.getLogger("my.module").info("standard %s", x)
    logging.getLogger("other.module").info("other %s", x)


@flow
def captured():
    standard.with_options(name="captured").map([1, 2])


def test_standard_loggers_can_be_captured(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if runner in ("processes", "dask"):
        pytest.skip("warm workers keep the settings that they were started with")
    monkeypatch.setenv("DATAFLOW_LOG_CAPTURE", "my.module")
    logging.getLogger("my.module").setLevel(logging.INFO)
    captured()
    assert sorted(messages_of(run_of(captured))) == ["standard 1", "standard 2"]


def test_the_logger_outside_a_run() -> None:
    with pytest.raises(MissingContextError):
        get_run_logger()
    with pytest.raises(MissingContextError):
        get_run_context()


# --- runtime -------------------------------------------------------------------------------------


@task
def facts(x, y=2):
    run, mine = runtime.flow_run, runtime.task_run
    context: Any = get_run_context()
    assert context.task_run.name == mine.name
    return {
        "flow": (run.id, run.name, run.flow_name, run.parameters, run.run_count),
        "id": mine.id,
        "name": mine.name,
        "parameters": mine.parameters,
        "run_count": mine.run_count,
        "map_index": mine.map_index,
    }


@flow
def asks(x: int = 3):
    run = runtime.flow_run
    own = (run.id, run.name, run.flow_name, run.parameters, run.run_count)
    assert runtime.task_run.id is None
    assert isinstance(run.scheduled_start_time, datetime.datetime)
    assert run.parent_flow_run_id is None
    assert runtime.deployment.id is None
    futures = [facts.submit(1), *facts.map([5, 6])]
    return own, [(f.task_run_id, f.task_run_name, f.result()) for f in futures], facts(9)


def test_runtime_answers_on_every_runner() -> None:
    own, found, called = asks(x=4)
    run = run_of(asks)
    assert own == (run.id, run.name, "asks", {"x": 4}, 1)
    for run_id, name, told in found:
        assert (told["id"], told["name"]) == (run_id, name)
        assert tuple(told["flow"]) == own
    assert [told["map_index"] for *_, told in found] == [None, 0, 1]
    assert [told["parameters"]["x"] for *_, told in found] == [1, 5, 6]
    assert found[0][2]["parameters"] == {"x": 1, "y": 2}
    assert called["name"] == "facts-2"
    assert called["run_count"] == 1


def test_runtime_outside_a_run_is_none() -> None:
    run, mine = runtime.flow_run, runtime.task_run
    assert (run.id, run.name, run.flow_name, run.parameters, run.run_count) == (None,) * 5
    assert (mine.id, mine.name, mine.parameters, mine.map_index) == (None,) * 4
    assert (runtime.deployment.id, runtime.deployment.name) == (None, None)


@task(tags=["own"])
def tagged(x):
    return sorted(runtime.flow_run.tags or ())


@flow(tags=["of-the-flow"])
def with_tags():
    with tags("a", "b"):
        inside = tagged.submit(1)
    tagged.submit(2)
    return inside


def test_tags() -> None:
    with tags("outer"):
        assert with_tags() == ["of-the-flow", "outer"]
    run = run_of(with_tags)
    assert set(run.tags) == {"of-the-flow", "outer"}
    inside, outside = run.nodes()
    assert set(inside.tags) >= {"own", "a", "b"}
    assert "a" not in outside.tags


# --- names ---------------------------------------------------------------------------------------


@task
def plain(x):
    return x


@flow
def my_long_name():
    plain.submit(1)
    plain.map([1, 2])
    plain(3)
    return plain.with_options(name="other").submit(1)


def test_names_count_calls_within_the_run() -> None:
    assert my_long_name.name == "my-long-name"
    my_long_name()
    run = run_of(my_long_name)
    assert [node.name for node in run.nodes()] == ["plain-0", "plain-1", "plain-2", "other-0"]
    assert run.element("plain-1", 1).name == "plain-1[1]"
    assert run.name.count("-") == 1


def test_a_bad_template_fails_when_decorated() -> None:
    with pytest.raises(DefinitionError, match="nothing"):
        task(task_run_name="{nothing}")(lambda x: x)
    with pytest.raises(DefinitionError, match="nothing"):
        flow(flow_run_name="{nothing}")(lambda x: x)


# --- the store -----------------------------------------------------------------------------------


@task
def odd_fails(x):
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


@flow
def everything():
    futures = [*odd_fails.map(range(20)), odd_fails.submit(1), odd_fails.submit(2)]
    futures += list(plain.map(futures[:4]))
    futures.append(plain.submit(futures[1]))
    for future in futures:
        future.wait()
    return [(f.task_run_name, f.state.type, f.state.name, f.state.message) for f in futures]


def test_the_store_says_what_the_futures_say() -> None:
    told = everything()
    run = run_of(everything)
    kept = []
    for name, *_ in told:
        state = run.element(name).state
        kept.append((name, state.type, state.name, state.message))
    assert kept == told
    counts = {node.name: node.counts for node in run.nodes()}
    assert counts["odd_fails-0"] == {"Completed": 10, "Failed": 10}
    assert counts["plain-0"] == {"Completed": 2, "NotReady": 2}
    assert len(run.failures()) == 11
    assert [state.name for state in run.states()] == ["Pending", "Running", "Completed"]
    assert run.duration_seconds is not None
