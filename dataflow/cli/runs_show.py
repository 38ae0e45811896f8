"""``dataflow runs show``: one run, its nodes, its failures, or one element of it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import click

from dataflow.cli.output import (
    ago_text,
    echo_json,
    moment_text,
    print_rich,
    print_table,
    run_as_dict,
    state_as_dict,
    state_text,
)
from dataflow.cli.runs_timing import print_timing, timing_as_dict
from dataflow.display.quantities import count_text, duration_text, fine_duration_text
from dataflow.model.states import StateCode, StateType
from dataflow.records import (
    ElementDetail,
    FailureSummary,
    NodeSummary,
    NodeTiming,
    Run,
    get_run,
)

_MOST_NODES = 40
_MOST_APART = 5
_ORDER = {StateType.COMPLETED: 0, StateType.FAILED: 1, StateType.CRASHED: 2, StateType.PENDING: 3}


@click.command("show")
@click.argument("run")
@click.argument("element", required=False)
@click.option("--failures", is_flag=True, help="What failed, with tracebacks.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Failures at most."
)
@click.option("--timing", is_flag=True, help="Where its time went.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_run(
    run: str, element: str | None, failures: bool, limit: int, timing: bool, as_json: bool
) -> None:
    """Show a run; with ELEMENT (such as clean-0[5]) one task run of it."""
    found = get_run(run)
    if element is not None:
        detail = found.element(element)
        if as_json:
            echo_json(_element_as_dict(detail))
        else:
            _print_element(detail)
    elif as_json:
        more = {"timing": timing_as_dict(found)} if timing else {}
        echo_json({**_as_dict(found, failures, limit), **more})
    elif failures:
        _print_failures(found, limit)
    elif timing:
        print_timing(found)
    else:
        _print_run(found)


# --- a run ---------------------------------------------------------------------------------------


def _print_run(run: Run) -> None:
    from rich.text import Text

    took = run.duration_seconds
    head = Text.assemble((run.flow_name, "bold"), "  ", run.name, "  ", state_text(run.state))
    print_rich(head)
    if run.state.message:
        for line in run.state.message.splitlines():
            click.echo(f"  {line}")
    facts = [
        ("id", run.id),
        ("began", f"{moment_text(run.started or run.created)} ({ago_text(run.created)})"),
        ("took", duration_text(took) if took is not None else ""),
        ("runner", f"{run.summary.runner}, from process {run.summary.pid} on {run.summary.host}"),
        ("file", run.summary.code_path or ""),
        ("version", run.summary.flow_version or ""),
        ("parameters", _parameters(run)),
        ("tags", ", ".join(run.tags)),
        ("parent", run.summary.parent_run_id or ""),
        ("runs", str(run.summary.run_count) if run.summary.run_count > 1 else ""),
    ]
    for name, value in facts:
        if value:
            click.echo(f"  {click.style(f'{name:<10}', dim=True)} {value}")
    click.echo()
    _print_nodes(run)


def _parameters(run: Run) -> str:
    shown = []
    for name, value in run.parameters.items():
        text = json.dumps(value, ensure_ascii=False)
        shown.append(f"{name}={text if len(text) <= 60 else text[:59] + '…'}")
    return "  ".join(shown)


def _print_nodes(run: Run) -> None:
    nodes = run.nodes()
    if not nodes:
        click.echo("No task runs.")
        return
    timings = {timing.node: timing for timing in run.timing().nodes}
    children = {child.id: child for child in run.subflows()}
    groups = _grouped(nodes)
    names = [name for name in _state_names(nodes) if name != "Completed"]
    columns = ["NODE", "KIND", ">RUNS", ">COMPLETED", *(f">{name.upper()}" for name in names)]
    rows = [
        _node_row(group, names, [timings[n.node] for n in group if n.node in timings], children)
        for group in groups[:_MOST_NODES]
    ]
    print_table([*columns, ">TOOK", ">EACH", ""], rows)
    if len(groups) > _MOST_NODES:
        click.echo(f"… and {count_text(len(groups) - _MOST_NODES)} more (--json has all)")


def _grouped(nodes: list[NodeSummary]) -> list[list[NodeSummary]]:
    """A row for each node; single calls of one task that are many share one."""
    calls = Counter(node.task_name for node in nodes if node.kind != "map")
    groups: dict[tuple[str, str], list[NodeSummary]] = {}
    for node in nodes:
        together = node.kind != "map" and calls[node.task_name] > _MOST_APART
        name = node.task_name if together else node.name
        groups.setdefault((node.kind, name), []).append(node)
    return list(groups.values())


def _state_names(nodes: list[NodeSummary]) -> list[str]:
    """States that occur, the good ones first."""
    found = [code for code in StateCode if any(code in node.codes for node in nodes)]
    return [code.state_name for code in sorted(found, key=lambda c: _ORDER.get(c.type, 9))]


def _node_row(
    group: list[NodeSummary],
    names: list[str],
    timings: list[NodeTiming],
    children: dict[str, Run],
) -> list[Any]:
    from rich.text import Text

    first = group[0]
    together = len(group) > 1
    lengths = [node.length if node.kind == "map" else 1 for node in group]
    total = None if None in lengths else sum(length or 0 for length in lengths)
    row: list[Any] = [
        Text(first.task_name if together else first.name, "bold"),
        Text(first.kind, "dim"),
        "?" if total is None else count_text(total),
        _cell(group, "Completed", "green"),
        *(_cell(group, name, "yellow" if name == "NotReady" else "red") for name in names),
    ]
    if timings:
        begun = min(timing.first_started_ns for timing in timings)
        ended = max(timing.last_ended_ns for timing in timings)
        calls = sum(timing.calls for timing in timings)
        busy = sum(timing.busy_seconds for timing in timings)
        row += [duration_text((ended - begun) / 1e9), Text(fine_duration_text(busy / calls), "dim")]
    else:
        row += ["", ""]
    child = children.get(first.child_run_id or "")
    return [*row, Text(f"→ {child.name}" if child is not None and not together else "", "dim")]


def _cell(group: list[NodeSummary], state: str, style: str) -> Any:
    from rich.text import Text

    count = sum(node.counts.get(state, 0) for node in group)
    return Text(count_text(count), style) if count else Text("·", "dim")


# --- its failures --------------------------------------------------------------------------------


def _print_failures(run: Run, limit: int) -> None:
    from dataflow.display.failures import Printer, print_groups, report_of

    report = report_of(run)
    out = Printer(sys.stdout)
    if not report.groups:
        said = run.state.message if not run.state.is_completed() else None
        click.echo(said or f"Nothing failed in {run.name}.")
        return
    failed = f"{count_text(report.failed)} task run{'s' if report.failed > 1 else ''}"
    out(f"{failed} of {run.name} failed, {count_text(report.not_run)} did not run for it.")
    print_groups(report.groups, run, out, most=limit, names=50)
    first = report.groups[0]
    out(f"\n  One of them: dataflow runs show {first.run.name} '{first.first.name}'", "2")


# --- one element ---------------------------------------------------------------------------------


def _print_element(element: ElementDetail) -> None:
    from rich.text import Text

    print_rich(Text.assemble((element.name, "bold"), "  ", state_text(element.state)))
    for attempt in element.attempts:
        took = fine_duration_text(attempt.duration_seconds)
        began = moment_text(attempt.started)
        click.echo(
            f"  attempt {attempt.attempt}: {attempt.state.name} at {began}, took {took}"
            + (f", on {attempt.worker}" if attempt.worker else "")
        )
        for line in (attempt.traceback or attempt.message or "").rstrip().splitlines():
            click.echo(f"    {line}")
    if element.logs:
        from dataflow.logs import line_text

        click.echo()
        for entry in element.logs:
            click.echo(line_text(entry, sys.stdout.isatty()))


# --- as JSON -------------------------------------------------------------------------------------


def _as_dict(run: Run, failures: bool, limit: int) -> dict[str, Any]:
    data = run_as_dict(run)
    data["states"] = [{**state_as_dict(s), "timestamp": s.timestamp} for s in run.states()]
    data["nodes"] = [_node_as_dict(node) for node in run.nodes()]
    data["subflows"] = [
        {"id": child.id, "name": child.name, "flow": child.flow_name, "state": child.state.name}
        for child in run.subflows()
    ]
    if failures:
        data["failures"] = [_failure_as_dict(each) for each in run.failures(limit=limit)]
    return data


def _node_as_dict(node: NodeSummary) -> dict[str, Any]:
    return {
        "node": node.node,
        "name": node.name,
        "task": node.task_name,
        "kind": node.kind,
        "length": node.length,
        "states": node.counts,
        "upstream": list(node.upstream),
        "order": list(node.order),
        "tags": list(node.tags),
        "child_run_id": node.child_run_id,
    }


def _failure_as_dict(failure: FailureSummary) -> dict[str, Any]:
    return {
        "name": failure.name,
        "task": failure.task_name,
        "node": failure.node,
        "index": failure.index,
        "attempt": failure.attempt.attempt,
        "state": state_as_dict(failure.state),
        "exception_type": failure.exception_type,
        "traceback": failure.traceback,
        "worker": failure.attempt.worker,
        "started": failure.attempt.started,
        "ended": failure.attempt.ended,
    }


def _element_as_dict(element: ElementDetail) -> dict[str, Any]:
    return {
        "name": element.name,
        "task": element.task_name,
        "node": element.node,
        "index": element.index,
        "state": state_as_dict(element.state),
        "attempts": [
            {
                "attempt": attempt.attempt,
                "state": state_as_dict(attempt.state),
                "started": attempt.started,
                "ended": attempt.ended,
                "worker": attempt.worker,
                "traceback": attempt.traceback,
            }
            for attempt in element.attempts
        ],
        "logs": [
            {"timestamp": e.timestamp, "level": e.level_name, "message": e.message}
            for e in element.logs
        ],
    }
