"""Clusters of pods, which the operator of dask-kubernetes makes from a manifest of ours."""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.options import Options, SizedOptions, require
from cluster.provider_protocol import Opening

_NAME_CHARACTERS = 40


class KubernetesOptions(SizedOptions):
    """What a spec may say.

    Attributes:
        image: with the same dataflow and Python as here, and what the tasks import.
        namespace: None: that of the current context of ``kubectl``.
        cpu, memory: of each worker's pod, and the most that it may use.
        threads: of each worker; None: as many as its pod has processors.
        env: environment variables of all pods.
        env_secrets: names of Kubernetes secrets whose entries become environment variables.
        kwargs: more arguments of ``KubeCluster``.
    """

    image: str
    namespace: str | None = None
    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: str | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    env_secrets: list[str] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)


class KubernetesProvider:
    """Asks the operator for a cluster (the entry point ``kubernetes``)."""

    options: ClassVar[type[Options]] = KubernetesOptions
    is_hosted: ClassVar[bool] = True

    def listens_beyond_loopback(self, options: KubernetesOptions) -> bool:
        """Who can reach it is the business of the namespace's network policies."""
        return False

    def open(self, options: KubernetesOptions, opening: Opening) -> Any:
        """A new cluster; its resources are deleted with the object."""
        problem = "Clusters on Kubernetes need dask-kubernetes, which is not installed."
        library = require("dask_kubernetes.operator", problem, "kubernetes")
        return library.KubeCluster(
            custom_cluster_spec=self.manifest(options, resource_name(opening.name)),
            namespace=options.namespace,
            shutdown_on_close=True,
            quiet=True,
            **options.kwargs,
        )

    def manifest(self, options: KubernetesOptions, name: str) -> dict[str, Any]:
        """The resource ``DaskCluster`` that is asked for."""
        problem = "Clusters on Kubernetes need dask-kubernetes, which is not installed."
        library = require("dask_kubernetes.operator", problem, "kubernetes")
        worker = ["dask", "worker"]  # the programs that older images have besides are gone
        if options.threads is not None:
            worker += ["--nthreads", str(options.threads)]
        made: dict[str, Any] = library.make_cluster_spec(
            name=name,
            image=options.image,
            n_workers=_first_workers(options),
            resources={},
            env=[{"name": key, "value": value} for key, value in options.env.items()],
            worker_command=worker,
        )
        scheduler, worker_pod = (
            made["spec"][part]["spec"]["containers"][0] for part in ("scheduler", "worker")
        )
        scheduler["args"] = ["dask", "scheduler", *scheduler["args"][1:]]
        worker_pod["resources"] = _resources(options)
        for container in (scheduler, worker_pod):
            container["envFrom"] = [{"secretRef": {"name": each}} for each in options.env_secrets]
        return made


def resource_name(name: str) -> str:
    """A name of its own for each start: to one that exists the operator would connect."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"dataflow-{name}".lower())[:_NAME_CHARACTERS].strip("-")
    return f"{plain}-{secrets.token_hex(3)}"


def _first_workers(options: KubernetesOptions) -> int:
    if options.adapt is not None:
        return options.adapt.minimum
    return 1 if options.workers is None else options.workers


def _resources(options: KubernetesOptions) -> dict[str, Any]:
    """What a worker asks for is what it may use: the scheduler of pods can count on it."""
    cpu = None if options.cpu is None else f"{options.cpu:g}"
    asked = {key: value for key, value in (("cpu", cpu), ("memory", options.memory)) if value}
    return {"requests": asked, "limits": dict(asked)} if asked else {}
