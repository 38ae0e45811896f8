"""Settings: read from the environment, once for each state of the environment.

Every setting is a field of :class:`Settings`; ``DATAFLOW_<FIELD>`` sets it.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from dataflow.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set from outside a program."""

    home: Path = Path("~/.dataflow")
    """Where the store and the files of dataflow live."""
    store_url: str = field(default="", repr=False)  # it may have a password in it
    """The store: a path, ``sqlite:///path`` or ``postgresql://user:password@host/database``; empty
    means ``<home>/dataflow.db``."""
    store_retry_seconds: float = 60.0
    """How long a store that cannot be reached is tried again, in the middle of a run."""
    runner: str = "processes"
    """The runner of flows that name none."""
    workers: int = 0
    """Workers of the local runners; 0 means one for each core."""
    log_level: str = "INFO"
    """The lowest level that is recorded and shown."""
    log_to_terminal: bool = True
    """Whether logs of runs are written to the terminal (standard error)."""
    log_capture: str = ""
    """Further loggers whose records inside a run are kept, separated by commas."""
    log_prints: bool = False
    """Whether prints of flows and tasks that say nothing of it become log lines."""
    progress: str = "auto"
    """The progress display: ``auto``, ``bars``, ``plain`` or ``off``."""
    spill_folder: str = ""
    """Where the process pool puts large values when memory is short; empty means
    ``<home>/spill``."""
    dask_connect_seconds: float = 10.0
    """How long a Dask scheduler may take to answer."""
    results_persist_by_default: bool = False
    """Whether tasks and flows that say nothing of it persist their results."""
    results_storage: str = field(default="", repr=False)  # as the store's URL
    """Where results are kept: a folder or URL; empty means ``<home>/results``."""
    results_serializer: str = "pickle"
    """How they are serialized where nothing else is said."""
    debug: bool = False
    """Show whole tracebacks, with dataflow's own frames."""


_KINDS = {int: "a whole number, 0 or more", float: "a number, 0 or more"}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_CHOICES = {"progress": ("auto", "bars", "plain", "off"), "log_level": _LEVELS}
_cache: tuple[tuple[str | None, ...], Settings] | None = None
_NAMES = tuple("DATAFLOW_" + each.name.upper() for each in fields(Settings))


def get_settings() -> Settings:
    """The settings of this process as the environment has them now.

    Raises:
        SettingsError: a variable has a value of the wrong kind.
    """
    global _cache
    values = tuple(map(os.environ.get, _NAMES))
    if _cache is None or _cache[0] != values:
        _cache = (values, _read(values))
    return _cache[1]


def _read(values: tuple[str | None, ...]) -> Settings:
    given = {
        each.name: _convert(name, each.name, each.default, text)
        for each, name, text in zip(fields(Settings), _NAMES, values, strict=True)
        if text is not None
    }
    settings = Settings(**given)
    return Settings(**{**given, "home": settings.home.expanduser().absolute()})


def _convert(variable: str, name: str, default: Any, text: str) -> Any:
    wanted = type(default)
    try:
        if wanted is bool:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError(text)
            return text.lower() in _TRUE
        if isinstance(default, Path):
            return Path(text)
        value = wanted(text.upper() if name == "log_level" else text)
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(text)
        if wanted in (int, float) and not 0 <= value < math.inf:
            raise ValueError(text)
    except ValueError:
        choices = _CHOICES.get(name, ())
        kind = " or ".join(choices) or _KINDS.get(wanted, "true or false")
        raise SettingsError(
            f"{variable}={text!r} is not usable: expected {kind}.",
            hint=f"Unset {variable} or give it another value (the default is {default!r}).",
        ) from None
    return value
