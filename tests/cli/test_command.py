"""The command as a whole: help, version, speed, and the two ways to call it."""

from __future__ import annotations

import importlib.metadata
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dataflow.cli import main
from dataflow.cli.commands import dataflow

MAX_HELP_SECONDS = 0.15


@pytest.mark.parametrize(
    "arguments", [[], ["run"], ["runs"], ["runs", "ls"], ["version"], ["cluster"]]
)
def test_every_command_has_help(arguments):
    result = CliRunner().invoke(dataflow, [*arguments, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: {' '.join(['dataflow', *arguments])}")
    assert max(map(len, result.output.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "example"),
    [
        ([], "  dataflow runs ls --state failed"),
        (["run"], "  dataflow run etl.py:load -p limit=10        the flow called load"),
        (
            ["limits"],
            '  dataflow limits create database --limit 3      with concurrency("database"):',
        ),
        (["store"], "  dataflow store prune --older-than 30d"),
    ],
)
def test_examples_stand_on_lines_of_their_own(arguments, example):
    output = CliRunner().invoke(dataflow, [*arguments, "--help"]).output
    assert any(line.startswith(f"  {example}") for line in output.splitlines())


def test_each_group_lists_its_commands():
    output = CliRunner().invoke(dataflow, ["--help"]).output
    assert [line.split()[0] for line in output.partition("Commands:\n")[2].splitlines()] == [
        "run",
        "runs",
        "limits",
        "artifacts",
        "variables",
        "store",
        "version",
        "cluster",  # of another package, by its entry point
    ]


@pytest.mark.parametrize("arguments", [["nope"], ["runs", "nope"], ["--nope"], ["version", "x"]])
def test_misuse_exits_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def test_help_exits_with_0(capsys):
    assert main(["--help"]) == 0
    assert "dataflow run etl.py" in capsys.readouterr().out


def test_help_is_there_at_once_and_imports_little(command):
    """Processor time: others may be busy on the machine as well."""
    code = (
        "import sys\nfrom dataflow.cli import main\nmain(['--help'])\n"
        "heavy = {'rich', 'pydantic', 'sqlite3', 'asyncio', 'dataflow.flows', 'dataflow.records'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=command.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    taken = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) <= MAX_HELP_SECONDS


def test_the_script_and_the_module_are_the_same(command):
    script = Path(sys.executable).with_name("dataflow")
    if not script.exists():
        pytest.skip("the distribution is not installed with its scripts")
    done = subprocess.run(
        [str(script), "--help"],
        env=command.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == command("--help").out


def test_version_has_all_that_matters(command):
    facts = command("version", "--json").json
    assert facts["dataflow"] == importlib.metadata.version("dataflow-runtime")
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("dask", "distributed", "networkx", "cloudpickle", "msgpack", "pydantic", "sqlite"):
        assert facts[name]
    assert facts["home"] == str(command.folder / "home")
    assert facts["store"] == str(command.folder / "home" / "dataflow.db")
    assert facts["store_schema"] is None
    assert not (command.folder / "home").exists(), "looking makes no store"
    assert "not there yet" in command("version").out


def test_version_tells_the_schema_of_a_store(seen):
    facts = seen("version", "--json").json
    assert facts["store_schema"] >= 1
    assert facts["store_bytes"] > 0
