"""Exceptions cross processes as themselves."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from dataflow.errors import InternalError, MissingContextError, SerializationError
from dataflow.worker.failures import describe, leave_out_our_lines, revive


class Odd(Exception):
    """Has an __init__ that pickling does not know how to call."""

    def __init__(self, first: int, *, second: Any) -> None:
        super().__init__(f"{first} and {second}")
        self.first = first
        self.second = second


class Stubborn(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("no")


def crossed(error: BaseException) -> BaseException:
    return revive(pickle.loads(pickle.dumps(describe(error))))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("k"),
        OSError(2, "gone", "file"),
        UnicodeDecodeError("utf8", b"x", 0, 1, "why"),
        Odd(1, second=2),
        SystemExit(3),
        ExceptionGroup("many", [ValueError(1), KeyError(2)]),
    ],
)
def test_type_message_and_lines_survive(error: BaseException) -> None:
    found = crossed(raised(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    text = "".join(traceback.format_exception(found))
    assert "test_failures.py" in text
    assert "raise error from cause" in text


def test_libraries_that_change_how_exceptions_pickle_do_no_harm() -> None:
    import distributed  # noqa: F401 - it has tblib pickle all exceptions

    error = UnicodeDecodeError("utf8", b"x", 0, 1, "why")
    assert str(crossed(raised(error))) == str(error)


def test_attributes_survive_as_far_as_they_can_be_pickled() -> None:
    found = crossed(raised(Odd(1, second=(n for n in ()))))
    assert isinstance(found, Odd)
    assert found.first == 1


def test_causes_and_notes_survive() -> None:
    error = raised(ValueError("outer"), raised(KeyError("inner")))
    error.add_note("a note")
    found = crossed(error)
    assert isinstance(found.__cause__, KeyError)
    assert found.__notes__ == ["a note"]


def test_what_cannot_be_pickled_at_all_is_told() -> None:
    found = crossed(raised(Stubborn("text")))
    assert "text" in str(found)


def test_an_exception_that_cannot_even_be_shown() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "cannot be shown" in describe(raised(Mute())).message


def test_in_one_process_it_stays_the_same_object() -> None:
    error = raised(ValueError("x"))
    assert revive(describe(error)) is error


def test_what_we_refuse_says_so_in_its_message_alone() -> None:
    import json

    try:
        try:
            json.dumps({1, 2})
        except TypeError as cause:
            raise SerializationError("It cannot be persisted.", hint="Return a list.") from cause
    except SerializationError as error:
        refused = error
    text = describe(refused).traceback
    assert "test_failures.py" in text
    assert "encoder.py" in text  # a user's line is among those of the cause

    refused.__cause__ = raised_in_library()
    refused.__suppress_context__ = True
    text = describe(refused).traceback
    assert "Hint: Return a list." in text
    assert "encoder.py" not in text
    assert "direct cause" not in text


def raised_in_library() -> BaseException:
    """An exception none of whose lines are the user's."""
    import json

    try:
        json.dumps({1, 2})
    except TypeError as error:
        assert error.__traceback__ is not None
        return error.with_traceback(error.__traceback__.tb_next)
    raise AssertionError


@pytest.mark.parametrize("kind", [SerializationError, InternalError, ValueError])
def test_what_we_refuse_is_raised_without_causes_that_say_nothing(
    kind: type[Exception],
) -> None:
    error = kind("It cannot be persisted.")
    error.__cause__ = raised_in_library()
    leave_out_our_lines(error)
    text = "".join(traceback.format_exception(error))
    assert ("encoder.py" in text) is (kind is not SerializationError)

    error.__cause__ = raised(ValueError("of the user"))
    leave_out_our_lines(error)
    assert "of the user" in "".join(traceback.format_exception(error))


def test_our_own_lines_are_left_out_of_what_we_refuse() -> None:
    from dataflow import pause_flow_run

    with pytest.raises(MissingContextError) as caught:
        pause_flow_run()
    text = describe(caught.value).traceback
    assert "    pause_flow_run()\n" in text
    assert "control.py" not in text
