"""The hash of a call does not depend on how its arguments are passed."""

from __future__ import annotations

import threading

import pytest

from dataflow import task
from dataflow.hashing.calls import NO_DIGEST, CallHasher, UnhashableArgument


@task
def work(x, y=2, *rest, z=3, **more):
    return x


def test_position_or_name_or_default_is_the_same():
    hasher = CallHasher(work)
    digests = {
        hasher.digest((1,), {}),
        hasher.digest((1, 2), {}),
        hasher.digest((), {"x": 1}),
        hasher.digest((), {"z": 3, "y": 2, "x": 1}),
    }
    assert len(digests) == 1
    others = [((2,), {}), ((1, 3), {}), ((1, 2, 3), {}), ((1,), {"z": 4}), ((1,), {"more": 1})]
    assert len({hasher.digest(*each) for each in others} | digests) == len(others) + 1


def test_arguments_that_are_left_out_do_not_count():
    hasher = CallHasher(work, ["y"])
    assert hasher.digest((1, 2), {}) == hasher.digest((1, 5), {})
    assert hasher.digest((1, threading.Lock()), {}) == hasher.digest((1,), {})


def test_an_argument_that_cannot_be_hashed_is_named():
    with pytest.raises(UnhashableArgument, match=r"'y'.*lock") as caught:
        CallHasher(work).digest((1, threading.Lock()), {})
    assert caught.value.argument == "y"
    assert CallHasher(work).digest_or_none((1, threading.Lock()), {}) == NO_DIGEST
