"""Requests answered together, so that their texts share batches, and written as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from tokcls.inference.aggregation import Labelled, SubWord
from tokcls.inference.offsets import places
from tokcls.inference.predictor import Entity, Predictor
from tokcls.inference.request import Request

OUTSIDE = ("O",)  # what a strategy leaves out by itself
Plain = dict[str, Any]


def answer(
    predictor: Predictor, requests: Sequence[Request], tally: Counter[str] | None = None
) -> list[bytes]:
    """Answer several requests at once: one JSON text each, in their order.

    The entities in the answers are added to `tally` by type, if it is given.
    """
    answers: dict[int, bytes] = {}
    numbers = sorted(range(len(requests)), key=lambda number: _shared(requests[number]))
    for _, group in groupby(numbers, key=lambda number: _shared(requests[number])):
        alike = list(group)
        found = _answer_alike(predictor, [requests[number] for number in alike])
        for number, each in zip(alike, found, strict=True):
            if tally is not None:
                tally.update(_types(each))
            shown = each[0] if requests[number].single else each
            answers[number] = json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
    return [answers[number] for number in range(len(requests))]


def answer_each(
    predictor: Predictor, requests: Sequence[Request], tally: Counter[str]
) -> list[bytes | Exception]:
    """Answer as `answer` does, but a request that cannot be answered fails alone.

    Its exception stands in the place of its answer.

    Raises:
        TimeoutError: the predictor's time is over.
    """
    counted = Counter[str]()
    try:
        answers: list[bytes | Exception] = [*answer(predictor, requests, counted)]
    except TimeoutError:
        raise
    except Exception as error:
        if len(requests) == 1:
            return [error]
        return [answer_each(predictor, [one], tally)[0] for one in requests]
    tally.update(counted)
    return answers


def _types(found: Iterable[Iterable[Plain]]) -> Iterator[str]:
    """Give the type of each entity; neither sub-words nor what is outside have one."""
    types = (one.get("entity_group", OUTSIDE[0]) for row in found for one in row)
    return (each for each in types if each not in OUTSIDE)


def _shared(request: Request) -> tuple[str, int]:
    """What requests must have in common to share batches."""
    asked = request.parameters
    return asked.aggregation_strategy or "", -1 if asked.stride is None else asked.stride


def _answer_alike(predictor: Predictor, requests: Sequence[Request]) -> Iterator[list[list[Plain]]]:
    asked = requests[0].parameters
    texts = [text for one in requests for text in one.texts]
    of_texts: Iterator[Sequence[Entity | Labelled]]
    if asked.aggregation_strategy is None:
        of_texts = iter(predictor.predict_texts(texts, stride=asked.stride))
    else:
        strategy = asked.aggregation_strategy
        of_texts = iter(predictor.aggregate_texts(texts, strategy, stride=asked.stride))
    of_words = iter(predictor.predict_words([each for one in requests for each in one.words]))
    for request in requests:
        found = [_in_text(text, next(of_texts), request) for text in request.texts]
        found += [_kept(map(Entity.as_dict, next(of_words)), request) for _ in request.words]
        yield found


def _in_text(text: str, found: Sequence[Entity | Labelled], request: Request) -> list[Plain]:
    at = places(text, request.parameters.offset_type or "codepoint")
    return _kept((_plain(text, each, at) for each in found), request)


def _plain(text: str, each: Entity | Labelled, at: Callable[[int], int]) -> Plain:
    where = {"start": at(each.start), "end": at(each.end)}
    if isinstance(each, Entity):
        return each.as_dict() | where
    if isinstance(each, SubWord):
        alone = {"entity": each.label, "score": each.score, "index": each.number}
        return alone | {"word": each.piece} | where
    group = {"entity_group": each.label, "score": each.score}
    return group | {"word": text[each.start : each.end]} | where


def _kept(found: Iterator[Plain], request: Request) -> list[Plain]:
    """Leave out the labels that are not asked for."""
    asked = request.parameters.ignore_labels
    ignored: Collection[str] = OUTSIDE if asked is None else asked
    return [
        each
        for each in found
        if each.get("entity") not in ignored and each.get("entity_group") not in ignored
    ]
