"""Artifacts, put in, found and deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dataflow.model.records import ArtifactRecord
from dataflow.store.artifact_rows import artifact_row
from dataflow.store.database import Row, Transaction
from dataflow.store.run_filters import Conditions, where

if TYPE_CHECKING:
    from dataflow.store.summaries import ArtifactSummary


def put_artifacts(
    transaction: Transaction, records: Iterable[ArtifactRecord], updates: Iterable[Row]
) -> None:
    """Put artifacts in, each with the version after the last one of its key, which is held."""
    versions: dict[str | None, int] = {None: 0}
    rows = []
    for record in records:
        key = record.key
        if key not in versions:
            ((versions[key],),) = transaction.rows("last_artifact_version", (key,))
        version = versions[key] + 1
        rows.append(artifact_row(record, version))
        if key is not None:
            versions[key] = version
    transaction.change("add_artifact", rows)
    transaction.change("update_artifact", updates)


def find_artifacts(
    view: Transaction, conditions: Conditions, limit: int | None, offset: int
) -> list[ArtifactSummary]:
    """Artifacts that fulfil all conditions, those stored last first."""
    from dataflow.store.summaries import ArtifactSummary

    clause, values = where(conditions)
    most = view.everything if limit is None else max(limit, 0)
    rows = view.rows("find_artifacts", (*values, most, offset), clause)
    return [ArtifactSummary(*row) for row in rows]


def delete_artifacts(transaction: Transaction, conditions: Conditions) -> int:
    """Delete artifacts that fulfil all conditions, of which there is at least one."""
    if not conditions:
        return 0
    clause, values = where(conditions)
    ((found,),) = transaction.rows("count_artifacts", values, clause)
    transaction.execute(transaction.text("delete_artifacts", clause), values)
    return int(found)
