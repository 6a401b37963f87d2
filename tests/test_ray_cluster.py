"""The cluster file: what Ray's launcher and EC2 accept, and our own points on top."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HARDWARE = {"m6i.2xlarge": {"CPU": 8}, "g5.2xlarge": {"CPU": 8, "GPU": 1}}
"""what Ray may count on an instance: vCPUs and GPUs, from AWS's tables of instance types"""
STORE_SHARE = 0.3
MEMORY = {"m6i.2xlarge": 32 * 2**30, "g5.2xlarge": 32 * 2**30}


@pytest.fixture(scope="module")
def prepared() -> dict[str, Any]:
    """The file as `ray up` reads it: Ray's defaults filled in, then validated by its schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    filled: dict[str, Any] = prepare_config(config)
    validate_config(filled)
    return filled


def nodes(prepared: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Map each node type to what EC2 is asked for."""
    types = prepared["available_node_types"].items()
    return {name: dict(node["node_config"]) for name, node in types}


def commands(prepared: dict[str, Any], suffix: str) -> str:
    """Join the commands of all the lists whose key ends so."""
    return "\n".join(
        line for key, lines in prepared.items() if key.endswith(suffix) for line in lines
    )


def starts(prepared: dict[str, Any]) -> list[str]:
    """List the commands that start Ray: of the head, then of a worker."""
    of_both = (prepared[f"{kind}_start_ray_commands"] for kind in ("head", "worker"))
    return [line for lines in of_both for line in lines if "ray start" in line]


def complaints(request: dict[str, Any]) -> list[str]:
    """Say what EC2 would refuse of a RunInstances request: names, types, values of enumerations."""
    from botocore.session import Session  # type: ignore[import-untyped]
    from botocore.validate import ParamValidator  # type: ignore[import-untyped]

    shape = Session().get_service_model("ec2").operation_model("RunInstances").input_shape
    asked = {**request, "MinCount": 1, "MaxCount": 1}
    report = ParamValidator().validate(asked, shape)
    return [*report.generate_report().splitlines(), *unknown_values(shape, asked, "")]


