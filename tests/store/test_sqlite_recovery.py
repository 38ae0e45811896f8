"""What a machine that lost power, or a copy made while somebody wrote, leaves of a SQLite store."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from dataflow.errors import StoreError
from dataflow.store import sqlite_copies
from dataflow.store.database import Transaction
from dataflow.store.run_keys import run_key
from dataflow.store.run_store import RunStore, open_store
from tests.store.programs import beginning, check_portions, portion, run_program
from tests.store.samples import fresh_run_id
from tests.store.test_processes import read_line, writers


@pytest.fixture
def written(tmp_path: Path):
    """A store whose last portions are in the write-ahead log alone, and its run."""
    path, run_id = tmp_path / "runs.db", fresh_run_id()
    with contextlib.closing(open_store(path)) as store:
        store.write(beginning(run_id))
        for number in range(12):
            store.write(portion(run_id, number))
        yield path, run_id


def copy_store(path: Path, folder: Path) -> Path:
    """A copy of the files as they are now, one after another."""
    folder.mkdir()
    for file in (path, log_of(path)):
        shutil.copy(file, folder)
    return folder / path.name


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def check_consistent(store: RunStore, run_id: str) -> int:
    """Every portion is there whole or not at all, and those before it; returns how many."""
    nodes = store.nodes(run_id)
    if not nodes:
        assert not (store.find_runs() or store.logs(run_id) or store.failures(run_id))
        return 0
    check_portions(store, run_id, len(nodes) - 1)
    return len(nodes) - 1


@pytest.mark.parametrize("seed", range(8))
def test_a_log_that_ends_too_early(written, tmp_path, seed):
    path, run_id = written
    copy = copy_store(path, tmp_path / "copy")
    size = log_of(copy).stat().st_size
    with log_of(copy).open("r+b") as log:
        log.truncate(random.Random(seed).randrange(size))
    with contextlib.closing(open_store(copy)) as store:
        count = check_consistent(store, run_id)
        assert count < 12
        store.write([*([] if store.nodes(run_id) else beginning(run_id)), *portion(run_id, count)])
        check_portions(store, run_id, count + 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_log_that_is_damaged(written, tmp_path, seed):
    path, run_id = written
    copy = copy_store(path, tmp_path / "copy")
    content = bytearray(log_of(copy).read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 0xFF
    log_of(copy).write_bytes(content)
    with contextlib.closing(open_store(copy)) as store:
        check_consistent(store, run_id)


def test_a_log_that_is_gone(written, tmp_path):
    path, run_id = written
    copy = copy_store(path, tmp_path / "copy")
    log_of(copy).unlink()
    with contextlib.closing(open_store(copy)) as store:
        assert check_consistent(store, run_id) == 0


def test_copies_that_are_made_in_the_middle_of_a_write(tmp_path):
    """The writer is stopped wherever it happens to be, as a snapshot of its disk would find it."""
    path, run_id = tmp_path / "runs.db", fresh_run_id()
    with writers(str(path), [run_id], 100_000) as (writer,):
        for number in range(8):
            announced = int(read_line(writer))
            writer.send_signal(signal.SIGSTOP)
            copy = copy_store(path, tmp_path / f"copy-{number}")
            writer.send_signal(signal.SIGCONT)
            with contextlib.closing(open_store(copy)) as store:
                assert check_consistent(store, run_id) > announced


@pytest.mark.parametrize("order", [("", "-wal"), ("-wal", "")])
def test_copies_whose_parts_do_not_fit_are_refused_and_left_alone(tmp_path, order):
    """The one part is copied, much is written and comes into the database, then the other part."""
    path, run_id = tmp_path / "runs.db", fresh_run_id()
    folder = tmp_path / "copy"
    folder.mkdir()
    with contextlib.closing(open_store(path)) as store:
        store.write([*beginning(run_id), *portion(run_id, 0)])
        _checkpoint(store)
        store.write(portion(run_id, 1))
        first, second = (path.with_name(f"{path.name}{end}") for end in order)
        shutil.copy(first, folder)
        for number in range(2, 60):
            store.write(portion(run_id, number))
        _checkpoint(store)
        for number in range(60, 70):
            store.write(portion(run_id, number))
        shutil.copy(second, folder)
    copy = folder / path.name
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for _ in range(2):
        with pytest.raises(StoreError, match="copied while it was in use") as caught:
            open_store(copy)
        assert "store backup" in str(caught.value.hint)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_store_that_somebody_has_just_let_go_of_is_no_copy(written, tmp_path, monkeypatch):
    """SQLite removes the index of the log first, and then the log."""
    path, _ = written
    copy = copy_store(path, tmp_path / "copy")

    def open_it_meanwhile(*_: object) -> str:
        copy.with_name(f"{copy.name}-shm").touch()
        return "it changes under the eyes"

    monkeypatch.setattr(sqlite_copies, "_find_problem", open_it_meanwhile)
    sqlite_copies.check_copy(copy)


def _checkpoint(store: RunStore) -> None:
    database: Any = store._database  # type: ignore[attr-defined]
    database._writer.execute("PRAGMA wal_checkpoint(RESTART)")


def test_a_copy_has_nothing_of_a_transaction_that_is_open(written, tmp_path):
    path, run_id = written
    copies = []

    def write_much(transaction: Transaction) -> None:
        line = (run_key(run_id), None, None, 1, 1, 20, "l", "x" * 1000, None, 0)
        transaction.add("logs", [line] * 30_000)  # more than the cache of the writer holds
        copies.append(copy_store(path, tmp_path / "copy"))
        assert log_of(copies[0]).stat().st_size > 20_000_000

    with contextlib.closing(open_store(path)) as store:
        store._database.write(write_much)  # type: ignore[attr-defined]
    with contextlib.closing(open_store(copies[0])) as store:
        assert check_consistent(store, run_id) == 12


def test_a_run_whose_disk_fills_up(tmp_path):
    run_program("full_disk_run", tmp_path / "runs.db")
