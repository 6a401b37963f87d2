"""What a sweep needs is found out before it starts; what is missing is said with its place."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from sweeps import preflight as preflight_module
from sweeps.preflight import preflight
from sweeps.space.space import SearchSpace
from tokcls.errors import ConfigError, ProblemsError

Load = Callable[..., SearchSpace]

SENTENCE = "Ada B-PER\nsleeps O\n\n"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")


def problem_of(space: SearchSpace) -> str:
    with pytest.raises(ConfigError) as caught:
        preflight(space)
    (problem,) = caught.value.problems
    return f"{Path(problem.file).name}:{problem.line}: {problem.path}: {problem.message}"


def test_folders_that_are_there_are_ready_at_once(load: Load, bert: Path, corpus: Path) -> None:
    ready = preflight(load())
    assert ready.backbones[str(bert)].folder == bert.resolve()
    assert ready.backbones[str(bert)].layers is None
    assert [len(split) for split in ready.corpus.splits.values()] == [1, 1, 1]
    assert ready.corpus.types == ("PER",)
    assert not ready.offline
    assert ready.space.notes == ()


def test_the_disk_is_looked_at_unless_a_sweep_is_resumed(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=0)
    monkeypatch.setattr("sweeps.disk.shutil.disk_usage", lambda _: usage)
    assert "but 0 MB are free there" in problem_of(load())
    preflight(load(), resume=True)  # it is known later what the run holds already


def test_every_backbone_of_a_choice_is_looked_at(load: Load, bert: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = problem_of(load(backbone=f"{{choice: [{bert}, {tmp_path / 'empty'}]}}"))
    assert said.startswith(f"s.yaml:4: model.backbone: backbone '{tmp_path / 'empty'}'")
    assert "holds no config.json" in said


def test_a_missing_backbone_is_said_with_its_line(load: Load) -> None:
    said = problem_of(load(backbone="./no/such/model"))
    assert said == "s.yaml:4: model.backbone: folder not found: ./no/such/model"


def test_a_missing_corpus_is_said_with_its_line(load: Load) -> None:
    said = problem_of(load(source="/no/such/corpus"))
    assert said.startswith("s.yaml:2: data.source: ")
    assert "/no/such/corpus" in said


def test_documents_are_refused_at_their_line_where_there_are_none(load: Load, corpus: Path) -> None:
    for split in ("train", "valid"):
        (corpus / f"{split}.txt").write_text(SENTENCE * 2)
    said = problem_of(load(source=f"{corpus}\n  context: document"))
    assert said.startswith("s.yaml:3: data.context: `document` fills windows with neighbouring")
    assert f"{corpus} does not say which sentences of train and validation and test stand" in said
    for split in ("train", "valid", "test"):
        (corpus / f"{split}.txt").write_text("-DOCSTART- O\n\n" + SENTENCE * 2)
    assert preflight(load("data.context=document")).space.data.context == "document"


def test_a_corpus_file_that_is_missing_is_said_with_its_line(load: Load, corpus: Path) -> None:
    source = f"{{train: {corpus}/train.txt, validation: {corpus}/no.txt}}"
    said = problem_of(load(source=source))
    assert said.startswith("s.yaml:2: data.source")
    assert "no.txt" in said


def test_a_wrong_tag_is_said_with_the_line_of_the_corpus(load: Load, corpus: Path) -> None:
    (corpus / "valid.txt").write_text("Ada X-PER\n\n")
    with pytest.raises(ProblemsError) as caught:
        preflight(load())
    assert "valid.txt:1" in str(caught.value)
    assert "X-PER" in str(caught.value)


@pytest.mark.usefixtures("no_hub")
def test_stand_ins_are_used_and_said_when_the_hub_cannot_be_reached(
    load: Load, bert: Path, corpus: Path
) -> None:
    space = load(
        f"model.offline={bert}",
        f"data.offline={corpus}",
        "search.trials=2",
        source="org/some-corpus",
        backbone="{choice: [org/some-model, org/other-model]}",
    )
    ready = preflight(space)
    assert ready.offline
    assert ready.space.backbones == (str(bert),)
    assert ready.space.data.source == str(corpus)
    assert set(ready.backbones) == {str(bert)}
    assert len(ready.corpus.train) == 1
    assert ready.space.trial({}).model.backbone == str(bert)
    models, source = ready.space.notes
    assert "OFFLINE" in models
    assert "org/some-model, org/other-model" in models
    assert "OFFLINE" in source
    assert "org/some-corpus" in source


@pytest.mark.usefixtures("no_hub")
def test_without_stand_ins_an_unreachable_hub_is_an_error_at_the_key(load: Load) -> None:
    said = problem_of(load(backbone="org/some-model"))
    assert said.startswith(
        "s.yaml:4: model.backbone: there is no file or folder 'org/some-model' here, "
    )
    assert "the Hub cannot be reached" in said
    assert "model.offline" in said
    said = problem_of(load(source="org/some-corpus"))
    assert said.startswith(
        "s.yaml:2: data.source: there is no file or folder 'org/some-corpus' here, "
    )
    assert "data.offline" in said


@pytest.mark.usefixtures("no_hub")
def test_a_short_name_that_is_mistyped_is_not_blamed_on_the_network_alone(load: Load) -> None:
    assert "(did you mean minilm-l6?)" in problem_of(load(backbone="minilm-l7"))


def test_a_hub_id_is_fetched_at_the_commit_that_was_looked_up(
    load: Load, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokcls.hub import Lookup, Resolution

    found = Resolution(("org/m",), lookups=(Lookup("org/m", "reachable", "abc123"),))
    monkeypatch.setattr(preflight_module, "resolve_backbones", lambda *_: found)
    asked: list[tuple[str, str | None]] = []

    def find(name: str, *, revision: str | None, cached: bool) -> SimpleNamespace:
        assert not cached
        asked.append((name, revision))
        return SimpleNamespace(name=name, folder=bert)

    monkeypatch.setattr(preflight_module, "find_backbone", find)
    preflight(load(backbone="org/m"))
    assert asked == [("org/m", "abc123")]


def test_a_check_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "import sweeps.preflight\n"
        "sweeps.preflight.local_resources()\n"
        "sys.exit(', '.join(sorted({'torch', 'transformers', 'mlflow'} & set(sys.modules))) or 0)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr


def test_a_type_that_the_corpus_does_not_have_is_refused_with_the_types_there_are(
    load: Load, corpus: Path
) -> None:
    said = problem_of(load(added="labels:\n  types: {PRE: LOC}\n"))
    assert said == (
        f"s.yaml:8: labels.types: {corpus} has no type PRE; did you mean PER? its types are PER"
    )
    scored = (
        "labels:\n  types: {choice: [{}, {PER: HUMAN}]}\n  score_types: {PER: HUMAN, X: null}\n"
    )
    assert problem_of(load(added=scored)).startswith("s.yaml:9: labels.score_types: ")


def test_a_map_that_leaves_no_type_is_refused(load: Load) -> None:
    said = problem_of(load(added="labels:\n  types: {PER: null}\n"))
    assert "labels.types: drops every type of" in said
    assert said.endswith("keep one of PER")


@pytest.mark.usefixtures("no_hub")
def test_types_that_a_stand_in_lacks_are_a_note(load: Load) -> None:
    space = load(
        "data.offline=bundled",
        source="some/conll",
        added="labels:\n  types: {EVENT: null}\n",
    )
    notes = preflight(space).space.notes
    assert any("labels.types: bundled has no type EVENT" in note for note in notes)


def test_what_was_repaired_and_what_cannot_be_learned_is_remarked(load: Load, corpus: Path) -> None:
    (corpus / "valid.txt").write_text("Expo I-EVENT\nAda B-PER\n\n")
    ready = preflight(load())
    *repaired, lacking = ready.remarks
    assert any("valid.txt:1: 'I-EVENT'" in remark for remark in repaired)
    assert "validation: 1 tags break IOB2" in repaired
    assert lacking == "not in train: EVENT; nothing can learn it, so it is scored as missed"
    merged = preflight(load(added="labels:\n  types: {EVENT: PER}\n")).remarks
    assert lacking not in merged
    assert len(merged) == len(repaired)


def test_validation_is_cut_with_the_seed_of_the_search(load: Load, corpus: Path) -> None:
    text = "".join(f"w{number} B-PER\n\n" for number in range(40))
    (corpus / "all.txt").write_text(text)
    source = str(corpus / "all.txt")
    cuts = [
        preflight(load("data.validation=0.2", f"train.seed={seed}", source=source)).corpus
        for seed in ("1", "1", "2")
    ]
    assert [len(cut.validation) for cut in cuts] == [8, 8, 8]
    assert cuts[0].validation == cuts[1].validation != cuts[2].validation
    searched = load("data.validation=0.2", "train.seed={choice: [5, 1]}", source=source)
    assert preflight(searched).corpus.validation == cuts[0].validation
