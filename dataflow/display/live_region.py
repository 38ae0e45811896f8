"""A few lines at the bottom of a terminal that are drawn anew, with everything else above them.

The cursor rests on an empty line above what was drawn. So a line that a worker process prints by
itself lands there and stays, and a narrower terminal, where lines wrap, leaves nothing behind: all
that is below the cursor is ours. What this process prints, and log lines, are queued and written
together with the next drawing. While someone types (``input()``, pdb) nothing is drawn.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TextIO

_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_QUIET_SECONDS = 1.0


class LiveRegion:
    """The region, on one terminal; ``draw`` and ``above`` may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._above: list[str] = []
        self._drawn = False
        self._pauses = 0
        self._quiet_until = 0.0
        self._pid = os.getpid()
        self._replaced: dict[str, _Above] = {}
        self._input: Callable[..., Any] = builtins.input

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that draws (not a fork of it)."""
        return os.getpid() == self._pid

    def above(self, text: str) -> None:
        """Write whole lines above the region, at the latest when it is drawn again."""
        with self._lock:
            self._above.append(text)
            if self._pauses:
                self._flush()

    def draw(self, lines: Sequence[str]) -> None:
        """Replace what the region shows."""
        with self._lock:
            if self._pauses or monotonic() < self._quiet_until:
                return
            if not lines:
                self._flush()
                return
            out = ["" if self._drawn else _HIDE_CURSOR, "\r", self._take_above(), _CLEAR_LINE]
            out += [f"\n{line}{_CLEAR_LINE}" for line in lines]
            out.append(f"{_CLEAR_BELOW}\x1b[{len(lines)}A\r")
            self._drawn = True
            self._write("".join(out))

    def close(self, lines: Sequence[str] = ()) -> None:
        """Leave these lines on the screen and give the terminal back."""
        with self._lock:
            self.give_back()
            out = ["\r" if self._drawn else "", self._take_above()]
            out += [f"{line}{_CLEAR_LINE}\n" for line in lines]
            out.append(_CLEAR_BELOW + _SHOW_CURSOR if self._drawn else "")
            self._drawn = False
            self._write("".join(out))

    # --- what else writes to the terminal --------------------------------------------------------

    def take_over(self) -> None:
        """From now on prints of this process go above the region."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            with contextlib.suppress(AttributeError, ValueError):
                if stream.isatty():
                    self._replaced[name] = proxy = _Above(stream, self)
                    setattr(sys, name, proxy)
        self._input = builtins.input
        builtins.input = self._ask

    def give_back(self) -> None:
        """Prints go where they went before."""
        for name, proxy in self._replaced.items():
            if getattr(sys, name) is proxy:
                setattr(sys, name, proxy.stream)
            proxy.finish("\n")
            proxy.is_direct = True
        self._replaced.clear()
        if builtins.input == self._ask:
            builtins.input = self._input

    def _ask(self, *prompt: Any) -> Any:
        with self._lock:
            self._pauses += 1
            self._flush()
        try:
            return self._input(*prompt)
        finally:
            with self._lock:
                self._pauses -= 1
                self._quiet_until = monotonic() + _QUIET_SECONDS

    def _flush(self) -> None:
        for proxy in self._replaced.values():
            proxy.finish()
        before, after = ("\r", _CLEAR_BELOW + _SHOW_CURSOR) if self._drawn else ("", "")
        self._write(before + self._take_above() + after)
        self._drawn = False

    def _take_above(self) -> str:
        text, self._above = "".join(self._above), []
        return text.replace("\n", _CLEAR_LINE + "\n") if self._drawn else text

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            self._stream.write(text)
            self._stream.flush()


class _Above(io.TextIOBase):
    """Stands for a standard stream while a region is on its terminal."""

    def __init__(self, stream: TextIO, region: LiveRegion) -> None:
        self.stream = stream
        self.is_direct = False  # somebody kept this object beyond the region's time
        self._region = region
        self._line = ""

    def write(self, text: str) -> int:
        if self.is_direct or not self._region.is_ours:
            return self.stream.write(text)
        whole, newline, rest = text.rpartition("\n")
        if newline:
            self._region.above(self._line + whole + newline)
            self._line = rest
        else:
            self._line += text
        return len(text)

    def finish(self, end: str = "") -> None:
        """Write a line that has not ended."""
        line, self._line = self._line, ""
        if line:
            self._region.above(line + end)

    def flush(self) -> None:
        if self.is_direct or not self._region.is_ours:
            self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.stream.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
