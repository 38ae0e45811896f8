"""How a process ended, in words."""

from __future__ import annotations

import contextlib
import signal


def exit_text(status: int) -> str:
    """What an exit status says; a negative one is that of a signal, as ``subprocess`` has it."""
    if status >= 0:
        return f"it exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it was ended by signal {-status}"
