"""TLS between the processes of a cluster and its clients, with certificates of its own.

Who has no certificate of the cluster's own authority can neither give it work nor pass for one of
its processes: what is unpickled comes from where the run meant. Keys are held as text, are written
only to files that nobody else may read, and are never shown.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.errors import SettingsError

if TYPE_CHECKING:
    from cluster.options import TlsFiles

PEM_FILES = ("ca.pem", "cert.pem", "key.pem")
"""Of the authority, the certificate and its key."""

_ROLES = ("client", "scheduler", "worker")


@dataclass(frozen=True, slots=True, repr=False)
class Tls:
    """Certificates as text in PEM format.

    Attributes:
        ca: of the authority that is trusted.
        cert: ours.
        key: its key.
        kind: ``"gateway"`` for those of a Dask Gateway, which has a way of its own.
    """

    ca: str
    cert: str
    key: str
    kind: str = "tls"

    def __repr__(self) -> str:
        return f"Tls(<{self.kind}>)"

    def security(self) -> Any:
        """What Dask needs to speak with it."""
        if self.kind == "gateway":
            from cluster.options import require

            problem = "This cluster is behind a Dask Gateway, and its client is not installed."
            client = require("dask_gateway.client", problem, "gateway")
            return client.GatewaySecurity(tls_key=self.key, tls_cert=self.cert)
        return _security(self.ca, self.cert, self.key)

    def security_of_files(self, folder: Path) -> Any:
        """The same for processes that only have paths to show: the files are written."""
        ca, cert, key = map(str, self.write(folder))
        return _security(ca, cert, key)

    def write(self, folder: Path) -> tuple[Path, Path, Path]:
        """Write the files of authority, certificate and key, for this user only."""
        ca, cert, key = (folder / name for name in PEM_FILES)
        paths = (ca, cert, key)
        for path, text in zip(paths, (self.ca, self.cert, self.key), strict=True):
            write_private(path, text)
        return paths


def config_of_paths(ca: str, cert: str, key: str) -> dict[str, Any]:
    """Dask's configuration for processes that read it there."""
    config: dict[str, Any] = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": ca,
    }
    for role in _ROLES:
        config[f"distributed.comm.tls.{role}.cert"] = cert
        config[f"distributed.comm.tls.{role}.key"] = key
    return config


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def temporary_tls() -> Tls:
    """An authority and a certificate that are made for one cluster.

    Raises:
        MissingExtra: cryptography is not installed.
    """
    from cluster.options import require

    problem = "A cluster that speaks TLS needs certificates, and cryptography to make them."
    require("cryptography", problem, "tls")
    from distributed.security import Security

    made: Any = Security.temporary()  # type: ignore[no-untyped-call]
    return Tls(made.tls_ca_file, made.tls_client_cert, made.tls_client_key)


def read_tls(files: TlsFiles) -> Tls:
    """Certificates from files.

    Raises:
        SettingsError: one cannot be read.
    """
    return Tls(_read(files.ca), _read(files.cert), _read(files.key or files.cert))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The certificate file {path} cannot be read: {error}.",
            hint="security names files in PEM format: ca, cert and key.",
        ) from None


def tls_of_security(security: Any) -> Tls | None:
    """What a cluster object that was made elsewhere speaks with; None: in the clear."""
    if getattr(security, "tls_key", None) is not None:
        return Tls(security.tls_cert, security.tls_cert, security.tls_key, "gateway")
    if not getattr(security, "require_encryption", False):
        return None
    found = security.get_tls_config_for_role("client")
    ca, cert = found.get("ca_file"), found.get("cert")
    if not ca or not cert:
        return None
    return Tls(_text(ca), _text(cert), _text(found.get("key") or cert))


def _text(given: str) -> str:
    """A certificate as text, given as such or as a path."""
    return given if "\n" in given else _read(given)


def tls_of(options: Any, beyond_loopback: bool) -> Tls | None:
    """What a cluster is to speak with; None: in the clear.

    Args:
        options: of its provider.
        beyond_loopback: whether other machines could connect to it.
    """
    from cluster.options import ConfiguredOptions, TlsFiles

    if not isinstance(options, ConfiguredOptions):
        return None  # it has a way of its own
    wanted = options.security
    if isinstance(wanted, TlsFiles):
        return read_tls(wanted)
    return temporary_tls() if wanted or (wanted is None and beyond_loopback) else None


def _security(ca: str, cert: str, key: str) -> Any:
    from distributed.security import Security

    fields: dict[str, Any] = {"require_encryption": True, "tls_ca_file": ca}
    for role in _ROLES:
        fields[f"tls_{role}_cert"] = cert
        fields[f"tls_{role}_key"] = key
    return Security(**fields)  # type: ignore[no-untyped-call]
