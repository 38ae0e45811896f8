"""Clusters of any class, of other libraries or your own (``provider = "module:Class"``)."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from pydantic import Field

from cluster.options import Options, SizedOptions
from cluster.provider_protocol import Opening
from cluster.worker_reports import report_of_workers
from dataflow.errors import ClusterError


class ClassOptions(SizedOptions):
    """What a spec may say.

    Attributes:
        class_path: ``"module:Class"``, as the provider names it.
        kwargs: the arguments with which the class is called.
    """

    class_path: str
    kwargs: dict[str, Any] = Field(default_factory=dict)


class ClassProvider:
    """Calls a class or a function that returns a Dask cluster."""

    options: ClassVar[type[Options]] = ClassOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: ClassOptions) -> bool:
        """What it does is its own affair: pass it ``security=`` in its arguments."""
        return False

    def open(self, options: ClassOptions, opening: Opening) -> Any:
        """A cluster of that class."""
        return find_class(options.class_path)(**options.kwargs)

    def report(self, cluster: Any) -> list[str]:
        """What Dask's object says of its workers, if it is like Dask's own."""
        return report_of_workers(cluster)


def find_class(path: str) -> Any:
    """The object behind ``"module:name"`` (or ``"module.name"``).

    Raises:
        ClusterError: there is no such module, or no such name in it.
    """
    module, separator, name = path.partition(":")
    if not separator:
        module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ClusterError(
            f"The cluster class {path!r} cannot be used: {error}.",
            hint="Write 'module:Class', and install what the module is part of.",
        ) from error
