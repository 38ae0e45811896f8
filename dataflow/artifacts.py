"""Artifacts: what a run shows to people, as Markdown, a table, a link, an image or a progress.

    from dataflow.artifacts import create_table_artifact

    create_table_artifact([{"city": "Oslo", "rows": 120}], key="rows-by-city")

They may be made in flows, in tasks on every runner, and outside runs. Artifacts with the same key
are versions of one thing. ``dataflow.records.artifacts`` and ``dataflow artifacts`` read them.
Each function has a twin to be awaited, whose name begins with ``a``.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dataflow.clock import now_ns
from dataflow.errors import ArtifactError, ArtifactNotFound
from dataflow.execution.here import Maker, leave, maker_here, store_here
from dataflow.ids import new_artifact_id
from dataflow.model.records import ArtifactRecord, ArtifactUpdateRecord
from dataflow.worker.run_logs import log_target

__all__ = [
    "create_markdown_artifact",
    "create_table_artifact",
    "create_link_artifact",
    "create_image_artifact",
    "create_progress_artifact",
    "update_progress_artifact",
    "acreate_markdown_artifact",
    "acreate_table_artifact",
    "acreate_link_artifact",
    "acreate_image_artifact",
    "acreate_progress_artifact",
    "aupdate_progress_artifact",
]

_KEY = re.compile(r"[a-z0-9-]+")
_ID = re.compile(r"[0-9a-f]{32}")


def create_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> str:
    """Show a text in Markdown; returns the artifact's id.

    Args:
        markdown: the text.
        key: lower case letters, digits and dashes; artifacts with the same key are its versions.
        description: what it is.

    Raises:
        ArtifactError: the key or the content cannot be used.
    """
    return _create("markdown", _text(markdown, "markdown"), key, description)


def create_table_artifact(
    table: Any, key: str | None = None, description: str | None = None
) -> str:
    """Show a table; returns the artifact's id.

    Args:
        table: a list of dicts, a dict of lists, a list of lists, or a DataFrame. Values that JSON
            does not know become text, NaN becomes null.
        key: lower case letters, digits and dashes; artifacts with the same key are its versions.
        description: what it is.

    Raises:
        ArtifactError: the key or the content cannot be used.
    """
    return _create("table", _plain(_rows(table)), key, description)


def create_link_artifact(
    link: str,
    link_text: str | None = None,
    key: str | None = None,
    description: str | None = None,
) -> str:
    """Show a link, with other words if wanted; returns the artifact's id (see the others)."""
    link = _text(link, "link")
    return _create("link", f"[{link_text or link}]({link})", key, description)


def create_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> str:
    """Show the image behind an address; returns the artifact's id (see the others)."""
    return _create("image", _text(image_url, "image_url"), key, description)


def create_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> str:
    """Show how far something is, in percent.

    Returns:
        The artifact's id, for :func:`update_progress_artifact`.

    Raises:
        ArtifactError: the key or the number cannot be used.
    """
    return _create("progress", _percent(progress), key, description)


def update_progress_artifact(
    artifact_id: str | UUID, progress: float, description: str | None = None
) -> str:
    """Show that something has got further; returns the artifact's id.

    Args:
        artifact_id: what :func:`create_progress_artifact` returned, here or in another task.
        progress: in percent.
        description: another description, if it is to change.

    Raises:
        ArtifactError: the id or the number cannot be used.
        ArtifactNotFound: outside runs, there is no such artifact.
    """
    found = artifact_id.hex if isinstance(artifact_id, UUID) else str(artifact_id)
    if not _ID.fullmatch(found):
        raise ArtifactError(
            f"{artifact_id!r} is not the id of an artifact.",
            hint="Give what create_progress_artifact() returned.",
        )
    if maker_here() == Maker() and not store_here().artifacts(artifact_id=found):
        raise ArtifactNotFound(f"There is no artifact with the id {found}.", artifact_id=found)
    leave(ArtifactUpdateRecord(found, description, json.dumps(_percent(progress)), now_ns()))
    return found


