"""A flow is found in files and modules of every kind, and its functions reach worker processes."""

from __future__ import annotations

import sys

import pytest

from dataflow.cli.complaints import Misuse
from dataflow.cli.flow_files import choose_flow, load_file, split_target

SOURCE = """
from dataclasses import dataclass
import sibling
from dataflow import flow, task

FACTOR = 3

@dataclass
class Row:
    number: int

def helper(row):
    return Row(row.number * FACTOR + sibling.ONE)

@task
def work(row):
    return helper(row)

@flow
def etl(count: int = 3):
    return [row.number for row in work.map([Row(n) for n in range(count)]).result()]
"""


@pytest.fixture
def folder(command):
    (command.folder / "sibling.py").write_text("ONE = 1")
    return command.folder


@pytest.mark.parametrize("name", ["plain.py", "statistics.py", "2013-etl.py", "cluster.py"])
def test_functions_of_a_file_reach_worker_processes_whatever_its_name(command, folder, name):
    (folder / name).write_text(SOURCE)
    done = command("run", name, "--runner", "processes", "--json")
    assert done.json["result"] == [1, 4, 7]


def test_a_file_of_a_package_may_import_relatively(command, folder):
    package = folder / "pkg" / "inner"
    package.mkdir(parents=True)
    for place in (package.parent, package):
        (place / "__init__.py").touch()
    (package.parent / "conf.py").write_text("FACTOR = 5")
    (package / "jobs.py").write_text(
        "from ..conf import FACTOR\n"
        + SOURCE.replace("FACTOR = 3", "").replace("import sib", "#").replace("+ sibling.ONE", "")
    )
    done = command("run", "pkg/inner/jobs.py", "--runner", "processes", "--json")
    assert done.json["result"] == [0, 5, 10]
    done = command("run", "pkg.inner.jobs:etl", "--runner", "processes", "--json")
    assert done.json["result"] == [0, 5, 10]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def broken(:", "SyntaxError"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("raise ValueError('bad configuration')", "ValueError: bad configuration"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "There is no flow in bad.py."),
    ],
)
def test_a_file_that_does_not_load_is_told_with_its_own_lines(command, folder, source, said):
    (folder / "bad.py").write_text(source)
    done = command("run", "bad.py", status=2)
    assert said in done.err
    assert "importlib" not in done.err
    assert "/dataflow/cli/" not in done.err


def test_the_code_under_main_is_not_run(command, folder):
    main = "\nif __name__ == '__main__':\n    open('main', 'w').close()\n"
    (folder / "plain.py").write_text(SOURCE + main)
    done = command("run", "plain.py", "--json")
    assert done.json["state"]["type"] == "COMPLETED"
    assert not (folder / "main").exists()


# --- which flow ----------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, monkeypatch):
    def load_source(source, name="some_flows_of_a_test"):
        monkeypatch.setattr(sys, "path", list(sys.path))
        path = tmp_path / f"{name}.py"
        path.write_text("from dataflow import flow\n" + source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return load_file(path)

    return load_source


def flows(*names):
    return "".join(f"@flow\ndef {name}():\n    pass\n\n" for name in names)


@pytest.mark.parametrize(
    ("names", "stem", "chosen"),
    [
        (["only"], "x", "only"),
        (["first", "main"], "x", "main"),
        (["first", "load_data"], "load_data", "load-data"),
        (["main", "x"], "x", "x"),
    ],
)
def test_without_a_name_the_one_that_must_be_meant(load, names, stem, chosen):
    assert choose_flow(load(flows(*names)), None, "x.py", stem).name == chosen


def test_a_name_is_that_of_the_variable_or_of_the_flow(load):
    module = load(flows("load_data", "other"))
    for name in ("load_data", "load-data"):
        assert choose_flow(module, name, "x.py", "x").name == "load-data"


def test_flows_that_were_imported_count_only_where_there_are_no_others(load):
    load(flows("imported"), "first_flows_of_a_test")
    more = "from first_flows_of_a_test import imported\n"
    module = load(more + flows("own"), "second_flows_of_a_test")
    assert choose_flow(module, None, "x.py", "x").name == "own"
    assert choose_flow(module, "imported", "x.py", "x").name == "imported"
    module = load(more, "third_flows_of_a_test")
    assert choose_flow(module, None, "x.py", "x").name == "imported"


def test_two_names_of_one_flow_are_one_flow(load):
    module = load(flows("own") + "other = own")
    assert choose_flow(module, None, "x.py", "x").name == "own"


def test_several_are_named(load):
    with pytest.raises(Misuse, match=r"There are 2 flows in x\.py: first, second") as caught:
        choose_flow(load(flows("first", "second")), None, "x.py", "x")
    assert caught.value.hint == "Say which: dataflow run x.py:first"


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("etl.py", ("etl.py", None)),
        ("etl.py:load", ("etl.py", "load")),
        ("a.b:load", ("a.b", "load")),
        ("a.b", ("a.b", None)),
        ("a.b:", ("a.b", None)),
        ("a.b:Class.method", ("a.b", "Class.method")),
    ],
)
def test_targets(target, parts):
    assert split_target(target) == parts
