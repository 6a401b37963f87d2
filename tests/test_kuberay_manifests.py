"""The Kubernetes manifests: fields that KubeRay knows, locked doors, what Serve takes.

`tests/data/kuberay_fields.json` holds names and types of fields of the pinned KubeRay version.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "kuberay"
SCHEMA = json.loads((ROOT / "tests" / "data" / "kuberay_fields.json").read_text(encoding="utf-8"))
TYPES: dict[str, dict[str, str]] = SCHEMA["types"]
SCALARS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "map": dict,
}
CLUSTER = {"sweep.yaml": "rayClusterSpec", "champion.yaml": "rayClusterConfig"}
IMAGE = "REGISTRY/ner-sweeps:0.1.0"


def manifest(name: str) -> dict[str, Any]:
    """Read a manifest that holds one object."""
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def cluster(name: str) -> dict[str, Any]:
    """Give the part of a manifest that describes its Ray cluster."""
    found: dict[str, Any] = manifest(name)["spec"][CLUSTER[name]]
    return found


def groups(name: str) -> list[dict[str, Any]]:
    """List the head's group and those of the workers."""
    return [cluster(name)["headGroupSpec"], *cluster(name)["workerGroupSpecs"]]


def problems(value: Any, kind: str, place: str) -> Iterator[str]:
    """Compare a value with a type of the schema; yield a line for each thing that does not fit."""
    if kind.startswith("[]"):
        if not isinstance(value, list):
            yield f"{place}: not a list"
            return
        for number, each in enumerate(value):
            yield from problems(each, kind[2:], f"{place}[{number}]")
    elif kind.startswith("one of "):
        if value not in kind.split()[2:]:
            yield f"{place}: {value!r} is not {kind}"
    elif kind in SCALARS:
        yield from _of_a_scalar(value, kind, place)
    elif kind not in TYPES:
        yield f"{place}: the schema here does not hold {kind}"
    elif not isinstance(value, dict):
        yield f"{place}: not a {kind}"
    else:
        yield from _of_an_object(value, kind, place)


def _of_a_scalar(value: Any, kind: str, place: str) -> Iterator[str]:
    if not isinstance(value, SCALARS[kind]) or (kind != "boolean" and isinstance(value, bool)):
        yield f"{place}: {value!r} is not a {kind}"
    elif isinstance(value, dict):
        wrong = [key for key, each in value.items() if not isinstance(each, str)]
        yield from (f"{place}.{key}: not a string" for key in wrong)


def _of_an_object(value: dict[str, Any], kind: str, place: str) -> Iterator[str]:
    fields = TYPES[kind]
    yield from (f"{place}.{key}: {kind} has no such field" for key in value.keys() - fields.keys())
    missing = {*SCHEMA["required"].get(kind, ())} - value.keys()
    yield from (f"{place}.{key}: missing" for key in missing)
    for key in value.keys() & fields.keys():
        yield from problems(value[key], fields[key], f"{place}.{key}")


@pytest.mark.parametrize("name", CLUSTER)
def test_every_field_is_one_of_the_pinned_version(name: str) -> None:
    loaded = manifest(name)
    assert list(problems(loaded, loaded["kind"], "")) == []
    assert re.fullmatch(r"v1\.7\.\d+", SCHEMA["kuberay"])
    assert "KubeRay (1.7)" in (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.entrypint", "x", "RayJobSpec has no such field"),
        ("spec.submissionMode", "K8sMode", "is not one of"),
        ("spec.backoffLimit", "0", "is not a integer"),
        ("spec.rayClusterSpec.authOptions.mode", "tokens", "is not one of"),
        ("spec.rayClusterSpec.authOption", {}, "RayClusterSpec has no such field"),
        ("spec.rayClusterSpec.enableInTreeAutoscaling", "true", "is not a boolean"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.minReplica", 0, "WorkerGroupSpec has no such"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.rayStartParams", {"num-cpus": 0}, "not a string"),
        (
            "spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.securityContext.runasUser",
            1,
            "SecurityContext has no such field",
        ),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.tolerations", {}, "not a list"),
    ],
)
def test_a_slip_in_a_manifest_is_noticed(path: str, value: Any, said: str) -> None:
    loaded = json.loads(json.dumps(manifest("sweep.yaml")))  # nothing is shared through anchors
    *way, last = path.split(".")
    at: Any = loaded
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[last] = value
    [found] = problems(loaded, loaded["kind"], "")
    assert said in found


