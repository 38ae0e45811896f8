"""Artifacts and variables in the store."""

from __future__ import annotations

import threading

import pytest

from dataflow.model.records import ArtifactUpdateRecord
from tests.store.samples import T0, artifact_record, fresh_run_id, run_record


def test_an_artifact_comes_back_as_it_was_written(store):
    run_id = fresh_run_id()
    store.write([artifact_record(1, run_id=run_id, node=3, index=5, attempt=2)])
    assert store.artifacts()[0].run_id is None  # nothing is known of that run yet
    store.write([run_record(run_id)])
    (found,) = store.artifacts()
    assert (found.id, found.key, found.version, found.type) == (
        f"{1:032x}",
        "report",
        1,
        "markdown",
    )
    assert (found.description, found.data) == ("what it is", "text 1")
    assert (found.run_id, found.node, found.index, found.attempt) == (run_id, 3, 5, 2)
    assert found.created == found.updated
    assert found.created_ns == T0 + 1


def test_versions_are_counted_by_key(store):
    store.write(
        [
            artifact_record(1),
            artifact_record(2, key="other"),
            artifact_record(3),
            artifact_record(4, key=None),
        ]
    )
    store.write([artifact_record(5), artifact_record(6, key=None)])
    found = store.artifacts()
    assert [(each.key, each.version) for each in found] == [
        (None, 1),
        ("report", 3),
        (None, 1),
        ("report", 2),
        ("other", 1),
        ("report", 1),
    ]


def test_conditions(store):
    run_id = fresh_run_id()
    store.write(
        [
            artifact_record(1),
            artifact_record(2, type="table"),
            artifact_record(3, key=None, run_id=run_id),
        ]
    )
    store.write([artifact_record(4, key="other", run_id=run_id)])

    def numbers(**conditions):
        return [int(each.id, 16) for each in store.artifacts(**conditions)]

    assert numbers(key="report") == [2, 1]
    assert numbers(type="markdown") == [4, 3, 1]
    assert numbers(run_id=run_id) == [4, 3]
    assert numbers(key="report", type="table") == [2]
    assert numbers(latest=True) == [4, 3, 2]
    assert numbers(artifact_id=f"{1:032x}") == [1]
    assert numbers(limit=2) == [4, 3]
    assert numbers(limit=2, offset=1) == [3, 2]
    assert numbers(limit=None) == [4, 3, 2, 1]
    assert numbers(key="nobody") == []


def test_an_artifact_that_is_sent_again_changes_nothing(store):
    store.write([artifact_record(1)])
    store.write([artifact_record(1, data_json='"changed"')])
    store.write([artifact_record(2)])
    assert [(each.version, each.data) for each in store.artifacts()] == [
        (2, "text 2"),
        (1, "text 1"),
    ]


def test_updates(store):
    def update(data, at, description=None):
        return ArtifactUpdateRecord(f"{1:032x}", description, str(data), T0 + at)

    def shown():
        (found,) = store.artifacts()
        return found.data, found.description, found.updated_ns - T0

    store.write([artifact_record(1, type="progress", data_json="0.0"), update(10, 5)])
    assert shown() == (10, "what it is", 5)
    store.write([update(30, 7, "more"), update(20, 6), update(40, 8)])
    assert shown() == (40, "more", 8)
    store.write([update(35, 7)])  # what was said earlier comes later
    assert shown() == (40, "more", 8)
    store.write([ArtifactUpdateRecord(f"{2:032x}", None, "1", T0)])
    assert len(store.artifacts()) == 1


def test_deleting(store):
    store.write([artifact_record(number) for number in range(1, 4)])
    assert store.delete_artifacts(artifact_id=f"{2:032x}") == 1
    assert store.delete_artifacts() == 0
    assert store.delete_artifacts(key="report") == 2
    assert store.delete_artifacts(key="report") == 0
    assert store.artifacts() == []


def test_conditions_that_nothing_fulfils(store):
    store.write([artifact_record(1)])
    assert store.artifacts(run_id=fresh_run_id()) == []
    assert store.artifacts(type="table") == []


def test_text_that_is_no_unicode_is_made_legible(store):
    store.write([artifact_record(1, description="a\udcffb")])
    assert store.artifacts()[0].description == "a\\udcffb"


def test_variables(store):
    assert store.variable("region") is None
    assert store.set_variable("region", '"eu"', ("a", "b"), T0, False)
    assert not store.set_variable("region", '"us"', (), T0 + 1, False)
    found = store.variable("region")
    assert (found.name, found.value, found.tags) == ("region", "eu", ("a", "b"))
    assert found.created == found.updated
    assert store.set_variable("region", '{"is": [1, null]}', (), T0 + 1, True)
    found = store.variable("region")
    assert (found.value, found.tags) == ({"is": [1, None]}, ())
    assert (found.created_ns, found.updated_ns) == (T0, T0 + 1)
    store.set_variable("a", "1", (), T0, True)
    assert [each.name for each in store.variables()] == ["a", "region"]
    assert store.delete_variable("region")
    assert not store.delete_variable("region")
    assert [each.name for each in store.variables()] == ["a"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_of_many_is_the_first_to_set_a_variable(store, overwrite):
    outcomes = []

    def set_it(number):
        outcomes.append(store.set_variable("one", str(number), (), T0 + number, overwrite))

    threads = [threading.Thread(target=set_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == (8 if overwrite else 1)
