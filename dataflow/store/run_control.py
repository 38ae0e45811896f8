"""What a store does for those who look after runs: processes that drive them, and who asks for it.

A state is all that is asked with: whoever wants a run to end puts it into Cancelling, and the
process that drives it sees that. A process that vanishes leaves its runs as they were; whoever
looks puts them into Crashed, and as a state follows another only once, only one of them does.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from dataflow.model.records import DueHooksRecord
from dataflow.process_ids import ProcessId, is_gone

BEAT_SECONDS = 8.0
MISSED_SECONDS = 25.0


class Driven(NamedTuple):
    """A run that has not ended, and the process that drives it."""

    run_id: str
    process: ProcessId
    beat_ns: int

    def has_vanished(self, now_ns: int) -> bool:
        """Whether its process is gone: seen to be so here, unheard of for long elsewhere."""
        gone = is_gone(self.process)
        return now_ns - self.beat_ns > MISSED_SECONDS * 1e9 if gone is None else gone


class RunControl(Protocol):
    """Looking after runs that processes have in common."""

    def version(self) -> int:
        """A number that is another one after anyone else has written; costs microseconds."""

    def beat(self, process: ProcessId) -> None:
        """Note that a process that drives runs lives."""

    def driver(self, run_id: str) -> ProcessId | None:
        """The process that drives a run; None: it has none of its own, or has ended.

        What has ended is driven until the last of its own hooks is claimed.
        """

    def take_up(self, run_id: str, process: ProcessId) -> ProcessId | None:
        """Have a process drive a run that nobody drives.

        Returns:
            None; or the process that drives it already.
        """

    def give_up(self, run_id: str, process: ProcessId) -> None:
        """A process will not drive a run after all that it has taken up."""

    def wanted(self, process: ProcessId) -> list[tuple[str, int, str | None]]:
        """The runs of a process that are Cancelling or Resuming, and what was said then."""

    def cancel_undriven(self, run_id: str, message: str) -> bool:
        """Put a run into Cancelled that nobody drives; False if somebody does, or it has ended."""

    def resume_paused(self, run_id: str, put_in: str | None) -> bool:
        """Put a run into Resuming that is Paused, with what is put in; False if it is not."""

    def end_below(self, run_id: str, code: int, message: str) -> None:
        """End the runs below one that no process drives by itself and that have not ended."""

    def crash_vanished(self) -> list[str]:
        """Put the runs whose processes have vanished into Crashed, and all below them.

        Returns:
            The runs that this very call has ended; those that somebody else was faster with are
            not among them.
        """

    def has_committed(self, key: str) -> bool:
        """Whether a transaction of this key was committed."""

    def note_committed(self, key: str, run_id: str) -> None:
        """A transaction of this key was committed by a run."""

    def runs_with_due_hooks(self) -> list[str]:
        """The runs that nobody drives any more and of which hooks have not been called."""

    def due_hooks(self, run_id: str) -> list[DueHooksRecord]:
        """The hooks of a run and its tasks that have not been called, in the order of the states.

        Of a run that is driven, they are its driver's to call.
        """

    def claim_hook(self, due: DueHooksRecord, rest: DueHooksRecord | None) -> bool:
        """Whether the next of these hooks is to be called by who asks; after it the rest is due."""
