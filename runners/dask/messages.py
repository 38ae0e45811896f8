"""What a Dask worker is sent: a batch, in plain bytes, and where it finds what is not in them.

And the kinds of messages that come back over its line, if it has one.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from cluster.versions import Versions, find_mismatch, versions_here
from dataflow.process_ids import ProcessId

HELLO, REPORT, LOGS, BACK, FREE = "hello", "report", "logs", "back", "free"


class FromBatch(NamedTuple):
    """An input column that another batch left on a worker: the ``number``-th dependency."""

    number: int


class FromConstant(NamedTuple):
    """An input column (or a task) that each worker fetches once."""

    key: Any


class CodeReference(NamedTuple):
    """A version of the user's modules, which workers fetch once.

    Attributes:
        digest: which version it is.
        process: which has these modules anyway: the flow's.
        place: where they are fetched from.
    """

    digest: bytes
    process: ProcessId
    place: FromConstant


@dataclass(slots=True)
class Message:
    """A batch on its way: all that a worker needs, in plain bytes.

    Attributes:
        versions: in the flow's process; None: the worker may have others.
        topic: the id of the client that wants the report.
        digests, payloads: the tasks, as bytes or (large ones) as a constant to fetch.
        data: the pickled batch.
        calls: how many calls it has.
        stays: whether its values are left on the worker, whatever their size.
        may_stop: whether its time budget may end it before its last call.
        boards: the folder of the boards, for workers of the flow's own machine.
        suspect: whether it is to say that it begins, as it may have ended another worker.
        alone: whether it is to have a process to itself (see ``runners.dask.alone``).
        code: the user's modules; None: the worker has what it needs.
    """

    versions: Versions | None
    topic: str
    batch_id: int
    digests: list[bytes]
    payloads: dict[bytes, bytes | FromConstant]
    data: bytes
    calls: int
    stays: bool
    may_stop: bool
    boards: str | None
    suspect: bool = False
    alone: bool = False
    code: CodeReference | None = None


class Withdrawal(NamedTuple):
    """What an event loop is sent to have it cancel a batch."""

    batch_id: int


@cache
def versions_to_be(packages: tuple[str, ...] = ()) -> Versions:
    """The versions of this process, and of packages in it: what a worker's have to be."""
    return versions_here(packages)


def check_versions(message: Message) -> None:
    """Refuse batches of another version (a worker can come after all others were checked).

    Raises:
        VersionMismatch: with a table of who has what.
    """
    wanted = message.versions
    if wanted is None:
        return
    packages = tuple(wanted.keys() - versions_to_be())
    here = versions_to_be(packages)
    if here != wanted:
        mismatch = find_mismatch(wanted, {f"worker at {socket.gethostname()}": here})
        assert mismatch is not None
        raise mismatch
