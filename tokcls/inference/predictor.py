"""From texts to entities: split, tokenise, cut into windows, score, decode, and point back.

Everything between the texts and the entities is what training used: the same windows, the same vote
per word, the same decoding. Knows nothing of HTTP.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tokcls.data.batches import Padded, ordered_batches, pad
from tokcls.data.parts import parts_of, to_words
from tokcls.data.texts import join, texts_of
from tokcls.data.windows import Encoded, Windows, cut, encode, tokenizing
from tokcls.data.word_scores import WordScores
from tokcls.data.words import check_characters, split
from tokcls.errors import BundleError
from tokcls.inference.aggregation import Labelled, aggregated
from tokcls.inference.bundle import Manifest, read_manifest
from tokcls.inference.engines import Engine, Until, open_engine
from tokcls.inference.sub_words import SubWords, one_by_one, place
from tokcls.labels.calibration import log_sureness
from tokcls.labels.decoding import decode_tags
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.spans import Span


@dataclass(frozen=True, slots=True)
class Entity:
    """A found entity. In a text, start and end are characters and `text[start:end] == word`.

    For input that is already split, start and end are words, and `word` joins them with blanks.
    `score` is the product, over the entity's words, of the probability of the tag decided for each,
    at the bundle's temperature: of entities with a score of 0.8, four in five should be right.
    """

    entity_group: str
    word: str
    start: int
    end: int
    score: float

    def as_dict(self) -> dict[str, Any]:
        """Give the Hugging Face form, in its order of keys."""
        return {
            "entity_group": self.entity_group,
            "score": self.score,
            "word": self.word,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sentence's log-probabilities float32[words, T], decided ids int32[words], and spans."""

    rows: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int32]
    spans: list[Span]

    def scored(self, temperature: float) -> dict[Span, float]:
        """Give each span its score."""
        sure = log_sureness(self.rows, self.ids, temperature)
        return {span: min(1.0, math.exp(sure[span.start : span.end].sum())) for span in self.spans}


