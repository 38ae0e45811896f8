"""A line to a worker: whole messages over a socket, in both directions.

A message is its length (8 bytes) and a pickle. The flow's side never waits for the socket
(:class:`Line`); a worker's side does (:func:`receive`, :func:`send`).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import selectors
import socket
import struct
from collections import deque
from typing import Any

_HEADER = struct.Struct("<Q")
_READ_BYTES = 1 << 18
_KEPT_BYTES = 1 << 22
_SMALL_BYTES = 1 << 16


class Line:
    """The flow's side of a line.

    Args:
        connection: a stream socket; it becomes non-blocking.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._sent = self._received = 0
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray(_READ_BYTES)  # memory that is there takes half the time
        self._held = 0

    @property
    def moved(self) -> int:
        """Bytes that were sent and received."""
        return self._sent + self._received

    @property
    def events(self) -> int:
        """What to wait for (see ``selectors``)."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)

    def send(self, message: bytes) -> bool:
        """Send a message; False if the socket took only a part, and :meth:`flush` has to go on."""
        self._outgoing.append(memoryview(_HEADER.pack(len(message)) + message))
        self._sent += _HEADER.size + len(message)
        return len(self._outgoing) == 1 and self.flush()

    def flush(self) -> bool:
        """Send what the socket takes now; whether that is all."""
        outgoing = self._outgoing
        while outgoing:
            try:
                sent = self.connection.send(outgoing[0])
            except BlockingIOError:
                return False
            except OSError:
                outgoing.clear()  # it is gone; the reading side finds out
                break
            if sent < len(outgoing[0]):
                outgoing[0] = outgoing[0][sent:]
            else:
                outgoing.popleft()
        return True

    def receive(self) -> list[Any] | None:
        """The messages that are whole by now; None: the worker has hung up."""
        try:
            count = self._read()
        except BlockingIOError:
            return []
        except OSError:
            count = 0
        if not count:
            return None
        self._received += count
        return self._whole_messages()

    def drain(self) -> list[Any]:
        """What a worker that has ended had sent before."""
        messages = []
        with contextlib.suppress(OSError):
            while self._read():
                messages += self._whole_messages()
        return messages

    def _read(self) -> int:
        """Take what has come, as far as there is room; how many bytes that is."""
        with memoryview(self._incoming) as whole, whole[self._held :] as room:
            count = self.connection.recv_into(room)
        self._held += count
        return count

    def _whole_messages(self) -> list[Any]:
        messages = []
        at, needed = 0, _HEADER.size
        with memoryview(self._incoming) as whole, whole[: self._held] as held:
            while len(held) - at >= _HEADER.size:
                (size,) = _HEADER.unpack_from(held, at)
                start = at + _HEADER.size
                if len(held) - start < size:
                    needed += size
                    break
                at = start + size
                with held[start:at] as message:
                    messages.append(pickle.loads(message))
        self._let_go(at, needed)
        return messages

    def _let_go(self, done: int, needed: int) -> None:
        """Forget so many bytes; have room for so many, with what comes next."""
        before, rest = self._incoming, self._held - done
        if not needed <= len(before) <= max(needed, _KEPT_BYTES):
            self._incoming = bytearray(max(needed, _READ_BYTES))
        if done or self._incoming is not before:
            self._incoming[:rest] = before[done : self._held]
        self._held = rest

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class LineWaiter:
    """Waits until something can be done for one of many lines, or until it is woken."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)

    def add(self, connection: socket.socket, owner: Any) -> None:
        """Wait for what comes over this socket, too; ``owner`` says whose it is."""
        self._selector.register(connection, selectors.EVENT_READ, owner)

    def watch(self, line: Line) -> None:
        """Wait for what a line that was added is good for now."""
        key = self._selector.get_map().get(line.connection)
        if key is not None and key.events != line.events:
            self._selector.modify(line.connection, line.events, key.data)

    def remove(self, connection: socket.socket) -> None:
        """Do not wait for this socket any more, if it still is waited for."""
        if connection in self._selector.get_map():
            self._selector.unregister(connection)

    def wait(self, seconds: float | None) -> list[tuple[Any, int]]:
        """Wait for at most so long.

        Returns:
            The owners for whose sockets something can be done, and the events (see ``selectors``).
        """
        found = []
        for key, events in self._selector.select(seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                found.append((key.data, events))
        return found

    def wake(self) -> None:
        """End the wait of the thread that waits."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Give back what it holds; nobody may wait or wake any more."""
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def send(connection: socket.socket, message: Any) -> None:
    """Send a message from a worker, and wait until the socket has taken it."""
    data = pickle.dumps(message, 5)
    header = _HEADER.pack(len(data))
    if len(data) < _SMALL_BYTES:
        connection.sendall(header + data)
    else:  # sending twice costs less than a copy
        connection.sendall(header)
        connection.sendall(data)


def receive(connection: socket.socket) -> Any:
    """The next message for a worker.

    Raises:
        EOFError: the other side hung up.
    """
    (size,) = _HEADER.unpack(_receive_exactly(connection, _HEADER.size))
    return pickle.loads(_receive_exactly(connection, size))


def has_message(connection: socket.socket, seconds: float = 0.0) -> bool:
    """Whether something has come for a worker, or comes in time, or the other side hung up."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(int(1000 * seconds)))


def _receive_exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return data
