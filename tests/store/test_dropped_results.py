"""Results of removed runs go when no record names them, and no living run can any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dataflow.clock import now_ns
from dataflow.errors import StorageError
from dataflow.model.records import ResultRecord
from dataflow.model.states import StateCode
from dataflow.process_ids import ProcessId
from dataflow.storage.local_folder import LocalFolder
from dataflow.storage.result_storage import open_storage
from dataflow.storage.sweeping import sweep_results
from dataflow.store import dropped_results
from tests.store.samples import fresh_run_id, run_record, run_state

SECOND = 10**9
HERE = ProcessId("here", 1, "then")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The storage of the settings."""
    monkeypatch.setenv("DATAFLOW_RESULTS_STORAGE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def at_once(monkeypatch):
    """Nobody is waited for but those that go on."""
    monkeypatch.setattr(dropped_results, "_MINUTE_NS", 0)


class Runs:
    """Runs that keep results in a folder."""

    def __init__(self, store, folder) -> None:
        self.store = store
        self.folder = folder

    def keep(self, made_by=None, *, name="", ended=True, began=2):
        """A run, which ended a while ago, with one object of its own, or that of another."""
        run_id = fresh_run_id()
        maker = made_by or run_id
        name = name or f"{maker}/one"
        if made_by is None:
            open_storage(str(self.folder)).write(name, [b"x"])
        kept = ResultRecord(
            run_id, 0, range(1), range(1), str(self.folder), name, "pickle", 1, made_by=made_by
        )
        at = now_ns() - began * SECOND
        driver = None if ended else HERE
        self.store.write([run_record(run_id, created_ns=at, driver=driver), kept])
        self.store.write([run_state(run_id, StateCode.RUNNING, at)])
        if ended:
            self.store.write([run_state(run_id, StateCode.COMPLETED, at + 1)])
        return run_id

    def prune(self, **age):
        return self.store.prune(datetime.now(UTC) - timedelta(**age))

    def left(self):
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix() for path in files}


@pytest.fixture
def runs(store, folder):
    return Runs(store, folder)


def test_results_of_removed_runs_go(runs, at_once):
    old, kept = runs.keep(began=90), runs.keep()
    (runs.folder / old / "of-a-worker-that-died.17-1.part").touch()
    assert runs.prune(minutes=1) == 1
    assert sweep_results(runs.store).objects == 2
    assert runs.left() == {f"{kept}/one"}
    assert not (runs.folder / old).exists()
    assert runs.store.dropped_results() == []
    assert sweep_results(runs.store).objects == 0


def test_what_was_never_recorded_goes_too(runs, at_once):
    run_id = fresh_run_id()
    open_storage(str(runs.folder)).write(f"{run_id}/lost", [b"x"])
    runs.store.write([run_record(run_id, created_ns=1), run_state(run_id, StateCode.CRASHED, 2)])
    runs.prune(minutes=1)
    assert sweep_results(runs.store).objects == 1
    assert runs.left() == set()


def test_what_another_run_has_taken_stays_as_long_as_that(runs, at_once):
    maker = runs.keep(began=500)
    taker = runs.keep(maker, began=90)
    runs.prune(minutes=5)
    assert sweep_results(runs.store).objects == 0
    assert runs.left() == {f"{maker}/one"}
    assert runs.prune(minutes=1) == 1
    assert {run.run_id for run in runs.store.find_runs()}.isdisjoint({maker, taker})
    assert sweep_results(runs.store).objects == 1
    assert runs.left() == set()


def test_names_of_the_users_own_and_objects_of_others_stay(runs, at_once):
    runs.keep(name="reports/monday.txt", began=90)
    stranger = fresh_run_id()
    open_storage(str(runs.folder)).write(f"{stranger}/theirs", [b"x"])
    runs.prune(minutes=1)
    assert sweep_results(runs.store).objects == 0
    assert runs.left() == {"reports/monday.txt", f"{stranger}/theirs"}


def test_a_run_that_goes_on_may_still_take_a_result(runs, at_once):
    going_on = runs.keep(ended=False)
    maker = runs.keep(began=90)
    runs.prune(minutes=1)
    assert sweep_results(runs.store).objects == 0  # it may have looked it up before
    taken = ResultRecord(
        going_on, 1, range(1), range(1), str(runs.folder), f"{maker}/one", "pickle", 1, maker
    )
    runs.store.write([taken, run_state(going_on, StateCode.COMPLETED, now_ns())])
    assert sweep_results(runs.store).objects == 0
    assert runs.left() == {f"{maker}/one", f"{going_on}/one"}


def test_after_it_ended_without_the_result_goes(runs, at_once):
    going_on = runs.keep(ended=False)
    runs.keep(began=90)
    runs.prune(minutes=1)
    assert sweep_results(runs.store).objects == 0
    runs.store.write([run_state(going_on, StateCode.COMPLETED, now_ns())])
    assert sweep_results(runs.store).objects == 1
    assert runs.left() == {f"{going_on}/one"}


def test_runs_that_began_later_are_not_waited_for(runs, at_once):
    runs.keep(began=90)
    runs.prune(minutes=1)
    runs.keep(ended=False, began=-1)
    assert sweep_results(runs.store).objects == 1


def test_nothing_goes_in_the_first_minute(runs):
    runs.keep(began=90)
    runs.prune(minutes=1)
    assert runs.store.dropped_results() == []
    assert sweep_results(runs.store).objects == 0


def test_a_run_that_came_back_keeps_its_results(runs, at_once):
    run_id = runs.keep(began=90)
    runs.prune(minutes=1)
    runs.store.write([run_record(run_id)])
    assert sweep_results(runs.store).objects == 0
    assert runs.left() == {f"{run_id}/one"}


def test_a_storage_that_cannot_be_reached_is_tried_again(runs, at_once, monkeypatch):
    runs.keep(began=90)
    runs.prune(minutes=1)

    def refuse(self):
        raise StorageError("away")

    with monkeypatch.context() as away:
        away.setattr(LocalFolder, "folders", refuse)
        swept = sweep_results(runs.store)
        assert (swept.objects, list(swept.problems)) == (0, [str(runs.folder)])
    assert sweep_results(runs.store).objects == 1
