"""How often and after how long."""

from __future__ import annotations

import itertools
import pickle
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.model.retry_policy import (
    MAX_DELAYS,
    RetryPolicy,
    exponential_backoff,
    make_retry_policy,
)

QUICK = settings(max_examples=50, deadline=None)

seconds = st.floats(0, 1e6)
shares = st.floats(0, 1)


def test_nothing_given_is_no_retries():
    policy = make_retry_policy(None)
    assert policy == RetryPolicy()
    assert policy.retries == 0
    assert not policy.has_delays
    assert policy.delay_before(1) == 0


@QUICK
@given(st.lists(seconds, max_size=MAX_DELAYS), st.integers(1, 100))
def test_the_last_delay_is_repeated(delays, retry):
    policy = make_retry_policy(100, delays)
    expected = delays[min(retry, len(delays)) - 1] if delays else 0
    assert policy.delay_before(retry) == expected
    assert policy.has_delays == any(delays)


@QUICK
@given(seconds, st.floats(0, 10), shares)
def test_jitter_only_lengthens(delay, factor, share):
    policy = make_retry_policy(1, delay, factor)
    found = policy.delay_before(1, share)
    assert delay <= found <= delay * (1 + factor) * (1 + 1e-9)


@QUICK
@given(st.lists(seconds, min_size=1, max_size=MAX_DELAYS), st.floats(0, 10), shares)
def test_more_jitter_never_shortens(delays, factor, share):
    policy = make_retry_policy(len(delays), delays, factor)
    for retry in range(1, len(delays) + 3):
        assert policy.delay_before(retry, 0) <= policy.delay_before(retry, share)
        assert policy.delay_before(retry, share) <= policy.delay_before(retry, 1)


@QUICK
@given(seconds, st.integers(0, 100))
def test_exponential_backoff_doubles(factor, retries):
    delays = make_retry_policy(retries, exponential_backoff(factor / 2**MAX_DELAYS)).delays
    assert len(delays) == min(retries, MAX_DELAYS)
    assert all(after == 2 * before for before, after in itertools.pairwise(delays))


def test_jitter_is_random():
    policy = make_retry_policy(1, 10, 0.5)
    found = {policy.delay_before(1) for _ in range(20)}
    assert len(found) > 1
    assert all(10 <= delay <= 15 for delay in found)


@pytest.mark.parametrize("delays", [3, 3.0, [3], (3,), lambda retries: [3] * retries])
def test_delays_in_every_form(delays):
    policy = make_retry_policy(2, delays)
    assert policy.delay_before(1) == policy.delay_before(2) == 3


def test_exponential_backoff():
    policy = make_retry_policy(4, exponential_backoff(backoff_factor=10))
    assert [policy.delay_before(retry) for retry in range(1, 6)] == [10, 20, 40, 80, 80]


def test_exponential_backoff_of_very_many():
    policy = make_retry_policy(1000, exponential_backoff(0.001))
    assert len(policy.delays) == MAX_DELAYS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": -1}, "retries must be 0 or more, not -1"),
        ({"retries": 1, "delays": -1}, "retry_delay_seconds must be 0 or more"),
        ({"retries": 1, "delays": [1, -2]}, "not -2"),
        ({"retries": 1, "delays": [1] * 51}, "no more than 50"),
        ({"retries": 1, "jitter_factor": -0.1}, "retry_jitter_factor must be 0 or more"),
        ({"retries": 1, "delays": itertools.repeat(1)}, "no more than 50"),
        ({"retries": 1, "delays": lambda retries: itertools.count()}, "no more than 50"),
        ({"retries": 3, "delays": exponential_backoff(-1)}, "retry_delay_seconds must be 0"),
        ({"retries": 3, "delays": exponential_backoff(1e308)}, "finite, not inf"),
        ({"retries": 1, "delays": 10**400}, "retry_delay_seconds must be 0 or more, and finite"),
        ({"retries": 1, "delays": Decimal("sNaN")}, "retry_delay_seconds"),
        ({"retries": 1, "jitter_factor": float("inf")}, "retry_jitter_factor"),
        ({"retries": 1, "delays": float("nan")}, "retry_delay_seconds"),
        ({"retries": 1, "jitter_factor": float("nan")}, "retry_jitter_factor"),
    ],
)
def test_numbers_that_make_no_sense(options, said):
    with pytest.raises(ValueError, match=said):
        make_retry_policy(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retries": 1, "condition": 3}, "retry_condition_fn must be callable"),
        ({"retries": "3"}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"retries": 1, "delays": "10"}, "retry_delay_seconds"),
        ({"retries": 1, "delays": ["a"]}, "retry_delay_seconds"),
    ],
)
def test_what_is_no_number(options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        make_retry_policy(**options)


def test_policies_travel():
    policy = make_retry_policy(3, exponential_backoff(2), 0.5)
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert pickle.loads(pickle.dumps(exponential_backoff(2))) == exponential_backoff(2)
