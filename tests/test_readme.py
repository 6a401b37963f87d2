"""The pages say what is true: README's commands, options, snippets and output, and the files named.

Nothing is run here but the parsers: a command line is true if its program takes it.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from sweeps import promote, run, serve
from sweeps.outcome.leaderboard import COLUMNS
from sweeps.search.tracking import DEFAULT_URI
from sweeps.space.keys import keys_text
from sweeps.space.space import SearchSpace, load_space
from tokcls import predict
from tokcls.inference.request import read_request

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROGRAMS = {
    "sweeps.run": run.app,
    "sweeps.serve": serve.app,
    "sweeps.promote": promote.app,
    "tokcls.predict": predict.app,
}
PLACEHOLDER = "path/to/"
SERVER = "http://127.0.0.1:8000"
"""where `sweeps.serve` answers unless told otherwise"""


def blocks(language: str) -> list[str]:
    """List README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """List the command lines of README's shell blocks, split as a shell splits them."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def module_calls() -> list[list[str]]:
    """List the commands that run a module: its name, then its arguments."""
    return [words[2:] for words in commands() if words[:2] == ["python", "-m"]]


def parse(module: str, arguments: list[str]) -> dict[str, Any]:
    """Let a program read a command line, without running it; raises what it would say."""
    command = typer.main.get_command(PROGRAMS[module])
    return dict(command.make_context(module, list(arguments)).params)


def options(module: str) -> set[str]:
    """List the options of a program, without `--help`, which goes without saying."""
    command = typer.main.get_command(PROGRAMS[module])
    return {name for parameter in command.params for name in parameter.opts if name[0] == "-"}


def rows(header: str) -> list[str]:
    """List the first cells of the table of README that begins with this line."""
    _, _, rest = README.partition(f"{header}\n| --- | --- |\n")
    return re.findall(r"^\| (.*?) \|", rest.split("\n\n")[0], re.MULTILINE)


def shown() -> list[str]:
    """Give the lines of the output that README shows."""
    _, _, rest = README.partition("<!-- output -->\n```text\n")
    text, end, _ = rest.partition("```\n<!-- /output -->")
    assert end, "the output stands between its two marks"
    return text.splitlines()


def quickstart() -> SearchSpace:
    """Load the space that README begins with."""
    return load_space(ROOT / "search_spaces" / "quickstart.yaml")


def test_every_command_is_of_a_known_kind() -> None:
    assert {words[0] for words in commands()} == {"python", "make", "mlflow", "curl"}
    assert {arguments[0] for arguments in module_calls()} == {*PROGRAMS}


@pytest.mark.parametrize("call", module_calls(), ids=" ".join)
def test_a_program_takes_its_command_line(call: list[str]) -> None:
    assert find_spec(call[0])
    assert parse(call[0], call[1:])


def test_an_option_that_a_program_lacks_is_noticed() -> None:
    with pytest.raises(Exception, match="--promote"):
        parse("sweeps.run", ["search_spaces/quickstart.yaml", "--promote"])


@pytest.mark.parametrize(
    "arguments", [call[1:] for call in module_calls() if call[0] == "sweeps.run"], ids=" ".join
)
def test_a_search_space_loads_with_its_overrides(arguments: list[str]) -> None:
    given = parse("sweeps.run", arguments)
    space = load_space(ROOT / given["file"], given["overrides"] or ())
    assert space.trials > 1


def test_an_override_in_the_text_is_one_that_loads() -> None:
    inline = re.findall(r"`'?([a-z]+\.[a-z_]+=[^`']+)'?`", README)
    assert inline
    load_space(ROOT / "search_spaces" / "quickstart.yaml", inline)


def test_every_option_in_the_text_exists() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert named <= {name for module in PROGRAMS for name in options(module)}
    assert {row.strip("`") for row in rows("| | |")} == options("sweeps.run")


def test_the_section_named_behind_keys_is_one() -> None:
    [section] = re.findall(r"`--keys ([a-z]+)`", README)
    assert section in keys_text(section)


def test_make_targets_exist_and_demo_runs_the_command_that_readme_begins_with() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert {words[1] for words in commands() if words[0] == "make"} == {"demo", "test"}
    assert targets >= {"demo", "test"}
    _, _, recipe = MAKEFILE.partition("\ndemo: install")
    assert recipe.splitlines()[1].strip() == blocks("bash")[0].strip().replace("python", "$(RUN)")


def test_the_exit_codes_are_those_of_the_program() -> None:
    codes = [int(code) for code in rows("| exit code | means |")]
    assert codes == [run.DONE, run.NOTHING, run.WRONG, run.INTERRUPTED]


def test_the_line_for_mlflow_opens_the_default_store() -> None:
    [line] = [words for words in commands() if words[0] == "mlflow"]
    assert line == ["mlflow", "ui", "--backend-store-uri", DEFAULT_URI]


def test_what_is_asked_of_the_server_is_what_it_takes() -> None:
    [line] = [words for words in commands() if words[0] == "curl"]
    given = parse("sweeps.serve", [])
    assert f"http://{given['host']}:{given['port']}" == SERVER
    assert f"{SERVER}/predict" in line
    [kind] = [value.split(": ")[1] for value in line if value.startswith("Content-Type")]
    body = line[line.index("-d") + 1]
    assert read_request(body.encode(), kind).texts == (json.loads(body)["inputs"],)
    assert set(re.findall(r"http://127[\w.:/]+", "".join(blocks("python")))) == {
        f"{SERVER}/predict"
    }


@pytest.mark.parametrize("snippet", blocks("python"))
def test_a_snippet_compiles_and_imports_what_is_installed(snippet: str) -> None:
    compile(snippet, "README.md", "exec")
    imports = [node for node in ast.walk(ast.parse(snippet)) if isinstance(node, ast.ImportFrom)]
    assert imports
    assert all(find_spec(str(node.module)) for node in imports)


def test_the_output_is_of_the_space_as_it_is_now() -> None:
    space, lines = quickstart(), shown()
    assert lines[0].split() == ["trial", *COLUMNS, "epoch", "state", "params"]
    trials = [line for line in lines if re.match(r"\d+ +t\d{3} ", line)]
    assert len(trials) == space.trials
    for line in trials:
        assert re.findall(r"(\w+)=", line) == [key.split(".")[-1] for key in space.parameters]
    epochs = [int(number) for line in trials for number in re.findall(r"\d+ of (\d+)", line)]
    other = "the output is of another search_spaces/quickstart.yaml"
    assert max(epochs) == space.epochs[1], other
    assert min(epochs) >= space.sweep.search.grace, other


def test_the_output_ends_with_commands_that_readme_repeats() -> None:
    steps = [line.strip() for line in shown() if line.startswith("    ")]
    calls = [shlex.split(step) for step in steps]
    name = quickstart().sweep.output.register_as
    assert ["python", "-m", "sweeps.serve", f"models:/{name}@champion"] in calls
    parse("sweeps.serve", calls[1][3:])
    assert calls[0] in commands()
    assert calls[2] in commands()


def test_the_tree_names_what_is_there() -> None:
    [tree] = [block for block in blocks("text") if block.startswith("Makefile")]
    named = [line.split()[0] for line in tree.splitlines()]
    assert [name for name in named if not (ROOT / name).exists()] == []
    programs = {f"{module.replace('.', '/')}.py" for module in PROGRAMS}
    assert programs <= {*named}


def test_every_path_in_a_command_is_there_or_is_said_to_be_yours() -> None:
    values = [word.rpartition("=")[2] for words in commands() for word in words]
    paths = [value for value in values if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", value)]
    assert paths
    assert [p for p in paths if not p.startswith(PLACEHOLDER) and not (ROOT / p).exists()] == []


def files_in(page: str) -> list[str]:
    """List the files and folders of the project that a page names; `a/{b,c}.py` names two."""
    found = []
    for path in re.findall(r"(?:tokcls|sweeps|tests|docs|search_spaces)/[\w./{},-]*[\w/}]", page):
        before, brace, rest = path.partition("{")
        inner, _, after = rest.partition("}")
        found += [f"{before}{one}{after}" for one in inner.split(",")] if brace else [path]
    return found


def test_the_page_on_architecture_names_files_that_exist() -> None:
    found = files_in(ARCHITECTURE)
    assert len(found) > 15
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_the_page_on_architecture_is_one_page() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 100