# --- the same, awaited ---------------------------------------------------------------------------


async def acreate_markdown_artifact(
    markdown: str, key: str | None = None, description: str | None = None
) -> str:
    """As :func:`create_markdown_artifact`."""
    return await _beside(create_markdown_artifact, markdown, key, description)


async def acreate_table_artifact(
    table: Any, key: str | None = None, description: str | None = None
) -> str:
    """As :func:`create_table_artifact`."""
    return await _beside(create_table_artifact, table, key, description)


async def acreate_link_artifact(
    link: str,
    link_text: str | None = None,
    key: str | None = None,
    description: str | None = None,
) -> str:
    """As :func:`create_link_artifact`."""
    return await _beside(create_link_artifact, link, link_text, key, description)


async def acreate_image_artifact(
    image_url: str, key: str | None = None, description: str | None = None
) -> str:
    """As :func:`create_image_artifact`."""
    return await _beside(create_image_artifact, image_url, key, description)


async def acreate_progress_artifact(
    progress: float, key: str | None = None, description: str | None = None
) -> str:
    """As :func:`create_progress_artifact`."""
    return await _beside(create_progress_artifact, progress, key, description)


async def aupdate_progress_artifact(
    artifact_id: str | UUID, progress: float, description: str | None = None
) -> str:
    """As :func:`update_progress_artifact`."""
    return await _beside(update_progress_artifact, artifact_id, progress, description)


async def _beside(function: Any, *args: Any) -> str:
    """Call a function in a thread, so that a store that is slow does not hold up the event loop."""
    import asyncio

    found: str = await asyncio.to_thread(function, *args)
    return found


# --- what it shows -------------------------------------------------------------------------------


def _create(kind: str, data: Any, key: Any, description: Any) -> str:
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise ArtifactError(
            f"The artifact key {key!r} cannot be used.",
            hint="Keys are made of lower case letters, digits and dashes.",
        )
    maker = maker_here()
    artifact_id = new_artifact_id()
    text = json.dumps(data)
    about = None if description is None else str(description)
    leave(ArtifactRecord(artifact_id, key, kind, about, text, *maker, now_ns()))
    return artifact_id


def _text(value: Any, name: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise ArtifactError(f"{name} must be text, and not empty, but is {value!r}.")


def _percent(progress: Any) -> float:
    try:
        number = float(progress)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ArtifactError(f"progress must be a number from 0 to 100, not {progress!r}.")
    inside = min(max(number, 0.0), 100.0)
    target = log_target.get()
    if inside != number and target is not None:
        text = f"A progress of {number:g} % is shown as {inside:g} %."
        target.log(now_ns(), logging.WARNING, target.logger_name, text)
    return inside


def _rows(table: Any) -> Any:
    """A table as lists and dicts, whatever it came as."""
    for method, options in (
        ("to_pylist", {}),
        ("to_dicts", {}),
        ("to_dict", {"orient": "records"}),
    ):
        convert = getattr(table, method, None)  # of Arrow, Polars and Pandas
        if callable(convert):
            return convert(**options)
    if isinstance(table, Mapping):
        return {name: list(column) for name, column in table.items()}
    if isinstance(table, Sequence) and all(
        isinstance(row, (Mapping, list, tuple)) for row in table
    ):
        return list(table) if not isinstance(table, str) else _no_table(table)
    return _no_table(table)


def _no_table(table: Any) -> Any:
    raise ArtifactError(
        f"A table cannot be made of {type(table).__name__}.",
        hint="Give a list of dicts, a dict of lists, a list of lists, or a DataFrame.",
    )


def _plain(value: Any) -> Any:
    """A value as JSON knows it: what it does not know becomes text, and NaN becomes null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    item = getattr(value, "item", None)  # a number of numpy's
    return _plain(item()) if callable(item) else str(value)
