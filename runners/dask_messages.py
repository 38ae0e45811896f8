"""What a Dask worker is sent: a batch, in plain bytes, and where it finds what is not in them."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from dataflow import __version__
from dataflow.errors import VersionMismatch
from dataflow.process_ids import ProcessId


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
        versions: of Python and dataflow in the flow's process.
        topic: the id of the client that wants the report.
        digests, payloads: the tasks, as bytes or (large ones) as a constant to fetch.
        data: the pickled batch.
        calls: how many calls it has.
        stays: whether its values are left on the worker, whatever their size.
        may_stop: whether its time budget may end it before its last call.
        boards: the folder of the boards, for workers of the flow's own machine.
        code: the user's modules; None: the worker has what it needs.
    """

    versions: tuple[str, ...]
    topic: str
    batch_id: int
    digests: list[bytes]
    payloads: dict[bytes, bytes | FromConstant]
    data: bytes
    calls: int
    stays: bool
    may_stop: bool
    boards: str | None
    code: CodeReference | None = None


def versions_here() -> tuple[str, ...]:
    """What has to be the same for a batch to be understood."""
    return f"Python {sys.version_info[0]}.{sys.version_info[1]}", f"dataflow {__version__}"


def check_versions(message: Message) -> None:
    """Refuse batches of another version (a worker can come after all others were checked)."""
    here = versions_here()
    if message.versions != here:
        raise VersionMismatch(
            f"The Dask worker at {socket.gethostname()} has {', '.join(here)}, "
            f"but the flow's process has {', '.join(message.versions)}.",
            hint="Install the same versions in both places.",
        )
