"""The configuration of ONE model: what a trial is made of, with no search in it.

Every section is frozen, strict and closed. A field's description is its documentation:
`docs/yaml.md` and `python -m sweeps.run --keys` print it. Files, verbs and line numbers are the
business of `sweeps.space`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tokcls.labels.types import TypeMap

SchemeName = Literal["IO", "IOB1", "IOB2", "IOE2", "BIOES", "BILOU"]
Context = Literal["sentence", "document"]
FileFormat = Literal["auto", "conll", "jsonl", "csv", "tsv", "parquet"]
FileScheme = Literal["auto", "IO", "IOB1", "IOB2", "IOE2", "BIOES", "BILOU", "BMES"]
Repair = Literal["conlleval", "discard", "refuse"]
Overlaps = Literal["outermost", "refuse"]
Text = Annotated[str, Field(min_length=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """What all sections share: immutable, no unknown keys, no silent conversion, finite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class SplitFiles(Section):
    """The files of a corpus given one by one."""

    train: Text = Field(description="file with the training sentences")
    validation: Text | None = Field(
        default=None,
        description="file that trials are compared on; needed unless `data.validation` is given",
    )
    test: Text | None = Field(default=None, description="file the chosen model is scored on, once")


class Columns(Section):
    """Which column holds what: a number (from 0; -1 is the last) or a name."""

    word: int | Text | None = Field(
        default=None, description="the words; in JSON lines and Parquet, the key of the list"
    )
    tag: int | Text | None = Field(
        default=None, description="the tags; in JSON lines and Parquet, the key of the list"
    )
    sentence: int | Text | None = Field(
        default=None, description="CSV and TSV: what is equal in all rows of a sentence"
    )
    document: int | Text | None = Field(
        default=None, description="what is equal in all sentences of a document; not in CoNLL files"
    )


