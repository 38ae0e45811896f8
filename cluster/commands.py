"""``dataflow cluster``: clusters that outlive the command, and that later runs find by name."""

from __future__ import annotations

import json
from typing import Any

import click

from dataflow.cli.commands import CONTEXT
from dataflow.cli.complaints import Misuse
from dataflow.cli.output import ago_text, echo_json, moment_text, print_table
from dataflow.errors import ClusterError

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_NAME = click.argument("name", required=False)
_TAIL_LINES = 100


@click.group("cluster", context_settings=CONTEXT)
def cluster() -> None:
    r"""Start and end clusters, and look at them.

    \b
      dataflow cluster start lab                  as [clusters.lab] of dataflow.toml says
      dataflow run etl.py --runner dask:lab       any number of runs, one after another or at once
      dataflow cluster stop lab

    NAME may be left out where only one cluster runs.
    """


@cluster.command("start")
@_NAME
@click.option("--provider", help="Who makes it, if it is not written down: local, ssh, slurm ...")
@click.option("--workers", type=int, help="How many workers it is to have.")
@click.option("--idle", "idle_seconds", type=float, help="End it after so many idle seconds.")
@click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="Of its provider."
)
@_JSON
def start_cluster(
    name: str | None,
    provider: str | None,
    workers: int | None,
    idle_seconds: float | None,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start a cluster; one that runs already stays as it is."""
    from cluster.standing import start

    given = _read_options(options)
    given |= {} if workers is None else {"workers": workers}
    given |= {} if idle_seconds is None else {"idle_seconds": idle_seconds}
    name = name or provider or "local"
    record, is_new = start(name, _spec(name, provider, given))
    if not is_new and (given or provider):
        raise Misuse(
            f"Cluster {name!r} runs already, as it was started {_ago(record)}.",
            hint=f"Look at it: dataflow cluster info {name}. End it: dataflow cluster stop {name}.",
        )
    if as_json:
        echo_json(_as_dict(record))
        return
    click.echo(f"Cluster {name} {'runs' if is_new else 'runs already'} at {record.address}.")
    if record.dashboard:
        click.echo(f"Dashboard: {record.dashboard}")


@cluster.command("ls")
@_JSON
def list_clusters(as_json: bool) -> None:
    """List the clusters that run, and those that are written down."""
    from cluster.spec_files import written_clusters
    from cluster.standing_records import all_records

    running = {record.name: record for record in all_records()}
    written = written_clusters()
    names = sorted({*running, *written})
    files = {name: str(written[name].path) if name in written else None for name in names}
    if as_json:
        found = [
            _as_dict(running[name])
            if name in running
            else {"name": name, "provider": written[name].provider}
            for name in names
        ]
        echo_json([{**each, "file": files[each["name"]]} for each in found])
    elif names:
        rows = [
            _row(running[name], files[name])
            if name in running
            else [name, written[name].provider, "", "", "", files[name] or ""]
            for name in names
        ]
        print_table(("NAME", "PROVIDER", "RUNS SINCE", "ON", "ADDRESS", "FILE"), rows)
    else:
        click.echo("No clusters yet. Start one: dataflow cluster start")


@cluster.command("info")
@_NAME
@_JSON
def show_cluster(name: str | None, as_json: bool) -> None:
    """Show a cluster: its spec without secrets, its size and why, and who uses it."""
    from cluster.opening import find_cluster
    from cluster.standing_records import StandingRecord

    found = _running(None) if name is None else find_cluster(name)
    if not isinstance(found, StandingRecord):
        facts = {**found.shown(), "runs": False, "file": found.origin}
    else:
        facts = {**found.spec, **_as_dict(found), "runs": True, **_usage(found), **_size(found)}
    if as_json:
        echo_json(facts)
        return
    width = max(map(len, facts))
    for fact, value in facts.items():
        click.echo(f"{click.style(fact.ljust(width), dim=True)}  {_shown(value)}")


@cluster.command("scale")
@click.argument("workers", type=click.IntRange(min=0))
@_NAME
def scale_cluster(workers: int, name: str | None) -> None:
    """Give a cluster so many workers."""
    from cluster.standing import Control

    record = _running(name)
    with Control(record) as control:
        control.ask("scale", workers=workers)
    click.echo(f"Cluster {record.name} is to have {workers} worker(s).")


@cluster.command("logs")
@_NAME
@click.option("-n", "--lines", type=int, default=_TAIL_LINES, help="How many, from the end.")
@click.option("--workers", "of_workers", is_flag=True, help="What its processes keep, too.")
def show_logs(name: str | None, lines: int, of_workers: bool) -> None:
    """Print what a cluster's host has written; also of one that has ended."""
    from cluster.standing_records import place_of

    record = None
    if name is None or of_workers:
        record = _running(name)
        name = record.name
    path = place_of(name).path("log")
    if not path.exists():
        raise Misuse(f"Cluster {name!r} has no log.", hint="It was never started from here.")
    for line in path.read_text(errors="replace").splitlines()[-lines:]:
        click.echo(line)
    if of_workers and record is not None:
        _print_kept_logs(record, lines)


@cluster.command("stop")
@_NAME
def stop_cluster(name: str | None) -> None:
    """End a cluster; runs that use it crash."""
    from cluster.standing import stop

    record = _running(name)
    stop(record)
    click.echo(f"Cluster {record.name} has ended.")


@cluster.command("dashboard")
@_NAME
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
def show_dashboard(name: str | None, opens: bool) -> None:
    """Print where Dask's dashboard of a cluster is."""
    record = _running(name)
    if not record.dashboard:
        raise ClusterError(
            f"Cluster {record.name!r} has no dashboard.",
            hint="Start it with -o dashboard=true; pip install 'dataflow-runtime[dashboard]'.",
        )
    click.echo(record.dashboard)
    if opens:
        click.launch(record.dashboard)


def _spec(name: str, provider: str | None, given: dict[str, Any]) -> Any:
    """The spec of a name, with what the command line says."""
    from cluster.opening import find_cluster
    from cluster.spec import ClusterSpec
    from cluster.spec_files import written_spec
    from cluster.standing_records import StandingRecord

    if provider is not None:
        return ClusterSpec(provider, name=name, **given)
    written = written_spec(name)
    if written is None:
        found = find_cluster(name)
        if isinstance(found, StandingRecord):  # it is not written down, and runs
            return ClusterSpec("local", name=name)
        written = found
    return written.with_options(**given) if given else written


def _read_options(texts: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` texts; a value is JSON, or else text; ``a.b=1`` is in a table."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise Misuse(f"{text!r} is no option.", hint="Write -o name=value.")
        *tables, last = name.strip().split(".")
        place = found
        for table in tables:
            place = place.setdefault(table, {})
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    return found


def _running(name: str | None) -> Any:
    """A cluster that runs: the one of a name, or the only one."""
    from cluster.spec_files import not_found, written_clusters
    from cluster.standing_records import all_records, find_record

    if name is not None:
        found = find_record(name)
        if found is not None:
            return found
        running = [record.name for record in all_records()]
        if name in written_clusters():
            raise Misuse(
                f"Cluster {name!r} does not run.", hint=f"Start it: dataflow cluster start {name}."
            )
        raise not_found(name, running)
    records = all_records()
    if len(records) != 1:
        names = ", ".join(record.name for record in records)
        raise Misuse(
            f"Which cluster? There run {names}." if records else "No cluster runs.",
            hint="Name one." if records else "Start one: dataflow cluster start",
        )
    return records[0]


def _usage(record: Any) -> dict[str, Any]:
    """What the scheduler says of itself."""
    from dataclasses import asdict

    from cluster.connecting import connect
    from cluster.usage import usage_of

    client = connect(record.address, security=record.security)
    try:
        found = asdict(usage_of(client))
    finally:
        client.close()
    return {**found, "clients": found["clients"] - 1}  # its host is one of them


def _size(record: Any) -> dict[str, Any]:
    """What its host says of its size; nothing if that is on another machine."""
    import contextlib

    from cluster.standing import Control

    with contextlib.suppress(ClusterError), Control(record) as control:
        return control.ask("info")
    return {}


def _print_kept_logs(record: Any, lines: int) -> None:
    from cluster.connecting import connect

    client = connect(record.address, security=record.security)
    try:
        logs = {"scheduler": client.get_scheduler_logs(n=lines), **client.get_worker_logs(n=lines)}
    finally:
        client.close()
    for who, entries in logs.items():
        for _, line in reversed(entries):
            click.echo(f"{who}: {line}")


def _as_dict(record: Any) -> dict[str, Any]:
    """A record as JSON has it: without what lets one in."""
    return {
        "name": record.name,
        "provider": record.provider,
        "address": record.address,
        "tls": record.tls is not None,
        "dashboard": record.dashboard,
        "host": record.host,
        "pid": record.process.pid,
        "started": _moment(record),
    }


def _row(record: Any, file: str | None) -> list[str]:
    started = _moment(record)
    return [
        record.name,
        record.provider,
        f"{moment_text(started)} ({ago_text(started)})",
        record.host,
        record.address,
        file or "",
    ]


def _moment(record: Any) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(record.started, UTC)


def _ago(record: Any) -> str:
    return ago_text(_moment(record))


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