def unknown_values(shape: Any, value: Any, place: str) -> Iterator[str]:
    """Find strings that are none of their enumeration, which botocore itself does not look at."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key in value.keys() & shape.members.keys():
            yield from unknown_values(shape.members[key], value[key], f"{place}.{key}")
    elif shape.type_name == "list" and isinstance(value, list):
        for each in value:
            yield from unknown_values(shape.member, each, f"{place}[]")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{place}: {value}"


def test_every_key_is_one_that_ray_knows(prepared: dict[str, Any]) -> None:
    assert prepared["provider"]["type"] == "aws"


def test_ec2_takes_what_every_node_asks_for(prepared: dict[str, Any]) -> None:
    assert {name: complaints(node) for name, node in nodes(prepared).items()} == {
        "head": [],
        "gpu": [],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"InstanceTyp": "g5.2xlarge"}, "InstanceTyp"),
        ({"InstanceType": "g5.2xlrge"}, "g5.2xlrge"),
        ({"InstanceMarketOptions": {"MarketType": "spto"}}, "spto"),
        ({"InstanceMarketOptions": {"SpotOption": {}}}, "SpotOption"),
        ({"BlockDeviceMappings": {"DeviceName": "/dev/sda1"}}, "BlockDeviceMappings"),
        ({"BlockDeviceMappings": [{"Ebs": {"VolumeType": "gp33"}}]}, "gp33"),
        ({"IamInstanceProfile": "ner-sweeps-head"}, "IamInstanceProfile"),
        ({"KeyNam": "mine"}, "KeyNam"),
    ],
)
def test_a_slip_in_a_node_is_noticed(
    prepared: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    found = complaints(nodes(prepared)["gpu"] | change)
    assert found
    assert all(said in line for line in found)


def test_gpu_nodes_come_from_zero_and_stop_at_four(prepared: dict[str, Any]) -> None:
    workers = {**prepared["available_node_types"]}
    del workers[prepared["head_node_type"]]
    [gpu] = workers.values()
    assert (gpu["min_workers"], gpu["max_workers"], prepared["max_workers"]) == (0, 4, 4)
    assert prepared["idle_timeout_minutes"] > 0


def test_every_node_has_what_its_instance_has(prepared: dict[str, Any]) -> None:
    for name, node in prepared["available_node_types"].items():
        counted = {key: node["resources"].get(key) for key in ("CPU", "GPU")}
        there = HARDWARE[node["node_config"]["InstanceType"]]
        assert {key: value for key, value in counted.items() if value} == there, name


def test_the_object_store_leaves_the_memory_to_the_programs(prepared: dict[str, Any]) -> None:
    for line, node in zip(starts(prepared), nodes(prepared).values(), strict=True):
        store = int(line.partition("--object-store-memory=")[2].split()[0])
        assert store <= STORE_SHARE * MEMORY[node["InstanceType"]]


def test_gpu_nodes_are_spot_and_the_head_is_not(prepared: dict[str, Any]) -> None:
    asked = nodes(prepared)
    assert "InstanceMarketOptions" not in asked["head"]
    market = asked["gpu"]["InstanceMarketOptions"]
    assert market["MarketType"] == "spot"
    # Ray starts a new node for one that went: a persistent request would start another beside it.
    assert market["SpotOptions"]["SpotInstanceType"] == "one-time"
    assert prepared["provider"]["cache_stopped_nodes"] is False


def test_all_nodes_run_the_image_that_has_the_driver_and_room(prepared: dict[str, Any]) -> None:
    asked = nodes(prepared)
    assert asked["head"]["ImageId"] == asked["gpu"]["ImageId"]
    assert "nvidia-driver" in asked["gpu"]["ImageId"]
    for node in asked.values():
        [disk] = node["BlockDeviceMappings"]
        assert disk["Ebs"]["VolumeSize"] >= 100
        assert disk["Ebs"]["Encrypted"]


def test_nodes_reach_the_bucket_by_roles_and_hold_no_keys(prepared: dict[str, Any]) -> None:
    profiles = {name: node["IamInstanceProfile"]["Name"] for name, node in nodes(prepared).items()}
    # Only the head may start nodes.
    assert profiles == {"head": "ner-sweeps-head", "gpu": "ner-sweeps-worker"}
    assert all(
        node["MetadataOptions"]["HttpTokens"] == "required" for node in nodes(prepared).values()
    )
    text = (ROOT / "ray_cluster.yaml").read_text(encoding="utf-8")
    assert not any(word in text for word in ("AKIA", "SECRET", "aws_access_key"))


def test_nodes_install_the_pinned_versions_of_this_project(prepared: dict[str, Any]) -> None:
    installs = [
        line for line in commands(prepared, "setup_commands").splitlines() if "pip install" in line
    ]
    assert len(installs) >= 2
    assert all("-c ~/ner-sweeps/constraints.txt" in line for line in installs)
    assert prepared["file_mounts"]["~/ner-sweeps"] == "."
    assert {".venv", ".git", "runs"} <= {*prepared["rsync_exclude"]}


def test_nothing_runs_in_a_container(prepared: dict[str, Any]) -> None:
    assert not prepared["docker"].get("image")


def test_the_dashboard_is_not_exposed(prepared: dict[str, Any]) -> None:
    head, worker = starts(prepared)
    assert "--dashboard-host=127.0.0.1" in head
    assert "--dashboard-host" not in worker
    assert "0.0.0.0" not in (ROOT / "ray_cluster.yaml").read_text(encoding="utf-8")


def test_no_port_is_opened_beside_that_of_ssh(prepared: dict[str, Any]) -> None:
    assert "IpPermissions" not in prepared["provider"]["security_group"]
    assert "ports" not in prepared["provider"]
    assert not any("SecurityGroups" in node for node in nodes(prepared).values())


def test_every_ray_process_wants_the_token(prepared: dict[str, Any]) -> None:
    assert len(starts(prepared)) == 2
    assert all("RAY_AUTH_MODE=token ray start" in line for line in starts(prepared))
    assert "RAY_AUTH_MODE=token" in commands(prepared, "setup_commands")
    assert "chmod 600 ~/.ray/auth_token" in prepared["setup_commands"]
    assert "~/.ray/auth_token" in prepared["file_mounts"]


def launched(command: str) -> str:
    """Give the shell in which Ray's launcher runs a command on a node."""
    from ray.autoscaler._private import command_runner

    wrap: Any = command_runner._with_interactive
    return " ".join(wrap(command))


def test_shells_of_the_launcher_read_what_set_up_wrote(prepared: dict[str, Any]) -> None:
    shell = launched("ray stop")
    assert "source ~/.bashrc" in shell
    assert "-i" in shell.split()  # Ubuntu's ~/.bashrc ends early in a shell that is not interactive
    assert ">> ~/.bashrc" in commands(prepared, "setup_commands")


def test_workers_do_not_inherit_the_launchers_one_thread(prepared: dict[str, Any]) -> None:
    assert "OMP_NUM_THREADS=1" in launched("ray stop")
    for line in starts(prepared):
        assert line.index("unset OMP_NUM_THREADS") < line.index("ray start")
