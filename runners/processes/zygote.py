"""The zygote: a small process without threads that forks the workers of a pool.

Forking the flow's own process would copy its threads' locks in whatever state they are; starting an
interpreter for each worker takes hundreds of milliseconds. So one fresh interpreter imports what
workers need, once, and forks from there, which takes one or two.

It is told over a socket: ``F`` with two file descriptors (the worker's connection and its board)
forks a worker; it answers and tells of deaths with ``(kind, pid, status)``. When its parent hangs
up it ends all workers, and they end when it does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import select
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

from dataflow.worker.board import BOARD_BYTES

if TYPE_CHECKING:
    from runners.processes.value_files import Folders

FORKED, DIED = b"F", b"D"
ANSWER = struct.Struct("<cqi")


def main(descriptor: int, places: tuple[str, str, int]) -> None:
    """Fork workers on demand until the parent hangs up."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import runners.processes.worker  # noqa: F401 - what the workers need, imported once
    from runners.processes.value_files import Folders

    folders = Folders(*places)

    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    workers: set[int] = set()
    while True:
        ready, _, _ = select.select([control.fileno(), wake_read], [], [])
        if wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _reap(control, workers)
        if control.fileno() in ready and not _serve(
            control, workers, folders, (wake_read, wake_write)
        ):
            break
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _serve(
    control: socket.socket, workers: set[int], folders: Folders, wake: tuple[int, int]
) -> bool:
    """Carry out one request; False when there will be no more."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 2)
    except ConnectionError:
        return False
    if not data:
        return False
    gc.freeze()  # what is imported by now, workers need not go over again and again
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in wake:
            os.close(descriptor)
        control.close()
        _become_worker(descriptors, folders)
    workers.add(pid)
    for descriptor in descriptors:
        os.close(descriptor)
    try:
        control.sendall(ANSWER.pack(FORKED, pid, 0))
    except OSError:  # it has hung up meanwhile: a worker that was ended is replaced to the last
        return False
    return True


def _reap(control: socket.socket, workers: set[int]) -> None:
    while workers:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        workers.discard(pid)
        with contextlib.suppress(OSError):
            control.sendall(ANSWER.pack(DIED, pid, os.waitstatus_to_exitcode(status)))


def _become_worker(descriptors: list[int], folders: Folders) -> None:
    """In the child: end with the parent, then work."""
    from runners.processes.worker import main as work

    status = 1
    try:
        _end_with_parent()
        connection = socket.socket(fileno=descriptors[0])
        board: Any = memoryview(mmap.mmap(descriptors[1], BOARD_BYTES)).cast("q")
        os.close(descriptors[1])
        work(connection, board, folders)
        status = 0
    finally:
        os._exit(status)


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent ends (Linux; elsewhere the socket does)."""
    if sys.platform == "linux":
        parent_death_signal = 1
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(parent_death_signal, signal.SIGKILL)
