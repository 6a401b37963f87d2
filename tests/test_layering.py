"""The six layering laws, read off the syntax trees of tokcls/ and sweeps/ without importing them.

The laws about imports are the table RULES, law 5 is the table EFFECTS. An import in a function or
under TYPE_CHECKING breaks a law too, except where its rule permits that.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tokcls", "sweeps")
TORCH = ("torch", "transformers", "pytorch_lightning")
RAY_TRAINING = ("ray.tune", "ray.train")
MLFLOW_FILES = ("search/tracking.py", "outcome/registry.py", "outcome/mlflow_model.py")

LAWS = {
    1: "tokcls knows nothing of sweeps, Ray or MLflow",
    2: "labels <- data <- model, inference on labels and data; torch lives in tokcls/model",
    3: "sweeps/space is light: no Ray, torch, transformers or MLflow, not even through our modules",
    4: "one place for MLflow, one for Ray Tune and Ray Train",
    5: "importing a module does nothing",
    6: "one Lightning: pytorch_lightning",
}


@dataclass(frozen=True)
class Rule:
    """What a file, or every file of a folder, must not import, and where it may after all."""

    law: int
    where: str
    forbidden: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """if given: these and the standard library, nothing else"""
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """file or folder -> modules that it may import"""
    in_functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """file or folder -> modules that it may import inside the function that needs them"""
    through: bool = False
    """also what those of our modules that are imported here import in turn, at import time"""


RULES = (
    Rule(1, "tokcls", ("sweeps", *RAY_TRAINING)),
    Rule(
        1,
        "tokcls",
        ("ray", "mlflow"),
        allowed={
            f"tokcls/inference/{file}.py": ("ray",)
            for file in ("app", "loopback", "metrics", "server")
        },
        in_functions={
            "tokcls/inference/sources.py": ("mlflow",),
            "tokcls/on_ray.py": ("ray",),
        },
    ),
    Rule(1, "tokcls/train.py", ("ray", "mlflow"), through=True),
    Rule(1, "tokcls/predict.py", ("ray", "mlflow"), through=True),
    Rule(2, "tokcls/labels", only=("numpy", "tokcls.labels", "tokcls.errors", "tokcls.config")),
    Rule(2, "tokcls/data", ("tokcls.model", "tokcls.inference")),
    Rule(2, "tokcls/model", ("tokcls.inference",)),
    Rule(
        2,
        "tokcls/inference",
        ("tokcls.model", *TORCH),
        in_functions={"tokcls/inference/engines.py": ("tokcls.model", *TORCH)},
        through=True,
    ),
    Rule(2, "tokcls", TORCH, allowed={"tokcls/model": TORCH}),
    Rule(3, "sweeps/space", ("ray", "mlflow", *TORCH), through=True),
    Rule(
        4, "sweeps", ("mlflow",), allowed={f"sweeps/{file}": ("mlflow",) for file in MLFLOW_FILES}
    ),
    Rule(4, "sweeps", RAY_TRAINING, allowed={"sweeps/search": RAY_TRAINING}),
    Rule(6, "tokcls", ("lightning",)),
    Rule(6, "sweeps", ("lightning",)),
)

EFFECTS: tuple[str, ...] = (
    *("os.environ.update", "os.environ.setdefault", "os.environ.pop", "os.putenv", "os.chdir"),
    *("logging.basicConfig", "logging.config", "logging.disable", "ray.init"),
    *("torch.cuda", "torch.backends", "torch.accelerator", "torch.set_*", "mlflow.set_*"),
    *("*.mkdir", "*.makedirs", "*.mkdtemp", "*.write_text", "*.addHandler", "*.setLevel"),
)
"""calls that do something: a name and all below it; `*` at an end stands for anything there"""


@dataclass(frozen=True, order=True)
class Import:
    """One imported name in full, where, and whether importing the file imports it."""

    module: str
    line: int
    at_import: bool


def below(name: str, tops: tuple[str, ...], separator: str = ".") -> bool:
    """Tell whether a dotted name, or a path, is one of `tops` or lies below one."""
    return any(f"{name}{separator}".startswith(f"{top}{separator}") for top in tops)


def files_of(where: str, root: Path) -> list[Path]:
    """List the Python files of a folder, or the one file if it is there."""
    return sorted((root / where).rglob("*.py")) or [root / where] * (root / where).is_file()


def runs_later(node: ast.AST) -> list[ast.AST]:
    """List the children of a node that importing its file does not run."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [*node.body]
    if isinstance(node, ast.Lambda):
        return [node.body]
    guards = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__")
    if isinstance(node, ast.If) and ast.unparse(node.test).startswith(guards):
        return [*node.body]
    return []


