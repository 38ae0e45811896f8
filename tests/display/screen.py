"""A terminal that understands as much as a live region needs."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"\x1b\[(\?)?([\d;]*)([A-Za-z])")


class Screen:
    """Lines and a cursor; text that is written ends up where a terminal would show it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.rows: list[str] = [""]
        self.row = self.column = 0
        self.cursor_is_visible = True

    def write(self, text: str) -> int:
        at = 0
        while at < len(text):
            match = _CONTROL.match(text, at)
            if match:
                self._control(match)
                at = match.end()
                continue
            self._character(text[at])
            at += 1
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What is to be seen, without the empty end."""
        lines = [row.rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row += 1
            self.column = 0
            while len(self.rows) <= self.row:
                self.rows.append("")
        else:
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _control(self, match: re.Match[str]) -> None:
        private, number, letter = match.groups()
        if private:
            self.cursor_is_visible = letter == "h"
        elif letter == "A":
            self.row = max(self.row - int(number or 1), 0)
        elif letter == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
