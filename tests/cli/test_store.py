"""``dataflow store``: info, vacuum, prune, export and import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataflow.clock import now_ns
from dataflow.model.states import StateCode
from dataflow.store.run_store import open_store
from tests.store.samples import fresh_run_id, log_record, run_record, run_state

DAY = 24 * 3600 * 10**9


@pytest.fixture
def filled(command):
    """A command whose store has runs of 0, 10 and 40 days ago, and one that goes on since 50."""
    store = open_store(place(command))
    for name, days in (("fresh", 0), ("older", 10), ("ancient", 40), ("endless", 50)):
        run_id, created = fresh_run_id(), now_ns() - days * DAY
        code = StateCode.RUNNING if name == "endless" else StateCode.COMPLETED
        state = run_state(run_id, code, created)
        run = run_record(run_id, name=name, created_ns=created)
        store.write([run, state, log_record(run_id, name)])
    store.close()
    return command


def place(command) -> Path:
    return Path(command.environment["DATAFLOW_HOME"]) / "dataflow.db"


def names(command, **environment: str) -> set[str]:
    listed = command("runs", "ls", "--json", "--limit", "99", **environment).json
    return {run["name"] for run in listed}


def test_what_is_in_a_store(filled):
    lines = filled("store", "info").lines
    facts = {line[:9].strip(): line[9:].strip() for line in lines}
    assert facts["store"] == str(place(filled))
    assert facts["database"].startswith("SQLite 3")
    assert facts["runs"] == "4 (3 completed, 1 running)"
    assert facts["log lines"] == "4"
    found = filled("store", "info", "--json").json
    assert found["runs"] == {"COMPLETED": 3, "RUNNING": 1}
    assert found["first"] < found["last"]


def test_the_store_of_nobody_yet(command):
    assert "0" in command("store", "info").out
    assert command("store", "prune", "--older-than", "1d").out == "Removed 0 runs.\n"
    assert command("store", "vacuum").out.startswith("The store took")


def test_old_runs_are_removed(filled):
    prune = ("store", "prune", "--older-than")
    assert filled(*prune, "30d", "--dry-run").out == "1 run would be removed.\n"
    done = filled(*prune, "30d")
    assert done.out == "Removed 1 run.\n"
    assert "vacuum" in done.err
    assert names(filled) == {"fresh", "older", "endless"}
    assert filled(*prune, "2d").out == "Removed 1 run.\n"
    assert names(filled) == {"fresh", "endless"}
    filled("store", "vacuum")
    assert names(filled) == {"fresh", "endless"}


@pytest.mark.parametrize("age", ["soon", "30", "-3d", "9" * 30 + "w"])
def test_an_age_that_is_none(filled, age):
    done = filled("store", "prune", f"--older-than={age}", status=2)
    assert "is no time" in done.err
    assert len(names(filled)) == 4


def test_an_age_must_be_named(filled):
    assert "--older-than" in filled("store", "prune", status=2).err


def test_runs_move_to_another_store(filled, tmp_path):
    file, other = str(tmp_path / "runs.gz"), str(tmp_path / "other.db")
    assert filled("store", "export", file).err == "Exported 4 runs.\n"
    done = filled("store", "import", file, DATAFLOW_STORE_URL=other)
    assert done.err == "Imported 4 runs.\n"
    done = filled("store", "import", file, DATAFLOW_STORE_URL=other)
    assert done.err == "Imported 0 runs. 4 were there.\n"
    assert names(filled, DATAFLOW_STORE_URL=other) == names(filled)
    assert [each.name for each in tmp_path.glob("*.part")] == []


def test_runs_move_through_a_pipe(filled, tmp_path):
    other = str(tmp_path / "other.db")
    line = f"{sys.executable} -m dataflow store"
    subprocess.run(
        f"{line} export - | DATAFLOW_STORE_URL={other} {line} import -",
        shell=True,
        cwd=filled.folder,
        env=filled.environment,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert names(filled, DATAFLOW_STORE_URL=other) == names(filled)


def test_a_backup_is_a_store(filled, tmp_path):
    file = str(tmp_path / "copy.db")
    for _ in range(2):  # the second takes the place of the first
        assert filled("store", "backup", file).err == f"Copied the store to {file}.\n"
    assert names(filled, DATAFLOW_STORE_URL=file) == names(filled)
    assert [each.name for each in tmp_path.glob("*.part*")] == []


def test_backups_that_cannot_be_made(filled, tmp_path):
    assert "is a file" in filled("store", "backup", "-", status=2).err
    assert "cannot" in filled("store", "backup", str(tmp_path / "no" / "file"), status=1).err


def test_what_is_no_file_is_written_to_in_its_place(filled, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert "Exported 4 runs" in filled("store", "export", str(pipe)).err
        exported = reader.communicate()[0]
    assert pipe.is_fifo()
    (tmp_path / "exported").write_bytes(exported)
    assert "4 were there" in filled("store", "import", str(tmp_path / "exported")).err
    assert "is no file" in filled("store", "backup", str(pipe), status=2).err
    assert pipe.is_fifo()
    assert "s a directory" in filled("store", "export", str(tmp_path), status=2).err


def test_files_that_cannot_be_used(filled, tmp_path):
    nowhere = str(tmp_path / "no" / "file")
    assert "No such file" in filled("store", "export", nowhere, status=2).err
    assert "No such file" in filled("store", "import", nowhere, status=2).err
    (tmp_path / "other").write_text("hello")
    done = filled("store", "import", str(tmp_path / "other"), status=1)
    assert "no whole export" in done.err
    assert "Traceback" not in done.err


def test_a_store_that_cannot_be_reached(command):
    url = "postgresql://me:secret@127.0.0.1:1/db"
    for arguments in (["store", "info"], ["runs", "ls"], ["store", "export", "f"]):
        done = command(*arguments, status=1, DATAFLOW_STORE_URL=url)
        assert "cannot be reached" in done.err
        assert "secret" not in done.err
        assert "Traceback" not in done.err
    assert not (command.folder / "f.part").exists()
    version = command("version", DATAFLOW_STORE_URL=url)
    assert "postgresql://me:***@127.0.0.1:1/db" in version.out
