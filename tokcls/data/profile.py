"""What a corpus holds and what a backbone makes of it, counted before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokcls.config import DataConfig, LabelsConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import Prepared, PreparedSplit, prepare
from tokcls.data.tokenizer import TOKENIZER, read_tokenizing
from tokcls.data.truncation import lost_by_truncation
from tokcls.data.windows import votes
from tokcls.labels.ceiling import Ceiling, ceiling
from tokcls.labels.plan import type_plan, unlearned
from tokcls.labels.schemes import SCHEMES, Detected

NOT_IN_TRAIN = "not in train: {}; nothing can learn it, so it is scored as missed"


@dataclass(frozen=True)
class SplitProfile:
    """One split; `longest` is in words, `scheme` and `evidence` are those of the file's tags."""

    sentences: int
    documents: int
    words: int
    spans: int
    spans_by_type: Mapping[str, int]
    longest: int
    scheme: str
    evidence: str
    violations: int
    repeated: Mapping[str, int]
    """sentences that stand in an earlier split too, word for word, by that split's name"""


@dataclass(frozen=True)
class WindowProfile:
    """The corpus under one tokenizer; `max_length` is in sub-words, special ids included."""

    max_length: int
    windows: Mapping[str, int]
    lost_by_truncation: int
    """gold spans that would be lost if sentences were cut off at `max_length`"""
    lost: int
    """gold spans that no prediction can reach: the tokenizer turns all of their words into nothing,
    or windows do not keep their promise"""


@dataclass(frozen=True)
class Profile:
    """A corpus, its splits, and its windows by backbone."""

    name: str
    notes: tuple[str, ...]
    splits: Mapping[str, SplitProfile]
    not_in_train: tuple[str, ...]
    """types that validation or test have, and train does not: scored as missed"""
    ceilings: Mapping[str, Ceiling]
    """what each scheme cannot write of the validation split, by the scheme's name"""
    backbones: Mapping[str, WindowProfile]

    def to_json(self) -> dict[str, Any]:
        """Give a plain dict: `splits.<name>.{sentences, words, spans, ...}` and totals."""
        windows = self.backbones.values()
        return asdict(self) | {
            "scheme": next(iter(self.splits.values())).scheme,
            "violations": sum(split.violations for split in self.splits.values()),
            "lost_by_truncation": max((each.lost_by_truncation for each in windows), default=0),
            "lost": max((each.lost for each in windows), default=0),
        }

    def lines(self) -> list[str]:
        """Say it for people, the most important first."""
        lines = [f"corpus {self.name}"]
        for name, split in self.splits.items():
            first, *more = _of_split(split)
            lines += [f"  {name:11}{first}", *(f"{'':13}{line}" for line in more)]
        lines += [f"  note: {note}" for note in self.notes]
        if self.not_in_train:
            names = ", ".join(self.not_in_train)
            lines.append(f"  {NOT_IN_TRAIN.format(names)}")
        lines += [
            f"  scheme {name} cannot write {each.lost:,} of {each.gold:,} validation spans: "
            f"no model that learns it reaches more than F1 {each.f1:.3f}"
            for name, each in self.ceilings.items()
            if each.lost
        ]
        lines += [_of_windows(name, each) for name, each in self.backbones.items()]
        return lines


def profile(
    corpus: Corpus,
    backbones: Mapping[str, Path],
    data: DataConfig,
    labels: Sequence[LabelsConfig],
) -> Profile:
    """Count a corpus, and cut it as training would for each backbone, given by name and folder.

    `labels` are all that trials may learn.

    A backbone whose tokenizer is known only to transformers is left out, with a note.

    Raises:
        BackboneError: `data.max_length` is more than a backbone has positions for.
    """
    present = {name: sentences for name, sentences in corpus.splits.items() if sentences}
    splits = {
        name: _split(
            sentences,
            corpus.schemes.get(name),
            {other: present[other] for other in list(present)[:number]},
        )
        for number, (name, sentences) in enumerate(present.items())
    }
    notes, windows = list(corpus.notes), {}
    by_folder: dict[Path, WindowProfile] = {}
    for name, folder in backbones.items():
        if not (folder / TOKENIZER).is_file():
            notes.append(f"{name} has no {TOKENIZER}: its windows are counted when training begins")
            continue
        if folder not in by_folder:
            tokenizing = read_tokenizing(folder, name=name, max_length=data.max_length)
            by_folder[folder] = _windows(
                prepare(corpus, tokenizing, stride=data.stride, context=data.context)
            )
        windows[name] = by_folder[folder]
    return Profile(
        name=corpus.name,
        notes=tuple(notes),
        splits=splits,
        not_in_train=unlearned(corpus.types, corpus.trained_types, labels),
        ceilings=_ceilings(corpus, labels),
        backbones=windows,
    )


