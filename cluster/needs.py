"""What a run needs of a cluster: the user's own modules there, the same versions, and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs of a cluster.

    Attributes:
        code: whether the user's own modules are sent to workers.
        folders: what is sent besides, whole: where imports begin, packages, files.
        exclude: patterns of what is not sent.
        packages: installed packages of which workers must have the same version.
        warns: whether other versions are only warned of.
        patience_seconds: how long it waits for a worker while there is none.
    """

    code: bool = True
    folders: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    warns: bool = False
    patience_seconds: float = PATIENCE_SECONDS

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Needs:
        """What was written down as JSON."""
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return cls(**{**found, **lists})


ALL_CODE = Needs()
"""What a run needs of a cluster of which nothing else was said."""
