"""States of runs: what they are, what they are called, and which may follow which.

The ordinary path of a task run is ``Pending -> Running -> Completed``; with a retry that waits,
``Running -> AwaitingRetry -> Retrying -> Completed``, without a wait ``Running -> Retrying``. A
task run whose input failed never runs: ``Pending -> NotReady``, which is where it ends.

In columns a state is one byte, a :class:`StateCode`: one for each pair of type and name.
"""

from __future__ import annotations

import reprlib
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, Generic, NoReturn, TypeVar

from dataflow.clock import utc_now
from dataflow.errors import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    InvalidTransition,
    PausedRun,
    RunError,
    UpstreamTaskError,
)

R = TypeVar("R")


class StateType(str, Enum):
    """What kind of state it is; names say more."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANCELLED = "CANCELLED"


class StateCode(IntEnum):
    """A state type and its name in one byte; the numbers are in stores and never change."""

    PENDING = 0
    """Known, not begun."""
    NOT_READY = 1
    """Will not begin: something that it needs has failed. The end of a task run."""
    SUBMITTING = 2
    """Being handed to whoever runs it."""
    RUNNING = 3
    """Under way, for the first time."""
    RETRYING = 4
    """Under way again."""
    AWAITING_RETRY = 5
    """Failed, and to be tried again after a delay."""
    COMPLETED = 6
    """Done."""
    CACHED = 7
    """Done before: the earlier result was taken."""
    SKIPPED = 8
    """Done in that nothing had to be done."""
    ROLLED_BACK = 9
    """Done, and undone by its transaction."""
    FAILED = 10
    """Raised, or said that it failed."""
    TIMED_OUT = 11
    """Took longer than it may."""
    CRASHED = 12
    """Its process died, or was told to."""
    CANCELLED = 13
    """Ended because someone wanted it to."""
    CANCELLING = 14
    """On its way to Cancelled."""
    PAUSED = 15
    """Waits for someone, its process too."""
    SUSPENDED = 16
    """Waits for someone, without a process."""
    SCHEDULED = 17
    """To begin at a time."""
    LATE = 18
    """Should have begun."""
    AWAITING_CONCURRENCY_SLOT = 19
    """Waits for others to finish."""
    RESUMING = 20
    """To go on where it stopped."""

    @property
    def type(self) -> StateType:
        """The state type."""
        return _TYPES[self]

    @property
    def state_name(self) -> str:
        """The name, such as ``AwaitingRetry``."""
        return _NAMES[self]

    @property
    def is_final(self) -> bool:
        """Whether nothing follows, by type."""
        return _TYPES[self] in FINAL_TYPES

    @property
    def is_ended(self) -> bool:
        """Whether a task run in this state has ended (NotReady ends one, too)."""
        return self in ENDED


_NAMES = {code: "".join(word.title() for word in code.name.split("_")) for code in StateCode}
_BY_TYPE = {
    StateType.PENDING: "PENDING NOT_READY SUBMITTING",
    StateType.RUNNING: "RUNNING RETRYING",
    StateType.SCHEDULED: "SCHEDULED LATE AWAITING_RETRY AWAITING_CONCURRENCY_SLOT RESUMING",
    StateType.PAUSED: "PAUSED SUSPENDED",
    StateType.CANCELLING: "CANCELLING",
    StateType.COMPLETED: "COMPLETED CACHED SKIPPED ROLLED_BACK",
    StateType.FAILED: "FAILED TIMED_OUT",
    StateType.CRASHED: "CRASHED",
    StateType.CANCELLED: "CANCELLED",
}
_TYPES = {StateCode[name]: kind for kind, names in _BY_TYPE.items() for name in names.split()}
_CODES = {_NAMES[code]: code for code in StateCode}
_PLAIN = {kind: StateCode[kind.name] for kind in StateType}

FINAL_TYPES = frozenset(
    (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)
)
ENDED = frozenset(
    code for code in StateCode if code is StateCode.NOT_READY or _TYPES[code] in FINAL_TYPES
)
SUCCESSFUL = frozenset(code for code in StateCode if _TYPES[code] is StateType.COMPLETED)


def count_states(codes: bytes | bytearray) -> dict[int, int]:
    """How many runs of a column are in which state, by its code."""
    if _are_alike(codes):
        return {codes[0]: len(codes)} if codes else {}
    return {code: codes.count(code) for code in sorted(set(codes))}


def codes_of_stage(codes: bytes, number: int, width: int) -> bytes:
    """Every ``width``-th code from ``number`` on; where all are alike, none is looked at."""
    if _are_alike(codes):
        return codes[:1] * len(range(number, len(codes), width))
    return codes[number::width]


def _are_alike(codes: bytes | bytearray) -> bool:
    return codes == codes[:1] * len(codes)  # the usual; ten times as fast as to count them


_C = StateCode
_BEGIN = {_C.SCHEDULED, _C.LATE, _C.RESUMING, _C.AWAITING_CONCURRENCY_SLOT, _C.PENDING}
_STOP = {_C.CANCELLING, _C.CANCELLED, _C.CRASHED}
_PAUSE = {_C.PAUSED, _C.SUSPENDED}
_END = {_C.COMPLETED, _C.CACHED, _C.SKIPPED, _C.FAILED, _C.TIMED_OUT, _C.NOT_READY}
_START = {_C.SUBMITTING, _C.RUNNING, _C.RETRYING}
_WORK = _END | _STOP | _PAUSE | {_C.AWAITING_RETRY, _C.RETRYING, _C.ROLLED_BACK}

TRANSITIONS: dict[StateCode, frozenset[StateCode]] = {
    **dict.fromkeys(_BEGIN, frozenset(_BEGIN | _START | _STOP | _PAUSE | _END)),
    _C.SUBMITTING: frozenset(_START | _STOP | _PAUSE | _END),
    _C.RUNNING: frozenset(_WORK),
    _C.RETRYING: frozenset(_WORK),
    _C.AWAITING_RETRY: frozenset({_C.PENDING, _C.RUNNING, _C.RETRYING} | _STOP | _PAUSE),
    _C.PAUSED: frozenset(_BEGIN | _START | _STOP | _PAUSE | {_C.FAILED}),
    _C.SUSPENDED: frozenset(_BEGIN | _START | _STOP | _PAUSE | {_C.FAILED}),
    _C.CANCELLING: frozenset(_END - {_C.NOT_READY} | {_C.CANCELLED, _C.CRASHED}),
    # a subflow goes on though it had completed, when what it did is undone or not yet committed
    _C.COMPLETED: frozenset({_C.ROLLED_BACK, _C.RESUMING}),
    _C.CACHED: frozenset({_C.ROLLED_BACK, _C.RESUMING}),
    _C.SKIPPED: frozenset({_C.ROLLED_BACK, _C.RESUMING}),
    _C.ROLLED_BACK: frozenset({_C.RESUMING}),
    _C.NOT_READY: frozenset({_C.PENDING, _C.SCHEDULED}),
    _C.FAILED: frozenset({_C.RETRYING, _C.AWAITING_RETRY, _C.RESUMING, _C.SCHEDULED}),
    _C.TIMED_OUT: frozenset({_C.RETRYING, _C.AWAITING_RETRY, _C.RESUMING, _C.SCHEDULED}),
    _C.CRASHED: frozenset({_C.RETRYING, _C.AWAITING_RETRY, _C.RESUMING, _C.SCHEDULED}),
    _C.CANCELLED: frozenset({_C.RESUMING, _C.SCHEDULED}),
}


def cached_message(run_id: str) -> str:
    """What the message of a Cached state says."""
    return f"The result of run {run_id} was taken."


def check_transition(before: StateCode | None, after: StateCode) -> None:
    """Refuse a transition that the table does not know (``before`` None: the first state).

    Raises:
        InvalidTransition: with both names and what would be allowed.
    """
    if before is None or after in TRANSITIONS[before]:
        return
    allowed = ", ".join(sorted(code.state_name for code in TRANSITIONS[before])) or "nothing"
    raise InvalidTransition(
        f"A run cannot go from {before.state_name} to {after.state_name}.",
        hint=f"After {before.state_name} comes {allowed}.",
    )


def code_of(kind: StateType, name: str) -> StateCode:
    """The code of a type and a name; a name of the user's own has its type's plain code."""
    code = _CODES.get(name)
    return code if code is not None and code.type is kind else _PLAIN[kind]


class Deferred:
    """Stands for a result that is read when it is asked for."""

    __slots__ = ()

    def load(self) -> Any:
        """The result."""
        raise NotImplementedError


class State(Generic[R]):
    """A state of a flow run or a task run. Immutable.

    Attributes:
        type: what kind of state.
        name: its name, usually that of the type.
        message: what happened, in a sentence.
        data: the result (or where it is kept, for :meth:`result` to read it), or the exception.
        timestamp: when it was entered, aware, in UTC.
    """

    __slots__ = ("_timestamp", "data", "message", "name", "type")

    type: StateType
    name: str
    message: str | None
    data: Any
    _timestamp: datetime

    def __init__(
        self,
        type: StateType,
        name: str | None = None,
        message: str | None = None,
        data: Any = None,
        timestamp: datetime | None = None,
    ) -> None:
        put = object.__setattr__
        kind = type if type.__class__ is StateType else StateType(type)
        put(self, "type", kind)
        put(self, "name", name or _NAMES[_PLAIN[kind]])
        put(self, "message", message)
        put(self, "data", data)
        put(self, "_timestamp", timestamp or utc_now())

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a State cannot be changed: {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a State cannot be changed: {name!r}")

    @classmethod
    def of_code(
        cls,
        code: StateCode,
        *,
        message: str | None = None,
        data: Any = None,
        name: str | None = None,
        timestamp: datetime | None = None,
    ) -> State[Any]:
        """The state that a code stands for."""
        return State(code.type, name or code.state_name, message, data, timestamp)

    @property
    def timestamp(self) -> datetime:
        """When the state was entered."""
        return self._timestamp

    @property
    def code(self) -> StateCode:
        """The state in one byte."""
        return code_of(self.type, self.name)

    def is_scheduled(self) -> bool:
        """Whether the run is to begin, or to begin again, later."""
        return self.type is StateType.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run has not begun."""
        return self.type is StateType.PENDING

    def is_running(self) -> bool:
        """Whether the run is under way."""
        return self.type is StateType.RUNNING

    def is_paused(self) -> bool:
        """Whether the run waits for someone."""
        return self.type is StateType.PAUSED

    def is_cancelling(self) -> bool:
        """Whether the run is about to be cancelled."""
        return self.type is StateType.CANCELLING

    def is_completed(self) -> bool:
        """Whether the run ended well."""
        return self.type is StateType.COMPLETED

    def is_failed(self) -> bool:
        """Whether the run failed."""
        return self.type is StateType.FAILED

    def is_crashed(self) -> bool:
        """Whether the run's process died."""
        return self.type is StateType.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self.type is StateType.CANCELLED

    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self.type in FINAL_TYPES

    def result(self, raise_on_failure: bool = True) -> Any:
        """The value of a completed run.

        Args:
            raise_on_failure: return the exception of a failed run instead of raising it.

        Raises:
            ResultMissing: the result was not persisted, or is not there any more.
            Exception: the run's own, or what :meth:`as_error` makes of the state.
        """
        if self.is_completed():
            return self.data.load() if isinstance(self.data, Deferred) else self.data
        error = self.data if isinstance(self.data, BaseException) else self.as_error()
        if raise_on_failure:
            raise error
        return error

    def as_error(self) -> RunError:
        """An error that says what this state says."""
        text = f"The run is {self.name}" + (f": {self.message}" if self.message else ".")
        kind = _ERRORS.get(self.type, RunError)
        return UpstreamTaskError(text) if self.name == "NotReady" else kind(text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        mine = (self.type, self.name, self.message)
        return mine == (other.type, other.name, other.message) and _is_same(self.data, other.data)

    def __hash__(self) -> int:
        return hash((self.type, self.name, self.message))

    def __reduce__(self) -> tuple[Any, ...]:
        return State, (self.type, self.name, self.message, self.data, self._timestamp)

    def __repr__(self) -> str:
        plain = _NAMES[_PLAIN[self.type]]
        shown = [] if self.name == plain else [f"type={self.type.value}"]
        shown += [] if self.message is None else [f"message={self.message!r}"]
        shown += [] if self.data is None else [f"data={_short(self.data)}"]
        return f"{self.name}({', '.join(shown)})"


_ERRORS: dict[StateType, type[RunError]] = {
    StateType.FAILED: FailedRun,
    StateType.CRASHED: CrashedRun,
    StateType.CANCELLED: CancelledRun,
    StateType.CANCELLING: CancelledRun,
    StateType.PAUSED: PausedRun,
}


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal; arrays and frames, which cannot say so, if they are one."""
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # whatever a user's own comparison may raise
        return False


_REPR = reprlib.Repr()  # looks at no more of a large value than it shows
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxfrozenset = _REPR.maxdict = 12


def _short(value: Any) -> str:
    """``repr(value)`` in one short line; never raises."""
    try:
        text = " ".join(_REPR.repr(value).split())
    except Exception:  # as a debugger does: a broken repr must not hide the state
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:77] + "..."


def _make(code: StateCode, message: str | None, data: Any, name: str | None) -> State[Any]:
    return State(code.type, name or code.state_name, message, data)


def Scheduled(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that is to begin at a time."""
    return _make(_C.SCHEDULED, message, data, name)


def Pending(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that has not begun."""
    return _make(_C.PENDING, message, data, name)


def Running(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that is under way."""
    return _make(_C.RUNNING, message, data, name)


def Retrying(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that is under way again."""
    return _make(_C.RETRYING, message, data, name)


def AwaitingRetry(
    message: str | None = None, data: Any = None, name: str | None = None
) -> State[Any]:
    """A run that failed and will be tried again."""
    return _make(_C.AWAITING_RETRY, message, data, name)


def Paused(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that waits for someone."""
    return _make(_C.PAUSED, message, data, name)


def Suspended(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that waits for someone, without a process."""
    return _make(_C.SUSPENDED, message, data, name)


def Cancelling(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that is about to be cancelled."""
    return _make(_C.CANCELLING, message, data, name)


def Completed(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that ended well."""
    return _make(_C.COMPLETED, message, data, name)


def Cached(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run whose earlier result was taken."""
    return _make(_C.CACHED, message, data, name)


def Failed(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that failed."""
    return _make(_C.FAILED, message, data, name)


def TimedOut(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that took longer than it may."""
    return _make(_C.TIMED_OUT, message, data, name)


def Crashed(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run whose process died."""
    return _make(_C.CRASHED, message, data, name)


def Cancelled(message: str | None = None, data: Any = None, name: str | None = None) -> State[Any]:
    """A run that was cancelled."""
    return _make(_C.CANCELLED, message, data, name)
