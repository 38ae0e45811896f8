"""What the operator is asked for, checked against its published schema; no cluster runs here."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from cluster.kubernetes import (
    KubernetesOptions,
    KubernetesProvider,
    pod_lines,
    resource_name,
)
from cluster.spec import ClusterSpec

SPEC: dict[str, Any] = {
    "image": "registry.example.org/flows:1",
    "cpu": 1.5,
    "memory": "4Gi",
    "threads": 2,
    "workers": 3,
    "env": {"MODE": "test"},
    "working_folder": "/flows",
    "preload": ["my_package.setup"],
    "resources": {"GPU": 1},
    "env_secrets": ["database"],
}


def manifest(**options: Any) -> dict[str, Any]:
    spec = ClusterSpec("kubernetes", name="lab", **options)
    assert isinstance(spec.options, KubernetesOptions)
    return KubernetesProvider().manifest(spec.options, resource_name("lab"))


def published_schema() -> dict[str, Any]:
    """That of the operator's custom resource, as its Helm chart installs it."""
    import yaml

    files = importlib.metadata.files("dask-kubernetes") or []
    (path,) = [each for each in files if str(each).endswith("crds/daskcluster.yaml")]
    (version,) = yaml.safe_load(path.read_text())["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return closed(found)


def closed(schema: Any) -> Any:
    """A schema that refuses fields which it does not know, as a strict API server does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    properties = schema.get("properties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if isinstance(properties, dict) and schema.get("type") == "object" and not is_open:
        found.setdefault("additionalProperties", False)
    return found


def check(found: dict[str, Any]) -> None:
    import jsonschema

    schema = published_schema()
    for field in ("apiVersion", "kind", "metadata"):  # every resource has them
        schema["properties"].setdefault(field, {})
    jsonschema.Draft7Validator(schema).validate(found)


def test_the_manifest_is_what_the_operator_understands() -> None:
    check(manifest(**SPEC))
    check(manifest(image="a:1"))
    check(manifest(image="a:1", adapt={"minimum": 0, "maximum": 5}))


def test_the_schema_refuses_what_is_wrong() -> None:
    import jsonschema

    wrong = manifest(**SPEC)
    wrong["spec"]["worker"]["spec"]["containers"][0]["envFrum"] = []
    with pytest.raises(jsonschema.ValidationError, match="envFrum"):
        check(wrong)


def test_the_manifest_has_what_the_spec_says() -> None:
    found = manifest(**SPEC)
    worker = found["spec"]["worker"]["spec"]["containers"][0]
    scheduler = found["spec"]["scheduler"]["spec"]["containers"][0]
    assert found["spec"]["worker"]["replicas"] == 3
    assert worker["image"] == scheduler["image"] == "registry.example.org/flows:1"
    assert worker["args"][:4] == ["dask", "worker", "--nthreads", "2"]
    assert worker["args"][4:8] == ["--preload", "my_package.setup", "--resources", "GPU=1.0"]
    assert worker["workingDir"] == "/flows"
    assert scheduler["args"][:2] == ["dask", "scheduler"]
    assert worker["resources"]["limits"] == {"cpu": "1.5", "memory": "4Gi"}
    assert worker["env"] == scheduler["env"] == [{"name": "MODE", "value": "test"}]
    assert worker["envFrom"] == [{"secretRef": {"name": "database"}}]
    adaptive = manifest(image="a:1", adapt={"minimum": 2, "maximum": 5})
    assert adaptive["spec"]["worker"]["replicas"] == 2


def test_names_of_resources() -> None:
    from dask_kubernetes.operator.validation import validate_cluster_name

    first, second = resource_name("My_Lab.1" * 8), resource_name("My_Lab.1" * 8)
    assert first != second
    for name in (first, second, resource_name("x")):
        validate_cluster_name(name)


def test_what_pods_say_of_themselves() -> None:
    """As the API of Kubernetes describes their status."""
    unscheduled = {
        "metadata": {"name": "lab-worker-1"},
        "status": {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                }
            ],
        },
    }
    without_image = {
        "metadata": {"name": "lab-worker-2"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [
                {
                    "state": {
                        "waiting": {"reason": "ImagePullBackOff", "message": "no such image"}
                    },
                    "lastState": {},
                }
            ],
        },
    }
    restarting = {
        "metadata": {"name": "lab-worker-3"},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {
                    "state": {"running": {"startedAt": "2026-11-29T12:00:00Z"}},
                    "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                }
            ],
        },
    }
    assert pod_lines([unscheduled, without_image, restarting]) == [
        "pod lab-worker-1: Pending, Unschedulable 0/3 nodes are available: "
        "3 Insufficient nvidia.com/gpu.",
        "pod lab-worker-2: Pending, ImagePullBackOff no such image",
        "pod lab-worker-3: Running, OOMKilled 137",
    ]
    assert pod_lines([]) == ["Kubernetes has no pods of it"]
