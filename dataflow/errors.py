"""Every error that dataflow raises, in one tree.

    DataflowError
    ├── DefinitionError          a flow or task is written wrongly: raised before anything runs
    │   ├── ReservedArgumentError      also TypeError
    │   ├── ParameterBindError         also TypeError
    │   ├── ParameterTypeError         also TypeError
    │   ├── MappingLengthMismatch      also ValueError
    │   ├── MappingMissingIterable     also ValueError
    │   ├── TraceError                 the body needs a value while nothing runs
    │   ├── LimitError                 also ValueError: a limit cannot be so
    │   ├── SettingsError              also ValueError
    │   └── ArtifactError · VariableError  also ValueError
    │       └── VariableExists
    ├── RunError                 a run did not end well
    │   ├── UpstreamTaskError          what this one needs has failed
    │   ├── FailedRun · CrashedRun · CancelledRun · PausedRun
    │   ├── TaskRunTimeoutError · FlowRunTimeoutError   also TimeoutError
    │   ├── FlowPauseTimeout           also TimeoutError: nobody has resumed it
    │   ├── ResultTimeoutError         also TimeoutError: the wait ended, not the task
    │   ├── ResultMissing              a value is not there (any more)
    │   │   └── ResultCorrupt              it is not what was written
    │   ├── SerializationError         also TypeError: a result cannot be persisted as asked
    │   ├── UnhashableInputError       also TypeError: an argument has no cache key
    │   ├── ResumeError                a run cannot go on where it stopped
    │   ├── TransferError              a function, argument or result cannot be pickled
    │   ├── ConcurrencySlotAcquisitionError   a limit can never give what is asked of it
    │   │   └── AcquireConcurrencySlotTimeoutError   also TimeoutError: it was not there in time
    │   ├── RunFinishedError           something was submitted to a run that has ended
    │   ├── NotPausedError             also RuntimeError: what is not paused cannot be resumed
    │   ├── MissingContextError        also RuntimeError
    │   └── InvalidTransition          a state cannot follow another
    ├── InfrastructureError      the machinery around a run
    │   ├── RunnerNotFound · RunnerUnavailable · VersionMismatch · MissingExtra
    │   ├── ClusterNotFound · ClusterError     no cluster of that name, or it does not do as asked
    │   ├── StorageError               results cannot be written or read
    │   └── StoreError
    │       ├── StoreTooNew · StoreNotADatabase · StoreUnwritable · StoreUnreachable
    │       └── RunNotFound · ArtifactNotFound · VariableNotFound
    └── InternalError            a mistake of ours

``UnhandledTaskFailure`` stands beside the tree: it is an ``ExceptionGroup`` of the causes.

Each carries a message, an optional hint (what to do), and named fields; all of it, and the cause,
survives pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DataflowError(Exception):
    """The base of every error here.

    Args:
        message: what was wrong, and where.
        hint: what to do about it.
        **fields: named facts, kept as attributes.
    """

    def __init__(self, message: str = "", *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return f"{self.message}\n  Hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.fields, self.__cause__)


def _rebuild(
    kind: type[DataflowError],
    message: str,
    hint: str | None,
    fields: dict[str, Any],
    cause: BaseException | None,
) -> DataflowError:
    error = kind(message, hint=hint, **fields)
    error.__cause__ = cause
    return error


class DefinitionError(DataflowError):
    """A flow or task is written wrongly."""


class ReservedArgumentError(DefinitionError, TypeError):
    """A task has a parameter whose name ``submit`` and ``map`` need for themselves."""


class ParameterBindError(DefinitionError, TypeError):
    """The arguments of a call do not fit the function's signature."""


class ParameterTypeError(DefinitionError, TypeError):
    """Parameters of a flow are of the wrong type; ``errors`` has one entry a field."""


class MappingLengthMismatch(DefinitionError, ValueError):
    """The iterables of a map have different lengths."""


class MappingMissingIterable(DefinitionError, ValueError):
    """A map got nothing to map over."""


class TraceError(DefinitionError):
    """The body of a flow needs a value that is not there while it is only traced.

    ``graph`` holds what was traced so far.
    """


class LimitError(DefinitionError, ValueError):
    """A limit cannot be made or used so."""


class SettingsError(DefinitionError, ValueError):
    """A setting has a value that cannot be used."""


class ArtifactError(DefinitionError, ValueError):
    """An artifact has a key or a content that cannot be used."""


