"""A task sees what it was given *when it was submitted*, whatever changes it afterwards.

Where arguments leave the process they are therefore pickled at the call (unless they are plain
numbers and text, which cannot change), which is work that sending them would cost anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataflow.worker import pickling

_CHUNK_BYTES = 64_000
_MOST_IN_CHUNK = 256
_HINT = (
    "Make it inside the task, or use task_runner='threads', where arguments stay in this process."
)


def pickled_arguments(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """The arguments of one call.

    Raises:
        TransferError: with the name of the one that cannot be pickled.
    """
    try:
        return pickling.dumps((args, kwargs))
    except Exception as error:
        for name, value in task.argument_names(args, kwargs):
            check_argument(task, name, value)
        what = f"An argument of task {task.name!r}"
        raise pickling.transfer_error((args, kwargs), what, error, _HINT) from error


def copied_elements(task: Any, name: str, values: list[Any]) -> list[Any]:
    """Values that one argument has in the elements of a map.

    Raises:
        TransferError: with the element whose value cannot be pickled.
    """
    try:
        found: list[Any] = pickling.loads(pickling.dumps(values))
    except Exception:  # whatever the values' own code raises when they are pickled
        _check_elements(task, name, values)
        raise
    return found


def pickled_elements(task: Any, name: str, values: Sequence[Any]) -> tuple[list[bytes], int, int]:
    """The same in chunks, how many are in each, and how many there are.

    Raises:
        TransferError: with the element whose value cannot be pickled.
    """
    try:
        first = len(pickling.dumps(values[0]))
        size = max(1, min(_MOST_IN_CHUNK, _CHUNK_BYTES // max(first, 1)))
        chunks = [
            pickling.dumps(list(values[start : start + size]))
            for start in range(0, len(values), size)
        ]
    except Exception:  # as above
        _check_elements(task, name, values)
        raise
    return chunks, size, len(values)


def _check_elements(task: Any, name: str, values: Sequence[Any]) -> None:
    for index, value in enumerate(values):
        check_argument(task, f"{name}[{index}]", value)


def check_argument(task: Any, name: str, value: Any) -> None:
    """Refuse a value that cannot be pickled.

    Raises:
        TransferError: it cannot.
    """
    try:
        pickling.dumps(value)
    except Exception as error:
        what = f"Argument {name!r} of task {task.name!r}"
        raise pickling.transfer_error(value, what, error, _HINT) from error
