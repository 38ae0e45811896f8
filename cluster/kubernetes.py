"""Clusters of pods, which the operator of dask-kubernetes makes from a manifest of ours."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cluster.options import Options, SizedOptions, WorkerOptions, require
from cluster.provider_protocol import Opening
from cluster.worker_reports import shortened

_NAME_CHARACTERS = 40


class KubernetesOptions(WorkerOptions, SizedOptions):
    """What a spec may say.

    Attributes:
        image: with the same dataflow and Python as here, and what the tasks import.
        namespace: None: that of the current context of ``kubectl``.
        cpu, memory: of each worker's pod, and the most that it may use.
        threads: of each worker; None: as many as its pod has processors.
        env: environment variables of all pods, the scheduler's too.
        env_secrets: names of Kubernetes secrets whose entries become environment variables.
        kwargs: more arguments of ``KubeCluster``.
    """

    image: str
    namespace: str | None = None
    cpu: Annotated[float, Field(gt=0)] | None = None
    memory: str | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    env_secrets: list[str] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def offered(self) -> dict[str, float] | None:
        """The resources of each worker; None: the image may bring some in its configuration."""
        return self.resources or None


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

    def report(self, cluster: Any) -> list[str]:
        """What Kubernetes says of its pods."""
        kr8s = require("kr8s", "Clusters on Kubernetes need kr8s.", "kubernetes")
        found = kr8s.get(
            "pods",
            namespace=cluster.namespace,
            label_selector={"dask.org/cluster-name": cluster.name},
        )
        return pod_lines([pod.raw for pod in found])

    def manifest(self, options: KubernetesOptions, name: str) -> dict[str, Any]:
        """The resource ``DaskCluster`` that is asked for."""
        problem = "Clusters on Kubernetes need dask-kubernetes, which is not installed."
        library = require("dask_kubernetes.operator", problem, "kubernetes")
        worker = ["dask", "worker"]  # the programs that older images have besides are gone
        if options.threads is not None:
            worker += ["--nthreads", str(options.threads)]
        worker += options.worker_arguments()
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
        if options.working_folder is not None:
            worker_pod["workingDir"] = options.working_folder
        for container in (scheduler, worker_pod):
            container["envFrom"] = [{"secretRef": {"name": each}} for each in options.env_secrets]
        return made


def pod_lines(pods: list[Mapping[str, Any]]) -> list[str]:
    """Why pods do not run, as the API of Kubernetes says it, a line each."""
    if not pods:
        return ["Kubernetes has no pods of it"]
    return shortened(
        [f"pod {pod['metadata']['name']}: {_pod_state(pod['status'])}" for pod in pods]
    )


def _pod_state(status: Mapping[str, Any]) -> str:
    unmet = [each for each in status.get("conditions", ()) if each.get("status") != "True"]
    states = [
        state
        for container in status.get("containerStatuses", ())
        for when in ("state", "lastState")
        for kind, state in container.get(when, {}).items()
        if kind != "running"
    ]
    told = [
        " ".join(
            str(each[part])
            for part in ("reason", "exitCode", "message")
            if each.get(part) not in (None, "")
        )
        for each in (*unmet, *states)
    ]
    return ", ".join([str(status.get("phase", "Unknown")), *dict.fromkeys(filter(None, told))])


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