class DataConfig(Section):
    """Where the sentences come from, how they are read, and how long a window may be."""

    source: Text | SplitFiles = Field(
        description="`bundled`, `conll2003`, a folder with train/valid/test files or a saved data "
        "set, `{train:, validation:, test:}` files, one file (with `data.validation`), or a Hub "
        "data set id"
    )
    offline: Text | None = Field(
        default=None,
        description="used in place of a Hub id, said loudly, and only when the Hub is unreachable",
    )
    format: FileFormat = Field(
        default="auto", description="how the files are written; auto: by their names and contents"
    )
    columns: Columns | None = Field(
        default=None, description="which column holds what; what is not given is found"
    )
    scheme: FileScheme = Field(
        default="auto", description="the tags' scheme in the files; auto: found, split by split"
    )
    repair: Repair = Field(
        default="conlleval",
        description="tags that break their scheme: read as the scorer conlleval does, their spans "
        "discarded, or refused",
    )
    overlaps: Overlaps = Field(
        default="outermost",
        description="overlapping spans of character offsets: keep the outermost and count the "
        "others, or refuse them",
    )
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        default=None,
        validate_default=True,
        description="share of train's documents, drawn with `train.seed`, that trials are compared "
        "on, where there is no validation split",
    )
    limit: PositiveInt | None = Field(
        default=None, description="read only so many first sentences of each split"
    )
    context: Context = Field(
        default="sentence",
        description="what windows are cut over: each sentence by itself, or whole documents, so "
        "that a window is filled with neighbouring sentences; `document` needs a source with "
        "documents",
    )
    max_length: Annotated[int, Field(ge=16)] | None = Field(
        default=None,
        description="longest window in sub-words; unset: the backbone's own limit, at most 512",
    )
    stride: Annotated[int, Field(ge=0)] = Field(
        default=32, description="sub-words that neighbouring windows of one text share"
    )

    @field_validator("stride")
    @classmethod
    def _leaves_room(cls, stride: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_length")
        if longest is not None and 2 * stride > longest:
            raise ValueError(f"must be at most half of max_length = {longest}, got {stride}")
        return stride

    @field_validator("validation")
    @classmethod
    def _one_validation(cls, share: float | None, info: ValidationInfo) -> float | None:
        files = info.data.get("source")
        if isinstance(files, SplitFiles) and (files.validation is None) == (share is None):
            raise ValueError(
                "data.source names no validation file; name one, or give a share such as 0.1"
                if share is None
                else "data.source names a validation file as well; keep one of the two"
            )
        return share


class LabelsConfig(Section):
    """The label schema: how gold spans become the tags that a model learns."""

    scheme: SchemeName = Field(default="IOB2", description="how spans are written as tags")
    subwords: Literal["first", "all"] = Field(
        default="first", description="which sub-words of a word carry its label in training"
    )
    types: dict[Text, Text | None] = Field(
        default={},
        description="types renamed, merged or dropped before training: `{GPE: LOC, MISC: null}`",
    )
    score_types: dict[Text, Text | None] | None = Field(
        default=None,
        description="the same for scoring; unset: as `types`; needed where `types` is searched",
    )

    @property
    def scored_types(self) -> dict[str, str | None]:
        """What becomes of each type that is scored."""
        return self.types if self.score_types is None else self.score_types

    @field_validator("types", "score_types")
    @classmethod
    def _without_blanks(cls, types: dict[str, str | None] | None) -> dict[str, str | None] | None:
        names = [name for pair in (types or {}).items() for name in pair if name is not None]
        if wrong := [name for name in names if name.split() != [name]]:
            raise ValueError(f"a type has no blanks in it, got {wrong[0]!r}")
        return types

    @field_validator("score_types")
    @classmethod
    def _coarser_than_types(
        cls, scored: dict[str, str | None] | None, info: ValidationInfo
    ) -> dict[str, str | None] | None:
        learned = info.data.get("types")
        if scored is None or learned is None:
            return scored
        if breaches := TypeMap(learned).breaches(TypeMap(scored)):
            raise ValueError(
                "must merge what labels.types merges and drop what it drops; in labels.types "
                f"{'; '.join(breaches)}"
            )
        return scored


class ModelConfig(Section):
    """The pretrained model under the head, and how tags are read from its scores."""

    backbone: Text = Field(description="`minilm-l6`, `minilm-l3`, a Hub id, or a folder")
    offline: Text | None = Field(
        default=None,
        description="used in place of a Hub id, said loudly, and only when the Hub is unreachable",
    )
    dropout: Share = Field(default=0.1, description="dropout of the hidden layers and of the head")
    decoding: Literal["argmax", "viterbi"] = Field(
        default="viterbi", description="best tag per word, or best sequence that the scheme allows"
    )


class TrainConfig(Section):
    """How the weights are fitted."""

    learning_rate: Annotated[float, Field(gt=0.0)] = Field(description="peak rate of AdamW")
    epochs: PositiveInt = Field(default=3, description="passes over the training split")
    tokens_per_batch: Annotated[int, Field(ge=16)] = Field(
        default=2048, description="padded sub-words of one step on one worker"
    )
    accumulate: PositiveInt = Field(
        default=1, description="batches whose gradients make one step of the optimizer"
    )
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(
        default=0.01, description="AdamW's weight decay"
    )
    warmup: Share = Field(
        default=0.1, description="share of the steps in which the rate rises to its peak"
    )
    clip: Annotated[float, Field(gt=0.0)] = Field(
        default=1.0, description="largest norm of the gradient"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="arithmetic; auto: bf16 where the GPU or CPU computes in it, else fp32",
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=13, description="of weights, batches, dropout, and of the search itself"
    )


class TrialConfig(Section):
    """Everything that determines one trained model."""

    data: DataConfig
    labels: LabelsConfig = LabelsConfig()
    model: ModelConfig
    train: TrainConfig

    @property
    def config_hash(self) -> str:
        """Twelve hex digits that are equal exactly when the configurations are."""
        return config_hash(self.model_dump(mode="json"))


def config_hash(values: dict[str, Any]) -> str:
    """Hash a JSON-able mapping, whatever the order of its keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
