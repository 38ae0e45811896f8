"""The batches that Dask has: those that were cancelled are not sent, each lands once."""

from __future__ import annotations

from typing import Any, NoReturn

from runners.dask.flights import Flight, Flights, Outgoing, key_of
from tests.worker.one_call import batch, plain


def outgoing(*numbers: int) -> list[Outgoing]:
    return [Outgoing(Flight(batch(plain, number)), b"", []) for number in numbers]


def futures(sent: list[Outgoing]) -> list[Any]:
    return [f"future of {each.flight.batch.id}" for each in sent]


def refused(sent: list[Outgoing]) -> NoReturn:
    raise AssertionError(sent)


def test_what_was_cancelled_before_is_not_sent() -> None:
    flights = Flights()
    assert flights.cancel([2]) == []
    sent = flights.take_off(outgoing(1, 2, 3), futures)
    assert [flight.future for flight in sent] == ["future of 1", "future of 3"]
    assert [each.id for each in flights.batches()] == [1, 3]
    assert flights.find(2) is None


def test_nothing_is_sent_if_all_was_cancelled() -> None:
    flights = Flights()
    flights.cancel([1])
    assert flights.take_off(outgoing(1), refused) == []
    assert not flights


def test_each_lands_once() -> None:
    flights = Flights()
    (flight,) = flights.take_off(outgoing(1), futures)
    assert flights.land(1) is flight
    assert flights.land(1) is None
    assert flights.cancel([1]) == []


def test_those_of_a_worker_are_found_by_their_keys() -> None:
    flights = Flights()
    sent = flights.take_off(outgoing(3, 1, 2), futures)
    keys = [key_of(flight.batch) for flight in sent if flight.batch.id != 2]
    named = flights.with_keys([*keys, "a task of somebody else's", ("constant", 2)])
    assert sorted(each.batch.id for each in named) == [1, 3]
