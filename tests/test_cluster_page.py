"""docs/cluster.md says what is true: its commands are taken, its files and keys are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sweeps import run, serve
from sweeps.space.keys import keys_text
from sweeps.space.space import load_space

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
PROGRAMS = {"sweeps.run": run.app, "sweeps.serve": serve.app}
FOREIGN = {"helm", "docker", "kubectl", "curl", "export"}


def commands() -> list[list[str]]:
    """List the command lines of the page's shell blocks, split as a shell splits them."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def module_calls() -> list[list[str]]:
    """List what runs a module of ours, by itself or as a job: its name, then its arguments."""
    sweep = (ROOT / "docs" / "kuberay" / "sweep.yaml").read_text(encoding="utf-8")
    in_the_image = yaml.safe_load(sweep)["spec"]["entrypoint"].replace("/opt/ner-sweeps/", "")
    return [
        words[words.index("-m") + 1 :]
        for words in (*commands(), shlex.split(in_the_image))
        if words[0] in ("python", "ray") and "-m" in words
    ]


def parse(module: str, arguments: list[str]) -> dict[str, Any]:
    """Let a program read a command line, without running it; raises what it would say."""
    command = typer.main.get_command(PROGRAMS[module])
    return dict(command.make_context(module, list(arguments)).params)


def parse_ray(words: list[str]) -> dict[str, Any]:
    """Let Ray's command line read one of its own, without running it."""
    from ray.scripts.scripts import cli

    command: Any = cli
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
    return dict(command.make_context(name, words).params)


def test_every_command_is_of_a_known_kind() -> None:
    assert {words[0] for words in commands()} == {"ray", "python", *FOREIGN}
    assert {call[0] for call in module_calls()} == {*PROGRAMS}


@pytest.mark.parametrize(
    "words", [words[1:] for words in commands() if words[0] == "ray"], ids=" ".join
)
def test_ray_takes_its_command_lines(words: list[str]) -> None:
    given = parse_ray(words)
    if "cluster_config_file" in given:
        assert (ROOT / given["cluster_config_file"]).is_file()
    if words[:2] == ["job", "submit"]:
        assert given["working_dir"] == "."
        assert given["entrypoint"][:3] == ("python", "-m", "sweeps.run")


def test_an_option_that_ray_lacks_is_noticed() -> None:
    with pytest.raises(Exception, match="--working-folder"):
        parse_ray(["job", "submit", "--working-folder", ".", "--", "python"])


@pytest.mark.parametrize("call", module_calls(), ids=" ".join)
def test_a_program_takes_its_command_line(call: list[str]) -> None:
    assert parse(call[0], call[1:])


@pytest.mark.parametrize(
    "arguments", [call[1:] for call in module_calls() if call[0] == "sweeps.run"], ids=" ".join
)
def test_a_search_space_loads_with_its_overrides(arguments: list[str]) -> None:
    given = parse("sweeps.run", arguments)
    space = load_space(ROOT / given["file"], given["overrides"])
    assert f"models:/{space.sweep.output.register_as}@champion" in PAGE


def test_every_key_in_the_text_is_one() -> None:
    keys = {*re.findall(r"^  ([a-z]+\.[a-z_]+) = ", keys_text(None), re.MULTILINE)}
    sections = {key.split(".")[0] for key in keys}
    named = {
        key for key in re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE) if key.split(".")[0] in sections
    }
    assert {"output.storage", "search.retries", "resources.concurrent_trials"} <= named <= keys


def test_what_stands_beside_the_files_is_what_stands_in_them() -> None:
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    nodes = config["available_node_types"].values()
    profiles = {node["node_config"]["IamInstanceProfile"]["Name"] for node in nodes}
    assert all(f"instance profile `{profile}`" in PAGE for profile in profiles)
    assert f"security group `{config['provider']['security_group']['GroupName']}`" in PAGE
    assert config["idle_timeout_minutes"] == 10
    assert "asked for ten minutes" in " ".join(PAGE.split())


def test_what_is_applied_and_built_is_there() -> None:
    files = [
        words[words.index("-f") + 1]
        for words in commands()
        if words[:2] in (["kubectl", "apply"], ["docker", "build"])
    ]
    assert len(files) == 3
    assert [file for file in files if not (ROOT / file).is_file()] == []
    names = {
        yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["metadata"]["name"]
        for file in files
        if file.endswith(".yaml")
    }
    assert names == {"ner-sweep", "ner-champion"}
    assert ["kubectl", "logs", "-f", "job/ner-sweep"] in commands()
    assert ["kubectl", "port-forward", "service/ner-champion-serve-svc", "8000"] in commands()
