"""What rivals can do; each file beside this one has a class `Rival` that does.

All can do what the suite `overhead` asks for; those that the other suites plan work for can more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from benchmarks.calls import Call


class Rival(Protocol):
    """A way to carry out tasks, in the process that is measured.

    Every value is checked by the case that asked for it, so none of these may skip the work.
    """

    workers: int

    def __init__(self, option: str, home: str, workers: int) -> None:
        """Import nothing and start nothing; `home` is a folder for all that is left behind."""

    def load(self) -> None:
        """Import what a program that uses it imports."""

    def distributions(self) -> tuple[str, ...]:
        """Names of the installed distributions whose versions matter."""

    def open(self) -> None:
        """Start the workers, or begin to, as a program does before its first task."""

    def map(self, n: int) -> list[int]:
        """The identity over `range(n)` as one map: all values, by its quickest way to read them."""

    def map_each(self, n: int) -> list[int]:
        """The same map, but the result of every single future is asked for, one by one."""

    def submit(self, n: int) -> list[int]:
        """The identity of each of `range(n)`, submitted one by one, then each value read back."""

    def chain(self, n: int) -> int:
        """`n` submits of an increment, each on the result of the last: the final value."""

    def check_records(self, n: int) -> None:
        """After the clock has stopped: all n elements of the last work are recorded as completed.

        Raises:
            AssertionError: some are not. A rival that keeps no records has nothing to check.
        """

    def close(self) -> None:
        """End all that was started; harmless when nothing was."""


class MapRival(Rival, Protocol):
    """One that maps other functions too."""

    def map_function(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """A function of `benchmarks.tasks` over items as one map: all values, read at once."""


class GraphRival(MapRival, Protocol):
    """One that knows dependencies."""

    def graph(self, calls: Sequence[Call], wanted: Sequence[int]) -> list[Any]:
        """All calls, handed over in its quickest way: the values of those with these numbers."""

    def map_thrice(self, n: int) -> list[int]:
        """The identity over that over that over `range(n)`: the values of the last map."""

    def timed_maps(self, n: int) -> tuple[float, float, float, list[int]]:
        """The identity over `range(n)`, called twice in a row, workers being warm.

        Returns:
            Seconds of the first call, of the second, and from the first call to the first result;
            and the values of one.
        """

    def timed_submits(self, n: int) -> tuple[float, list[int]]:
        """The identity of each of `range(n)`: seconds of the n calls alone; all values."""

    def branch(self, n: int, calls: Sequence[Call]) -> tuple[float, list[int]]:
        """A graph submitted right after a map of the identity over `range(n)`; n may be 0.

        Returns:
            Seconds from after the map's call to the result of the graph's last call, and the
            values of the map.
        """

    def scheduler_pid(self) -> int | None:
        """The process of its scheduler, where that is not the measured one."""

    def bytes_through_flow(self) -> int | None:
        """Bytes that have gone through the measured process so far; None: it does not count."""


class HashingRival(Rival, Protocol):
    """One that knows values by their content."""

    def hash_value(self, value: Any) -> Any:
        """What stands for the content of a value, in this process and any other."""


class DurableRival(MapRival, HashingRival, Protocol):
    """One that keeps results, and takes them again."""

    def map_kept(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """As `map_function`, with every result kept on the disk."""

    def map_cached(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """As `map_kept`, but results that the same calls came to before are taken."""

    def resume_map(
        self, function: Callable[[Any], Any], items: Sequence[Any], mend: Callable[[], None]
    ) -> tuple[float, list[Any]]:
        """A kept map whose run fails, until it goes on after `mend`.

        Returns:
            Seconds of going on, and all values.
        """

    def cancel_map(
        self,
        stays: Callable[[Any], Any],
        follows: Callable[[Any], Any],
        n: int,
        is_busy: Callable[[], bool],
    ) -> tuple[float, list[Any]]:
        """A map over `range(n)` that does not end; once `is_busy` says so, another waits behind it.

        Then the first is cancelled, by another process.

        Returns:
            When that was asked for, and all values of the second.
        """

    def check_cached(self, n: int) -> None:
        """After the clock has stopped: n results of the last work are recorded as taken.

        Raises:
            AssertionError: more or fewer are.
        """
