"""Promises of the files around the code: pins, pages, commands, what must not be committed."""

from __future__ import annotations

import re
import socket
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tokcls/bundled/GUIDELINES.md"),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
]


def project() -> dict[str, Any]:
    """Read the project table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, Any] = table["project"]
    return found


def named() -> list[Requirement]:
    """List what pyproject.toml asks for, extras included."""
    extras = project()["optional-dependencies"].values()
    lines = [*project()["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, Requirement]:
    """Read constraints.txt: canonical name -> its line."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(line.name): line for line in found}


def pinned_version(name: str) -> Version:
    """Give the one version that constraints.txt allows."""
    [specifier] = pins()[canonicalize_name(name)].specifier
    return Version(specifier.version)


def needed() -> set[str]:
    """Follow the requirements of the installed distributions from what pyproject.toml names."""
    waiting = [(canonicalize_name(line.name), frozenset(line.extras)) for line in named()]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        for text in metadata.requires(name) or []:
            line = Requirement(text)
            found = (canonicalize_name(line.name), frozenset(line.extras))
            wanted = any(
                line.marker is None or line.marker.evaluate({"extra": extra})
                for extra in ("", *extras)
            )
            if wanted and found not in seen:
                seen.add(found)
                waiting.append(found)
    return {name for name, _ in seen}


def test_every_pin_is_one_exact_version_without_a_local_suffix() -> None:
    for name, line in pins().items():
        assert re.fullmatch(r"==[0-9][0-9A-Za-z.]*", str(line.specifier)), name


def test_every_dependency_is_pinned_to_a_version_that_it_admits() -> None:
    for line in named():
        assert canonicalize_name(line.name) in pins(), f"constraints.txt has no {line.name}"
        assert line.specifier.contains(pinned_version(line.name)), line


def test_every_indirect_dependency_is_pinned() -> None:
    missing = sorted(needed() - pins().keys())
    assert not missing, f"constraints.txt has none of {', '.join(missing)}"


def test_what_is_installed_is_what_is_pinned() -> None:
    installed = {canonicalize_name(found.name): found.version for found in metadata.distributions()}
    other = [
        f"{name} {version} is installed, {pinned_version(name)} is pinned"
        for name, version in installed.items()
        if name in pins() and Version(version).public != str(pinned_version(name))
    ]
    assert not other, "run `make install`"


def test_there_is_one_lightning() -> None:
    assert "pytorch-lightning" in pins()
    assert "lightning" not in pins()


def read_page(page: str) -> str:
    """Read a page, or skip where it is not written yet."""
    if not (ROOT / page).is_file():
        pytest.skip(f"{page} is not there yet")
    return (ROOT / page).read_text(encoding="utf-8")


def code_in(text: str) -> str:
    """Give the fenced blocks and inline code of a page, one a line."""
    return "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_that_exist(page: str) -> None:
    text = read_page(page)
    folders = r"tokcls|sweeps|search_spaces|tests|docs|benchmarks|\.ci"
    paths = re.findall(rf"(?<![\w./:-])((?:{folders})/[\w./-]*\w)", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_gives_commands_that_exist(page: str) -> None:
    code = code_in(read_page(page))
    modules = re.findall(r"python -m ((?:tokcls|sweeps|benchmarks)\.[a-z_.]*[a-z])", code)
    files = [ROOT.joinpath(*module.split(".")) for module in modules]
    assert [
        file for file in files if not file.with_suffix(".py").is_file() and not file.is_dir()
    ] == []
    targets = re.findall(
        r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"(?:^|[`$&;] ?)make ([a-z]+)", code, re.MULTILINE)) <= {*targets}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"no git checkout: {listed.stderr.strip()}")
    private = re.compile(rb"(?<![\w.~-])/(?:[w]ork|[r]oot)\b|/(?:home|Users)/\w")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert files
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in files
        if file.is_file()
        for number, line in enumerate(file.read_bytes().splitlines(), 1)
        if private.search(line)
    ]
    assert not found


def test_ci_runs_exactly_the_tests_target() -> None:
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "make" in line.split("#")[0]] == ["make test"]
    assert script.stat().st_mode & 0o111, "not executable"


def test_tests_cannot_leave_the_machine() -> None:
    with pytest.raises(OSError, match="loopback only"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_tests_can_reach_loopback(family: socket.AddressFamily, host: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError as error:
            pytest.skip(f"no {host} here: {error}")
        listener.listen()
        with socket.create_connection(listener.getsockname()[:2], timeout=5) as client:
            assert client.getpeername()[0] == host
