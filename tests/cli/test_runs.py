"""``dataflow runs``: what ran is listed, shown, and can be read by programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.model.states import StateCode
from dataflow.store.run_store import open_store
from tests.store.samples import fresh_run_id, run_record, run_state


def test_runs_are_listed_newest_first_without_subflows(seen):
    lines = seen("runs", "ls").lines
    assert lines[0].split()[:4] == ["NAME", "FLOW", "STATE", "STARTED"]
    assert [line.split()[1] for line in lines[1:]] == ["outer", "report", "etl"]
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize(
    ("filters", "flows"),
    [
        (["--state", "failed"], ["outer", "etl"]),
        (["--state", "Completed"], ["report"]),
        (["--state", "completed", "--state", "FAILED"], ["outer", "report", "etl"]),
        (["--flow", "etl"], ["etl"]),
        (["--flow", "etl", "--subflows"], ["etl", "etl", "etl"]),
        (["--limit", "1"], ["outer"]),
        (["--since", "1h"], ["outer", "report", "etl"]),
        (["--since", "2200-01-01"], []),
        (["--tag", "nightly"], []),
    ],
)
def test_filters(seen, filters, flows):
    assert [run["flow"] for run in seen("runs", "ls", *filters, "--json").json] == flows


def test_a_listing_as_json_has_what_there_is(seen):
    run = seen("runs", "ls", "--flow", "report", "--json").json[0]
    assert run["state"] == {"type": "COMPLETED", "name": "Completed", "message": None}
    assert run["parameters"] == {"day": "2013-01-31", "name": "y", "limit": 10}
    assert run["started"] <= run["ended"]
    assert run["duration_seconds"] >= 0
    assert len(run["id"]) == 32


def test_an_empty_store_says_so(command):
    assert command("runs", "ls").out == "No runs yet.\n"
    assert command("runs", "ls", "--json").json == []


def test_a_run_is_shown_with_its_nodes(seen, etl_name):
    lines = seen("runs", "show", etl_name).lines
    assert lines[0] == f"etl  {etl_name}  Failed"
    text = "\n".join(lines)
    assert "count=14" in text
    assert "flows.py" in text
    nodes = {line.split()[0]: line.split()[1:6] for line in lines if "-0" in line[:10]}
    assert nodes["clean-0"] == ["map", "14", "11", "3", "·"]
    assert nodes["double-0"] == ["map", "14", "11", "·", "3"]


def test_a_run_is_found_by_the_beginning_of_its_id(seen, etl_name):
    run = seen("runs", "show", etl_name, "--json").json
    assert seen("runs", "show", run["id"][:20], "--json").json["name"] == etl_name


def test_a_run_as_json(seen, etl_name):
    run = seen("runs", "show", etl_name, "--failures", "--json").json
    assert [state["name"] for state in run["states"]][-1] == "Failed"
    assert run["nodes"][1]["states"] == {"Completed": 11, "Failed": 3}
    assert run["nodes"][1]["upstream"] == [0]
    assert [failure["name"] for failure in run["failures"]] == [
        "clean-0[3]",
        "clean-0[8]",
        "clean-0[13]",
    ]
    assert run["failures"][0]["exception_type"] == "ValueError"


def test_subflows_are_shown_with_their_runs(seen):
    run = seen("runs", "show", seen("runs", "ls", "--json").json[0]["id"], "--json").json
    assert {child["flow"] for child in run["subflows"]} == {"etl"}
    text = seen("runs", "show", run["name"]).out
    assert all(child["name"] in text for child in run["subflows"])


def test_failures_are_shown_with_the_users_lines(seen, etl_name):
    text = seen("runs", "show", etl_name, "--failures").out
    assert text.startswith(f"3 task runs of {etl_name} failed, 3 did not run for it.")
    assert 'raise ValueError(f"bad row {row.number}")' in text
    assert "and 2 more like it" in text


def test_a_run_without_failures_says_so(seen):
    (run,) = seen("runs", "ls", "--flow", "report", "--json").json
    assert "Nothing failed" in seen("runs", "show", run["name"], "--failures").out


def test_one_element_is_shown_with_its_attempts_and_logs(seen, etl_name):
    text = seen("runs", "show", etl_name, "clean-0[3]").out
    assert "attempt 1: " in text
    assert "attempt 2: Failed" in text
    element = seen("runs", "show", etl_name, "clean-0[4]", "--json").json
    assert element["state"]["name"] == "Completed"
    assert [line["message"] for line in element["logs"]] == ["row 4"]


def test_where_the_time_of_a_run_went(seen, etl_name):
    lines = seen("runs", "show", etl_name, "--timing").lines
    assert lines[0].startswith(f"etl  {etl_name}  Failed  took ")
    rows = [line.split()[0] for line in lines if line]
    phases = "tracing planning dispatch queue compute transfer recording".split()
    assert [row for row in rows if row in phases] == phases
    assert "does not add up" in "\n".join(lines)
    (clean,) = [line.split() for line in lines if line.startswith("clean ")]
    assert clean[1] == "14"


def test_where_the_time_of_a_run_went_as_json(seen, etl_name):
    run = seen("runs", "show", etl_name, "--timing", "--json").json
    assert run["state"]["name"] == "Failed"
    timing = run["timing"]
    assert timing["wall_seconds"] == run["duration_seconds"]
    assert timing["phases"]["compute"] > 0
    assert {node["task"] for node in timing["nodes"]} == {"load", "clean", "double"}
    assert "timing" not in seen("runs", "show", etl_name, "--json").json


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (StateCode.RUNNING, "brisk-otter has not ended"),
        (StateCode.CRASHED, "What the phases of brisk-otter took is not known"),
    ],
)
def test_a_run_whose_phases_are_not_recorded_says_so(command, code, said):
    run_id = fresh_run_id()
    store = open_store(Path(command.environment["DATAFLOW_HOME"]) / "dataflow.db")
    store.write([run_record(run_id), run_state(run_id, code)])
    store.close()
    assert said in command("runs", "show", run_id, "--timing").out
    shown = command("runs", "show", run_id, "--timing", "--json").json
    assert shown["timing"]["phases"] is None


def test_logs_of_a_run_of_a_task_and_of_an_element(seen, etl_name):
    lines = seen("runs", "logs", etl_name).lines
    assert "Beginning flow run" in lines[0]
    assert "Finished in state Failed" in lines[-1]
    warnings = [f"row {number}" for number in range(14) if number % 5 != 3]
    of_clean = seen("runs", "logs", etl_name, "--task", "clean").lines
    assert set(warnings) <= {each.rpartition("- ")[2] for each in of_clean}
    assert all("Task run 'clean-0[" in each for each in of_clean)
    errors = seen("runs", "logs", etl_name, "--level", "error").lines
    assert errors
    assert all("| ERROR " in each for each in errors)
    (line,) = seen("runs", "logs", etl_name, "--task", "clean-0[4]").lines
    assert line.endswith("| WARNING | Task run 'clean-0[4]' - row 4")
    (entry,) = seen("runs", "logs", etl_name, "--task", "clean-0[4]", "--json").json
    assert (entry["level"], entry["message"], entry["index"]) == ("WARNING", "row 4", 4)


def test_following_a_run_that_has_ended_ends(seen, etl_name):
    followed = seen("runs", "logs", etl_name, "--follow").lines
    assert sorted(followed) == sorted(seen("runs", "logs", etl_name).lines)


def test_a_graph_is_mermaid_text_with_one_box_a_map(seen, etl_name):
    lines = seen("runs", "graph", etl_name).lines
    assert lines[0] == "flowchart TD"
    assert '[["clean<br/>× 14<br/>3 Failed"]]' in "\n".join(lines)
    assert any("-->" in line for line in lines)
    assert [n["task"] for n in seen("runs", "graph", etl_name, "--json").json] == [
        "load",
        "clean",
        "double",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nosuch"], "There is no run with the id or name 'nosuch' in the store"),
        (["logs", "nosuch"], "There is no run"),
        (["graph", "nosuch"], "There is no run"),
        (["ls", "--state", "sleepy"], "There is no state 'sleepy'."),
        (["ls", "--since", "yesterday"], "--since 'yesterday' is no time."),
        (["ls", "--limit", "0"], "Invalid value"),
        (["lst"], "Did you mean 'ls'?"),
        ([], "Usage: dataflow runs"),
    ],
)
def test_misuse_is_told_and_exits_with_2(seen, arguments, said):
    done = seen("runs", *arguments, status=2)
    assert said in done.err
    assert "Traceback" not in done.err


def test_an_unknown_task_of_a_run_names_those_there_are(seen, etl_name):
    done = seen("runs", "logs", etl_name, "--task", "cleen", status=2)
    assert "has no task 'cleen'" in done.err
    assert "clean" in done.err.partition("Hint")[2]


def test_a_pipe_that_is_closed_early_is_no_error(seen, tmp_path):
    import subprocess
    import sys

    script = f"{sys.executable} -m dataflow runs ls --json | head -c 1"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=seen.folder,
        env=seen.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_text_that_is_no_unicode_is_printed(command):
    """A file name may be so, and is a parameter as any other."""
    (command.folder / "named.py").write_text(
        "from dataflow import flow\n@flow\ndef named(path: str):\n    return path\n"
    )
    name = command("run", "named.py", "-p", "path=a\udcffb", "--json").json
    assert name["result"] == name["parameters"]["path"] == "a\udcffb"
    assert "a\\udcffb" in command("runs", "show", name["name"]).out
    (listed,) = command("runs", "ls", "--flow", "named", "--json").json
    assert listed["parameters"] == {"path": "a\udcffb"}
