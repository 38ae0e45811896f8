"""``dataflow.__all__`` is what users have: every name is there and says what it is."""

from __future__ import annotations

import inspect

import pytest

import dataflow

EXPECTED = {
    "DaskTaskRunner",
    "FutureList",
    "InlineTaskRunner",
    "Parameter",
    "ProcessPoolTaskRunner",
    "State",
    "TaskFuture",
    "ThreadPoolTaskRunner",
    "allow_failure",
    "as_completed",
    "cancel_flow_run",
    "concurrency",
    "exponential_backoff",
    "flow",
    "get_run_logger",
    "get_transaction",
    "pause_flow_run",
    "quote",
    "rate_limit",
    "resume_flow_run",
    "runtime",
    "suspend_flow_run",
    "tags",
    "task",
    "transaction",
    "unmapped",
    "wait",
}
STATE_CONSTRUCTORS = {
    "AwaitingRetry",
    "Cached",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "Suspended",
    "TimedOut",
}


def test_the_promised_names_are_public() -> None:
    assert not (EXPECTED | STATE_CONSTRUCTORS) - set(dataflow.__all__)


def test_names_are_listed_once_and_by_dir() -> None:
    assert len(set(dataflow.__all__)) == len(dataflow.__all__)
    assert set(dataflow.__all__) <= set(dir(dataflow))


@pytest.mark.parametrize("name", sorted(dataflow.__all__))
def test_public_name_is_importable_and_documented(name: str) -> None:
    found = getattr(dataflow, name)
    if inspect.isroutine(found) or inspect.isclass(found) or inspect.ismodule(found):
        assert inspect.getdoc(found)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(dataflow, "no_such_name")  # noqa: B009
