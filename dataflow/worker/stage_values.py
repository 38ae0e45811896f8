"""The values of fused stages: a column for each stage whose values are wanted, none for the others.

To whoever reads them they are a list, in which those of an element's stages follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload


class StageValues(Sequence[Any]):
    """The values of the calls that have ended; of stages that nobody wants, only the element's.

    Positions are never negative.

    Args:
        kept: for each stage, whether its values are wanted.
        ended: when the calls ended; a value comes before its time.
    """

    def __init__(self, kept: Sequence[bool], ended: Sequence[int]) -> None:
        self._columns: list[list[Any] | None] = [[] if each else None for each in kept]
        self._ended = ended
        self._passing: dict[int, Any] = {}  # by position

    @property
    def keeps(self) -> list[Callable[[Any], None] | None]:
        """For each stage what takes the value of its next call (None: it is not wanted)."""
        return [None if column is None else column.append for column in self._columns]

    def append(self, value: Any) -> None:
        """The call under way has this value."""
        self[len(self)] = value

    def forget_element(self) -> None:
        """All calls of an element have ended: nobody asks for what is not wanted any more."""
        self._passing.clear()

    def __len__(self) -> int:
        return len(self._ended)

    @overload
    def __getitem__(self, at: int) -> Any: ...

    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...

    def __getitem__(self, at: int | slice) -> Any:
        width = len(self._columns)
        if isinstance(at, slice):
            positions = range(*at.indices(len(self)))
            column = self._columns[positions.start % width]
            if column is None or positions.step % width or not positions:
                return [self[position] for position in positions]
            first, last = positions[0] // width, positions[-1] // width
            return column[first : last + 1 : positions.step // width]
        element, number = divmod(at, width)
        column = self._columns[number]
        if column is not None:
            return column[element]
        if at not in self._passing and at >= len(self):
            raise IndexError(at)
        return self._passing.get(at)

    def __setitem__(self, at: int, value: Any) -> None:
        element, number = divmod(at, len(self._columns))
        column = self._columns[number]
        if column is None:
            self._passing[at] = value
        elif element == len(column):
            column.append(value)
        else:
            column[element] = value


Values = list[Any] | StageValues
"""The values of a batch's calls, by position."""