def _ceilings(corpus: Corpus, labels: Sequence[LabelsConfig]) -> dict[str, Ceiling]:
    """By the scheme's name; of several type maps, the one that loses most under it."""
    found: dict[str, Ceiling] = {}
    for each in labels:
        plan = type_plan(each, corpus.types)
        gold = [plan.learned.apply(sentence.spans) for sentence in corpus.validation]
        made = ceiling(gold, SCHEMES[each.scheme], judged=plan.judged)
        worst = found.setdefault(each.scheme, made)
        if made.lost > worst.lost:
            found[each.scheme] = made
    return found


def _split(
    sentences: Sequence[Sentence],
    detected: Detected | None,
    earlier: Mapping[str, Sequence[Sentence]],
) -> SplitProfile:
    by_type = Counter(span.type for sentence in sentences for span in sentence.spans)
    lengths = [len(sentence.words) for sentence in sentences]
    return SplitProfile(
        sentences=len(sentences),
        documents=len({sentence.document for sentence in sentences}),
        words=sum(lengths),
        spans=by_type.total(),
        spans_by_type=dict(sorted(by_type.items())),
        longest=max(lengths),
        scheme=detected.scheme if detected else "",
        evidence=detected.evidence if detected else "",
        violations=detected.violations if detected else 0,
        repeated={name: _repeated(sentences, others) for name, others in earlier.items()},
    )


def _repeated(sentences: Sequence[Sentence], others: Sequence[Sentence]) -> int:
    known = {other.words for other in others}
    return sum(sentence.words in known for sentence in sentences)


def _windows(prepared: Prepared) -> WindowProfile:
    room = prepared.tokenizing.room
    return WindowProfile(
        max_length=prepared.tokenizing.max_length,
        windows={name: len(split.windows) for name, split in prepared.splits.items()},
        lost_by_truncation=sum(lost_by_truncation(s, room) for s in prepared.splits.values()),
        lost=sum(_lost(split) for split in prepared.splits.values()),
    )


def _lost(split: PreparedSplit) -> int:
    """Count the gold spans that no prediction can reach.

    A part of theirs has sub-words but no window to be read from, or none of their parts has any.
    """
    decided = votes(split.encoded, split.windows).window >= 0
    written = np.zeros(len(decided), bool)
    written[split.encoded.owners] = True
    unread, read = (
        np.concatenate([[0], np.cumsum(kind)]) for kind in (written & ~decided, decided)
    )
    spans = (
        slice(begin + span.start, begin + span.end + 1)
        for sentence, begin in enumerate(split.offsets[:-1].tolist())
        for span in split.gold_parts(sentence)
    )
    return sum(
        int(unread[span][-1] > unread[span][0] or read[span][-1] == read[span][0]) for span in spans
    )


def _of_split(split: SplitProfile) -> list[str]:
    types = ", ".join(f"{type_} {number:,}" for type_, number in split.spans_by_type.items())
    documents = f" in {split.documents:,} documents" if split.documents < split.sentences else ""
    lines = [
        f"{split.sentences:,} sentences{documents}, {split.words:,} words, "
        f"{split.spans:,} spans ({types or 'none'}); longest sentence {split.longest:,} words"
    ]
    if split.scheme:
        broken = f"; {split.violations:,} violations" if split.violations else ""
        lines.append(f"scheme {split.scheme} ({split.evidence}){broken}")
    for other, number in split.repeated.items():
        if number:
            lines.append(f"{number:,} sentences stand in {other} too: their scores flatter")
    return lines


def _of_windows(name: str, each: WindowProfile) -> str:
    windows = ", ".join(f"{split} {number:,}" for split, number in each.windows.items() if number)
    unread = "; the tokenizer turns all their words into nothing: scored as missed"
    return (
        f"  {name}: windows of up to {each.max_length} sub-words: {windows}; gold spans lost by "
        f"truncation there: {each.lost_by_truncation:,}, by windows: {each.lost:,}"
        + unread
        * bool(each.lost)
    )
