"""What a run needs of a cluster: the user's own modules there, the same versions, and workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.options import Options

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


ALL_CODE = Needs()
"""What a run needs of a cluster of which nothing else was said."""


def needs_of(options: Options) -> Needs:
    """What the options of a spec say of it."""
    from cluster.options import NeedsOptions

    if not isinstance(options, NeedsOptions):
        return ALL_CODE
    folders = options.code if isinstance(options.code, list) else []
    return Needs(
        code=options.code is not False,
        folders=tuple(folders),
        exclude=tuple(options.code_exclude),
        packages=tuple(options.packages),
        warns=options.versions == "warning",
        patience_seconds=options.patience_seconds,
    )


def offers_of(options: Options) -> dict[str, float] | None:
    """The resources that each worker has or will have; None: the options do not say."""
    from cluster.options import NeedsOptions

    return options.offered if isinstance(options, NeedsOptions) else None
