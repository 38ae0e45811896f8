"""``dataflow runs show RUN --timing``: where the time of a run went."""

from __future__ import annotations

from dataclasses import asdict, fields
from operator import itemgetter
from typing import Any

import click

from dataflow.cli.output import print_rich, print_table, state_text
from dataflow.display.quantities import count_text, fine_duration_text
from dataflow.records import NodeTiming, PhaseSeconds, Run, RunTiming

_MEANINGS = {
    "tracing": "calls of submit and map",
    "planning": "what can begin, and in which batches",
    "dispatch": "batches packed and handed over",
    "queue": "batches waiting until a worker began with them",
    "compute": "calls of tasks, on all workers together",
    "transfer": "arguments loaded, values packed and unpacked",
    "recording": "states, results and logs written to the store",
}
_OVERLAP = (
    "Workers, and threads of the flow's process, do this beside each other: it does not add up to\n"
    "the time that the run took. Calls of async tasks, which wait together, are not in compute."
)
_MOST_TASKS = 10


def print_timing(run: Run) -> None:
    """Print what the phases of a run took, and its tasks, the longest first."""
    from rich.text import Text

    timing = run.timing()
    head: list[Any] = [(run.flow_name, "bold"), "  ", run.name, "  ", state_text(run.state)]
    if timing.wall_seconds is not None:
        head.append(f"  took {fine_duration_text(timing.wall_seconds)}")
    print_rich(Text.assemble(*head))
    click.echo()
    if timing.phases is None:
        click.echo(_why_unknown(run))
    else:
        _print_phases(timing.phases, timing.wall_seconds)
    if timing.nodes:
        click.echo()
        _print_tasks(timing)


def timing_as_dict(run: Run) -> dict[str, Any]:
    """The same as JSON has it; ``phases`` is null where they are not known."""
    timing = run.timing()
    return {
        "wall_seconds": timing.wall_seconds,
        "busy_seconds": timing.busy_seconds,
        "calls": timing.calls,
        "phases": None if timing.phases is None else asdict(timing.phases),
        "nodes": [_node_as_dict(node) for node in timing.nodes],
    }


def _why_unknown(run: Run) -> str:
    if not run.state.is_final():
        return f"{run.name} has not ended: what its phases took is recorded when it does."
    return (
        f"What the phases of {run.name} took is not known: its process was killed, or it ran "
        "before this was recorded."
    )


def _print_phases(phases: PhaseSeconds, wall: float | None) -> None:
    from rich.text import Text

    rows = []
    for phase in fields(phases):
        seconds = getattr(phases, phase.name)
        share = f"{100 * seconds / wall:.1f}%" if wall else ""
        meaning = Text(_MEANINGS[phase.name], "dim")
        rows.append([Text(phase.name, "bold"), fine_duration_text(seconds), share, meaning])
    print_table(["PHASE", ">TOOK", ">OF THE RUN", ""], rows)
    click.echo(f"\n{_OVERLAP}")


def _print_tasks(timing: RunTiming) -> None:
    from rich.text import Text

    sums: dict[str, tuple[float, int]] = {}
    for node in timing.nodes:
        seconds, calls = sums.get(node.task_name, (0.0, 0))
        sums[node.task_name] = seconds + node.busy_seconds, calls + node.calls
    longest = sorted(sums.items(), key=itemgetter(1), reverse=True)
    rows = [
        [
            Text(name, "bold"),
            count_text(calls),
            fine_duration_text(seconds),
            Text(fine_duration_text(seconds / calls), "dim"),
        ]
        for name, (seconds, calls) in longest[:_MOST_TASKS]
    ]
    print_table(["TASK", ">CALLS", ">TOOK", ">EACH"], rows)
    if len(longest) > _MOST_TASKS:
        click.echo(f"… and {count_text(len(longest) - _MOST_TASKS)} more (--json has all)")


def _node_as_dict(node: NodeTiming) -> dict[str, Any]:
    return {
        "node": node.node,
        "task": node.task_name,
        "calls": node.calls,
        "busy_seconds": node.busy_seconds,
        "wall_seconds": node.wall_seconds,
    }