def test_a_field_that_must_be_there_is_missed() -> None:
    loaded = manifest("sweep.yaml")
    del loaded["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"]
    [found] = problems(loaded, loaded["kind"], "")
    assert found.endswith("maxReplicas: missing")


@pytest.mark.parametrize("name", CLUSTER)
def test_every_ray_process_wants_the_token_and_nothing_is_exposed(name: str) -> None:
    assert cluster(name)["authOptions"] == {"mode": "token"}
    head = cluster(name)["headGroupSpec"]
    assert head["serviceType"] == "ClusterIP"
    assert "enableIngress" not in head


@pytest.mark.parametrize("name", CLUSTER)
def test_no_container_runs_as_root_or_may_become_it(name: str) -> None:
    for group in groups(name):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", CLUSTER)
def test_every_pod_runs_the_one_image_within_its_limits(name: str) -> None:
    for group in groups(name):
        [container] = group["template"]["spec"]["containers"]
        assert container["image"] == IMAGE
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_ray_is_of_one_version_everywhere() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    [pinned] = re.findall(r"^ray==(.+)$", pins, re.MULTILINE)
    assert {cluster(name)["rayVersion"] for name in CLUSTER} == {pinned}
    image = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert f"FROM rayproject/ray:{pinned}-py311\n" in image


def test_the_image_holds_the_project_at_its_pinned_versions() -> None:
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[2:-1] for line in lines if line.startswith("COPY")]
    sources = [source for group in copied for source in group]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {"tokcls", "sweeps", "search_spaces", "constraints.txt", "pyproject.toml"} <= {*sources}
    [install] = [line for line in lines if "pip install" in line]
    assert "-c constraints.txt" in install
    assert not any(line.startswith("USER root") for line in lines)


def test_gpu_pods_come_from_zero() -> None:
    spec = cluster("sweep.yaml")
    assert spec["enableInTreeAutoscaling"] is True
    [gpu] = spec["workerGroupSpecs"]
    assert (gpu["minReplicas"], gpu["maxReplicas"]) == (0, 4)
    [container] = gpu["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_the_sweep_asks_for_a_file_of_the_image_and_for_what_its_pods_have() -> None:
    spec = manifest("sweep.yaml")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "sweeps.run"]
    file = words[3].removeprefix("/opt/ner-sweeps/")
    assert (ROOT / file).is_file()
    overrides = dict(word.split("=", 1) for word in words[4:])
    assert overrides["output.storage"].startswith("s3://")
    [group] = cluster("sweep.yaml")["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert overrides["resources.gpus_per_worker"] == limits["nvidia.com/gpu"]
    assert overrides["resources.cpus_per_worker"] == limits["cpu"]
    assert int(overrides["resources.concurrent_trials"]) == group["maxReplicas"]
    environment = yaml.safe_load(spec["runtimeEnvYAML"])
    assert environment["env_vars"]["MLFLOW_TRACKING_URI"].startswith("http://")


def test_serve_takes_the_champions_application() -> None:
    from ray.serve._private.api import call_user_app_builder_with_args_if_necessary
    from ray.serve.schema import ServeDeploySchema

    from tokcls.inference.app import build
    from tokcls.inference.settings import Settings

    config = yaml.safe_load(manifest("champion.yaml")["spec"]["serveConfigV2"])
    [application] = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "tokcls.inference.app:build"
    builder: Any = build
    built: Any = call_user_app_builder_with_args_if_necessary(builder, application.args)
    assert built._bound_deployment.name == application.deployments[0].name
    followed = "models:/ner-conll@champion"
    assert built._bound_deployment.init_args == (followed, Settings(3, alias=followed))


def test_the_replicas_fit_into_their_pods() -> None:
    config = yaml.safe_load(manifest("champion.yaml")["spec"]["serveConfigV2"])
    [deployment] = config["applications"][0]["deployments"]
    [group] = cluster("champion.yaml")["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    cpus = deployment["ray_actor_options"]["num_cpus"]
    assert cpus <= int(container["resources"]["limits"]["cpu"])
    assert deployment["num_replicas"] == group["minReplicas"] * deployment["max_replicas_per_node"]
    assert {variable["name"] for variable in container["env"]} == {"MLFLOW_TRACKING_URI"}
    assert cluster("champion.yaml")["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
