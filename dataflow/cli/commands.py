"""The commands that there are; what one needs is imported when it is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click

from dataflow.plugins import load_plugin, plugin_names

_GROUP = "dataflow.commands"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed.

    Args:
        lazy: ``module:object`` and one line of help for each command's name.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they are needed."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; a name that is nearly right is named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = ", ".join(self.list_commands(ctx))
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            more = f"Did you mean {close[0]!r}?" if close else f"There are: {known}."
            raise click.UsageError(f"There is no command {args[0]!r}. {more}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(self.help_rows(ctx))

    def help_rows(self, ctx: click.Context) -> list[tuple[str, str]]:
        """What is listed: names, and a line on each."""
        return [(name, text) for name, (_, text) in self._lazy.items()]


class OpenGroup(LazyGroup):
    """One that other parts bring commands to: the entry points of ``dataflow.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, ours first."""
        return [*super().list_commands(ctx), *plugin_names(_GROUP)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; entry points are only looked at for what is not ours."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in plugin_names(_GROUP):
            found = load_plugin(_GROUP, cmd_name)
        return found

    def help_rows(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Those of others are imported, since only they know what they are for."""
        others = [(name, self.get_command(ctx, name)) for name in plugin_names(_GROUP)]
        return [
            *super().help_rows(ctx),
            *((name, command.get_short_help_str(100)) for name, command in others if command),
        ]


@click.group(
    cls=OpenGroup,
    context_settings=CONTEXT,
    lazy={
        "run": ("dataflow.cli.run:run", "Run a flow from a file or a module."),
        "runs": ("dataflow.cli.commands:runs", "Look at what ran, end it, let it go on."),
        "limits": ("dataflow.cli.limits:limits", "Limits on what goes on at once, in all runs."),
        "artifacts": ("dataflow.cli.commands:artifacts", "Look at what runs have shown."),
        "variables": ("dataflow.cli.commands:variables", "Look at and set shared variables."),
        "store": ("dataflow.cli.commands:store", "Look after the store: info, prune, export ..."),
        "version": ("dataflow.cli.version:version", "Versions of all that matters; the store."),
    },
)
def dataflow() -> None:
    """Run flows, and look at what became of them.

    \b
      dataflow run etl.py -p day=2013-01-01
      dataflow runs ls --state failed
      dataflow runs show brisk-otter --failures

    Settings come from the environment: DATAFLOW_HOME, DATAFLOW_RUNNER, DATAFLOW_PROGRESS ...
    """


@click.group(
    cls=LazyGroup,
    context_settings=CONTEXT,
    lazy={
        "ls": ("dataflow.cli.runs_list:list_runs", "List runs, newest first."),
        "show": ("dataflow.cli.runs_show:show_run", "Show a run, its nodes and its failures."),
        "logs": ("dataflow.cli.runs_logs:show_logs", "Print what a run logged."),
        "cancel": ("dataflow.cli.runs_cancel:cancel_runs", "Have runs cancelled."),
        "resume": (
            "dataflow.cli.runs_resume:resume_run",
            "Let a run go on that has stopped or waits.",
        ),
        "graph": ("dataflow.cli.runs_graph:show_graph", "Print a run's graph as Mermaid text."),
    },
)
def runs() -> None:
    """Look at what ran, and let it go on where it stopped.

    RUN is a run's name, its id, or the beginning of its id.
    """


@click.group(
    cls=LazyGroup,
    context_settings=CONTEXT,
    lazy={
        "ls": ("dataflow.cli.artifacts:list_artifacts", "List artifacts, newest first."),
        "show": ("dataflow.cli.artifacts:show_artifact", "Print an artifact."),
        "rm": ("dataflow.cli.artifacts:remove_artifact", "Delete an artifact."),
    },
)
def artifacts() -> None:
    """Look at what runs have shown: Markdown, tables, links, images, progress."""


@click.group(
    cls=LazyGroup,
    context_settings=CONTEXT,
    lazy={
        "ls": ("dataflow.cli.variables:list_variables", "List variables by name."),
        "get": ("dataflow.cli.variables:get_variable", "Print what a variable is set to."),
        "set": ("dataflow.cli.variables:set_variable", "Set a variable."),
        "unset": ("dataflow.cli.variables:unset_variable", "Delete a variable."),
    },
)
def variables() -> None:
    """Look at and set variables: values that programs share by name."""


@click.group(
    cls=LazyGroup,
    context_settings=CONTEXT,
    lazy={
        "info": ("dataflow.cli.store:show_info", "Where the store is, what is in it, its size."),
        "vacuum": ("dataflow.cli.store:vacuum", "Give back the room that removed runs have left."),
        "prune": ("dataflow.cli.store:prune", "Remove old runs."),
        "backup": ("dataflow.cli.store:backup", "Copy a SQLite store, also while runs go on."),
        "export": ("dataflow.cli.store:export_runs", "Write all runs to a file."),
        "import": ("dataflow.cli.store:import_runs", "Take in the runs of a file."),
    },
)
def store() -> None:
    """Look after the store of runs.

    It is the one that DATAFLOW_STORE_URL names, or the file dataflow.db in DATAFLOW_HOME.

    \b
      dataflow store prune --older-than 30d
      dataflow store export - | DATAFLOW_STORE_URL=postgresql://... dataflow store import -
    """
