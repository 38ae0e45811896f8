"""Exceptions that cross processes: as themselves, with the lines of the user's code they came from.

A traceback cannot be pickled; tblib rebuilds one that prints alike. Frames of dataflow itself are
left out, so that a traceback starts at the user's own.
"""

from __future__ import annotations

import os
import pickle
import traceback
from types import TracebackType
from typing import Any, NamedTuple

from dataflow.errors import DataflowError, InternalError, UpstreamTaskError
from dataflow.model.batches import Failure
from dataflow.worker import pickling

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_OURS = tuple(
    os.path.join(_ROOT, package) + os.sep for package in ("dataflow", "runners", "cluster")
)
_STANDARD = (os.path.dirname(os.__file__) + os.sep, "<frozen ")
_PACKAGES = f"{os.sep}site-packages{os.sep}"
_MOST_CAUSES = 100


def is_our_file(path: str) -> bool:
    """Whether a file is part of dataflow."""
    return path.startswith(_OURS)


def user_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of dataflow at its top (all of it, if there is no other)."""
    rest = trace
    while rest is not None and is_our_file(rest.tb_frame.f_code.co_filename):
        rest = rest.tb_next
    return rest if rest is not None else trace


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without any frame of dataflow (all of it, if there is no other)."""
    frames = []
    rest = trace
    while rest is not None:
        if not is_our_file(rest.tb_frame.f_code.co_filename):
            frames.append(rest)
        rest = rest.tb_next
    found: TracebackType | None = None
    for frame in reversed(frames):
        found = TracebackType(found, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return found or trace


def leave_out_our_lines(error: BaseException) -> None:
    """Take all lines of ours out of what is raised to the user, and from what it was caused by.

    What we refuse says so in its message: causes that have no line of the user's are left out, too.
    """
    before = error.__traceback__
    error.__traceback__ = without_our_frames(before)
    if error.__traceback__ is before and _is_refusal(error):
        error.__traceback__ = None
    for _ in range(_MOST_CAUSES):
        cause = _cause_of(error)
        if cause is None:
            return
        if _is_refusal(error) and not _is_of_user(cause):
            error.__cause__ = None  # nor is its context shown then
            return
        cause.__traceback__ = without_our_frames(cause.__traceback__)
        error = cause


def shown(error: BaseException) -> traceback.TracebackException:
    """An exception as it is shown, with its causes.

    What we refuse says so in its message: of its lines only the user's are shown, and of its causes
    those that have such.
    """
    whole = traceback.TracebackException.from_exception(error)
    _leave_out(error, whole)
    return whole


def _leave_out(error: BaseException, whole: traceback.TracebackException) -> None:
    for _ in range(_MOST_CAUSES):
        if _is_refusal(error):
            theirs = [frame for frame in whole.stack if not is_our_file(frame.filename)]
            whole.stack = traceback.StackSummary.from_list(theirs)
            if not _is_of_user(_cause_of(whole)):
                whole.__cause__ = whole.__context__ = None
        cause, found = _cause_of(error), _cause_of(whole)
        if cause is None or found is None:
            return
        error, whole = cause, found


def _is_refusal(error: BaseException) -> bool:
    """Whether this is an error of which our lines say nothing to the user."""
    return isinstance(error, DataflowError) and not isinstance(error, InternalError)


def _is_of_user(found: Any) -> bool:
    """Whether an exception (or what is shown of it), or its cause, has lines of the user's."""
    for _ in range(_MOST_CAUSES):
        if found is None:
            return False
        if not all(map(_is_of_library, _files_of(found))):
            return True
        found = _cause_of(found)
    return False


def _files_of(found: Any) -> list[str]:
    if isinstance(found, traceback.TracebackException):
        return [frame.filename for frame in found.stack]
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(found.__traceback__)]


def _cause_of(error: Any) -> Any:
    """What is shown before an exception, or before what is shown of one."""
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _is_of_library(path: str) -> bool:
    return is_our_file(path) or path.startswith(_STANDARD) or _PACKAGES in path


def text_of(error: BaseException) -> str:
    """What an exception says; never raises."""
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"


def describe(error: BaseException) -> Failure:
    """An exception in a form that crosses processes; never raises."""
    error.__traceback__ = user_frames(error.__traceback__)
    try:
        text = "".join(shown(error).format())
    except Exception:
        text = f"{type(error).__name__}: (its message cannot be shown)\n"
    message = text_of(error)
    name = type(error).__qualname__
    module = type(error).__module__
    if module not in ("builtins", "__main__"):
        name = f"{module}.{name}"
    return Failure(name, message, _dump(error, name, message), text, original=error)


