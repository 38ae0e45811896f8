"""What went wrong in a run, told so that one can act on it: causes first, each once.

Task runs that failed with the same exception at the same line are one group. What did not run for
their sake is only counted. Tracebacks have the user's lines alone.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from dataflow.display.quantities import count_text, duration_text
from dataflow.errors import DataflowError, UnhandledTaskFailure
from dataflow.model.states import State, StateCode, StateType
from dataflow.records import FailureSummary, NodeSummary, Run, get_run
from dataflow.worker.failures import is_our_file, shown

_MOST_READ = 500
_MOST_GROUPS = 4
_MOST_NAMES = 6
_MOST_LINES = 30
_IMPORTING = (importlib.__file__, importlib.util.__file__)
_FAILED = (StateCode.FAILED, StateCode.TIMED_OUT, StateCode.CRASHED)


@dataclass(slots=True)
class FailureGroup:
    """Task runs that failed alike; the first one stands for all."""

    first: FailureSummary
    run: Run
    names: list[str] = field(default_factory=list)
    unread: int = 0

    @property
    def message(self) -> str:
        """The exception in a line, or what the state says."""
        kind, lines = self.first.exception_type, (self.first.traceback or "").strip().splitlines()
        if kind is not None:
            for line in reversed(lines):
                if line.startswith(kind):
                    return line
        return self.first.message or self.first.state.name

    @property
    def lines(self) -> list[str]:
        """The traceback without the lines that say nothing."""
        return telling_lines(self.first.traceback or "")


@dataclass(slots=True)
class Report:
    """What went wrong in a run and its subflows."""

    groups: list[FailureGroup] = field(default_factory=list)
    failed: int = 0
    not_run: int = 0


def report_of(run: Run, limit: int = _MOST_READ) -> Report:
    """Gather what went wrong in a run and its subflows."""
    report = Report()
    for each in _family(run):
        nodes = [node for node in each.nodes() if node.kind != "flow"]
        report.failed += _count(nodes, _FAILED)
        report.not_run += _count(nodes, (StateCode.NOT_READY,))
        if _count(nodes, _FAILED):
            kinds = {node.node for node in nodes}
            failures = [f for f in each.failures(limit=limit) if f.node in kinds]
            report.groups += group_failures(each, failures)
    if len(report.groups) == 1:  # of the others nobody knows which group they belong to
        report.groups[0].unread = report.failed - len(report.groups[0].names)
    return report


def _family(run: Run, depth: int = 0) -> Iterable[Run]:
    """A run and the runs of its subflows, those that did not end well first."""
    yield run
    if depth < 20:
        for child in reversed(run.subflows()):
            if not child.state.is_completed():
                yield from _family(child, depth + 1)


def _count(nodes: Sequence[NodeSummary], codes: Iterable[StateCode]) -> int:
    return sum(node.codes.get(code, 0) for node in nodes for code in codes)


def group_failures(run: Run, failures: Iterable[FailureSummary]) -> list[FailureGroup]:
    """Failures that are alike, together, in the order of their first ones."""
    groups: dict[tuple[Any, ...], FailureGroup] = {}
    for failure in failures:
        place = [line for line in (failure.traceback or "").splitlines() if line[:6] == "  File"]
        key = (failure.task_name, failure.state.name, failure.exception_type, *place[-1:])
        group = groups.setdefault(key, FailureGroup(failure, run))
        group.names.append(failure.name)
    return list(groups.values())


def telling_lines(text: str) -> list[str]:
    """The lines of a traceback's text without the title that each begins with."""
    lines = text.rstrip().splitlines()
    return [line for line in lines if line != "Traceback (most recent call last):"]


def user_traceback(error: BaseException) -> list[str]:
    """The lines of an exception's traceback and causes, without dataflow's own frames."""
    return telling_lines("".join(_user_view(error).format()))


def _user_view(error: BaseException) -> traceback.TracebackException:
    whole = shown(error)
    seen: set[int] = set()
    pending = [whole]
    while pending:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kept = [frame for frame in one.stack if not _is_machinery(frame.filename)]
        one.stack = traceback.StackSummary.from_list(kept)
        pending += [each for each in (one.__cause__, one.__context__) if each is not None]
        pending += one.exceptions or []
    return whole


def _is_machinery(path: str) -> bool:
    return is_our_file(path) or path in _IMPORTING or path.startswith("<frozen importlib")


# --- on a terminal -------------------------------------------------------------------------------


class Printer:
    """Lines in colours where the stream is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty()

    def __call__(self, text: str = "", style: str = "") -> None:
        """Write a line."""
        if style and self._coloured and text:
            text = f"\x1b[{style}m{text}\x1b[0m"
        self._stream.write(text + "\n")

    def paint(self, text: str, style: str) -> str:
        """A part of a line."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._coloured else text


