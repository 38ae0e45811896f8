"""What can be said of a cluster, whoever provides it: its size, its life, its safety.

Providers add fields of their own. Types are strict, as those of TOML are.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)

from cluster.needs import ALL_CODE, PATIENCE_SECONDS, Needs
from dataflow.errors import MissingExtra

_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_RESOURCE = r"^[^\s=,]+$"


class Options(BaseModel):
    """The base of what a provider understands: frozen, strict, and no field but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _read_secret(value: Any) -> Any:
    """``{env = "NAME"}`` stands for what that variable is set to."""
    if not (isinstance(value, dict) and set(value) == {"env"}):
        return value
    found = os.environ.get(str(value["env"]))
    if found is None:
        raise ValueError(f"the environment variable {value['env']} is not set")
    return found


def _from_folder(path: str, info: ValidationInfo) -> str:
    """A path as the file that it stands in means it."""
    folder = (info.context or {}).get("folder") or Path.cwd()
    return str(Path(folder) / Path(path).expanduser())


Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
"""A text that is never shown; ``{env = "NAME"}`` takes it from the environment."""

FilePath = Annotated[str, AfterValidator(_from_folder)]
"""A path of this machine; a relative one begins at the folder of the file that it stands in."""


class TlsFiles(Options):
    """Certificates of your own, as files in PEM format.

    Attributes:
        ca: the certificate authority that all processes of the cluster trust, and nothing else.
        cert: our certificate, signed by it.
        key: its key; None: it stands in the file of the certificate.
    """

    ca: FilePath
    cert: FilePath
    key: FilePath | None = None


class Adapt(Options):
    """A size that follows the work that remains.

    Attributes:
        minimum, maximum: workers, at least and at most.
        target_duration: in which the remaining work should be done, such as ``"5s"``.
        interval: between two checks.
        wait_count: checks in a row at which a worker is too many before it is retired.
        max_worker_seconds: that its workers may be there, all together, in the cluster's whole
            life: a worker for an hour is 3600. Then they end, and runs fail that still need them.
    """

    minimum: Annotated[int, Field(ge=0)] = 0
    maximum: Annotated[int, Field(ge=1)]
    target_duration: str | None = None
    interval: str | None = None
    wait_count: Annotated[int, Field(ge=1)] | None = None
    max_worker_seconds: Annotated[float, Field(gt=0)] | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of Dask's ``adapt``."""
        return self.model_dump(exclude_none=True)


class NeedsOptions(Options):
    """Of every cluster: what a run needs of it.

    Attributes:
        code: ``True``: workers get the user's own modules that the run has loaded; folders: these
            as well, whole; ``False``: they have all that they need.
        code_exclude: patterns of files and folders that are not sent, such as ``"*.csv"``.
        packages: installed packages that workers must have in the same version, such as
            ``"numpy"``; Python, dataflow and what it speaks with them by are compared anyway.
        versions: whether other versions are an ``"error"``, or a ``"warning"`` in the log.
        patience_seconds: how long a run with work to do waits for a worker while there is none, at
            its start or later: then it ends with an error that says what the provider reports.
    """

    code: bool | list[FilePath] = True
    code_exclude: list[str] = Field(default_factory=list)
    packages: list[str] = Field(default_factory=list)
    versions: Literal["error", "warning"] = "error"
    patience_seconds: Annotated[float, Field(gt=0)] = PATIENCE_SECONDS

    @property
    def needs(self) -> Needs:
        """What a run needs of it."""
        return Needs(
            code=self.code is not False,
            folders=tuple(self.code) if isinstance(self.code, list) else (),
            exclude=tuple(self.code_exclude),
            packages=tuple(self.packages),
            warns=self.versions == "warning",
            patience_seconds=self.patience_seconds,
        )

    @property
    def offered(self) -> dict[str, float] | None:
        """The resources that each worker will have; None: that is not said here."""
        return None


class HostedOptions(NeedsOptions):
    """Of every cluster that we start.

    Attributes:
        idle_seconds: with nobody connected and nothing to do for so long, it ends; None: it stays.
        start_seconds: how long it may take to be there.
    """

    idle_seconds: Annotated[float, Field(gt=0)] | None = None
    start_seconds: Annotated[float, Field(gt=0)] = 60.0


class SizedOptions(HostedOptions):
    """Of clusters whose size we choose.

    Attributes:
        workers: how many there are to be; None: as many as the provider thinks right.
        adapt: the size follows the work instead.
    """

    workers: Annotated[int, Field(ge=0)] | None = None
    adapt: Adapt | None = None


class WorkerOptions(HostedOptions):
    """Of clusters whose workers we start: what each of them is like.

    Attributes:
        env: environment variables that it has besides.
        working_folder: in which it works, which must be there.
        preload: modules, or files of Python, that it loads before its first task.
        resources: that it has for tasks which ask for them, such as ``{GPU = 1}``.
    """

    env: dict[Annotated[str, Field(pattern=_VARIABLE)], str] = Field(default_factory=dict)
    working_folder: str | None = None
    preload: list[str] = Field(default_factory=list)
    resources: dict[
        Annotated[str, Field(pattern=_RESOURCE)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ] = Field(default_factory=dict)

    @property
    def offered(self) -> dict[str, float] | None:
        """The resources that each worker will have; None: that is not said here."""
        return self.resources

    def worker_arguments(self) -> list[str]:
        """What ``dask worker`` is to be told of it, beside its environment and its folder."""
        named = ",".join(f"{name}={amount!r}" for name, amount in self.resources.items())
        resources = ["--resources", named] if named else []
        return [*(part for each in self.preload for part in ("--preload", each)), *resources]


class ConfiguredOptions(HostedOptions):
    """Of clusters whose processes are started with our configuration.

    Attributes:
        security: ``True``: TLS with an authority that is made for this cluster alone, or with files
            of your own; ``False``: in the clear. By default on when others could connect to it.
        dashboard: whether it has Dask's dashboard, or where that listens, such as ``":8787"``.
            ``True`` is some port that only the scheduler's machine can reach.
    """

    security: bool | TlsFiles | None = None
    dashboard: bool | str = False

    @property
    def dashboard_address(self) -> str:
        """Where the scheduler serves HTTP: never to other machines unless it was said."""
        return self.dashboard if isinstance(self.dashboard, str) else "127.0.0.1:0"

    def scheduler_options(self) -> dict[str, Any]:
        """What Dask's scheduler is to be told of it.

        Raises:
            MissingExtra: the dashboard needs bokeh, which is not installed.
        """
        if self.dashboard:
            require("bokeh", "Dask's dashboard needs bokeh, which is not installed.", "dashboard")
        return {"dashboard": bool(self.dashboard), "dashboard_address": self.dashboard_address}


def needs_of(options: Options) -> Needs:
    """What a run needs of a cluster with these options."""
    return options.needs if isinstance(options, NeedsOptions) else ALL_CODE


def offers_of(options: Options) -> dict[str, float] | None:
    """The resources that each of its workers has or will have; None: the options do not say."""
    return options.offered if isinstance(options, NeedsOptions) else None


def require(module: str, problem: str, extra: str) -> Any:
    """Import what an extra brings.

    Raises:
        MissingExtra: it is not there; the hint has the install line.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            problem, hint=f"Install it: pip install 'dataflow-runtime[{extra}]'."
        ) from error


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by an address that no other can reach."""
    return host in {"localhost", "::1"} or host.startswith("127.")
