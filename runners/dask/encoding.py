"""Batches are put into messages for Dask; what is large and the same for many goes ahead, once."""

from __future__ import annotations

import pickle
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cluster.needs import Needs
from dataflow.model.batches import Batch, TaskLike
from dataflow.storage.stored_column import StoredColumn
from dataflow.worker.columns import ObjectColumn, PackedColumn, pack
from runners.dask.columns import RemoteColumn
from runners.dask.constants import Constants, is_gone, pending
from runners.dask.messages import (
    CodeReference,
    FromBatch,
    FromConstant,
    Message,
    versions_to_be,
)
from runners.dask.shipping import CodeShipping, SharedFiles
from runners.dask.values import ValueFetcher
from runners.messages import dump_batch, dump_task

_CONSTANT_BYTES = 64_000
LARGE_BYTES = 5_000_000


class Encoder:
    """Makes the messages of one session.

    Args:
        fetcher: whose columns are already on the cluster.
        topic: where workers report: the id of the client.
        boards: where workers write down what they are at.
        constants: where is put what is large and the same for many.
        needs: what the spec of the cluster says of the user's modules.
        workers: what its workers can import by themselves.
    """

    def __init__(
        self,
        fetcher: ValueFetcher,
        topic: str,
        boards: str | None,
        constants: Constants,
        needs: Needs,
        workers: SharedFiles | None,
    ) -> None:
        self._fetcher = fetcher
        self._topic = topic
        self._boards = boards
        self._constants = constants
        self._of_columns: dict[int, tuple[weakref.ref[Any], FromConstant, Any]] = {}
        self._of_tasks: dict[bytes, tuple[FromConstant, Any]] = {}
        self._versions = None if needs.warns else versions_to_be(needs.packages)
        self._shipping = CodeShipping(needs, workers, constants)

    def encode_plain(self, batch: Batch) -> bytes | None:
        """The message of a batch, if nothing has to be sent ahead of it; never waits.

        Raises:
            TransferError: something in it cannot be pickled.
        """
        if not self._shipping.is_needless(batch):
            return None
        if not all(isinstance(each, PackedColumn) and _is_small(each) for each in batch.inputs):
            return None
        tasks = [dump_task(task) for task in batch.tasks]
        if any(len(payload) >= _CONSTANT_BYTES for _, payload in tasks):
            return None
        return self._message(batch, tasks, batch.inputs)

    def code_of(self, batch: Batch) -> CodeReference | None:
        """The user's modules that a batch needs, which come to the cluster.

        Raises:
            TransferError: they cannot be sent.
        """
        return self._shipping.reference(batch)

    def encode(self, batch: Batch, code: CodeReference | None = None) -> tuple[bytes, list[Any]]:
        """The message of a batch, and the Dask futures that it depends on.

        Raises:
            TransferError: something in it cannot be pickled.
        """
        dependencies: list[Any] = []
        tasks = [self._task_payload(task, dependencies) for task in batch.tasks]
        inputs: list[Any] = [self._input(column, dependencies) for column in batch.inputs]
        if code is not None:
            dependencies += self._shipping.awaited(code)
        return self._message(batch, tasks, inputs, code), dependencies

    def _message(
        self,
        batch: Batch,
        tasks: Sequence[tuple[bytes, bytes | FromConstant]],
        inputs: Sequence[Any],
        code: CodeReference | None = None,
    ) -> bytes:
        message = Message(
            versions=self._versions,
            topic=self._topic,
            batch_id=batch.id,
            digests=[digest for digest, _ in tasks],
            payloads=dict(tasks),
            data=dump_batch(replace(batch, tasks=[], inputs=list(inputs)), batch.tasks),
            calls=batch.body.calls,
            stays=batch.values_stay,
            may_stop=batch.body.calls > 1,
            boards=self._boards,
            suspect=batch.suspect,
            alone=batch.alone,
            code=code,
        )
        return pickle.dumps(message, 5)

    def _task_payload(
        self, task: TaskLike, dependencies: list[Any]
    ) -> tuple[bytes, bytes | FromConstant]:
        digest, payload = dump_task(task)
        if len(payload) < _CONSTANT_BYTES:
            return digest, payload
        known = self._of_tasks.get(digest)
        if known is None or is_gone(known[1]):
            known = self._of_tasks[digest] = self._constants.put(payload)
        dependencies += pending(known[1])
        return digest, known[0]

    def _input(self, column: Any, dependencies: list[Any]) -> Any:
        """A column as it is sent: by reference if it is on the workers, or should be."""
        if isinstance(column, RemoteColumn) and column.fetcher is self._fetcher:
            dependencies.append(column.future)
            return FromBatch(len(dependencies) - 1)
        if isinstance(column, StoredColumn):  # workers read it where it is kept
            return column
        if not isinstance(column, (PackedColumn, ObjectColumn)):
            column = pack(column.load_all(), exact=True)
        if not isinstance(column, PackedColumn) or _is_small(column):
            return column
        known = self._of_columns.get(id(column))
        if known is None or known[0]() is not column or is_gone(known[2]):
            key = id(column)
            reference = weakref.ref(column, lambda _: self._let_go(key))
            data = pickle.dumps(column, 5)
            constant, future = self._constants.put(data, lambda: _pickled(reference()))
            known = self._of_columns[key] = (reference, constant, future)
        dependencies += pending(known[2])
        return known[1]

    def _let_go(self, column_id: int) -> None:
        """A column is gone, and with it whoever could need its constant."""
        known = self._of_columns.pop(column_id, None)
        if known is not None:
            self._constants.forget(known[1])


def _pickled(column: Any) -> bytes | None:
    return None if column is None else pickle.dumps(column, 5)


def _is_small(column: PackedColumn) -> bool:
    return column.nbytes < _CONSTANT_BYTES


def allow_large_messages() -> None:
    """Dask warns of large graphs; ours are as large as the user's arguments."""
    warnings.filterwarnings("ignore", message="Sending large graph")