BOLD, DIM, RED, YELLOW = "1", "2", "31", "33"


def print_failure(run_id: str, state: State[Any], stream: TextIO | None = None) -> None:
    """Tell how a run ended that did not complete, and why."""
    out = Printer(stream or sys.stderr)
    run = get_run(run_id)
    report = report_of(run)
    colour = YELLOW if state.type is StateType.CANCELLED else RED
    took = run.duration_seconds
    after = f" after {duration_text(took)}" if took is not None else ""
    out()
    out(
        out.paint(f"✗ {run.flow_name}", f"{BOLD};{colour}")
        + out.paint(f" ({run.name})", DIM)
        + out.paint(f" {state.name}{after}", colour)
    )
    print_groups(report.groups, run, out, most=_MOST_GROUPS)
    _print_end_of_body(state, report, out)
    out()
    if report.not_run:
        some = (
            "1 task run that depends"
            if report.not_run == 1
            else (f"{count_text(report.not_run)} task runs that depend")
        )
        out(f"  {some} on what failed did not run.", YELLOW)
    option = " --failures" if report.groups else ""
    out(out.paint("  See more: ", DIM) + f"dataflow runs show {run.name}{option}")


def _print_end_of_body(state: State[Any], report: Report, out: Printer) -> None:
    """How the body came to its end, as far as the failed tasks do not tell."""
    error = state.data if isinstance(state.data, BaseException) else None
    if error is None:
        if state.message and not report.groups:
            out(f"\n  {state.message}")
    elif isinstance(error, UnhandledTaskFailure):
        if "nobody looked" in error.message:
            out(f"\n  Nobody looked at them. {UnhandledTaskFailure.message_hint}", DIM)
    elif not _is_told(error, report):
        out("\n  in the flow itself", BOLD)
        _print_lines(user_traceback(error) or [repr(error)], out)
    else:
        _print_last_line(_user_view(error).stack[:1], report, out)


def _print_last_line(stack: list[traceback.FrameSummary], report: Report, out: Printer) -> None:
    """Where the body asked for the failed task, if it did."""
    lines = telling_lines("".join(traceback.StackSummary.from_list(stack).format()))
    if lines and not any(lines[0] in group.lines for group in report.groups):
        out("\n  which ended the flow here", DIM)
        for line in lines:
            out(f"  {line}", DIM)


def print_groups(
    groups: Sequence[FailureGroup], run: Run, out: Printer, most: int, names: int = _MOST_NAMES
) -> None:
    """Print groups of failures, the user's lines below each."""
    for group in groups[:most]:
        out()
        _print_group(group, run, out, names)
    if len(groups) > most:
        more = len(groups) - most
        out(f"\n  … and {count_text(more)} other kind{'s' if more > 1 else ''} of failure", DIM)


def _print_group(group: FailureGroup, run: Run, out: Printer, names: int) -> None:
    attempt = group.first.attempt
    facts = [f"attempt {attempt.attempt}"] if attempt.attempt > 1 else []
    facts += [f"on {attempt.worker}"] if attempt.worker else []
    where = "" if group.run.id == run.id else f"{group.run.flow_name} ({group.run.name}) · "
    state = "" if group.first.state.name == "Failed" else f" {group.first.state.name}"
    out(
        f"  {where}"
        + out.paint(group.first.name, BOLD)
        + out.paint(state, RED)
        + out.paint(f"  {', '.join(facts)}" if facts else "", DIM)
    )
    _print_lines(group.lines or [group.message], out)
    others = group.names[1:]
    if others:
        shown = ", ".join(others[:names]) + (" …" if len(others) > names else "")
        out(f"    and {count_text(len(others) + group.unread)} more like it: {shown}", DIM)


def _is_told(error: BaseException, report: Report) -> bool:
    """Whether what ended the flow is one of the failures of its tasks."""
    if not report.groups:
        return False
    if isinstance(error, (UnhandledTaskFailure, DataflowError)):
        return True
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return any(group.message.endswith(text.splitlines()[0]) for group in report.groups)


def _print_lines(lines: Sequence[str], out: Printer) -> None:
    """A traceback: where it happened stands out less than the code and what was raised."""
    *before, last = lines
    if len(before) > _MOST_LINES:
        before = [*before[:4], "  …", *before[4 - _MOST_LINES :]]
    for line in before:
        out(f"    {line.removeprefix('  ')}".rstrip(), DIM if line.startswith("  File") else "")
    out(f"    {last}", RED)
