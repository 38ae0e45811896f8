"""``dataflow store``: what the store has and takes; old runs go, all runs move to another store."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from dataflow.cli.complaints import Misuse
from dataflow.cli.moments import parse_moment
from dataflow.cli.output import echo_json, moment_text
from dataflow.display.quantities import bytes_text
from dataflow.errors import DataflowError
from dataflow.store.run_store import RunStore, open_store


@click.command("info")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_info(as_json: bool) -> None:
    """Print where the store is, what is in it, and what it takes."""
    with _the_store() as store:
        info = store.info()
    if as_json:
        echo_json(asdict(info))
        return
    size = bytes_text(info.size_bytes)
    if info.free_bytes:
        size += f", of which {bytes_text(info.free_bytes)} are unused"
    states = ", ".join(f"{count:,} {name.lower()}" for name, count in info.runs.items())
    facts: dict[str, Any] = {
        "store": info.place,
        "database": f"{info.kind}, schema {info.schema}",
        "size": size,
        "runs": f"{sum(info.runs.values()):,}{f' ({states})' if states else ''}",
        "from": moment_text(info.first) or "-",
        "to": moment_text(info.last) or "-",
        "calls": f"{info.calls:,} in {info.batches:,} batches",
        "log lines": f"{info.logs:,}",
    }
    for name, value in facts.items():
        click.echo(f"{click.style(name.ljust(9), dim=True)}  {value}")


@click.command("vacuum")
def vacuum() -> None:
    """Give back the room that removed runs have left.

    SQLite writes the file anew: it needs as much room again for a while, and runs wait until it is
    done. PostgreSQL keeps the room for what is recorded next, and nobody waits. Results that
    removed runs have kept go, too.
    """
    with _the_store() as store:
        _sweep(store)
        before = store.info().size_bytes
        store.vacuum()
        after = store.info().size_bytes
    click.echo(f"The store took {bytes_text(before)} and takes {bytes_text(after)} now.")


@click.command("prune")
@click.option("--older-than", required=True, help="That ended earlier: 12h, 30d, 8w, or a date.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
def prune(older_than: str, dry_run: bool) -> None:
    """Remove runs that ended long ago, with their nodes, batches, logs and all.

    Runs that have not ended stay, and so do subflows of runs that stay. Results that they kept, and
    that no other run has taken, go by the next `prune` or `vacuum`, a minute later or more, when no
    run is going on that had begun before.
    """
    moment = parse_moment(older_than, "--older-than")
    with _the_store() as store:
        count = store.prune(moment, only_count=dry_run)
        if not dry_run:
            _sweep(store)
    runs = "1 run" if count == 1 else f"{count:,} runs"
    click.echo(f"{runs} would be removed." if dry_run else f"Removed {runs}.")
    if count and not dry_run:
        click.echo("`dataflow store vacuum` gives the room back.", err=True)


def _sweep(store: RunStore) -> None:
    """Remove what earlier removed runs have left in result storages."""
    from dataflow.storage.sweeping import sweep_results

    swept = sweep_results(store)
    if swept.objects:
        objects = "1 object" if swept.objects == 1 else f"{swept.objects:,} objects"
        click.echo(f"Removed {objects} with results of runs that are gone.")
    for error in swept.problems.values():
        click.echo(f"Results stay for now. {error.message}", err=True)


@click.command("backup")
@click.argument("file")
def backup(file: str) -> None:
    """Copy the store, as it is at one moment, to FILE; runs may go on meanwhile.

    The copy is a store: DATAFLOW_STORE_URL=FILE. Of a PostgreSQL database, pg_dump makes copies.
    """
    if file == "-":
        raise Misuse("A backup is a file.", hint="`dataflow store export -` writes to a pipe.")
    with _the_store() as store, _written(file) as part:
        if part == Path(file):
            raise Misuse(f"{file} is no file.", hint="Name another one.")
        part.unlink(missing_ok=True)
        store.backup(part)
    click.echo(f"Copied the store to {file}.", err=True)


@click.command("export")
@click.argument("file")
def export_runs(file: str) -> None:
    """Write all runs to FILE, which any store can import; - is standard output."""
    with _the_store() as store, _target(file) as target:
        count = store.export_to(target)
    click.echo(f"Exported {count:,} {'run' if count == 1 else 'runs'}.", err=True)


@click.command("import")
@click.argument("file")
def import_runs(file: str) -> None:
    """Take in the runs of FILE, which `export` has written; - is standard input.

    Importing again does nothing: runs that are there, as complete, are left alone.
    """
    with _source(file) as source, _the_store() as store:
        done = store.import_from(source)
    text = f"Imported {done.runs:,} {'run' if done.runs == 1 else 'runs'}."
    click.echo(f"{text} {done.known:,} were there." if done.known else text, err=True)


@contextlib.contextmanager
def _the_store() -> Iterator[RunStore]:
    with contextlib.closing(open_store()) as store:
        yield store


@contextlib.contextmanager
def _target(file: str) -> Iterator[BinaryIO]:
    """The file to write, which takes its name only when it is whole."""
    if file == "-":
        if sys.stdout.isatty():
            raise Misuse("The export is no text.", hint="Send it to a file or a pipe.")
        yield sys.stdout.buffer
        return
    with _written(file) as part, part.open("wb") as target:
        yield target
        target.flush()
        if part != Path(file):
            os.fsync(target.fileno())


@contextlib.contextmanager
def _written(file: str) -> Iterator[Path]:
    """Where to write a file, which takes its name only when it is whole; a device, in its place."""
    place, part = Path(file), Path(f"{file}.part")
    try:
        if place.exists() and not place.is_file():
            yield place
            return
        try:
            yield part
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, DataflowError):  # the store's own
            raise
        raise _unusable(file, error) from error


@contextlib.contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise _unusable(file, error) from error
        yield source


def _unusable(file: str, error: OSError) -> Misuse:
    return Misuse(f"{file} cannot be used: {error.strerror}.", hint="Name another file.")
