"""How long a thread has been loading: where values are unpickled, and only there."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from dataflow.worker import pickling
from dataflow.worker.columns import pack
from dataflow.worker.file_columns import write_file
from dataflow.worker.loading import load_pickle, loading_ns, while_loading

LOAD_NS = 20_000_000


class SlowToLoad:
    def __reduce__(self):
        return _load_slowly, ()


class Unloadable:
    def __reduce__(self):
        return _fail_slowly, ()


def _load_slowly() -> SlowToLoad:
    time.sleep(LOAD_NS / 1e9)
    return SlowToLoad()


def _fail_slowly() -> None:
    time.sleep(LOAD_NS / 1e9)
    raise ValueError("no")


def spent(action) -> int:
    before = loading_ns()
    action()
    return loading_ns() - before


def test_unpickling_is_loading():
    data = pickling.dumps(SlowToLoad())
    assert spent(lambda: load_pickle(data)) >= LOAD_NS


def test_a_value_that_cannot_be_loaded_took_its_time_too():
    data = pickling.dumps(Unloadable())

    def load() -> None:
        with pytest.raises(ValueError, match="no"):
            load_pickle(data)

    assert spent(load) >= LOAD_NS


def test_a_column_that_was_loaded_costs_nothing_more():
    column = pack([1, 2, 3], exact=False)
    assert spent(lambda: column.load(0)) > 0
    assert spent(lambda: column.load_all()) == 0


def test_values_in_a_file_are_loaded_each_time(tmp_path):
    file = write_file(pack([np.zeros(1000)], exact=True), str(tmp_path / "values"))
    assert spent(lambda: file.load(0)) > 0
    assert spent(lambda: file.load_all()) > 0


def test_loading_inside_of_loading_counts_once():
    data = pickling.dumps(SlowToLoad())
    begun = time.perf_counter_ns()

    def load() -> None:
        with while_loading():
            load_pickle(data)
            load_pickle(data)

    assert 2 * LOAD_NS <= spent(load) <= time.perf_counter_ns() - begun


def test_each_thread_counts_its_own():
    data = pickling.dumps(SlowToLoad())
    thread = threading.Thread(target=load_pickle, args=(data,))

    def load() -> None:
        thread.start()
        thread.join()

    assert spent(load) == 0
