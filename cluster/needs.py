"""What a run needs of a cluster: the user's own modules there, and the same versions as here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs of a cluster.

    Attributes:
        code: whether the user's own modules are sent to workers.
        folders: what is sent besides, whole: where imports begin, packages, files.
        exclude: patterns of what is not sent.
        packages: installed packages of which workers must have the same version.
        warns: whether other versions are only warned of.
    """

    code: bool = True
    folders: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    warns: bool = False


ALL_CODE = Needs()
"""What a run needs of a cluster of which nothing else was said."""


def needs_of(options: Any) -> Needs:
    """What a spec says of it: as a provider's options, or as a standing cluster's record has it."""
    from cluster.options import NeedsOptions

    if isinstance(options, Mapping):
        names = NeedsOptions.model_fields
        options = NeedsOptions(**{name: options[name] for name in names if name in options})
    if not isinstance(options, NeedsOptions):
        return ALL_CODE
    folders = options.code if isinstance(options.code, list) else []
    return Needs(
        code=options.code is not False,
        folders=tuple(folders),
        exclude=tuple(options.code_exclude),
        packages=tuple(options.packages),
        warns=options.versions == "warning",
    )
