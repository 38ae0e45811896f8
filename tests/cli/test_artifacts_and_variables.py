"""``dataflow artifacts`` and ``dataflow variables``."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from dataflow import flow
from dataflow.artifacts import *

@flow(flow_run_name="maker")
def makes():
    create_markdown_artifact("# One", key="title", description="the first")
    create_markdown_artifact("# Two", key="title", description="the second " * 20)
    create_table_artifact([{"city": "Oslo", "rows": 3}, {"city": "Rome", "more": True}], key="rows")
    create_table_artifact({"a": [1, 2], "b": ["x", None]}, key="columns")
    create_table_artifact([[1, 2], [3]], key="cells")
    create_progress_artifact(12.5, key="progress", description="loading")

makes()
create_link_artifact("https://example.org", "an example")
"""


@pytest.fixture(scope="module")
def shown(make_command):
    """A command with a store that has artifacts."""
    command = make_command()
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env=command.environment, cwd=command.folder, check=True
    )
    return command


def test_artifacts_are_listed_with_the_last_version_of_each_key(shown):
    lines = shown("artifacts", "ls").lines
    assert lines[0].split()[:3] == ["KEY", "VERSION", "TYPE"]
    assert [line.split()[0] for line in lines[2:]] == [
        "progress",
        "cells",
        "columns",
        "rows",
        "title",
    ]
    assert lines[-1].split()[1:3] == ["2", "markdown"]
    assert "…" in lines[-1]
    found = shown("artifacts", "ls", "--all", "--json").json
    assert [each["version"] for each in found if each["key"] == "title"] == [2, 1]
    assert found[0]["run_id"] is None
    assert len({each["run_id"] for each in found[1:]}) == 1


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--key", "title"], 2),
        (["--type", "table"], 3),
        (["--run", "maker"], 6),
        (["--limit", "1"], 1),
    ],
)
def test_filters(shown, filters, count):
    assert len(shown("artifacts", "ls", *filters, "--json").json) == count


def test_nothing_to_list(command):
    assert command("artifacts", "ls").out == "No artifacts yet.\n"
    assert command("artifacts", "ls", "--key", "x").out == "No artifacts are like that.\n"
    assert command("artifacts", "ls", "--json").json == []


def test_an_artifact_is_shown(shown):
    assert shown("artifacts", "show", "title").out == "# Two\n"
    assert shown("artifacts", "show", "title", "--version", "1").out == "# One\n"
    assert shown("artifacts", "show", "progress").out == "12.5 %  loading\n"
    found = shown("artifacts", "show", "title", "--json").json
    assert (found["data"], found["version"], found["type"]) == ("# Two", 2, "markdown")
    assert shown("artifacts", "show", found["id"]).out == "# Two\n"


def test_tables_of_every_form(shown):
    rows = [line.split() for line in shown("artifacts", "show", "rows").lines]
    assert rows == [["city", "rows", "more"], ["Oslo", "3"], ["Rome", "True"]]
    assert shown("artifacts", "show", "columns").lines[1].split() == ["1", "x"]
    assert [line.split() for line in shown("artifacts", "show", "cells").lines if line] == [
        ["1", "2"],
        ["3"],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nothing"),
        ("show", "title", "--version", "9"),
        ("rm", "nothing"),
        ("ls", "--run", "x"),
    ],
)
def test_what_is_not_there(shown, arguments):
    done = shown("artifacts", *arguments, status=2)
    assert "There is no" in done.err
    assert "Hint" in done.err
    assert "Traceback" not in done.err


def test_artifacts_are_deleted(make_command):
    command = make_command()
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env=command.environment, cwd=command.folder, check=True
    )
    assert command("artifacts", "rm", "title").out == "Deleted 2 versions of title.\n"
    (link,) = command("artifacts", "ls", "--type", "link", "--json").json
    assert "1 version " in command("artifacts", "rm", link["id"]).out
    assert len(command("artifacts", "ls", "--json").json) == 4


def test_variables_are_set_got_listed_and_unset(command):
    assert command("variables", "ls").out == "No variables yet.\n"
    command("variables", "set", "region", "eu")
    command("variables", "set", "limits", '{"rows": [1, 2.5, null]}', "--tag", "b", "--tag", "a")
    assert command("variables", "get", "region").out == "eu\n"
    assert command("variables", "get", "region", "--json").json == "eu"
    assert command("variables", "get", "limits").json == {"rows": [1, 2.5, None]}
    lines = command("variables", "ls").lines
    assert [line.split()[0] for line in lines] == ["NAME", "limits", "region"]
    (found,) = command("variables", "ls", "--tag", "a", "--json").json
    assert (found["name"], found["tags"]) == ("limits", ["a", "b"])
    assert command("variables", "unset", "region").out == "Unset variable region.\n"
    assert "There is no variable" in command("variables", "get", "region", status=2).err
    assert "There is no variable" in command("variables", "unset", "region", status=2).err


def test_a_variable_that_is_there_needs_overwrite(command):
    command("variables", "set", "n", "1")
    done = command("variables", "set", "n", "2", status=2)
    assert "is there already" in done.err
    command("variables", "set", "n", "2", "--overwrite")
    assert command("variables", "get", "n").out == "2\n"
    assert "name of a variable" in command("variables", "set", "Ä", "2", status=2).err
