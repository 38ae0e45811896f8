"""Clusters that a Dask Gateway makes; the gateway has the right to, we only ask."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, Literal

from pydantic import Field

from cluster.options import Options, Secret, SizedOptions, require
from cluster.provider_protocol import Opening


class GatewayOptions(SizedOptions):
    """What a spec may say; what it does not is taken from Dask's own configuration.

    Attributes:
        address: of the gateway, such as ``https://gateway.example.org``.
        proxy_address: of its proxy for schedulers, if that is another.
        auth: how it is told who asks.
        username, password: for ``auth = "basic"``; the password may be ``{env = "NAME"}``.
        token: for ``auth = "jupyterhub"``.
        cluster_options: what this gateway lets its users choose.
    """

    address: str | None = None
    proxy_address: str | None = None
    auth: Literal["basic", "kerberos", "jupyterhub"] | None = None
    username: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    cluster_options: dict[str, Any] = Field(default_factory=dict)


class GatewayProvider:
    """Asks a gateway for a cluster (the entry point ``gateway``)."""

    options: ClassVar[type[Options]] = GatewayOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: GatewayOptions) -> bool:
        """It always speaks TLS, with certificates that the gateway makes."""
        return False

    def open(self, options: GatewayOptions, opening: Opening) -> Any:
        """A new cluster of the gateway; it ends with the object."""
        problem = "Clusters of a Dask Gateway need its client."
        library = require("dask_gateway", problem, "gateway")
        return library.GatewayCluster(
            address=options.address,
            proxy_address=options.proxy_address,
            auth=_auth(options),
            shutdown_on_close=True,
            **options.cluster_options,
        )

    def report(self, cluster: Any) -> list[str]:
        """What the gateway says of it: of each worker only its administrators know."""
        found = cluster.gateway.get_cluster(cluster.name)
        return [f"the gateway says that {cluster.name} is {found.status.name.lower()}"]


def _auth(options: GatewayOptions) -> Any:
    auth = importlib.import_module("dask_gateway.auth")
    if options.auth == "basic":
        password = options.password
        return auth.BasicAuth(options.username, password and password.get_secret_value())
    if options.auth == "jupyterhub":
        return auth.JupyterHubAuth(options.token and options.token.get_secret_value())
    return options.auth