class Predictor:
    """Finds entities with one model. Holds no state between calls."""

    def __init__(
        self, engine: Engine, manifest: Manifest, tokenizer: Tokenizer, *, name: str = "torch"
    ) -> None:
        """Put the parts together; the tokenizer's truncation and padding are turned off.

        `name` is the engine's, as `open_engine` has it.

        Raises:
            BundleError: the engine's outputs are not the tags of the label schema.
        """
        tags = manifest.schema.tags
        if engine.tags != len(tags):
            raise BundleError(
                f"the model has {engine.tags} outputs, but the label schema has {len(tags)} tags "
                f"({', '.join(tags)}); write the bundle again from the trained model"
            )
        window = manifest.window
        self.manifest, self.engine = manifest, name
        self._engine = engine
        self._pool = ThreadPoolExecutor(engine.batching.at_once, thread_name_prefix="batch")
        self._tokenizing = tokenizing(
            tokenizer,
            prefix=window.prefix,
            suffix=window.suffix,
            pad_id=window.pad_id,
            max_length=window.max_length,
        )
        scheme = SCHEMES[manifest.schema.scheme]
        viterbi = manifest.decoding == "viterbi"
        self._transitions = scheme.transitions(tags) if viterbi else None

    @classmethod
    def from_bundle(
        cls, folder: str | Path, *, threads: int | None = None, engine: str = "fp32"
    ) -> Predictor:
        """Load a bundle; `threads` defaults to the CPUs that this process may use.

        Raises:
            BundleError: the folder is no bundle, not a whole and unchanged one, or has no such
                engine.
        """
        manifest = read_manifest(folder)
        file = Path(folder) / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{file} cannot be loaded: {error}") from error
        opened = open_engine(folder, engine, threads=threads)
        return cls(opened, manifest, tokenizer, name=engine)

    def within(self, seconds: float) -> Predictor:
        """Give a predictor like this one, for so long: then its methods raise TimeoutError.

        A batch that the engine has begun is finished before that.
        """
        limited = copy.copy(self)
        limited._engine = Until(self._engine, time.monotonic() + seconds)
        return limited

    def predict_texts(
        self, texts: Sequence[str], *, stride: int | None = None
    ) -> list[list[Entity]]:
        """Find the entities of each text; a line break does not end a sentence.

        `stride` is how many sub-words neighbouring windows share, default as in training.

        Raises:
            InputError: a text holds half a surrogate pair.
        """
        words = [split(text) for text in texts]
        found = self._decode([[word.text for word in each] for each in words], stride=stride)
        answers = []
        for text, places, decoded in zip(texts, words, found, strict=True):
            entities = []
            for span, score in self._scored(decoded):
                start, end = places[span.start].start, places[span.end - 1].end
                entities.append(Entity(span.type, text[start:end], start, end, score))
            answers.append(entities)
        return answers

    def aggregate_texts(
        self, texts: Sequence[str], strategy: str, *, stride: int | None = None
    ) -> list[list[Labelled]]:
        """Find what a strategy of Hugging Face's finds in each text, `O` among it.

        Raises:
            InputError: a text holds half a surrogate pair.
        """
        names = SCHEMES[self.manifest.schema.scheme].pipeline_names(self.manifest.schema.tags)
        found = self.sub_words(texts, stride=stride)
        return [aggregated(each, names, strategy) for each in found]

    def predict_words(
        self, sentences: Sequence[Sequence[str]], *, documents: Sequence[int] | None = None
    ) -> list[list[Entity]]:
        """Find the entities of sentences that are already split; places are counted in words.

        `documents` numbers the document of each sentence. A model that was trained with the context
        of documents then sees neighbouring sentences of one document together, as in training;
        unset, or for any other model, each sentence is read by itself.

        Raises:
            InputError: a word holds half a surrogate pair.
        """
        answers = []
        found = self.decode_words(sentences, documents=documents)
        for words, (decoded, over_parts) in zip(sentences, found, strict=True):
            scores = dict(self._scored(decoded))
            answers.append(
                [
                    Entity(kind, " ".join(words[start:end]), start, end, scores[part])
                    for part, (start, end, kind) in over_parts.items()
                ]
            )
        return answers

    def decode_words(
        self, sentences: Sequence[Sequence[str]], *, documents: Sequence[int] | None = None
    ) -> list[tuple[Decoded, dict[Span, Span]]]:
        """Decide the parts of each sentence's words; gives spans over words by those over parts.

        As `predict_words`, which makes entities of it.
        """
        for number, words in enumerate(sentences):
            for at, word in enumerate(words):
                check_characters(word, name=f"words[{number}][{at}]")
        parts = [parts_of(words) for words in sentences]
        context = "sentence" if documents is None else self.manifest.window.context
        text = texts_of(documents or range(len(parts)), context)
        sizes = [len(each.word) for each in parts]
        found = self._decode(
            join([each.texts for each in parts], text),
            offsets=np.cumsum([0, *sizes], dtype=np.int64),
        )
        return [
            (decoded, to_words(decoded.spans, each.word))
            for decoded, each in zip(found, parts, strict=True)
        ]

    def _scored(self, decoded: Decoded) -> Iterable[tuple[Span, float]]:
        return decoded.scored(self.manifest.temperature).items()

    def sub_words(self, texts: Sequence[str], *, stride: int | None = None) -> list[SubWords]:
        """Compute the probabilities of each text's sub-words, at a temperature of 1.

        Of a word longer than a window only the sub-words that fit are there. `stride` is as above.

        Raises:
            InputError: a text holds half a surrogate pair.
        """
        words = [split(text) for text in texts]
        encoded = encode([[word.text for word in each] for each in words], self._tokenizing)
        windows = self._cut(encoded, stride)
        seen, singly = one_by_one(encoded, windows)
        scores = self._run(encoded, windows, singly).by_sentence()
        placed = place(words, self._tokenizing)
        return [
            SubWords(list(compress(pieces, there)), np.exp(rows.astype(np.float64)))
            for rows, pieces, there in zip(scores, placed, seen, strict=True)
        ]

    def _decode(
        self,
        texts: Sequence[Sequence[str]],
        *,
        offsets: npt.NDArray[np.int64] | None = None,
        stride: int | None = None,
    ) -> list[Decoded]:
        """Decide the words of each text, or of the sentences that begin at `offsets` in all."""
        scores = self._score(texts, stride).by_sentence(offsets)
        return [
            Decoded(rows, ids, self.manifest.schema.decode_ids(ids))
            for rows, ids in zip(scores, decode_tags(scores, self._transitions), strict=True)
        ]

    def _score(self, texts: Sequence[Sequence[str]], stride: int | None) -> WordScores:
        """Compute the log-probabilities of all words."""
        encoded = encode(texts, self._tokenizing)
        return self._run(encoded, self._cut(encoded, stride), encoded)

    def _cut(self, encoded: Encoded, stride: int | None) -> Windows:
        trained = self.manifest.window.stride
        return cut(
            encoded, room=self._tokenizing.room, stride=trained if stride is None else stride
        )

    def _run(self, encoded: Encoded, windows: Windows, words: Encoded) -> WordScores:
        """Score windows of `encoded`, read word by word as `words` says what a word is."""
        rule = self._tokenizing
        scores = WordScores(words, windows, self.manifest.schema.unread)
        special = len(rule.prefix) + len(rule.suffix)
        lengths = windows.lengths() + special
        batching = self._engine.batching
        batches = ordered_batches(
            lengths, tokens_per_batch=batching.budget(lengths), padding=batching.padding
        )
        padded = (pad(encoded, windows, batch, rule) for batch in batches)
        alone = batching.at_once == 1 or len(batches) == 1
        outputs = map(self._engine.run, padded) if alone else self._in_turn(padded)
        for batch, logits in zip(batches, outputs, strict=True):
            scores.add(batch, logits, offset=len(rule.prefix))
        return scores

    def _in_turn(self, padded: Iterable[Padded]) -> Iterator[npt.NDArray[np.float32]]:
        """Score batches in the pool, in order; only so many of them are there at a time.

        Those of another call come between, so that it need not wait for all of a long text.
        """
        running: deque[Future[npt.NDArray[np.float32]]] = deque()
        try:
            for each in padded:
                running.append(self._pool.submit(self._engine.run, each))
                if len(running) > self._engine.batching.at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for rest in running:
                rest.cancel()