def walk(node: ast.AST, at_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node below, with whether importing the file runs it."""
    yield node, at_import
    later = runs_later(node)
    for child in ast.iter_child_nodes(node):
        yield from walk(child, at_import and child not in later)


@cache
def nodes_of(path: Path) -> tuple[tuple[ast.AST, bool], ...]:
    """Parse a file."""
    return tuple(walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))


def imported_by(node: ast.AST, path: Path, root: Path) -> list[str]:
    """List what a node imports, in full: `from torch import cuda` gives torch.cuda."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = path.relative_to(root).parts[: -node.level] if node.level else ()
        base = [*package, *([node.module] if node.module else [])]
        return [".".join([*base, alias.name]) for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("import_module", "__import__")
    ):
        return [str(value.value) for value in node.args if isinstance(value, ast.Constant)]
    return []


@cache
def imports_of(path: Path, root: Path) -> tuple[Import, ...]:
    """List what a file imports."""
    return tuple(
        Import(module, getattr(node, "lineno", 0), at_import)
        for node, at_import in nodes_of(path)
        for module in imported_by(node, path, root)
    )


def files_run_by(module: str, root: Path) -> list[Path]:
    """List the files of ours that importing a name runs: those of its packages, and its own."""
    parts = module.split(".") if below(module, PACKAGES) else []
    stems = [root.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    return [
        file
        for stem in stems
        for file in (stem / "__init__.py", Path(f"{stem}.py"))
        if file.is_file()
    ]


def reached_from(path: Path, root: Path) -> Iterator[Import]:
    """Yield what a file imports and what follows from it, at the line that leads there."""
    for first in imports_of(path, root):
        yield first
        seen, waiting = {path}, files_run_by(first.module, root)
        while waiting:
            if (file := waiting.pop()) in seen:
                continue
            seen.add(file)
            for found in (found for found in imports_of(file, root) if found.at_import):
                yield Import(found.module, first.line, first.at_import)
                waiting += files_run_by(found.module, root)


def forbids(rule: Rule, found: Import, file: str) -> bool:
    """Tell whether a rule forbids a file one of its imports."""
    exceptions = [*rule.allowed.items(), *([] if found.at_import else rule.in_functions.items())]
    if any(below(file, (place,), "/") and below(found.module, tops) for place, tops in exceptions):
        return False
    if rule.only:
        return not below(found.module, (*rule.only, *sys.stdlib_module_names))
    return below(found.module, rule.forbidden)


def forbidden_imports(law: int, root: Path) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, what) for every import that a rule of the law forbids."""
    for rule in (rule for rule in RULES if rule.law == law):
        for path in files_of(rule.where, root):
            file = path.relative_to(root).as_posix()
            for found in reached_from(path, root) if rule.through else imports_of(path, root):
                if forbids(rule, found, file):
                    yield file, found.line, f"imports {found.module}"


def matches(name: str, effect: str) -> bool:
    """Tell whether a call of this name is meant by a row of EFFECTS."""
    if effect.startswith("*"):
        return name.endswith(effect[1:])
    return name.startswith(effect[:-1]) if effect.endswith("*") else below(name, (effect,))


def effect_of(node: ast.AST, known: Mapping[str, str]) -> str:
    """Say what a node does besides defining things; `known` maps imported names to full ones."""
    if isinstance(node, ast.Call):
        target, effects = node.func, EFFECTS
    elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        target, effects = node.value, ("os.environ",)
    else:
        return ""
    head, *rest = ast.unparse(target).split(".")
    name = ".".join([known.get(head, head), *rest])
    return f"runs {ast.unparse(node)[:60]}" * any(matches(name, effect) for effect in effects)


def effects_at_import(root: Path) -> Iterator[tuple[str, int, str]]:
    """Yield (file, line, what) for everything that happens when a module is imported."""
    for path in (path for package in PACKAGES for path in files_of(package, root)):
        known: dict[str, str] = {}
        for node, at_import in nodes_of(path):
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound = (alias.asname or alias.name for alias in node.names)
                known |= zip(bound, imported_by(node, path, root), strict=True)
            elif at_import and (what := effect_of(node, known)):
                yield path.relative_to(root).as_posix(), getattr(node, "lineno", 0), what


def breaches(law: int, root: Path = ROOT) -> list[str]:
    """List the breaches of a law, one `file:line: what (the law)` each, in order of place."""
    found = {*(effects_at_import(root) if law == 5 else forbidden_imports(law, root))}
    return [f"{file}:{line}: {what} (law {law}: {LAWS[law]})" for file, line, what in sorted(found)]


@pytest.mark.parametrize("law", LAWS)
def test_the_code_keeps_law(law: int) -> None:
    assert not breaches(law), "\n".join(["", *breaches(law)])


BAD = (
    (1, "tokcls/data/a.py", "import numpy\nfrom ray import tune\n", 2),
    (1, "tokcls/inference/sources.py", "import mlflow\n", 1),
    (1, "tokcls/labels/a.py", "def f():\n    from sweeps.search import slot\n", 2),
    (1, "tokcls/predict.py", "from tokcls.inference import app\n", 1),
    (2, "tokcls/labels/a.py", "import numpy\nfrom ..data import windows\n", 2),
    (2, "tokcls/labels/a.py", "import yaml\n", 1),
    (2, "tokcls/data/a.py", "def f():\n    import torch\n", 2),
    (2, "tokcls/inference/a.py", "from tokcls.hub import look_up\n", 1),
    (3, "sweeps/space/a.py", "import importlib\nx = importlib.import_module('mlflow')\n", 2),
    (3, "sweeps/space/a.py", "def f():\n    from tokcls import hub\n", 2),
    (4, "sweeps/search/slot.py", "from mlflow import MlflowClient\n", 1),
    (4, "sweeps/run.py", "import ray\nfrom ray.tune import Tuner\n", 2),
    (5, "sweeps/a.py", "import os as o\no.environ['A'] = '1'\n", 2),
    (5, "sweeps/a.py", "from os import environ\nenviron.setdefault('A', '1')\n", 2),
    (5, "sweeps/a.py", "from os import environ\ndel environ['A']\n", 2),
    (5, "sweeps/a.py", "class A:\n    from pathlib import Path\n    Path('a').mkdir()\n", 3),
    (5, "tokcls/a.py", "import torch\ndef f(x=torch.cuda.is_available()): ...\n", 2),
    (1, "tokcls/inference/app.py", "import ray.train\n", 1),
    (5, "tokcls/a.py", "import logging\nlogging.getLogger().setLevel(10)\n", 2),
    (5, "sweeps/a.py", "import mlflow\nmlflow.set_tracking_uri('a')\n", 2),
    (6, "tokcls/model/a.py", "from lightning.pytorch import Trainer\n", 1),
)
GOOD = (
    ("tokcls/inference/sources.py", "def f():\n    import mlflow\n"),
    ("tokcls/inference/app.py", "import ray\nfrom ray import serve\n"),
    ("tokcls/model/a.py", "import torch\nfrom tokcls.data import windows\n"),
    ("sweeps/search/tracking.py", "import mlflow\nfrom ray import train\n"),
    ("sweeps/space/a.py", "import yaml\nfrom tokcls.config import TrialConfig\n"),
    ("tokcls/a.py", "import os\nA = os.environ.get('A')\ndef f(): os.environ['A'] = '1'\n"),
    ("sweeps/a.py", "import logging\nif __name__ == '__main__':\n    logging.basicConfig()\n"),
)


def plant(root: Path, file: str, source: str) -> None:
    """Write a module into a project in which tokcls.hub needs torch and app.py needs Ray."""
    modules = {"tokcls/hub.py": "import torch\n", "tokcls/inference/app.py": "import ray\n"}
    for name, text in (modules | {file: source}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("law", "file", "source", "line"), BAD)
def test_a_breach_is_named_with_its_place_and_law(
    law: int, file: str, source: str, line: int, tmp_path: Path
) -> None:
    plant(tmp_path, file, source)
    assert [text for text in breaches(law, tmp_path) if text.startswith(f"{file}:{line}: ")]
    assert all(f"(law {law}: {LAWS[law]})" in text for text in breaches(law, tmp_path))


@pytest.mark.parametrize(("file", "source"), GOOD)
def test_what_the_laws_permit_is_no_breach(file: str, source: str, tmp_path: Path) -> None:
    plant(tmp_path, file, source)
    assert not [
        text for law in LAWS for text in breaches(law, tmp_path) if text.startswith(f"{file}:")
    ]
