"""What a store promises for artifacts: the part of :class:`RunStore` that shows things to people.

They are written as records, like all else that runs leave behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dataflow.store.summaries import ArtifactSummary


class ArtifactStore(Protocol):
    """Where artifacts are kept."""

    def artifacts(
        self,
        *,
        artifact_id: str | None = None,
        key: str | None = None,
        type: str | None = None,
        run_id: str | None = None,
        latest: bool = False,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[ArtifactSummary]:
        """Artifacts that fulfil all conditions, newest first.

        Args:
            artifact_id: the one of that id.
            key: all versions of that key.
            type: such as ``markdown``.
            run_id: made in that run.
            latest: of each key only the last version; those without a key all.
            limit: at most so many; None for all.
            offset: so many are left out at the front.
        """

    def delete_artifacts(self, *, artifact_id: str | None = None, key: str | None = None) -> int:
        """Delete one artifact, or all versions of a key; returns how many those were."""
