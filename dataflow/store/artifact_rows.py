"""Artifact records become rows, and questions for artifacts become conditions, for any database."""

from __future__ import annotations

from collections.abc import Iterable

from dataflow.model.records import ArtifactRecord, ArtifactUpdateRecord
from dataflow.store.database import Row
from dataflow.store.run_filters import Conditions
from dataflow.store.run_keys import run_key

_IS_LATEST = (
    "(artifacts.key IS NULL OR version = "
    "(SELECT max(other.version) FROM artifacts AS other WHERE other.key = artifacts.key))"
)


def artifact_row(record: ArtifactRecord, version: int) -> Row:
    """The values of one artifact by column."""
    return (
        record.artifact_id,
        record.key,
        version,
        record.type,
        record.description,
        None if record.run_id is None else run_key(record.run_id),
        record.node,
        record.index,
        record.attempt,
        record.created_ns,
        record.created_ns,
        record.data_json,
    )


def latest_updates(records: Iterable[ArtifactUpdateRecord]) -> list[Row]:
    """What is left of many updates: of each artifact the last, with the last description given."""
    last: dict[str, ArtifactUpdateRecord] = {}
    descriptions: dict[str, str] = {}
    for record in sorted(records, key=lambda record: record.updated_ns):
        last[record.artifact_id] = record
        if record.description is not None:
            descriptions[record.artifact_id] = record.description
    return [
        (each.data_json, descriptions.get(name), each.updated_ns, name, each.updated_ns)
        for name, each in last.items()
    ]


def artifact_conditions(
    artifact_id: str | None = None,
    key: str | None = None,
    type: str | None = None,
    run_id: str | None = None,
    latest: bool = False,
) -> Conditions:
    """Conditions with their values, all of which an artifact must fulfil."""
    given = {
        "artifact_id": artifact_id,
        "artifacts.key": key,
        "type": type,
        "run": None if run_id is None else run_key(run_id),
    }
    conditions: Conditions = [
        (f"{column} = ?", (value,)) for column, value in given.items() if value is not None
    ]
    if latest:
        conditions.append((_IS_LATEST, ()))
    return conditions