class VariableError(DefinitionError, ValueError):
    """A variable has a name or a value that cannot be used."""


class VariableExists(VariableError):
    """A variable is there already, and was not to be overwritten."""


class RunError(DataflowError):
    """A run did not end well."""


class UpstreamTaskError(RunError):
    """A task never started because what it needs has failed; the cause is that failure."""


class FailedRun(RunError):
    """A run ended Failed without an exception of its own."""


class CrashedRun(RunError):
    """A run ended because its process did."""


class CancelledRun(RunError):
    """A run was cancelled."""


class PausedRun(RunError):
    """A run is paused or suspended and has no result yet."""


class TaskRunTimeoutError(RunError, TimeoutError):
    """A task ran longer than its ``timeout_seconds``."""


class FlowRunTimeoutError(RunError, TimeoutError):
    """A flow ran longer than its ``timeout_seconds``."""


class FlowPauseTimeout(RunError, TimeoutError):
    """A run was paused, and nobody resumed it in time."""


class ResultTimeoutError(RunError, TimeoutError):
    """``result(timeout=...)`` gave up waiting; the task itself goes on."""


class ResultMissing(RunError):
    """A value is not there any more."""


class ResultCorrupt(ResultMissing):
    """A persisted value is cut off, or is not what was written."""


class SerializationError(RunError, TypeError):
    """A result cannot be persisted: its serializer does not take it."""


class UnhashableInputError(RunError, TypeError):
    """An argument cannot be hashed, so that there is no cache key; ``argument`` is its name."""


class ResumeError(RunError):
    """A run cannot go on where it stopped."""


class TransferError(RunError, TypeError):
    """A function, an argument or a result cannot be sent to another process."""


class ConcurrencySlotAcquisitionError(RunError):
    """A limit cannot give the slots that were asked for."""


class AcquireConcurrencySlotTimeoutError(ConcurrencySlotAcquisitionError, TimeoutError):
    """The slots of a limit were not free in time."""


class RunFinishedError(RunError, RuntimeError):
    """Something was submitted to a run that has ended."""


class NotPausedError(RunError, RuntimeError):
    """A run that is not paused cannot be resumed."""


class MissingContextError(RunError, RuntimeError):
    """Something that belongs to a run was asked for outside one."""


class InvalidTransition(RunError, ValueError):
    """A state cannot follow another."""


class InfrastructureError(DataflowError):
    """The machinery around a run is at fault."""


class RunnerNotFound(InfrastructureError, LookupError):
    """No runner has that name."""


class RunnerUnavailable(InfrastructureError, ConnectionError):
    """A runner cannot be started or reached."""


class ClusterNotFound(InfrastructureError, LookupError):
    """No cluster has that name: none is written down, and none runs."""


class ClusterError(InfrastructureError):
    """A cluster cannot be started, or does not do as asked."""


class VersionMismatch(InfrastructureError):
    """A worker has another version of something that must be the same."""


class MissingExtra(InfrastructureError, ImportError):
    """An optional library is not installed; the hint has the ``pip install`` line."""


class StorageError(InfrastructureError):
    """The place where results are kept cannot be used."""


class StoreError(InfrastructureError):
    """The store of runs cannot be used."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of dataflow."""


class StoreNotADatabase(StoreError):
    """The file at the store's place is no database."""


class StoreUnwritable(StoreError):
    """The store cannot be written: no rights, a read-only file system, or no room."""


class StoreUnreachable(StoreError, ConnectionError):
    """The database of the store does not answer, lets nobody in, or has been away for too long.

    Also: a task needs the store of its run, and runs where that is not.
    """


class ArtifactNotFound(StoreError, LookupError):
    """No artifact goes by that key or id."""


class VariableNotFound(StoreError, LookupError):
    """No variable goes by that name."""


class RunNotFound(StoreError, LookupError):
    """No run, or more than one, goes by that id or name."""


class InternalError(DataflowError):
    """A mistake in dataflow itself; please report it."""


class UnhandledTaskFailure(ExceptionGroup):
    """Tasks failed, nobody looked at them, and the flow's body ended as if all were well."""

    message_hint = (
        "Ask their futures for .result() or .state, return them, or declare "
        "@flow(fail_on_unhandled=False)."
    )

    def derive(self, excs: Sequence[Any], /) -> Any:
        """Keep the type when the group is split (see ``ExceptionGroup.derive``)."""
        return type(self)(self.message, excs)
