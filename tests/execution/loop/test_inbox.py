"""Messages of a thread: taken in their order, those for later when their time has come."""

from __future__ import annotations

from functools import partial

from dataflow.execution.loop.inbox import Inbox, Message


def taken(inbox: Inbox, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        found += inbox.take()
    return found


def messages(count: int) -> list[Message]:
    return [partial(print, number) for number in range(count)]


def test_messages_are_taken_in_their_order_and_not_all_at_once() -> None:
    inbox, given = Inbox(), messages(250)
    for message in given:
        inbox.put(message)
    first = inbox.take()
    assert 1 < len(first) < len(given)
    assert [*first, *taken(inbox, len(given) - len(first))] == given


def test_what_is_put_for_later_comes_when_its_time_has_come() -> None:
    inbox, (now, soon, same, later) = Inbox(), messages(4)
    inbox.put_later(0.0, soon)
    inbox.put_later(0.0, same)
    inbox.put_later(0.02, later)
    inbox.put(now)
    assert taken(inbox, 4) == [now, soon, same, later]


def test_what_was_put_for_later_can_be_dropped() -> None:
    inbox, (late, at_once) = Inbox(), messages(2)
    inbox.put_later(0.0, late)
    inbox.drop_later()
    inbox.put(at_once)
    assert inbox.take() == [at_once]
