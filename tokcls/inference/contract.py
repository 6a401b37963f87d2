"""The wire format as models: what may be asked, what is answered, with examples for `/docs`.

It is Hugging Face's for token classification; `words` and `offset_type` are ours. Knows nothing of
HTTP.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    RootModel,
    StringConstraints,
)

Strategy = Literal["none", "simple", "first", "average", "max"]
OffsetType = Literal["codepoint", "utf16", "byte"]
MAX_LABELS = 1000


class FirstOnly(FailFast):
    """Of a long list that is wrong throughout, the first complaint is enough."""

    __hash__ = object.__hash__  # a part of a union must have one


Texts = Annotated[list[str], FirstOnly()]
Label = Annotated[str, StringConstraints(max_length=200)]


def _whole(value: Any) -> Any:
    """Read 8.0 as 8: to JSON they are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(ge=0), BeforeValidator(_whole)]

TEXT = "Ada Lovelace was born in London."
FOUND: list[Any] = [
    {"entity_group": "PER", "score": 0.98, "word": "Ada Lovelace", "start": 0, "end": 12},
    {"entity_group": "LOC", "score": 0.99, "word": "London", "start": 25, "end": 31},
]
WORDS: list[Any] = ["Ada", "Lovelace", "was", "born", "in", "London", "."]


class Parameters(BaseModel):
    """How to answer. What is left out, or null, is as the model was trained and scored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    aggregation_strategy: Strategy | None = Field(
        default=None,
        description="how sub-words become entities, as Hugging Face has it: `none` (each sub-word "
        "by itself), `simple` (neighbours of one label), `first`, `average`, `max` (a word's label "
        "is that of its first sub-word, of the mean of all, of the surest). Left out: the model's "
        "own decoding, by words and by what its label scheme allows, with calibrated scores",
    )
    ignore_labels: Annotated[list[Label], FirstOnly()] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description="labels to leave out of the answer; left out: `O`",
    )
    stride: Whole | None = Field(
        default=None,
        description="sub-words that neighbouring windows of a long text share; half a window at "
        "most",
    )
    offset_type: OffsetType | None = Field(
        default=None,
        description="what `start` and `end` count in the text: `codepoint` (the default, as Python "
        "does), `utf16` (as JavaScript and Java do), or `byte` (of UTF-8)",
    )


# Words are answered in words: what makes or counts characters has no meaning there.
NOT_OF_WORDS = ("aggregation_strategy", "stride", "offset_type")
OF_WORDS: Any = {
    "parameters": {"properties": {name: {"type": "null"} for name in NOT_OF_WORDS}},
}


class PredictRequest(BaseModel):
    """A text, several texts, or texts that are already split into words."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "oneOf": [
                {"required": ["inputs"], "not": {"required": ["words"]}},
                {"required": ["words"], "not": {"required": ["inputs"]}, "properties": OF_WORDS},
            ],
            "examples": [
                {"inputs": TEXT},
                {"inputs": [TEXT, "Nobody was there."]},
                {"words": [WORDS]},
                {"inputs": TEXT, "parameters": {"aggregation_strategy": "simple"}},
            ],
        },
    )

    inputs: str | Texts = Field("", description="a text, or several")
    words: Annotated[list[Texts], FirstOnly()] = Field(
        [], description="instead of `inputs`: the words of each text"
    )
    parameters: Parameters | None = None


class Entity(BaseModel):
    """An entity: `text[start:end] == word`. For input in words, places are counted in words."""

    entity_group: str
    score: float = Field(description="how likely it is right, 0 to 1")
    word: str
    start: int
    end: int


class SubWord(BaseModel):
    """With `aggregation_strategy: none`: a sub-word that is labelled; `index` counts from 1."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class Answer(RootModel[list[Entity] | list[SubWord] | list[list[Entity] | list[SubWord]]]):
    """The entities of the one text that was sent, else a list of them for each text."""

    model_config = ConfigDict(json_schema_extra={"examples": [FOUND]})


class Refusal(BaseModel):
    """Every answer that is not the one asked for."""

    error: str


def schemas() -> dict[str, Any]:
    """The JSON schema of each model by name, referring to each other as OpenAPI wants it."""
    from pydantic.json_schema import models_json_schema

    _, found = models_json_schema(
        [(PredictRequest, "validation"), (Answer, "validation"), (Refusal, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    named: dict[str, Any] = found["$defs"]
    return named
