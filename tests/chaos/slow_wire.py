"""A wire between two network interfaces that is slow and loses packets.

``python -m tests.chaos.slow_wire ONE OTHER SECONDS LOSS`` passes on what arrives at either of two
interfaces to the other one, so many seconds later, but for a share of ``LOSS``.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import sys
import time
from collections import deque

_PACKET, _IGNORE_OUTGOING, _WITH_HEADER = 263, 23, 15  # SOL_PACKET, its options (linux/if_packet.h)
_ALL = 3  # ETH_P_ALL
_MOST_BYTES = 1 << 17
_BUFFER_BYTES = 1 << 26


def main(one: str, other: str, seconds: float, loss: float) -> None:
    """Pass packets on until this process is ended."""
    first, second = _open(one), _open(other)
    others = {first: second, second: first}
    late: deque[tuple[float, socket.socket, bytes]] = deque()  # all take the same time
    while True:
        patience = max(late[0][0] - time.monotonic(), 0) if late else None
        readable, _, _ = select.select([first, second], [], [], patience)
        now = time.monotonic()
        for end in readable:
            with contextlib.suppress(OSError):  # the wire behind it was cut: said once
                packet = end.recv(_MOST_BYTES)
                if random.random() >= loss:
                    late.append((now + seconds, others[end], packet))
        while late and late[0][0] <= now:
            _, end, packet = late.popleft()
            with contextlib.suppress(OSError):  # the wire behind it was cut, or is full
                end.send(packet)


def _open(interface: str) -> socket.socket:
    """A socket for all that arrives there, with what the network card would still have to do."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
    end.setsockopt(_PACKET, _WITH_HEADER, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    end.bind((interface, _ALL))
    return end


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
