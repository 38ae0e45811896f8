"""A line to a PostgreSQL server that tests can cut: connections through it break, new ones fail.

Where the server listens at a socket in one folder, the line listens at one in another.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

_SOCKET = ".s.PGSQL.5432"


class Line:
    """The line; ``with`` takes it down at the end.

    Attributes:
        refused: how many connections were tried in vain.
        watched: when a client sends this, the line is cut ...
        delivers: ... before it is delivered, or before it is answered.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = str(server / _SOCKET)
        self._is_cut = False
        self._open: list[socket.socket] = []
        self._changed = threading.Condition()
        self.refused = 0
        self.watched = b""
        self.delivers = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / _SOCKET))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def cut(self) -> None:
        """Break what is connected, and let nobody through."""
        with self._changed:
            self._is_cut = True
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everybody through again."""
        with self._changed:
            self._is_cut = False

    def mend_after(self, refused: int) -> None:
        """Let everybody through once so many more were refused; returns at once."""
        goal = self.refused + refused
        thread = threading.Thread(target=self._mend_at, args=(goal,))
        self._threads.append(thread)
        thread.start()

    def _mend_at(self, goal: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.refused >= goal, timeout=60)
        self.mend()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._changed:
                    if self._is_cut:
                        self.refused += 1
                        self._changed.notify_all()
                        client.close()
                        continue
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(self._server)
                    self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    thread = threading.Thread(target=self._carry, args=(source, target, client))
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is client and self.watched and self.watched in data:
                    self.watched = b""
                    client.shutdown(socket.SHUT_RDWR)  # so that nobody gets the answer
                    if self.delivers:
                        target.sendall(data)
                    self.cut()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
