"""Messages over a socket: whole, in order, and without waiting on the flow's side."""

from __future__ import annotations

import pickle
import selectors
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.line import Line, LineWaiter, receive, send


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield Line(ours), theirs
    ours.close()
    theirs.close()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=300_000), max_size=8))
def test_messages_come_whole_and_in_order(messages: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        line = Line(ours)
        received: list[bytes] = []
        reader = threading.Thread(
            target=lambda: received.extend(receive(theirs) for _ in messages), daemon=True
        )
        reader.start()
        for message in messages:
            line.send(pickle.dumps(message))
        while not line.flush():
            pass
        reader.join(60)
        assert received == messages

        writer = threading.Thread(target=lambda: [send(theirs, each) for each in messages])
        writer.start()
        back: list[bytes] = []
        while len(back) < len(messages):
            back += line.receive() or []
        writer.join(60)
        assert back == messages
        assert line.moved >= 2 * sum(map(len, messages))


def test_a_socket_that_is_full_is_not_waited_for(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    assert line.events == selectors.EVENT_READ
    assert not line.send(pickle.dumps(b"x" * 20_000_000))
    assert line.events == selectors.EVENT_READ | selectors.EVENT_WRITE
    assert not line.send(pickle.dumps("after it"))
    reader = threading.Thread(target=lambda: received.append((receive(theirs), receive(theirs))))
    received: list[tuple[bytes, str]] = []
    reader.start()
    while not line.flush():
        pass
    reader.join(60)
    assert [(len(first), second) for first, second in received] == [(20_000_000, "after it")]


def test_a_large_message_is_read_into_one_place(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    sizes = [20_000_000, 10, 3_000_000]
    writer = threading.Thread(target=lambda: [send(theirs, b"x" * size) for size in sizes])
    writer.start()
    back: list[bytes] = []
    places: list[bytearray] = []
    while len(back) < len(sizes):
        back += line.receive() or []
        if not places or places[-1] is not line._incoming:
            places.append(line._incoming)
    writer.join(60)
    assert list(map(len, back)) == sizes
    assert len(places) <= 4  # and not one for each part that came


def test_what_was_sent_before_the_end_is_found(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    send(theirs, "one")
    send(theirs, "two")
    theirs.sendall(b"\x10\0\0")  # the beginning of another
    theirs.close()
    assert line.drain() == ["one", "two"]
    assert line.receive() is None


def test_nobody_is_there_any_more(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    theirs.close()
    assert line.receive() is None
    for _ in range(3):
        assert line.send(pickle.dumps(1))  # whoever reads finds out


def test_a_worker_is_told_that_the_flow_hung_up(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    line.close()
    with pytest.raises(EOFError):
        receive(theirs)


def test_waiting_for_lines_and_being_woken(ends: tuple[Line, socket.socket]) -> None:
    line, theirs = ends
    waiter = LineWaiter()
    waiter.add(line.connection, "its owner")
    assert waiter.wait(0) == []
    threading.Timer(0.02, waiter.wake).start()
    assert waiter.wait(60) == []
    send(theirs, 1)
    assert waiter.wait(60) == [("its owner", selectors.EVENT_READ)]
    assert line.receive() == [1]
    line.send(pickle.dumps(b"x" * 20_000_000))
    waiter.watch(line)
    reader = threading.Thread(target=receive, args=[theirs])
    reader.start()
    assert waiter.wait(60) == [("its owner", selectors.EVENT_WRITE)]
    while not line.flush():
        pass
    reader.join(60)
    waiter.remove(line.connection)
    waiter.remove(line.connection)
    waiter.watch(line)
    assert waiter.wait(0) == []
    waiter.close()
