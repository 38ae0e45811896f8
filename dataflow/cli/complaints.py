"""Errors on the command line: a sentence, a hint, and the exit status that goes with them."""

from __future__ import annotations

import click

from dataflow.cli import FAILED, MISUSE
from dataflow.errors import (
    ArtifactNotFound,
    ClusterNotFound,
    DataflowError,
    DefinitionError,
    RunnerNotFound,
    RunNotFound,
    VariableNotFound,
)


def complain(error: BaseException) -> None:
    """Say on standard error what is wrong, without a traceback."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    click.echo(click.style("Error: ", fg="red", bold=True) + str(message), err=True)
    hint = getattr(error, "hint", None)
    if hint:
        click.echo(click.style(f"  Hint: {hint}", dim=True), err=True)


def status_of(error: BaseException) -> int:
    """What to exit with when nothing could be run because of an error."""
    missing = (RunNotFound, RunnerNotFound, ClusterNotFound, ArtifactNotFound, VariableNotFound)
    misuse = (DefinitionError, Misuse, *missing)
    return MISUSE if isinstance(error, misuse) else FAILED


class Misuse(DataflowError):
    """The command cannot be carried out as it was given."""