def detach(error: BaseException, earlier: BaseException) -> None:
    """Take the attempt before out of an exception's context: Python has put it there."""
    link: BaseException | None = error
    for _ in range(100):
        if link is None:
            return
        if link.__context__ is earlier:
            link.__context__ = None
            return
        link = link.__context__


def revive(failure: Failure) -> BaseException:
    """The exception again, of its own type, with its traceback, notes and causes."""
    if failure.original is not None:
        return failure.original
    try:
        packed = pickle.loads(failure.exception)
        found: BaseException = _unpack(packed)
        return found
    except Exception as problem:
        error = RuntimeError(f"{failure.type}: {failure.message}")
        error.add_note(f"The exception itself could not be loaded here ({problem}). It was:")
        error.add_note(failure.traceback)
        return error


def not_ready_error(name: str, failure: Failure) -> UpstreamTaskError:
    """The error of a task run that never began because of ``failure``."""
    who = f"task run {failure.source!r}" if failure.source else "a task run that it needs"
    error = UpstreamTaskError(
        f"Task run {name!r} did not run, because {who} did not end well: "
        f"{failure.type}: {failure.message}",
        upstream=failure.source,
    )
    error.__cause__ = revive(failure)
    return error


def _dump(error: BaseException, name: str, message: str) -> bytes:
    for reduce in (_as_it_is, _Bare):
        try:
            data = pickling.dumps(_pack(error, set(), reduce))
            found = pickle.loads(data)[0]  # with its own __init__ it often does not load
        except Exception:
            continue
        is_emptied = isinstance(found, UnicodeError) and str(found) != message  # by tblib
        del found  # with tblib's support it has a traceback, which leads here
        if not is_emptied:
            return data
    stand_in = RuntimeError(f"{name}: {message}")
    stand_in.add_note("(the exception itself cannot be pickled)")
    stand_in.__traceback__ = error.__traceback__
    return pickling.dumps(_pack(stand_in, set(), _as_it_is))


def _as_it_is(error: BaseException) -> Any:
    return error


class _Bare:
    """Pickles an exception as its class, arguments and attributes: its __init__ is not called."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        state = {name: value for name, value in vars(self.error).items() if _can_cross(value)}
        args = tuple(arg if _can_cross(arg) else repr(arg) for arg in self.error.args)
        return _make_bare, (type(self.error), args, state)


def _can_cross(value: Any) -> bool:
    try:
        pickle.loads(pickling.dumps(value))
    except Exception:
        return False
    return True


def _make_bare(kind: type[BaseException], args: tuple[Any, ...], state: Any) -> BaseException:
    is_builtin = kind.__module__ == "builtins"  # these keep more than their arguments
    error: BaseException = kind(*args) if is_builtin else kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def _pack(error: BaseException | None, seen: set[int], reduce: Any) -> Any:
    if error is None or id(error) in seen:
        return None
    seen.add(id(error))
    from tblib import Traceback

    trace = user_frames(error.__traceback__)
    return (
        _parts_of(error, seen, reduce) if isinstance(error, BaseExceptionGroup) else reduce(error),
        None if trace is None else Traceback(trace).to_dict(),
        _pack(error.__cause__, seen, reduce),
        _pack(error.__context__, seen, reduce),
        error.__suppress_context__,
        list(getattr(error, "__notes__", ())),
    )


class _Group(NamedTuple):
    """An exception group in parts: each member has its own traceback, and may be hard to pickle."""

    kind: type[BaseExceptionGroup[Any]]
    message: str
    members: list[Any]
    state: dict[str, Any]

    def join(self) -> BaseException:
        """The group again."""
        members = [_unpack(member) for member in self.members]
        group: BaseException = self.kind.__new__(self.kind, self.message, members)
        group.__dict__.update(self.state)
        return group


def _parts_of(group: BaseExceptionGroup[Any], seen: set[int], reduce: Any) -> _Group:
    members = [_pack(member, seen - {id(member)}, reduce) for member in group.exceptions]
    state = {name: value for name, value in vars(group).items() if _can_cross(value)}
    state.pop("__notes__", None)
    return _Group(type(group), group.message, members, state)


def _unpack(packed: Any) -> Any:
    if packed is None:
        return None
    from tblib import Traceback

    error, trace, cause, context, suppressed, notes = packed
    if isinstance(error, _Group):
        error = error.join()
    if trace is not None:
        error.__traceback__ = Traceback.from_dict(trace).as_traceback()
    error.__cause__ = _unpack(cause)
    error.__context__ = _unpack(context)
    error.__suppress_context__ = suppressed
    if notes:
        error.__notes__ = notes
    return error
